/*
 * A Maildir. Rule 4: published by a rename that never replaces; a sync that failed is
 * never tried again on the same file. Rule 7: the name holds a mark that is the same for
 * the same message of the same account, so whatever became of a killed run, of the state
 * or of its backup, a message that is in new/ or cur/ is not delivered again.
 *
 * The marks are read before the first letter of a run is published, and again where one
 * is met that was read more than RECHECK_MS ago (a person may have moved it away since),
 * or once so many were added that a daemon's memory would grow.
 */
#include "fetch/target.h"

#include "fetch/durable.h"
#include "fetch/maildir_marks.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECHECK_MS 30000

struct target {
	struct target_context c;
	int tmp, new_dir, cur;
	char host[DURABLE_HOST_MAX];
	struct mark_set marks;
	bool tmp_changed; /* copies were made in tmp/ */
	bool new_changed, cur_met;
	/* This batch, for settle: borrowed letters, names of what was published. */
	size_t n, room;
	struct published {
		struct letter *letter;
		char name[LETTER_NAME_MAX];
		bool renamed; /* false: it was there already */
	} * published;
};

static void
maildir_close(struct target **t)
{
	if (!*t)
		return;
	fd_close(&(*t)->tmp);
	fd_close(&(*t)->new_dir);
	fd_close(&(*t)->cur);
	marks_free(&(*t)->marks);
	free((*t)->published);
	free(*t);
	*t = NULL;
}

static int
open_directories(struct target *t)
{
	static const char *const names[] = {"tmp", "new", "cur"};
	const char *where = t->c.spec->where;
	AUTO_FD root = -1;
	int fds[3] = {-1, -1, -1};
	int r = 0;

	if (!t->c.is_spool) {
		r = durable_directory(where, &root);
		if (r == 0)
			r = durable_subdirectories(root, names, 3, fds);
	} else {
		/* The spool has just made and synced them. */
		root = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = root < 0 ? -errno : 0;
		for (size_t i = 0; r == 0 && i < 3; i++) {
			fds[i] = openat(
				root, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			r = fds[i] < 0 ? -errno : 0;
		}
	}
	t->tmp = fds[0];
	t->new_dir = fds[1];
	t->cur = fds[2];
	return r;
}

static int
maildir_open(const struct target_context *c, struct target **ret, char *why, size_t why_n)
{
	struct target *t = calloc(1, sizeof(*t));
	int r = -ENOMEM;

	if (t) {
		*t = (struct target){.c = *c, .tmp = -1, .new_dir = -1, .cur = -1};
		durable_hostname(t->host);
		r = open_directories(t);
	}
	if (r < 0) {
		(void)snprintf(why, why_n, "%s: this Maildir cannot be used: %s",
			c->spec->where, strerrordesc_np(-r));
		maildir_close(&t);
		return r;
	}
	*ret = t;
	return 0;
}

/* The letter under its spool name in this Maildir's own tmp/: a link or a copy. */
static int
bring_here(struct target *t, struct letter *l)
{
	t->tmp_changed = true;
	if (linkat(t->c.spool_dir, l->tmp, t->tmp, l->tmp, 0) == 0)
		return 0;
	if (errno != EXDEV && errno != EPERM && errno != EMLINK && errno != EOPNOTSUPP)
		return -errno;
	AUTO_FD fd =
		openat(t->tmp, l->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = durable_copy(l->fd, fd, l->stored);
	if (r == 0)
		r = durable_sync(fd);
	if (r < 0)
		(void)unlinkat(t->tmp, l->tmp, 0); /* what stays, sweep removes */
	return r;
}

static int
maildir_prepare(struct target *t, struct letter *l, const char *trace_id,
	char name[LETTER_NAME_MAX])
{
	int n = snprintf(name, LETTER_NAME_MAX, "%llu.R%.*s.%s,S=%llu,W=%llu",
		(unsigned long long)clock_unix_s(), TARGET_MARK_HEX, trace_id, t->host,
		(unsigned long long)l->stored, (unsigned long long)l->wire);

	if (n < 0 || n >= LETTER_NAME_MAX)
		return -ENAMETOOLONG;
	if (t->c.is_spool)
		return 0;
	int r = bring_here(t, l);
	if (r < 0)
		name[0] = 0;
	return r;
}

static int
maildir_prepared(struct target *t)
{
	if (!t->tmp_changed)
		return 0;
	t->tmp_changed = false;
	return durable_sync(t->tmp);
}

static int
remember(struct target *t, struct letter *l, const char *name, bool renamed)
{
	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		void *p = reallocarray(t->published, room, sizeof(*t->published));

		if (!p)
			return -ENOMEM;
		t->published = p;
		t->room = room;
	}
	struct published *p = &t->published[t->n++];
	p->letter = l;
	p->renamed = renamed;
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	return 0;
}

/* Whether new/ or cur/ holds a letter with this name's mark. */
static int
is_there(struct target *t, const char *name, bool *ret)
{
	uint8_t mark[MARK_OCTETS];
	int r;

	*ret = false;
	if (!marks_of_name(name, mark))
		return -EINVAL;
	r = marks_refresh(&t->marks, t->new_dir, t->cur);
	if (r == 0 && marks_have(&t->marks, mark) &&
		clock_ms() - t->marks.read_ms > RECHECK_MS)
		r = marks_read(&t->marks, t->new_dir, t->cur);
	if (r == 0)
		*ret = marks_have(&t->marks, mark);
	return r;
}

/* It is there; that must be durable before the server's copy may go. */
static void
known(struct target *t, struct letter *l, const char *name)
{
	if (remember(t, l, name, false) < 0) {
		target_failed(
			l, LETTER_TEMPORARY, t->c.spec->where, "not delivered", ENOMEM);
		return;
	}
	(void)unlinkat(t->tmp, l->tmp, 0);
	t->new_changed = t->cur_met = true;
	l->fate = LETTER_KNOWN;
}

static void
maildir_drop(struct target *t, struct letter *l)
{
	if (!t->c.is_spool)
		(void)unlinkat(t->tmp, l->tmp, 0); /* what stays, sweep removes */
}

static void
publish(struct target *t, struct letter *l, const char *name)
{
	bool there;
	uint8_t mark[MARK_OCTETS];
	int r = is_there(t, name, &there);

	if (r == 0 && there) {
		known(t, l, name);
		return;
	}
	if (r == 0)
		r = remember(t, l, name, true);
	if (r == 0) {
		r = durable_publish(t->tmp, l->tmp, t->new_dir, name);
		if (r < 0)
			t->n--;
	}
	/* Taken since the marks were read: the name is the message's. */
	if (r == -EEXIST) {
		known(t, l, name);
		return;
	}
	if (r < 0) {
		maildir_drop(t, l);
		target_failed(l, LETTER_TEMPORARY, t->c.spec->where,
			"cannot be given its name in new/", r);
		return;
	}
	t->new_changed = true;
	l->fate = LETTER_DELIVERED;
	/* Twice the same message in one batch: the second is known. */
	if (marks_of_name(name, mark) && marks_add(&t->marks, mark) < 0)
		t->marks.was_read = false;
}

static void
maildir_hand_over(struct target *t, struct letter *const *letters,
	char (*names)[LETTER_NAME_MAX], char (*trace_ids)[TRACE_ID_MAX], size_t n)
{
	(void)trace_ids;
	t->n = 0;
	for (size_t i = 0; i < n; i++)
		publish(t, letters[i], names[i]);
}

/* new/ could not be synced: nothing of the batch may stay, nor count as known. */
static void
undo(struct target *t, int error)
{
	for (size_t i = 0; i < t->n; i++) {
		struct published *p = &t->published[i];

		if (p->renamed)
			(void)unlinkat(t->new_dir, p->name, 0);
		target_failed(p->letter, LETTER_TEMPORARY, t->c.spec->where,
			"cannot be synced", error);
	}
	(void)durable_sync(t->new_dir); /* as far as it goes; it failed before */
	t->marks.was_read = false;
}

static int
maildir_settle(struct target *t)
{
	int r = t->new_changed ? durable_sync(t->new_dir) : 0;

	if (r == 0 && t->cur_met)
		r = durable_sync(t->cur);
	if (r < 0)
		undo(t, r);
	t->new_changed = t->cur_met = false;
	t->n = 0;
	return r;
}

/*
 * new/ and cur/ come first: where a rename was a link and an unlink, a letter may be in
 * tmp/ too. A file in tmp/ of another length than was journalled was not synced: the
 * storage lost it, and it is fetched again.
 */
static int
maildir_find(struct target *t, const char *tmp, const char *name,
	const uint8_t digest[DIGEST_OCTETS], uint64_t stored, bool *ret_found)
{
	struct stat st;

	(void)digest; /* is in the mark */
	*ret_found = false;
	if (!name[0])
		return 0;
	int r = marks_refresh(&t->marks, t->new_dir, t->cur);
	if (r < 0)
		return r;
	uint8_t mark[MARK_OCTETS];
	if (!marks_of_name(name, mark))
		return 0;
	if (marks_have(&t->marks, mark)) {
		if (tmp[0])
			(void)unlinkat(t->tmp, tmp, 0);
		t->new_changed = t->cur_met = true;
		*ret_found = true;
		return 0;
	}
	if (!tmp[0] || fstatat(t->tmp, tmp, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return !tmp[0] || errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != stored)
		return 0;
	r = durable_publish(t->tmp, tmp, t->new_dir, name);
	if (r < 0 && r != -EEXIST)
		return r;
	t->new_changed = true;
	*ret_found = true;
	return marks_add(&t->marks, mark);
}

static int
sweep_one(void *arg, const char *name)
{
	struct target *t = arg;

	if (strncmp(name, t->c.mark, strlen(t->c.mark)) == 0 &&
		unlinkat(t->tmp, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int
maildir_sweep(struct target *t)
{
	return durable_scan(t->tmp, sweep_one, t);
}

static bool
leads_to(const char *where, const char *name, int fd)
{
	char path[PATH_MAX];
	struct stat there, here;
	int n = snprintf(path, sizeof(path), "%s/%s", where, name);

	return n > 0 && (size_t)n < sizeof(path) && stat(path, &there) == 0 &&
		fstat(fd, &here) == 0 && there.st_dev == here.st_dev &&
		there.st_ino == here.st_ino;
}

static bool
maildir_stands(const struct target *t)
{
	const char *where = t->c.spec->where;

	return leads_to(where, "tmp", t->tmp) && leads_to(where, "new", t->new_dir) &&
		leads_to(where, "cur", t->cur);
}

const struct target_ops target_maildir = {
	.kind = FETCH_MAILDIR,
	.journalled = true,
	.open = maildir_open,
	.close = maildir_close,
	.prepare = maildir_prepare,
	.prepared = maildir_prepared,
	.hand_over = maildir_hand_over,
	.settle = maildir_settle,
	.find = maildir_find,
	.drop = maildir_drop,
	.sweep = maildir_sweep,
	.stands = maildir_stands,
};
