/* The Maildir store: its row of operations, and when its table is still true. */
#include "store/maildir.h"
#include "base/check.h"
#include "ipc/permit.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_RETRY_MS	60000 /* after a failed write (full disk, read-only) */
#define BUILD_ATTEMPTS	8
#define INDEX_NAMES_MIN 512 /* below, reading the names again is cheaper than a write */

static int
maildir_open(int root, const char *path, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	while (*path == '/')
		path++;
	s->path = strdup(*path ? path : ".");
	if (!s->path) {
		free(s);
		return -ENOMEM;
	}
	s->root = root;
	s->top = -1;
	s->sub[MAILDIR_NEW] = s->sub[MAILDIR_CUR] = -1;
	s->lock = (struct session_lock){-1, -1, 0};
	*ret = s;
	return 0;
}

static void
close_top(struct store *s)
{
	maildir_close_subs(s);
	fd_close(&s->top);
}

/* Anew each time: the maildrop may have been removed and restored (threats: index check).
 */
static int
open_top(struct store *s)
{
	close_top(s);
	int fd = fd_open_beneath(s->root, s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	s->top = fd;
	return 0;
}

static int
maildir_lock(struct store *s, const struct lock_holder *me, struct lock_holder *ret_other)
{
	CHECK(!s->locked);
	int r = open_top(s);
	if (r == 0)
		r = session_lock_take(&s->lock, s->top, me, ret_other);
	if (r < 0) {
		close_top(s);
		return r;
	}
	s->locked = true;
	return 0;
}

static bool
maildir_lock_is_held(struct store *s)
{
	return s->locked && session_lock_is_held(&s->lock);
}

static void
save_index(struct store *s)
{
	struct maildir_table *t = s->table;
	uint64_t now = clock_ms();

	if (now < s->index_retry_ms || s->top < 0)
		return;
	if (maildir_index_save(s->top, t) < 0) {
		s->index_retry_ms = now + INDEX_RETRY_MS;
		return;
	}
	for (uint32_t i = 0; i < t->pub.count; i++)
		t->rows[i].flags = (uint8_t)(t->rows[i].flags & ~ROW_UNSAVED);
	s->unsaved = 0;
	s->index_old = false;
}

static void
maildir_unlock(struct store *s)
{
	CHECK(s->locked);
	/* Sizes cost reading; names and times can wait for flush. */
	if (s->table && s->unsaved > 0 && maildir_lock_is_held(s))
		save_index(s);
	session_lock_release(&s->lock);
	s->locked = false;
	close_top(s);
}

static void
maildir_flush(struct store *s)
{
	struct maildir_dir_id now[MAILDIR_DIRS];

	if (s->locked || !s->table)
		return;
	if (s->unsaved == 0 && !(s->index_old && s->table->pub.count >= INDEX_NAMES_MIN))
		return;
	if (open_top(s) < 0)
		return;
	/* Another maildrop may have taken the place of the one that the table is of. */
	if (maildir_ids_now(s, now) == 0 &&
		now[MAILDIR_CUR].ino == s->table->ids[MAILDIR_CUR].ino &&
		now[MAILDIR_NEW].ino == s->table->ids[MAILDIR_NEW].ino)
		save_index(s);
	close_top(s);
}

static void
maildir_close(struct store **sp)
{
	struct store *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	if (s->locked)
		maildir_unlock(s);
	close_top(s);
	maildir_table_unref(&s->table);
	free(s->path);
	free(s);
}

static void
count_unsaved(struct store *s)
{
	s->unsaved = 0;
	for (uint32_t i = 0; i < s->table->pub.count; i++)
		if (s->table->rows[i].flags & ROW_UNSAVED)
			s->unsaved++;
}

static void
replace_table(struct store *s, struct maildir_table *t)
{
	if (s->table && maildir_table_same(s->table, t))
		t->pub.generation = s->table->pub.generation;
	else
		t->pub.generation = ++s->generation;
	maildir_table_unref(&s->table);
	s->table = t;
	s->healed = false;
	s->index_old = true;
	count_unsaved(s);
}

static void
read_index(struct store *s)
{
	if (s->index_read || s->top < 0)
		return;
	s->index_read = true;
	struct maildir_table *t = maildir_index_load(s->top);
	if (!t)
		return;
	if (s->table) {
		/* The maildrop was missing or empty until now. */
		maildir_table_unref(&s->table);
	}
	t->pub.generation = ++s->generation;
	s->table = t;
	s->unsaved = 0;
}

/*
 * A message that somebody moves between the reading of names and of its size must not be
 * missing: its client would take it for deleted.
 */
static int
read_again(struct store *s)
{
	struct maildir_table *t = NULL;

	for (int i = 0; i < BUILD_ATTEMPTS && (!t || t->moved > 0); i++) {
		struct maildir_table *before = t;
		struct maildir_scan scan;
		int r = maildir_scan_read(s, &scan);
		t = NULL;
		if (r == 0) {
			r = maildir_table_build(
				s, &scan, s->table ? s->table : before, &t);
			maildir_scan_done(&scan);
		}
		maildir_table_unref(&before);
		if (r < 0)
			return r;
	}
	replace_table(s, t);
	return 0;
}

static int
maildir_refresh(struct store *s, const struct store_table **ret)
{
	struct maildir_dir_id now[MAILDIR_DIRS];
	struct maildir_table *t = NULL;
	int r = s->top < 0 && !s->locked ? open_top(s) : 0;

	if (r == 0)
		r = maildir_ids_now(s, now);
	if (r < 0)
		return r;
	read_index(s);
	bool current =
		s->table && !s->table->racy && maildir_ids_equal(s->table->ids, now);
	if (!current)
		r = read_again(s);
	else if (s->healed)
		r = maildir_table_clone(s->table, &t);
	if (r < 0)
		return r;
	if (t)
		replace_table(s, t);
	*ret = &s->table->pub;
	return 0;
}

static const struct store_table *
maildir_retain(const struct store_table *pub)
{
	((struct maildir_table *)(uintptr_t)pub)->refs++;
	return pub;
}

static void
maildir_release(const struct store_table **pub)
{
	struct maildir_table *t = (struct maildir_table *)(uintptr_t)*pub;

	*pub = NULL;
	maildir_table_unref(&t);
}

static size_t
maildir_memory(const struct store *s)
{
	const struct maildir_table *t = s->table;

	if (!t)
		return sizeof(*s);
	size_t row = sizeof(*t->rows) + sizeof(*t->messages);
	return sizeof(*s) + sizeof(*t) + t->pub.count * row + t->names.cap + t->text.cap +
		((size_t)t->by_key_mask + 1) * sizeof(*t->by_key);
}

const struct store_ops store_maildir = {
	.name = "maildir",
	.open = maildir_open,
	.close = maildir_close,
	.lock = maildir_lock,
	.lock_is_held = maildir_lock_is_held,
	.unlock = maildir_unlock,
	.refresh = maildir_refresh,
	.retain = maildir_retain,
	.release = maildir_release,
	.slice = maildir_slice,
	.seen = maildir_seen,
	.remove = maildir_remove,
	.flush = maildir_flush,
	.memory = maildir_memory,
};

const struct store_ops *
store_ops_of(uint8_t kind)
{
	return kind == STORE_MAILDIR ? &store_maildir : NULL;
}
