/*
 * secret_prompt.c: asks a person on the terminal, without echo.
 *
 * Signals are taken through a descriptor while the echo is off, so that the terminal is
 * always put back before one of them ends or stops us. Where the program itself takes
 * those that end it, it tells us.
 */
#include "fetch/secret_ask.h"
#include "fetch/stopping.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

struct asking {
	int tty, signals;
	sigset_t caught, before;
	struct termios as_it_was;
	uint8_t *p;
	size_t n;
};

static void
catch_set(sigset_t *set)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGALRM};

	(void)sigemptyset(set);
	if (stopping_fd() >= 0)
		return;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)sigaddset(set, numbers[i]);
}

static int
echo_off(struct asking *a, const char *prompt)
{
	struct termios quiet = a->as_it_was;

	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK);
	quiet.c_lflag |= ICANON | ISIG | ECHONL;
	if (tcsetattr(a->tty, TCSAFLUSH, &quiet) < 0)
		return -errno;
	return fd_write_all(a->tty, prompt, strlen(prompt));
}

static void
echo_back(struct asking *a)
{
	(void)tcsetattr(a->tty, TCSADRAIN, &a->as_it_was);
}

/* Lets the signal do what it does: a stop comes back here, most others do not. */
static void
let_through(struct asking *a)
{
	struct signalfd_siginfo info;

	if (read(a->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	echo_back(a);
	(void)fd_write_all(a->tty, "\n", 1);
	(void)kill(getpid(), (int)info.ssi_signo);
	(void)pthread_sigmask(SIG_SETMASK, &a->before, NULL);
	(void)pthread_sigmask(SIG_BLOCK, &a->caught, NULL);
}

/* 0 with a line (or the end of the file), 1 after a signal, -errno. */
static int
read_line(struct asking *a)
{
	for (;;) {
		struct pollfd fds[3] = {{a->tty, POLLIN, 0}, {a->signals, POLLIN, 0},
			{stopping_fd(), POLLIN, 0}};
		ssize_t got;

		if (poll(fds, 3, -1) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (fds[2].revents) {
			(void)fd_write_all(a->tty, "\n", 1);
			return -ECANCELED;
		}
		if (fds[1].revents)
			return 1;
		if (!fds[0].revents)
			continue;
		got = read(a->tty, a->p + a->n, SECRET_READ_MAX - a->n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		a->n += (size_t)got;
		if (got == 0 || a->n == SECRET_READ_MAX || a->p[a->n - 1] == '\n')
			return 0;
	}
}

static int
ask(struct asking *a, const char *prompt)
{
	int rc;

	for (;;) {
		rc = echo_off(a, prompt);
		if (rc == 0)
			rc = read_line(a);
		echo_back(a);
		if (rc != 1)
			return rc;
		let_through(a);
		a->n = 0;
	}
}

static int
ask_with_signals(struct asking *a, const char *prompt)
{
	int rc;

	catch_set(&a->caught);
	if (tcgetattr(a->tty, &a->as_it_was) < 0)
		return -errno;
	if (pthread_sigmask(SIG_BLOCK, &a->caught, &a->before) != 0)
		return -EINVAL;
	a->signals = signalfd(-1, &a->caught, SFD_CLOEXEC | SFD_NONBLOCK);
	rc = a->signals < 0 ? -errno : ask(a, prompt);
	fd_close(&a->signals);
	(void)pthread_sigmask(SIG_SETMASK, &a->before, NULL);
	return rc;
}

int
secret_ask_person(const char *prompt, struct secret *ret, char *why, size_t why_n)
{
	struct asking a = {
		.tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY), .signals = -1};
	int rc;

	if (a.tty < 0) {
		(void)snprintf(why, why_n,
			"no password was given and there is no terminal to "
			"ask on: use password_file, password_command, "
			"password_credential or --password-fd");
		return -ENOENT;
	}
	a.p = secret_memory(SECRET_READ_MAX);
	rc = a.p ? ask_with_signals(&a, prompt) : -ENOMEM;
	if (rc == -ECANCELED)
		(void)snprintf(why, why_n, "stopped by a signal");
	else if (rc < 0)
		(void)snprintf(
			why, why_n, "the terminal cannot be asked: %s", strerror(-rc));
	else
		rc = secret_make(a.p, a.n, "what was typed", ret, why, why_n);
	fd_close(&a.tty);
	secret_memory_free(a.p, SECRET_READ_MAX);
	return rc;
}
