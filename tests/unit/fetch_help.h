/*
 * fetch_help.h: an account, a state and a throwaway directory for the tests of the
 * letters' way; servers and programs are one scripted target.
 */
#ifndef FETCH_HELP_H
#define FETCH_HELP_H

#include "unit.h"

#include "fetch/deliver.h"
#include "fetch/durable.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct bench {
	char root[64], state_dir[96];
	char *where[FETCH_TARGETS_MAX], *text[FETCH_TARGETS_MAX];
	struct fetch_account a;
	struct state *state;
	struct remembered r;
	struct spool *spool;
	struct deliver *deliver;
	char why[LETTER_WHY_MAX];
};

/* What the scripted target says, and what it was given. */
static struct script {
	enum letter_fate fate;
	size_t calls, letters;
	char trace_id[TRACE_ID_MAX];
	uint8_t seen[4096];
	size_t seen_n;
} script;

struct target {
	int nothing;
};

static int
script_open(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	(void)c;
	(void)why;
	(void)why_n;
	*ret = calloc(1, sizeof(struct target));
	return *ret ? 0 : -ENOMEM;
}

static void
script_close(struct target **t)
{
	free(*t);
	*t = NULL;
}

static int
script_prepare(struct target *t, struct letter *l, const char *trace_id,
	char name[LETTER_NAME_MAX])
{
	(void)t;
	(void)l;
	(void)trace_id;
	name[0] = 0;
	return 0;
}

static void
script_hand_over(struct target *t, struct letter *const *letters,
	char (*names)[LETTER_NAME_MAX], char (*trace_ids)[TRACE_ID_MAX], size_t n)
{
	(void)t;
	(void)names;
	script.calls++;
	script.letters += n;
	for (size_t i = 0; i < n; i++) {
		ssize_t got = pread(letters[i]->fd, script.seen, sizeof(script.seen), 0);

		assert_true(got >= 0);
		script.seen_n = (size_t)got;
		memcpy(script.trace_id, trace_ids[i], TRACE_ID_MAX);
		letters[i]->fate = script.fate;
	}
}

#define SCRIPT                                                                           \
	{                                                                                \
		.open = script_open, .close = script_close, .prepare = script_prepare,   \
		.hand_over = script_hand_over                                            \
	}
const struct target_ops target_lmtp = SCRIPT, target_smtp = SCRIPT,
			target_program = SCRIPT;

static inline void
bench_target(struct bench *b, enum fetch_target_kind kind, const char *name)
{
	size_t i = b->a.targets_n++;

	assert_true(asprintf(&b->where[i], "%s/%s", b->root, name) > 0);
	assert_true(asprintf(&b->text[i], "%d:%s", (int)kind, b->where[i]) > 0);
	b->a.targets[i] = (struct fetch_target_spec){kind, b->where[i], b->text[i]};
}

/* under: an existing directory. Targets are added before bench_start. */
static inline void
bench_make(struct bench *b, const char *under)
{
	*b = (struct bench){.a = {.name = "anna@localhost",
				    .host = "localhost",
				    .user = "anna",
				    .trace = FETCH_TRACE_AUTO}};
	script = (struct script){.fate = LETTER_DELIVERED};
	(void)snprintf(b->root, sizeof(b->root), "%s/fetch-XXXXXX", under);
	assert_non_null(mkdtemp(b->root));
	memcpy(b->state_dir, b->root, sizeof(b->root));
	memcpy(b->state_dir + strlen(b->root), "/state", 7);
}

#define OK(call)                                                                         \
	do {                                                                             \
		int ok_r = (call);                                                       \
		if (ok_r < 0)                                                            \
			fail_msg("%s: %s", #call, strerror(-ok_r));                      \
	} while (0)

static inline void
bench_start(struct bench *b)
{
	OK(state_open(b->state_dir, true, &b->state, b->why, sizeof(b->why)));
	OK(state_account(b->state, &b->a, &b->r));
	OK(spool_open(&b->a, b->state_dir, &b->spool, b->why, sizeof(b->why)));
	OK(deliver_open(&b->a, b->spool, b->state, b->r.row, &b->deliver, b->why,
		sizeof(b->why)));
}

static inline void
bench_stop(struct bench *b)
{
	deliver_close(&b->deliver);
	spool_close(&b->spool);
	state_close(&b->state);
	free(b->r.tls_session);
	b->r.tls_session = NULL;
}

static inline void
bench_end(struct bench *b)
{
	char command[96];

	bench_stop(b);
	for (size_t i = 0; i < b->a.targets_n; i++) {
		free(b->where[i]);
		free(b->text[i]);
	}
	assert_memory_equal(strrchr(b->root, '/'), "/fetch-", 7);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", b->root);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
}

static inline void
letter_start(struct letter *l, const char *uid)
{
	memset(l, 0, sizeof(*l));
	l->fd = -1;
	l->uid = (struct view){(const uint8_t *)uid, strlen(uid)};
	l->listed = UINT64_MAX;
	l->msgno = 1;
}

/* A whole letter in the spool; *l stays where it is. */
static inline void
letter_make(struct bench *b, struct letter *l, const char *uid, struct view octets)
{
	letter_start(l, uid);
	OK(spool_begin(b->spool, l));
	OK(spool_write(b->spool, l, octets));
	OK(spool_finish(b->spool, l));
}

static inline int
commit_one(struct bench *b, struct letter *l)
{
	return deliver_commit(b->deliver, &l, 1);
}

static inline size_t
count_files(const char *root, const char *below)
{
	char path[256];
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/%s", root, below);
	DIR *d = opendir(path);
	if (!d)
		return 0;
	for (const struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* The only file of a directory. */
static inline void
only_file(const char *root, const char *below, char *ret, size_t cap)
{
	char path[256];

	assert_int_equal(count_files(root, below), 1);
	(void)snprintf(path, sizeof(path), "%s/%s", root, below);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			assert_true(
				snprintf(ret, cap, "%s/%s", path, e->d_name) < (int)cap);
	closedir(d);
}

static inline void
assert_file(const char *path, struct view expected)
{
	uint8_t *got;
	size_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	OK(fd_read_file(fd, 64 << 20, &got, &n));
	close(fd);
	assert_int_equal(n, expected.n);
	assert_memory_equal(got, expected.p, n);
	free(got);
}

static inline void
put_file(const char *path, struct view octets)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	OK(fd_write_all(fd, octets.p, octets.n));
	close(fd);
}

#endif
