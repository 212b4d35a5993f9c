/* The mbox store: its row of operations, and a session's lock. */
#include "store/mbox.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_RETRY_MS 60000 /* after a failed write (full disk, read-only) */
#define SAVE_FROM                                                                        \
	(UINT64_C(4) << 20) /* octets scanned that are worth a write at once             \
			     */

/* ---- names ---------------------------------------------------------------------- */

static int
mbox_open(int root, const char *path, const struct store_options *o, struct store **ret)
{
	struct mbox *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	while (*path == '/')
		path++;
	const char *slash = strrchr(path, '/');
	m->parent = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	m->name = strdup(slash ? slash + 1 : path);
	m->root = root;
	m->o = o;
	m->dir = m->self = -1;
	m->lock = (struct session_lock){.file = -1, .dir = -1, .whole = -1};
	if (!m->parent || !m->name) {
		free(m->parent);
		free(m->name);
		free(m);
		return -ENOMEM;
	}
	*ret = (struct store *)(void *)m;
	return 0;
}

bool
mbox_beside(const struct mbox *m, const char *what, char ret[NAME_MAX + 1])
{
	int n = snprintf(ret, NAME_MAX + 1, ".%s.restante-%s", m->name, what);

	return n > 0 && n <= NAME_MAX;
}

int
mbox_open_dir(struct mbox *m)
{
	if (m->dir >= 0)
		return 0;
	/* "/srv/mail/" names no file. */
	if (m->name[0] == '\0' || strcmp(m->name, ".") == 0 || strcmp(m->name, "..") == 0)
		return -EINVAL;
	m->dir = fd_open_beneath(
		m->root, m->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (m->dir >= 0)
		return 0;
	int r = m->dir;
	m->dir = -1;
	return r;
}

/* ---- the session's lock ----------------------------------------------------------- */

static void
leave(struct mbox *m)
{
	session_lock_release(&m->lock);
	if (m->log)
		(void)!identity_lend_dir(m->log, -1);
	m->log_lent = false;
	fd_close(&m->self);
	fd_close(&m->dir);
	m->locked = false;
}

static int
open_self(struct mbox *m)
{
	struct mbox_id id;
	int r = mbox_id_of(m->dir, m->name, &id);

	if (r < 0 || id.ino == 0)
		return r;
	m->self = openat(m->dir, m->name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return m->self < 0 && errno != ENOENT ? -errno : 0;
}

/* UIDLs may have been imported since: they go before what we know. */
static int
look_at_log(struct mbox *m)
{
	char name[NAME_MAX + 1];

	if (!m->log)
		return 0;
	if (mbox_beside(m, "identity", name) && !identity_is_stale(m->log, m->dir, name))
		return mbox_open_log(m);
	identity_close(&m->log);
	m->full = true;
	return 0;
}

static int
mbox_lock(struct store *s, const struct lock_holder *me, struct lock_holder *ret_other)
{
	struct mbox *m = mbox_of(s);

	CHECK(!m->locked);
	fd_close(&m->dir);
	int r = mbox_open_dir(m);
	if (r == -ENOENT) {
		m->locked = true;
		return 0;
	}
	if (r == 0)
		r = open_self(m);
	if (r == 0 && !mbox_beside(m, "lock", m->lock_name))
		r = -ENAMETOOLONG;
	if (r == 0)
		r = session_lock_take_beside(
			&m->lock, m->dir, m->lock_name, m->self, me, ret_other);
	if (r == 0)
		r = look_at_log(m);
	if (r < 0) {
		leave(m);
		return r;
	}
	if (m->lock.file < 0)
		mbox_notice(m, MBOX_NOTICE_NO_SESSION_LOCK);
	m->locked = true;
	return 0;
}

static bool
mbox_lock_is_held(struct store *s)
{
	struct mbox *m = mbox_of(s);
	struct stat st, now;

	if (!m->locked || !session_lock_is_held(&m->lock))
		return false;
	if (m->lock.whole < 0)
		return true;
	/* Who replaces the mbox leaves us with a lock on the old one. */
	return fstat(m->self, &st) == 0 &&
		fstatat(m->dir, m->name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_ino == now.st_ino && st.st_dev == now.st_dev;
}

static void
save_index(struct mbox *m)
{
	uint64_t now = clock_ms();

	if (!m->table || !m->index_old || m->dir < 0 || now < m->index_retry_ms)
		return;
	/* A few messages are read again in no time. */
	if (m->table->id.ino == 0)
		return;
	if (mbox_index_save(m, m->table) < 0) {
		m->index_retry_ms = now + INDEX_RETRY_MS;
		return;
	}
	m->index_old = false;
	m->scanned = 0;
}

static void
mbox_unlock(struct store *s)
{
	struct mbox *m = mbox_of(s);

	CHECK(m->locked);
	if (m->scanned >= SAVE_FROM)
		save_index(m);
	leave(m);
}

static void
mbox_flush(struct store *s)
{
	struct mbox *m = mbox_of(s);

	if (m->locked || !m->index_old || mbox_open_dir(m) < 0)
		return;
	save_index(m);
	fd_close(&m->dir);
}

static void
mbox_close(struct store **sp)
{
	struct mbox *m = mbox_of(*sp);

	if (!m)
		return;
	if (m->locked)
		mbox_unlock(*sp);
	*sp = NULL;
	fd_close(&m->dir);
	mbox_table_unref(&m->table);
	identity_close(&m->log);
	free(m->parent);
	free(m->name);
	free(m);
}

/* ---- the table ---------------------------------------------------------------- */

static int
mbox_refresh(struct store *s, const struct store_table **ret)
{
	struct mbox *m = mbox_of(s);
	struct mbox_table *t = NULL;
	int r = mbox_open_dir(m);

	if (r == 0 || r == -ENOENT)
		r = mbox_update(m);
	if (r == 0 && m->healed) {
		r = mbox_table_copy(m->table, m->table->pub.count, &t);
		if (r == 0)
			r = mbox_table_finish(t);
		if (r == 0) {
			t->id = m->table->id;
			t->racy = m->table->racy;
			t->log_rows = m->table->log_rows;
			mbox_replace_table(m, t);
		} else {
			mbox_table_unref(&t);
		}
	}
	if (r < 0)
		return r;
	*ret = &m->table->pub;
	return 0;
}

static const struct store_table *
mbox_retain(const struct store_table *pub)
{
	mbox_table_of(pub)->refs++;
	return pub;
}

static void
mbox_release(const struct store_table **pub)
{
	struct mbox_table *t = mbox_table_of(*pub);

	*pub = NULL;
	mbox_table_unref(&t);
}

static size_t
mbox_memory(const struct store *s)
{
	const struct mbox *m = (const struct mbox *)(const void *)s;
	const struct mbox_table *t = m->table;
	size_t own = sizeof(*m) + (m->log ? identity_memory(m->log) : 0);

	if (!t)
		return own;
	return own + sizeof(*t) + t->cap * sizeof(*t->rows) +
		t->pub.count * sizeof(*t->messages) + t->text.cap +
		((size_t)t->by_uidl_mask + 1) * sizeof(*t->by_uidl);
}

const struct store_ops store_mbox = {
	.name = "mbox",
	.open = mbox_open,
	.close = mbox_close,
	.lock = mbox_lock,
	.lock_is_held = mbox_lock_is_held,
	.unlock = mbox_unlock,
	.refresh = mbox_refresh,
	.retain = mbox_retain,
	.release = mbox_release,
	.slice = mbox_slice,
	.slice_is_current = mbox_slice_is_current,
	.seen = mbox_seen,
	.remove = mbox_remove,
	.deposit = mbox_deposit,
	.notice = mbox_notice_next,
	.flush = mbox_flush,
	.memory = mbox_memory,
};
