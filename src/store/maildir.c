/* The Maildir store: its row of operations, and when its table is still true. */
#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/maildir_build.h"
#include "store/maildir_deposit.h"
#include "store/maildir_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_RETRY_MS	60000 /* after a failed write (full disk, read-only) */
#define BUILD_ATTEMPTS	8
#define LOG_ATTEMPTS	3
#define INDEX_NAMES_MIN 512 /* below, reading the names again is cheaper than a write */

static int
maildir_open(
	int root, const char *path, const struct store_options *o, struct store **ret)
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
	s->o = o;
	s->top = -1;
	s->lock = (struct session_lock){.file = -1, .dir = -1, .whole = -1};
	int r = maildir_dirs_init(s, o->folders);
	if (r < 0) {
		maildir_dirs_done(s);
		free(s->path);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void
close_top(struct store *s)
{
	maildir_close_subs(s);
	fd_close(&s->top);
	/* Giving back cannot fail. */
	if (s->log)
		(void)identity_lend_dir(s->log, -1);
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

	if (now < s->index_retry_ms || s->top < 0 || s->index_newer)
		return;
	if (maildir_index_save(s->top, s->o->folders, t) < 0) {
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
	struct maildir_dir_id now[MAILDIR_DIRS_MAX];

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
	identity_close(&s->log);
	maildir_dirs_done(s);
	free(s->notice);
	free(s->notice_told);
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
	if (s->table && (t->as_before || maildir_table_same(s->table, t)))
		t->pub.generation = s->table->pub.generation;
	else
		t->pub.generation = ++s->generation;
	maildir_table_unref(&s->table);
	s->table = t;
	s->healed = s->recounted = false;
	s->index_old = true;
	count_unsaved(s);
}

static void
read_index(struct store *s)
{
	struct maildir_table *t = NULL;

	if (s->index_read || s->top < 0)
		return;
	s->index_read = true;
	int r = maildir_index_load(s->top, s->o->folders, &t);
	s->index_newer = r == -EPROTONOSUPPORT;
	if (r < 0)
		return;
	/* The maildrop was missing or empty until now. */
	maildir_table_unref(&s->table);
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
		struct maildir_table *known = s->table ? s->table : before;
		/* With another log every UIDL is looked at. */
		bool keeps = known && !maildir_log_is_other(s, known);
		int r = maildir_scan_read(s, known, keeps, &scan);
		t = NULL;
		if (r == 0) {
			r = maildir_table_build(s, &scan, known, &t);
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
log_now(struct store *s)
{
	s->log_now = (struct identity_stamp){.ino = 0};
	return s->top < 0 ? 0 : identity_stamp_now(s->top, IDENTITY_NAME, &s->log_now);
}

/* -ESTALE: the log was replaced meanwhile. */
static int
refresh(struct store *s)
{
	struct maildir_dir_id now[MAILDIR_DIRS_MAX];
	struct maildir_table *t = NULL;
	int r = maildir_ids_now(s, now);

	if (r == 0)
		r = log_now(s);
	if (r < 0)
		return r;
	read_index(s);
	bool current = s->table && s->table->racy == 0 &&
		maildir_ids_differ(s->table->ids, now, s->dirs) == 0 &&
		!maildir_log_is_other(s, s->table);
	if (current) {
		r = s->healed ? maildir_table_clone(s->table, &t) : 0;
		if (t) {
			t->walks = s->table->walks;
			s->table->walks = NULL;
			replace_table(s, t);
		}
		return r;
	}
	if (s->log_now.ino != 0 || s->log)
		r = s->top >= 0 ? maildir_log_open(s) : 0;
	return r < 0 ? r : read_again(s);
}

static int
maildir_refresh(struct store *s, const struct store_table **ret)
{
	int r = s->top < 0 && !s->locked ? open_top(s) : 0;

	for (int i = 0; i < LOG_ATTEMPTS && (i == 0 || r == -ESTALE); i++) {
		if (r == -ESTALE)
			identity_close(&s->log);
		r = refresh(s);
	}
	if (r < 0)
		return r == -ESTALE ? -EAGAIN : r;
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
		((size_t)t->by_key_mask + 1) * sizeof(*t->by_key) +
		maildir_walks_memory(t) +
		(t->hashes ? t->pub.count * sizeof(*t->hashes) : 0) +
		(s->log ? identity_memory(s->log) : 0);
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
	.deposit = maildir_deposit,
	.notice = maildir_notice_next,
	.flush = maildir_flush,
	.memory = maildir_memory,
};
