/*
 * secret_command.c: the first line of what a command prints.
 *
 * On a terminal the command stays in our process group, so that it may ask there
 * (pinentry, a password manager) and ^C reaches it; then it takes as long as it takes.
 * Elsewhere it gets a group of its own and a limit of time, at which the group is killed.
 */
#include "fetch/secret_ask.h"
#include "fetch/stopping.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct asked {
	pid_t pid;
	int pidfd, out;
	bool own_group;
	uint64_t until_ms; /* UINT64_MAX: no limit */
	uint8_t *p;
	size_t n;
};

static bool
is_on_terminal(void)
{
	AUTO_FD tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

	return tty >= 0 && tcgetpgrp(tty) == getpgrp();
}

static int
start(const char *command, struct asked *a)
{
	int ends[2], rc;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	/* Its words about what is wrong are for the person who waits. */
	rc = shell_start(
		command, NULL, (int[]){-1, ends[1], 2}, a->own_group, &a->pid, &a->pidfd);
	fd_close(&ends[1]);
	a->out = ends[0];
	if (rc == 0)
		rc = fd_nonblock(a->out);
	return rc;
}

/* All that is there now. What does not fit is read and forgotten: the command must not
 * die of a closed pipe. False at the end of the output. */
static bool
drain(struct asked *a)
{
	uint8_t spare[512];

	for (;;) {
		size_t room = SECRET_READ_MAX - a->n;
		ssize_t got = room > 0 ? read(a->out, a->p + a->n, room)
				       : read(a->out, spare, sizeof(spare));

		if (got > 0 && room > 0)
			a->n += (size_t)got;
		if (got > 0)
			continue;
		explicit_bzero(spare, sizeof(spare));
		if (got < 0 && errno == EINTR)
			continue;
		return got < 0 && errno == EAGAIN;
	}
}

static int
wait_ms(const struct asked *a)
{
	uint64_t now = clock_ms();

	if (a->until_ms == UINT64_MAX)
		return -1;
	return a->until_ms > now ? (int)(a->until_ms - now) : 0;
}

/* Until the shell has ended: something it left in the background may hold the pipe for
 * ever. 0, -ETIMEDOUT, or -ECANCELED where we are to end. */
static int
listen_until_end(struct asked *a)
{
	bool open = true;

	for (;;) {
		struct pollfd fds[3] = {{a->pidfd, POLLIN, 0},
			{open ? a->out : -1, POLLIN, 0}, {stopping_fd(), POLLIN, 0}};
		int n = poll(fds, 3, wait_ms(a));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 || wait_ms(a) == 0)
			return -ETIMEDOUT;
		if (n > 0 && open && (fds[1].revents || fds[0].revents))
			open = drain(a);
		if (n > 0 && fds[0].revents)
			return 0;
		if (n > 0 && fds[2].revents)
			return -ECANCELED;
	}
}

/* After this the child is gone: ended by itself, or killed with its group. */
static int
reap(struct asked *a, bool kill_it)
{
	int status = 0;

	if (a->pid <= 0)
		return 0;
	if (kill_it)
		(void)kill(a->own_group ? -a->pid : a->pid, SIGKILL);
	while (waitpid(a->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

static int
judge(const struct asked *a, int status, const char *source, struct secret *ret,
	char *why, size_t why_n)
{
	if (status == -1 || WIFSIGNALED(status)) {
		(void)snprintf(why, why_n, "%s was ended by signal %d: run it by hand",
			source, status == -1 ? 0 : WTERMSIG(status));
		return -EIO;
	}
	if (WEXITSTATUS(status) != 0) {
		(void)snprintf(why, why_n, "%s failed with status %d: run it by hand",
			source, WEXITSTATUS(status));
		return -EIO;
	}
	return secret_make(a->p, a->n, source, ret, why, why_n);
}

int
secret_ask_command_within(const char *command, const char *source, uint64_t limit_ms,
	struct secret *ret, char *why, size_t why_n)
{
	struct asked a = {.pidfd = -1, .out = -1, .until_ms = UINT64_MAX};
	int rc, status;

	a.own_group = !is_on_terminal();
	if (a.own_group)
		a.until_ms = clock_ms() + limit_ms;
	a.p = secret_memory(SECRET_READ_MAX);
	rc = a.p ? start(command, &a) : -ENOMEM;
	if (rc == 0)
		rc = listen_until_end(&a);
	status = reap(&a, rc < 0);
	if (rc == -ETIMEDOUT)
		(void)snprintf(why, why_n,
			"%s did not end within %u s: run it by hand; it "
			"must not ask anything without a terminal",
			source, (unsigned)(limit_ms / 1000));
	else if (rc == -ECANCELED)
		(void)snprintf(why, why_n, "%s: stopped by a signal", source);
	else if (rc < 0)
		(void)snprintf(why, why_n, "%s cannot be run: %s", source, strerror(-rc));
	else
		rc = judge(&a, status, source, ret, why, why_n);
	fd_close(&a.pidfd);
	fd_close(&a.out);
	secret_memory_free(a.p, SECRET_READ_MAX);
	return rc;
}

int
secret_ask_command(const char *command, const char *source, struct secret *ret, char *why,
	size_t why_n)
{
	return secret_ask_command_within(
		command, source, SECRET_COMMAND_MS, ret, why, why_n);
}
