/* Where a message is now, although others move, mark and remove at any time. */
#include "base/check.h"
#include "os/fd.h"
#include "stat/stat.h"
#include "store/maildir_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIND_ATTEMPTS 4 /* it moved again each time */

static struct maildir_table *
table_of(const struct store_table *t)
{
	return (struct maildir_table *)(uintptr_t)t;
}

/* The row that this entry is, among those with its key. NULL: none, or not to be told. */
static struct maildir_row *
row_of_entry(struct store *s, struct maildir_table *t, const struct maildir_scan *scan,
	const struct maildir_entry *e, bool exact)
{
	const char *text = scan->names.p + e->name_at;
	struct maildir_name name;
	struct maildir_file file;
	int64_t slot = -1;
	uint32_t idx;

	if (!maildir_name_parse((struct view){(const uint8_t *)text, e->name_n}, &name))
		return NULL;
	struct view key = {name.key, name.key_n};
	while (maildir_table_next(t, key, &slot, &idx)) {
		struct maildir_row *r = &t->rows[idx];
		if (exact && r->ino == e->ino)
			return r;
		if (exact || r->dir != MAILDIR_NOWHERE)
			continue;
		if (!(r->flags & ROW_SHARED))
			return r;
		/* Some file systems give inodes in directories that are not the files'.
		 */
		if (maildir_stat(s->sub[e->dir], text, &file) == 0 && file.ino == r->ino)
			return r;
	}
	return NULL;
}

static void
place_rows(struct store *s, struct maildir_table *t, const struct maildir_scan *scan,
	bool exact)
{
	for (size_t i = 0; i < scan->n; i++) {
		const struct maildir_entry *e = &scan->entries[i];
		struct maildir_row *r = row_of_entry(s, t, scan, e, exact);
		if (!r)
			continue;
		r->dir = e->dir;
		r->name_at = e->name_at;
		r->name_n = e->name_n;
	}
}

int
maildir_find_all(struct store *s, struct maildir_table *t)
{
	struct maildir_scan scan;
	uint32_t nothing;
	int r = maildir_table_hash(t);

	if (r == 0)
		r = maildir_scan_read(s, NULL, false, &scan);
	if (r < 0)
		return r;
	r = maildir_bytes_add(&scan.names, NULL, 0, &nothing);
	if (r < 0) {
		maildir_scan_done(&scan);
		return r;
	}
	for (uint32_t i = 0; i < t->pub.count; i++) {
		t->rows[i].dir = MAILDIR_NOWHERE;
		t->rows[i].name_at = nothing;
		t->rows[i].name_n = 0;
	}
	place_rows(s, t, &scan, true);
	place_rows(s, t, &scan, false);
	free(t->names.p);
	t->names = scan.names;
	scan.names = (struct maildir_bytes){.p = NULL};
	memcpy(t->found, scan.ids, s->dirs * sizeof(*t->found));
	t->found_racy = scan.racy;
	maildir_scan_done(&scan);
	return 0;
}

/* Whether looking again could find anything new. */
static bool
places_are_current(const struct store *s, const struct maildir_table *t)
{
	struct maildir_dir_id now[MAILDIR_DIRS_MAX];

	if (t->found_racy || maildir_ids_now(s, now) < 0)
		return false;
	return maildir_ids_differ(now, t->found, s->dirs) == 0;
}

/* -ENOENT: not where the row says. */
static int
open_at_place(struct store *s, const struct maildir_table *t, const struct maildir_row *r,
	struct maildir_file *ret)
{
	int e = maildir_open_sub(s, r->dir);

	if (e < 0)
		return e;
	AUTO_FD fd = maildir_open_file(s->sub[r->dir], maildir_row_name(t, r), ret);
	if (fd < 0)
		return fd;
	if ((r->flags & ROW_SHARED) && ret->ino != r->ino)
		return -ENOENT;
	return fd_take(&fd);
}

static int
open_row(struct store *s, struct maildir_table *t, struct maildir_row *r,
	struct maildir_file *ret)
{
	if (r->flags & ROW_REMOVED)
		return -ENOENT;
	for (int i = 0; i < FIND_ATTEMPTS; i++) {
		int fd =
			r->dir != MAILDIR_NOWHERE ? open_at_place(s, t, r, ret) : -ENOENT;
		if (fd != -ENOENT)
			return fd;
		if (r->dir == MAILDIR_NOWHERE && places_are_current(s, t))
			return -ENOENT;
		int e = maildir_find_all(s, t);
		if (e < 0)
			return e;
		if (r->dir == MAILDIR_NOWHERE)
			return -ENOENT;
	}
	/* It is there, but never where we look: not gone. */
	return -EAGAIN;
}

static int
count_row(struct store *s, const struct maildir_table *t, uint32_t idx, int fd,
	const struct maildir_file *file)
{
	AUTO_FREE uint8_t *block = malloc(MAILDIR_BLOCK);
	struct maildir_row *r = &t->rows[idx];
	bool unsaved = r->flags & ROW_UNSAVED;

	if (!block)
		return -ENOMEM;
	int e = maildir_count(fd, file->size, block, r);
	if (e < 0)
		return e;
	r->ino = file->ino;
	r->mtime_ns = file->mtime_ns;
	s->recounted = true;
	if (r->wire != t->messages[idx].wire) {
		stat_add(STAT_INDEX_HEALED, 1);
		s->healed = true;
	}
	if (t == s->table && !unsaved)
		s->unsaved++;
	return 0;
}

int
maildir_slice(struct store *s, const struct store_table *pub, uint32_t idx,
	struct store_slice *ret)
{
	struct maildir_table *t = table_of(pub);
	struct maildir_file file;

	CHECK(idx < pub->count);
	struct maildir_row *r = &t->rows[idx];
	AUTO_FD fd = open_row(s, t, r, &file);
	if (fd < 0)
		return fd;
	if (!(r->flags & ROW_COUNTED) || file.ino != r->ino || file.size != r->stored ||
		!maildir_time_holds(r, file.mtime_ns)) {
		int e = count_row(s, t, idx, fd, &file);
		if (e < 0)
			return e;
	}
	*ret = (struct store_slice){.fd = fd_take(&fd),
		.length = r->stored,
		.wire = r->wire,
		.device = file.dev,
		.as_is = r->flags & ROW_AS_IS};
	return 0;
}

/* RENAME_NOREPLACE, or where the file system lacks it, a link and an unlink. */
static int
rename_noreplace(int from, const char *old, int to, const char *name)
{
	if (renameat2(from, old, to, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(from, old, to, name, 0) < 0)
		return -errno;
	return unlinkat(from, old, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int
seen_at_place(struct store *s, struct maildir_table *t, struct maildir_row *r)
{
	char name[MAILDIR_NAME_MAX + 1];
	const char *old = maildir_row_name(t, r);
	size_t n = maildir_name_with_seen(
		(struct view){(const uint8_t *)old, r->name_n}, name);
	int e = n > 0 ? 0 : -ENAMETOOLONG;
	uint32_t at;

	/* Seen messages are in cur of the folder where they are. */
	uint8_t cur = r->dir | 1;
	if (e == 0)
		e = maildir_open_sub(s, r->dir);
	if (e == 0)
		e = maildir_open_sub(s, cur);
	if (e == 0)
		e = rename_noreplace(s->sub[r->dir], old, s->sub[cur], name);
	if (e == 0)
		e = maildir_table_add_name(t, name, n, &at);
	if (e < 0)
		return e;
	r->name_at = at;
	r->name_n = (uint8_t)n;
	r->dir = cur;
	r->flags |= ROW_SEEN;
	return 0;
}

int
maildir_seen(struct store *s, const struct store_table *pub, uint32_t idx)
{
	struct maildir_table *t = table_of(pub);

	CHECK(idx < pub->count);
	struct maildir_row *r = &t->rows[idx];
	for (int i = 0; i < FIND_ATTEMPTS; i++) {
		if ((r->flags & ROW_REMOVED) || r->dir == MAILDIR_NOWHERE)
			return 0;
		if ((r->flags & ROW_SEEN) && maildir_is_cur(r->dir))
			return 0;
		int e = seen_at_place(s, t, r);
		if (e != -ENOENT)
			return e == -EEXIST ? 0 : e;
		e = maildir_find_all(s, t);
		if (e < 0)
			return e;
	}
	return 0;
}
