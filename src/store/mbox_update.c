/* When the table of an mbox is still true, and what is read where it is not. */
#include "os/fd.h"
#include "store/mbox.h"
#include "store/mbox_append.h"
#include "store/mbox_intent.h"

#include <errno.h>
#include <string.h>

/* ---- the mailbox lock ---------------------------------------------------------------
 */

static int
lock_mailbox(struct mbox *m, enum mailbox_lock_kind kind, struct mailbox_lock *ret)
{
	int r = mailbox_lock_take(ret, m->dir, m->name, kind, MAILBOX_LOCK_WAIT_MS);

	if (r == 0 && ret->dot_off)
		mbox_notice(m, MBOX_NOTICE_NO_DOT);
	return r;
}

int
mbox_lock_for_write(struct mbox *m, enum mailbox_lock_kind kind, struct mailbox_lock *ret)
{
	int r = lock_mailbox(m, kind, ret);

	if (r < 0)
		return r;
	r = mbox_intent_replay(m, ret->fd);
	if (r == 0)
		r = mbox_append_settle(m, ret->fd);
	if (r < 0)
		mailbox_lock_release(ret);
	return r;
}

/* ---- the table ----------------------------------------------------------------------
 */

void
mbox_replace_table(struct mbox *m, struct mbox_table *t)
{
	if (m->table && mbox_table_same(m->table, t))
		t->pub.generation = m->table->pub.generation;
	else
		t->pub.generation = ++m->generation;
	mbox_table_unref(&m->table);
	m->table = t;
	m->healed = m->full = false;
	m->index_old = true;
}

/* Once: later the table in memory knows more. */
static int
read_index(struct mbox *m)
{
	if (m->index_read || m->dir < 0)
		return 0;
	int r = mbox_open_log(m);
	if (r < 0)
		return r;
	m->index_read = true;
	struct mbox_table *t = mbox_index_load(m);
	if (!t)
		return 0;
	mbox_table_unref(&m->table);
	t->pub.generation = ++m->generation;
	m->table = t;
	if (m->log && identity_count(m->log) != t->log_rows)
		m->full = true;
	return 0;
}

/* Gives UIDLs and makes it the table; takes t. */
static int
adopt(struct mbox *m, struct mbox_table *t)
{
	int r = mbox_open_log(m);

	if (r == 0)
		r = mbox_uidls_assign(m, t, m->table);
	if (r == 0)
		r = mbox_table_finish(t);
	if (r < 0) {
		mbox_table_unref(&t);
		return r;
	}
	mbox_replace_table(m, t);
	return 0;
}

static int
adopt_missing(struct mbox *m)
{
	struct mbox_table *t = NULL;

	if (m->table && m->table->pub.count == 0) {
		m->table->id = (struct mbox_id){.ino = 0};
		m->table->racy = false;
		return 0;
	}
	int r = mbox_table_new(0, &t);
	if (r < 0)
		return r;
	t->how = mbox_how(m->o);
	return adopt(m, t);
}

/*
 * Only what was appended: the last message that is known must lie where it lay, behind a
 * line end. -ESTALE: it does not.
 */
static int
read_grown(struct mbox *m, int fd, const struct mbox_id *now)
{
	const struct mbox_table *k = m->table;
	struct mbox_table *t = NULL;
	uint8_t before = '\n';

	if (!k || k->pub.count == 0 || m->full || k->how != mbox_how(m->o))
		return -ESTALE;
	if (k->id.dev != now->dev || k->id.ino != now->ino || now->size < k->id.size)
		return -ESTALE;
	uint32_t last = k->pub.count - 1;
	const struct mbox_row *row = &k->rows[last];
	if (row->start > 0 && fd_pread_all(fd, &before, 1, row->start - 1) < 0)
		return -ESTALE;
	int r = mbox_table_copy(k, last, &t);
	if (r < 0)
		return r;
	r = before == '\n' ? mbox_read(fd, row->start, t) : -EINVAL;
	if (r == 0 &&
		(t->pub.count <= last || t->rows[last].start != row->start ||
			memcmp(t->rows[last].digest, row->digest, MBOX_DIGEST) != 0))
		r = -EINVAL;
	if (r < 0) {
		mbox_table_unref(&t);
		return r == -EINVAL ? -ESTALE : r;
	}
	m->scanned += now->size - row->start;
	return adopt(m, t);
}

static int
read_all(struct mbox *m, int fd, const struct mbox_id *now)
{
	struct mbox_table *t = NULL;
	int r = mbox_table_new(m->table ? m->table->pub.count : 0, &t);

	if (r < 0)
		return r;
	t->how = mbox_how(m->o);
	r = mbox_read(fd, 0, t);
	if (r == -EINVAL)
		mbox_notice(m, MBOX_NOTICE_NO_FROM);
	if (r < 0) {
		mbox_table_unref(&t);
		return r;
	}
	m->scanned += now->size;
	return adopt(m, t);
}

static bool
is_current(const struct mbox *m, const struct mbox_id *now)
{
	const struct mbox_table *t = m->table;

	return t && !t->racy && !m->full && t->how == mbox_how(m->o) &&
		mbox_id_equal(&t->id, now);
}

int
mbox_update_locked(struct mbox *m, int fd)
{
	struct mbox_id now;
	int r = mbox_id_of_fd(fd, &now);

	if (r == 0)
		r = read_index(m);
	if (r < 0 || is_current(m, &now))
		return r;
	r = read_grown(m, fd, &now);
	return r == -ESTALE ? read_all(m, fd, &now) : r;
}

int
mbox_update(struct mbox *m)
{
	struct mailbox_lock lock;
	struct mbox_id now;
	int r = mbox_id_of(m->dir, m->name, &now);

	if (r == 0)
		r = read_index(m);
	if (r < 0)
		return r;
	bool left = mbox_intent_is_there(m);
	if (!left && is_current(m, &now))
		return 0;
	if (now.ino == 0)
		return adopt_missing(m);
	left = left || mbox_append_is_there(m);
	r = left ? mbox_lock_for_write(m, MAILBOX_WRITE, &lock)
		 : lock_mailbox(m, MAILBOX_READ, &lock);
	if (r == -ENOENT)
		return adopt_missing(m);
	if (r < 0)
		return r;
	r = mbox_update_locked(m, lock.fd);
	mailbox_lock_release(&lock);
	return r;
}
