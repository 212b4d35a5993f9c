/* command_run.c: one run of the program: its descriptors, its environment, its end. */
#include "base/check.h"
#include "helper/command.h"
#include "os/clock.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 6
#define ADDRESS_MAX	(INET6_ADDRSTRLEN + 16)
#define STATUS_CANNOT	126 /* as shells say it */

struct run {
	int input, reply; /* what is the program's */
	int answer;	  /* our end of reply */
	pid_t pid;
	int pidfd;
	struct buf *ret;
};

/* ---- in the child: nothing that could need a lock of the parent's
 * ---------------------- */

static bool
place_descriptors(const struct run *r, const struct command *c)
{
	/* High first, so that none stands where another is to go. */
	const int from[] = {
		open("/dev/null", O_RDWR | O_CLOEXEC), r->input, r->reply, c->self};
	int high[ARRAY_SIZE(from)];

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 64);
		if (high[i] < 0)
			return false;
	}
	for (int fd = 0; fd < 3; fd++)
		if (dup2(high[0], fd) < 0)
			return false;
	if (dup2(high[1], COMMAND_FD_INPUT) < 0 || dup2(high[2], COMMAND_FD_REPLY) < 0 ||
		dup2(high[3], COMMAND_FD_SELF) < 0)
		return false;
	return close_range(COMMAND_FD_SELF + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0;
}

static bool
settle_child(pid_t parent)
{
	static const int defaults[] = {SIGPIPE, SIGHUP, SIGINT, SIGXFSZ, SIGALRM};

	for (size_t i = 0; i < ARRAY_SIZE(defaults); i++)
		if (sigaction(defaults[i], &(struct sigaction){.sa_handler = SIG_DFL},
			    NULL) < 0)
			return false;
	/* A group of its own, which ends as a whole; and with us. */
	return setsid() >= 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
		getppid() == parent && chdir("/") == 0;
}

[[gnu::noreturn]] static void
become(const struct run *r, const struct command *c, char **argv, char **env,
	pid_t parent)
{
	if (settle_child(parent) && place_descriptors(r, c))
		(void)execve(c->path, argv, env);
	_exit(STATUS_CANNOT);
}

/* ---- start ---------------------------------------------------------------------------
 */

static void
arguments(const struct command *c, char *argv[COMMAND_WORDS_MAX + 4])
{
	static char self[] = "/proc/self/fd/5", reply[] = "reply";
	char *at = c->arguments, *end = c->arguments + c->arguments_n;
	size_t n = 0;

	static_assert(COMMAND_FD_SELF == 5);
	argv[n++] = (char *)(uintptr_t)c->path;
	for (; at < end; at += strlen(at) + 1)
		argv[n++] = at;
	argv[n++] = self;
	argv[n++] = reply;
	argv[n] = NULL;
	CHECK(n <= COMMAND_WORDS_MAX + 3);
}

/* Whence the client comes, under the name that programs of this kind look for. */
static bool
address_text(struct view address, char ret[ADDRESS_MAX])
{
	static const uint8_t v4_in_v6[12] = {[10] = 0xFF, [11] = 0xFF};
	static const char name[] = "TCPREMOTEIP=";
	bool is_v4 =
		address.n == 16 && memcmp(address.p, v4_in_v6, sizeof(v4_in_v6)) == 0;

	if (address.n != 16)
		return false;
	memcpy(ret, name, sizeof(name));
	return inet_ntop(is_v4 ? AF_INET : AF_INET6, address.p + (is_v4 ? 12 : 0),
		       ret + sizeof(name) - 1, INET6_ADDRSTRLEN) != NULL;
}

static int
start(struct run *r, const struct command *c, struct view address, bool lookup)
{
	static char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char proto[] = "PROTO=TCP", service[] = "SERVICE=pop3";
	static char authorized[] = "AUTHORIZED=1";
	char from[ADDRESS_MAX], *argv[COMMAND_WORDS_MAX + 4];
	char *env[ENVIRONMENT_MAX] = {path, proto, service};
	size_t n = 3;
	pid_t us = getpid();

	if (lookup)
		env[n++] = authorized;
	if (address_text(address, from))
		env[n++] = from;
	CHECK(n < ENVIRONMENT_MAX);
	arguments(c, argv);
	r->pid = fork();
	if (r->pid == 0)
		become(r, c, argv, env, us);
	if (r->pid < 0)
		return -errno;
	r->pidfd = pidfd_open(r->pid, 0);
	return r->pidfd < 0 ? -errno : 0;
}

/* ---- while it runs -------------------------------------------------------------------
 */

/* False: there is nothing more to come. */
static bool
take_reply(struct run *r)
{
	struct buf *b = r->ret;
	ssize_t n = read(r->answer, b->p + b->n, b->cap - b->n);

	if (n > 0)
		b->n += (size_t)n;
	if (b->n == b->cap)
		b->full = true;
	return n > 0 && !b->full;
}

/* Until it ended (true), or the time is over. */
static bool
attend(struct run *r, uint64_t until_ms)
{
	bool listens = true;

	for (;;) {
		uint64_t now = clock_ms();
		struct pollfd p[] = {
			{r->pidfd, POLLIN, 0}, {listens ? r->answer : -1, POLLIN, 0}};
		if (now >= until_ms)
			return false;
		int left = until_ms - now < 60000 ? (int)(until_ms - now) : 60000;
		if (poll(p, ARRAY_SIZE(p), left) < 0) {
			if (errno != EINTR)
				return false;
			continue;
		}
		if (p[1].revents)
			listens = take_reply(r);
		if (p[0].revents)
			break;
	}
	/* Written before it ended. */
	while (listens && take_reply(r))
		;
	return true;
}

static int
reap(struct run *r)
{
	int status = 0;

	/* Not reaped yet, so the group's number is its own still. Whoever is left of it
	 * ends too. */
	if (kill(-r->pid, SIGKILL) < 0)
		(void)kill(r->pid, SIGKILL); /* before its setsid */
	while (waitpid(r->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static enum command_end
end_of(int status, const struct buf *reply)
{
	if (status == 0 && !reply->full)
		return reply->n > 0 ? COMMAND_REPLIED : COMMAND_SILENT;
	return status == 1    ? COMMAND_REFUSED
		: status == 2 ? COMMAND_MISUSED
		: status == 3 ? COMMAND_UNKNOWN
			      : COMMAND_FAILED;
}

static bool
make_pipes(struct run *r, struct view input)
{
	int in[2], out[2];

	CHECK(input.n <= COMMAND_INPUT_MAX); /* a pipe holds that */
	if (pipe2(in, O_CLOEXEC) < 0)
		return false;
	r->input = in[0];
	bool written = fd_write_all(in[1], input.p, input.n) == 0;
	fd_close(&in[1]);
	if (!written || pipe2(out, O_CLOEXEC) < 0)
		return false;
	r->answer = out[0];
	r->reply = out[1];
	return fd_nonblock(r->answer) == 0;
}

enum command_end
command_run(const struct command *c, struct view input, struct view address, bool lookup,
	struct buf *ret)
{
	uint64_t until_ms = clock_ms() + c->timeout_ms;
	struct run r = {.input = -1,
		.reply = -1,
		.answer = -1,
		.pid = -1,
		.pidfd = -1,
		.ret = ret};
	enum command_end end = COMMAND_FAILED;

	int e = make_pipes(&r, input) ? start(&r, c, address, lookup) : -EMFILE;
	fd_close(&r.input);
	fd_close(&r.reply);
	if (e == 0) {
		bool ended = attend(&r, until_ms);
		int status = reap(&r);
		end = ended ? end_of(status, ret) : COMMAND_SLOW;
	} else if (r.pid > 0) {
		(void)reap(&r);
	}
	fd_close(&r.answer);
	fd_close(&r.pidfd);
	return end;
}
