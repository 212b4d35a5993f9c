/* The verdict on an mbox: one rewrite, all or nothing. */
#include "base/check.h"
#include "os/fd.h"
#include "store/mbox.h"
#include "store/mbox_intent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct removal {
	struct mbox *m;
	uint8_t *gone; /* of each row of m->table */
	uint32_t n;
};

/* The marked rows as the newest table has them. What is not there is gone already. */
static int
mark_rows(struct removal *w, const struct mbox_table *t, struct view marks)
{
	const struct mbox_table *now = w->m->table;

	w->gone = calloc((size_t)now->pub.count + 1, 1);
	if (!w->gone)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count && i / 8 < marks.n; i++) {
		uint32_t at;
		if (!(marks.p[i / 8] >> (i % 8) & 1))
			continue;
		if (!mbox_table_find(now, mbox_row_uidl(t, &t->rows[i]), &at))
			continue;
		w->gone[at] = 1;
		w->n++;
	}
	return 0;
}

/* The ranges behind the first removed message that stay; neighbours are one. */
static int
make_cut(const struct removal *w, struct mbox_cut *cut, struct mbox_range **ret)
{
	const struct mbox_table *t = w->m->table;
	struct mbox_range *kept = calloc((size_t)t->pub.count + 1, sizeof(*kept));
	uint32_t first = 0;
	size_t n = 0;

	if (!kept)
		return -ENOMEM;
	while (!w->gone[first])
		first++;
	for (uint32_t i = first; i < t->pub.count; i++) {
		struct mbox_range r = {t->rows[i].start, mbox_row_end(t, i)};
		if (w->gone[i])
			continue;
		if (n > 0 && kept[n - 1].to == r.from)
			kept[n - 1].to = r.to;
		else
			kept[n++] = r;
	}
	*cut = (struct mbox_cut){.start = t->rows[first].start,
		.old_size = t->id.size,
		.kept = kept,
		.kept_n = n};
	*ret = kept;
	return 0;
}

/* The rows that stay, where they lie now. */
static int
kept_table(const struct removal *w, struct mbox_table **ret)
{
	const struct mbox_table *old = w->m->table;
	struct mbox_table *t = NULL;
	uint64_t shift = 0;
	uint32_t n = 0;
	int r = mbox_table_copy(old, old->pub.count, &t);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < old->pub.count; i++) {
		if (w->gone[i]) {
			shift += mbox_row_end(old, i) - old->rows[i].start;
			continue;
		}
		t->rows[n] = t->rows[i];
		t->rows[n].start -= shift;
		t->rows[n++].at -= shift;
	}
	t->pub.count = n;
	t->log_rows = old->log_rows;
	r = mbox_table_finish(t);
	if (r < 0)
		mbox_table_unref(&t);
	else
		*ret = t;
	return r;
}

/* What is known after the rewrite. Where this fails, the file is read again. */
static void
settle(struct removal *w, uint64_t size)
{
	struct mbox *m = w->m;
	struct mbox_table *t = NULL;

	/* Should this fail, the UIDLs could come only if the same mail came again. */
	(void)!mbox_uidls_use_up(m, m->table, w->gone);
	/* Another log than the one we knew: the next look goes by it. */
	bool full = m->full;
	if (kept_table(w, &t) < 0) {
		m->full = true;
		return;
	}
	t->log_rows = m->log ? identity_count(m->log) : 0;
	if (mbox_id_of(m->dir, m->name, &t->id) < 0 || t->id.size != size) {
		mbox_table_unref(&t);
		m->full = true;
		return;
	}
	/* The clock has not gone on since the rewrite. */
	t->racy = true;
	mbox_replace_table(m, t);
	m->full = full;
}

static int
rewrite(struct removal *w, int fd, bool *ret_touched)
{
	struct mbox_cut cut;
	AUTO_FREE struct mbox_range *kept = NULL;
	int r = make_cut(w, &cut, &kept);

	*ret_touched = false;
	if (r < 0)
		return r;
	if (w->m->o->mbox_rename) {
		r = mbox_cut_by_rename(w->m, fd, &cut, ret_touched);
		if (r == -ENOTSUP)
			r = mbox_cut_in_place(w->m, fd, &cut, ret_touched);
	} else {
		r = mbox_cut_in_place(w->m, fd, &cut, ret_touched);
	}
	if (r == 0)
		settle(w, mbox_cut_size(&cut));
	return r;
}

/* Under the lock. */
static int
remove_locked(struct removal *w, int fd, const struct mbox_table *t, struct view marks,
	bool *ret_touched)
{
	int r = mbox_update_locked(w->m, fd);

	*ret_touched = false;
	if (r == 0)
		r = mark_rows(w, t, marks);
	if (r == 0 && w->n > 0)
		r = rewrite(w, fd, ret_touched);
	if (fd_is_full(r) || r == -EACCES || r == -EPERM)
		if (!*ret_touched)
			mbox_notice(w->m, MBOX_NOTICE_NO_INTENT);
	return r;
}

static uint32_t
count_marked(const struct mbox_table *t, struct view marks)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->pub.count && i / 8 < marks.n; i++)
		n += marks.p[i / 8] >> (i % 8) & 1;
	return n;
}

static void
flag_removed(struct mbox_table *t, struct view marks)
{
	for (uint32_t i = 0; i < t->pub.count && i / 8 < marks.n; i++)
		if (marks.p[i / 8] >> (i % 8) & 1)
			t->rows[i].flags |= MBOX_REMOVED;
}

int
mbox_remove(struct store *s, const struct store_table *pub, struct view marks,
	struct store_removed *ret)
{
	struct mbox *m = mbox_of(s);
	struct mbox_table *t = mbox_table_of(pub);
	struct removal w = {.m = m};
	struct mailbox_lock lock;
	uint32_t marked = count_marked(t, marks);
	bool touched = false;

	*ret = (struct store_removed){.remain = marked};
	if (marked == 0)
		return 0;
	t->refs++; /* a newer one may take its place while it is still looked at */
	int r = mbox_lock_for_write(m, MAILBOX_WRITE, &lock);
	if (r == 0) {
		r = remove_locked(&w, lock.fd, t, marks, &touched);
		mailbox_lock_release(&lock);
	} else if (r == -ENOENT) {
		r = 0; /* removed by others, all of it */
	}
	free(w.gone);
	if (r == 0) {
		flag_removed(t, marks);
		*ret = (struct store_removed){.removed = marked};
	}
	/* What a cut off rewrite left is settled before anybody looks again. */
	if (touched && r < 0)
		m->full = true;
	mbox_table_unref(&t);
	/* Not touched: it is certain that all are still there. */
	return touched ? r : 0;
}
