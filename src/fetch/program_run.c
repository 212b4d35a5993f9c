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
#include <unistd.h>

#define VALUE_MAX 400
#define VALUES	  4
#define TERM_MS	  2000 /* from SIGTERM to SIGKILL */

struct run {
	int in, out, pidfd; /* its standard input; our end of its output */
	pid_t pid;
	uint64_t timeout_ms;
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
	int out[2] = {-1, -1}, rc = 0;
	AUTO_FREE char **env = NULL;

	set_value("TRACE", trace_id, values[0]);
	set_value("ACCOUNT", a->name, values[1]);
	set_value("SENDER", a->sender, values[2]);
	set_value("RECIPIENT", a->recipient && a->recipient[0] ? a->recipient : a->user,
		values[3]);
	env = environment(values);
	if (!env)
		return -ENOMEM;
	if (pipe2(out, O_CLOEXEC) < 0)
		rc = -errno;
	if (rc == 0)
		rc = fd_nonblock(out[0]);
	if (rc == 0) {
		const int files[3] = {r->in, out[1], out[1]};
		rc = shell_start(command, env, files, true, &r->pid, &r->pidfd);
	}
	fd_close(&out[1]);
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

/* Until it ended (0), or the time is over. The offset of its input is ours too: where it
 * moved, the program is slow, not stuck. */
static int
attend(struct run *r)
{
	uint64_t until = clock_ms() + r->timeout_ms;
	off_t before = 0;

	for (;;) {
		struct pollfd p[] = {{r->pidfd, POLLIN, 0}, {r->out, POLLIN, 0}};
		uint64_t now = clock_ms();

		if (now >= until) {
			off_t at = lseek(r->in, 0, SEEK_CUR);

			if (at <= before)
				return -ETIMEDOUT;
			before = at;
			until = now + r->timeout_ms;
		}
		uint64_t left = until - now;
		if (poll(p, ARRAY_SIZE(p), left > 60000 ? 60000 : (int)left) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		if (p[0].revents)
			return 0;
		if (p[1].revents)
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
		r->end->started = true;
		rc = attend(r);
		int reaped = reap(r, rc < 0);
		rc = rc < 0 ? rc : reaped;
		/* Its children may hold the pipe open; they are not waited for. */
		if (r->out >= 0)
			take_output(r);
	}
	fd_close(&r->out);
	fd_close(&r->pidfd);
	return rc;
}

int
program_run(const struct fetch_account *a, const char *command, int dir, const char *mark,
	const struct letter *l, const char *trace_id, struct program_end *ret)
{
	enum program_lines lines = spool_is_lf(a)    ? PROGRAM_LF_ALREADY
		: a->line_ends == FETCH_LINE_ENDS_LF ? PROGRAM_TO_LF
						     : PROGRAM_AS_IT_IS;
	struct run r = {.in = -1, .out = -1, .pidfd = -1, .end = ret};
	int rc;

	*ret = (struct program_end){.status = -1};
	r.timeout_ms = a->program_timeout_ms ? a->program_timeout_ms : 600000;
	rc = program_input_make(dir, mark, l, trace_id, lines, &r.in);
	if (rc == 0)
		rc = run(&r, a, command, trace_id);
	fd_close(&r.in);
	return rc;
}
