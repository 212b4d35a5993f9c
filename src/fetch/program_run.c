#include "fetch/program_run.h"

#include "base/check.h"
#include "fetch/program_input.h"
#include "fetch/spool.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX 400
#define VALUES	  4
#define TERM_MS	  2000 /* from SIGTERM to SIGKILL */

struct run {
	struct program_input input;
	int in, out, pidfd; /* our ends of its standard input and output */
	pid_t pid;
	uint64_t timeout_ms, until;
	size_t words_n;
	struct program_end *end;
};

/* ---- start --------------------------------------------------------------------------
 */

/* NAME=value without what a shell script might stumble over; text is configured by the
 * account's owner, who may have got it from elsewhere. */
static void
set_value(const char *name, const char *text, char ret[VALUE_MAX])
{
	size_t n = (size_t)snprintf(ret, VALUE_MAX, "RESTANTE_%s=", name);

	for (; text && *text && n + 1 < VALUE_MAX; text++)
		if ((unsigned char)*text >= 0x20 && *text != 0x7F)
			ret[n++] = *text;
	ret[n] = '\0';
}

static char **
environment(char values[VALUES][VALUE_MAX])
{
	size_t n = 0, k = 0;

	while (environ[n])
		n++;
	char **all = calloc(n + VALUES + 1, sizeof(*all));
	if (!all)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "RESTANTE_", 9) != 0)
			all[k++] = environ[i];
	for (size_t i = 0; i < VALUES; i++)
		all[k++] = values[i];
	return all;
}

static int
start(struct run *r, const struct fetch_account *a, const char *command,
	const char *trace_id)
{
	char values[VALUES][VALUE_MAX];
	int in[2] = {-1, -1}, out[2] = {-1, -1}, rc = 0;
	AUTO_FREE char **env = NULL;

	set_value("TRACE", trace_id, values[0]);
	set_value("ACCOUNT", a->name, values[1]);
	set_value("SENDER", a->sender, values[2]);
	set_value("RECIPIENT", a->recipient && a->recipient[0] ? a->recipient : a->user,
		values[3]);
	env = environment(values);
	if (!env)
		return -ENOMEM;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		rc = -errno;
	if (rc == 0)
		rc = fd_nonblock(in[1]);
	if (rc == 0)
		rc = fd_nonblock(out[0]);
	if (rc == 0) {
		const int files[3] = {in[0], out[1], out[1]};
		rc = shell_start(command, env, files, true, &r->pid, &r->pidfd);
	}
	fd_close(&in[0]);
	fd_close(&out[1]);
	r->in = in[1];
	r->out = out[0];
	return rc;
}

/* ---- while it runs ------------------------------------------------------------------
 */

/* The end of what it says is kept: tools say what went wrong last. */
static void
take_output(struct run *r)
{
	uint8_t piece[1024];
	char *words = r->end->words;
	ssize_t n;

	while ((n = read(r->out, piece, sizeof(piece))) > 0) {
		size_t keep = PROGRAM_WORDS_MAX - 1, got = (size_t)n;
		const uint8_t *from = piece;

		if (got > keep) {
			from += got - keep;
			got = keep;
		}
		if (r->words_n + got > keep) {
			size_t drop = r->words_n + got - keep;
			memmove(words, words + drop, r->words_n - drop);
			r->words_n -= drop;
		}
		memcpy(words + r->words_n, from, got);
		r->words_n += got;
	}
	if (n == 0)
		fd_close(&r->out);
}

/* As much as it takes. 0, or what is wrong with the spool. */
static int
give_input(struct run *r)
{
	struct view v;

	for (;;) {
		int rc = program_input_next(&r->input, &v);
		if (rc < 0)
			return rc;
		if (v.n == 0) {
			fd_close(&r->in);
			r->end->all_given = true;
			return 0;
		}
		ssize_t put = write(r->in, v.p, v.n);
		if (put > 0) {
			program_input_took(&r->input, (size_t)put);
			r->until = clock_ms() + r->timeout_ms;
			continue;
		}
		if (put < 0 && errno == EINTR)
			continue;
		/* It reads no more, which is its right: its status decides. */
		if (put < 0 && errno != EAGAIN)
			fd_close(&r->in);
		return 0;
	}
}

/* Until it ended (0), the time is over, or the spool fails. */
static int
attend(struct run *r)
{
	r->until = clock_ms() + r->timeout_ms;
	for (;;) {
		struct pollfd p[] = {
			{r->pidfd, POLLIN, 0}, {r->in, POLLOUT, 0}, {r->out, POLLIN, 0}};
		uint64_t now = clock_ms();

		if (now >= r->until)
			return -ETIMEDOUT;
		uint64_t left = r->until - now;
		if (poll(p, ARRAY_SIZE(p), left > 60000 ? 60000 : (int)left) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (p[0].revents)
			return 0;
		if (p[1].revents) {
			int rc = give_input(r);
			if (rc < 0)
				return rc;
		}
		if (p[2].revents)
			take_output(r);
	}
}

/* Its status, after it ended by itself or by us. */
static int
reap(struct run *r, bool by_us)
{
	struct pollfd p = {r->pidfd, POLLIN, 0};
	int status;

	if (by_us) {
		(void)kill(-r->pid, SIGTERM);
		(void)poll(&p, 1, TERM_MS);
		/* Those of its group that did not listen; it is not reaped yet, so the
		 * number is its own still. */
		(void)kill(-r->pid, SIGKILL);
	}
	while (waitpid(r->pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	r->end->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	r->end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	return 0;
}

static int
run(struct run *r, const struct fetch_account *a, const char *command,
	const char *trace_id)
{
	int rc = start(r, a, command, trace_id);

	if (rc == 0) {
		rc = attend(r);
		int reaped = reap(r, rc < 0);
		rc = rc < 0 ? rc : reaped;
		/* Its children may hold the pipe open; they are not waited for. */
		if (r->out >= 0)
			take_output(r);
	}
	fd_close(&r->in);
	fd_close(&r->out);
	fd_close(&r->pidfd);
	return rc;
}

int
program_run(const struct fetch_account *a, const char *command, const struct letter *l,
	const char *trace_id, struct program_end *ret)
{
	AUTO_FREE struct run *r = malloc(sizeof(*r));
	const struct timespec now = {0, 0};
	sigset_t pipe, before, pending;
	bool was_pending = false;
	int rc;

	*ret = (struct program_end){.status = -1};
	if (!r)
		return -ENOMEM;
	*r = (struct run){.in = -1, .out = -1, .pidfd = -1, .end = ret};
	r->timeout_ms = a->timeout_ms ? a->timeout_ms : 60000;
	program_input_init(&r->input, l, trace_id,
		spool_is_lf(a)				     ? PROGRAM_LF_ALREADY
			: a->line_ends == FETCH_LINE_ENDS_LF ? PROGRAM_TO_LF
							     : PROGRAM_AS_IT_IS);
	/* A program that closes its input early must not end us. */
	(void)sigemptyset(&pipe);
	(void)sigaddset(&pipe, SIGPIPE);
	(void)sigemptyset(&pending);
	(void)sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	(void)pthread_sigmask(SIG_BLOCK, &pipe, &before);
	rc = run(r, a, command, trace_id);
	while (!was_pending && sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
		continue;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}
