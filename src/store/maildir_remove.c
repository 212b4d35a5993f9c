/* The verdict on a Maildir: unlink what is marked wherever it is, sync once, tell the
 * truth. */
#include "base/check.h"
#include "os/fd.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define REMOVE_ATTEMPTS 4 /* others moved it again each time */

enum removal_state {
	REMOVAL_NONE = 0, /* not marked */
	REMOVAL_MARKED,
	REMOVAL_GONE,
	REMOVAL_STAYS, /* could not be removed */
};

/*
 * A file of several names, held open: as long as it is, no new message can get its inode
 * number, and an entry with that number is it. (Without, mail that came a moment ago was
 * taken for the other name of what had just been removed.)
 */
struct pin {
	int fd;
	uint32_t idx;
	struct maildir_file file;
};

struct removal {
	struct store *s;
	struct maildir_table *t;
	uint8_t *state; /* of each row */
	bool sync[MAILDIR_DIRS_MAX];
	uint32_t missing; /* marked and not where their row says */
	struct pin *pins;
	size_t pins_n, pins_cap;
};

static void
set_gone(struct removal *w, struct maildir_row *r)
{
	if (w->t == w->s->table && (r->flags & ROW_UNSAVED)) {
		CHECK(w->s->unsaved > 0);
		w->s->unsaved--;
	}
	r->flags = (uint8_t)(r->flags & ~ROW_UNSAVED);
	r->flags |= ROW_REMOVED;
}

/* Where this fails the other name stays: better than the loss of another message. */
static void
pin_row(struct removal *w, uint32_t idx, const char *name)
{
	const struct maildir_row *r = &w->t->rows[idx];
	struct pin pin = {.idx = idx};
	AUTO_FD fd = openat(w->s->sub[r->dir], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || maildir_fstat(fd, &pin.file) < 0 || pin.file.ino != r->ino)
		return;
	if (w->pins_n == w->pins_cap) {
		size_t cap = w->pins_cap ? 2 * w->pins_cap : 16;
		struct pin *grown = reallocarray(w->pins, cap, sizeof(*grown));
		if (!grown)
			return;
		w->pins = grown;
		w->pins_cap = cap;
	}
	pin.fd = fd_take(&fd);
	w->pins[w->pins_n++] = pin;
}

static void
unpin_all(struct removal *w)
{
	for (size_t i = 0; i < w->pins_n; i++)
		fd_close(&w->pins[i].fd);
	free(w->pins);
	w->pins = NULL;
	w->pins_n = w->pins_cap = 0;
}

/* 0, -ENOENT where it is elsewhere, or why it cannot be removed. */
static int
unlink_row(struct removal *w, uint32_t idx)
{
	const struct maildir_row *r = &w->t->rows[idx];
	const char *name = maildir_row_name(w->t, r);
	struct maildir_file file;

	if (r->dir == MAILDIR_NOWHERE)
		return -ENOENT;
	int e = maildir_open_sub(w->s, r->dir);
	if (e < 0)
		return e;
	if (r->flags & ROW_SHARED) {
		/* Another message has this name too; only the marked one goes. */
		e = maildir_stat(w->s->sub[r->dir], name, &file);
		if (e < 0 || file.ino != r->ino)
			return e < 0 ? e : -ENOENT;
	}
	if (r->flags & ROW_LINKED)
		pin_row(w, idx, name);
	if (unlinkat(w->s->sub[r->dir], name, 0) < 0)
		return -errno;
	w->sync[r->dir] = true;
	return 0;
}

static void
unlink_marked(struct removal *w)
{
	w->missing = 0;
	for (uint32_t i = 0; i < w->t->pub.count; i++) {
		if (w->state[i] != REMOVAL_MARKED)
			continue;
		int e = unlink_row(w, i);
		if (e == 0) {
			w->state[i] = REMOVAL_GONE;
			set_gone(w, &w->t->rows[i]);
		} else if (e == -ENOENT) {
			w->missing++;
		} else {
			w->state[i] = REMOVAL_STAYS;
		}
	}
}

/* What is in neither directory was removed by others: the client gets what it wanted. */
static void
settle_missing(struct removal *w)
{
	for (uint32_t i = 0; i < w->t->pub.count; i++) {
		if (w->state[i] != REMOVAL_MARKED || w->t->rows[i].dir != MAILDIR_NOWHERE)
			continue;
		w->state[i] = REMOVAL_GONE;
		set_gone(w, &w->t->rows[i]);
		/* The others may not have synced; what we promise has to last. */
		for (unsigned d = 0; d < w->s->dirs; d++)
			w->sync[d] = true;
		w->missing--;
	}
}

/* The row among those removed that this file was; -1: none. */
static int64_t
linked_row(const struct removal *w, const struct maildir_file *file)
{
	for (size_t i = 0; i < w->pins_n; i++) {
		const struct pin *p = &w->pins[i];
		if (w->state[p->idx] == REMOVAL_GONE && p->file.ino == file->ino &&
			p->file.dev == file->dev)
			return p->idx;
	}
	return -1;
}

/* Its directory entry alone says so at first: that costs no call. */
static bool
may_be_pinned(const struct removal *w, const struct maildir_entry *e)
{
	for (size_t i = 0; i < w->pins_n; i++)
		if (w->pins[i].file.ino == e->ino)
			return true;
	return false;
}

static void
unlink_link(
	struct removal *w, const struct maildir_scan *scan, const struct maildir_entry *e)
{
	const char *name = scan->names.p + e->name_at;
	int dir = w->s->sub[e->dir];
	struct maildir_file file;

	if (!may_be_pinned(w, e) || maildir_stat(dir, name, &file) < 0)
		return;
	int64_t idx = linked_row(w, &file);
	if (idx < 0)
		return;
	if (unlinkat(dir, name, 0) == 0)
		w->sync[e->dir] = true;
	else if (errno != ENOENT)
		w->state[idx] = REMOVAL_STAYS;
}

/* A message with two names would be there again under the other. */
static int
unlink_links(struct removal *w)
{
	struct maildir_scan scan;

	if (w->pins_n == 0)
		return 0;
	int r = maildir_scan_read(w->s, NULL, false, &scan);
	if (r < 0)
		return r;
	for (size_t i = 0; i < scan.n; i++)
		unlink_link(w, &scan, &scan.entries[i]);
	maildir_scan_done(&scan);
	return 0;
}

static int
sync_dirs(struct removal *w)
{
	for (unsigned d = 0; d < w->s->dirs; d++) {
		if (!w->sync[d])
			continue;
		int e = maildir_open_sub(w->s, d);
		if (e == -ENOENT)
			continue;
		if (e < 0)
			return e;
		/* EINVAL: a file system that cannot sync directories has no more to give.
		 */
		if (fsync(w->s->sub[d]) < 0 && errno != EINVAL)
			return -errno;
	}
	return 0;
}

static uint32_t
mark_rows(struct removal *w, struct view marks)
{
	uint32_t marked = 0;

	for (uint32_t i = 0; i < w->t->pub.count && i / 8 < marks.n; i++) {
		if (!(marks.p[i / 8] >> (i % 8) & 1))
			continue;
		w->state[i] = REMOVAL_MARKED;
		marked++;
	}
	return marked;
}

static uint32_t
count_gone(const struct removal *w)
{
	uint32_t gone = 0;

	for (uint32_t i = 0; i < w->t->pub.count; i++)
		gone += w->state[i] == REMOVAL_GONE;
	return gone;
}

int
maildir_remove(struct store *s, const struct store_table *pub, struct view marks,
	struct store_removed *ret)
{
	struct removal w = {.s = s, .t = (struct maildir_table *)(uintptr_t)pub};
	AUTO_FREE uint8_t *state = calloc((size_t)pub->count + 1, 1);

	if (!state)
		return -ENOMEM;
	w.state = state;
	uint32_t marked = mark_rows(&w, marks);
	unlink_marked(&w);
	for (int i = 0; i < REMOVE_ATTEMPTS && w.missing > 0; i++) {
		if (maildir_find_all(s, w.t) < 0)
			break;
		settle_missing(&w);
		if (w.missing > 0)
			unlink_marked(&w);
	}
	int links = unlink_links(&w);
	unpin_all(&w);
	int r = sync_dirs(&w);
	if (r == 0)
		r = links;
	if (r < 0)
		return r;
	/* Where it cannot be written now, the next refresh does: the index knows them. */
	if (s->top >= 0 && maildir_log_used_up(s, w.t, NULL) == 0 && s->log)
		(void)maildir_log_sync(s);
	ret->removed = count_gone(&w);
	ret->remain = marked - ret->removed;
	return 0;
}
