/*
 * What the identity log says of an mbox's messages, and what is written to it.
 */
#include "base/ascii.h"
#include "os/fd.h"
#include "store/mbox_uidl.h"

#include <errno.h>
#include <stdlib.h>

#define LOG_ATTEMPTS 4

static struct view
key_of(const struct mbox_row *r)
{
	return (struct view){r->digest, MBOX_DIGEST};
}

int
mbox_open_log(struct mbox *m)
{
	char name[NAME_MAX + 1];
	int r = 0;

	if (m->log_off || m->log_lent || m->dir < 0)
		return 0;
	if (!mbox_beside(m, "identity", name))
		return -ENAMETOOLONG;
	r = m->log ? identity_lend_dir(m->log, m->dir)
		   : identity_open(m->dir, name, &m->log);
	m->log_lent = r == 0;
	if (r != -EACCES)
		return r;
	m->log_off = true;
	mbox_notice(m, MBOX_NOTICE_NO_IDENTITY);
	return 0;
}

/* ---- which are taken -------------------------------------------------------------- */

uint32_t
mbox_taken_slot(const struct uidls *u, struct view uidl)
{
	uint32_t at = (uint32_t)XXH3_64bits(uidl.p, uidl.n) & u->mask;

	while (u->taken[at] != 0 &&
		!view_equal(mbox_row_uidl(u->t, &u->t->rows[u->taken[at] - 1]), uidl))
		at = (at + 1) & u->mask;
	return at;
}

bool
mbox_is_taken(const struct uidls *u, struct view uidl)
{
	return u->taken[mbox_taken_slot(u, uidl)] != 0;
}

bool
mbox_is_logged(const struct uidls *u, struct view uidl)
{
	return u->m->log && identity_has_uidl(u->m->log, uidl);
}

/* ---- the log ------------------------------------------------------------------------
 */

int
mbox_log_row(struct uidls *u, uint8_t source, const struct mbox_row *r, struct view uidl)
{
	struct identity_row row = {.source = source,
		.place = IDENTITY_NO_PLACE,
		.key = key_of(r),
		.uidl = uidl};

	if (!u->m->log)
		return 0;
	u->added = true;
	u->needed |= source == IDENTITY_ASSIGNED;
	return identity_add(u->m->log, &row);
}

static uint32_t
used_slot(const struct uidls *u, struct view uidl)
{
	uint32_t at = (uint32_t)XXH3_64bits(uidl.p, uidl.n) & u->used_mask;

	while (u->used[at] != 0 &&
		!view_equal(identity_at(u->m->log, u->used[at] - 1).uidl, uidl))
		at = (at + 1) & u->used_mask;
	return at;
}

static int
collect_used(struct uidls *u)
{
	size_t n = identity_count(u->m->log);

	if (n > UINT32_MAX / 4)
		return -EFBIG;
	u->used_mask = mbox_hash_mask((uint32_t)n);
	u->used = calloc((size_t)u->used_mask + 1, sizeof(*u->used));
	if (!u->used)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct identity_row row = identity_at(u->m->log, i);
		if (row.source == IDENTITY_USED_UP)
			u->used[used_slot(u, row.uidl)] = (uint32_t)i + 1;
	}
	return 0;
}

int
mbox_was_used_up(struct uidls *u, struct view uidl)
{
	int e = u->used ? 0 : collect_used(u);

	return e < 0 ? e : u->used[used_slot(u, uidl)] != 0;
}

uint32_t
mbox_group_of(struct uidls *u, uint32_t i)
{
	const struct mbox_row *rows = u->t->rows;
	uint32_t at = mbox_digest_hash(rows[i].digest) & u->mask;

	while (u->groups[at] != 0 &&
		memcmp(rows[u->groups[at] - 1].digest, rows[i].digest, MBOX_DIGEST) != 0)
		at = (at + 1) & u->mask;
	if (u->groups[at] == 0) {
		u->groups[at] = i + 1;
		u->logged[0][at] = u->logged[1][at] = -1;
	}
	return at;
}

/* The group's last imported row, or -1. */
static int64_t
last_imported(struct uidls *u, uint32_t i)
{
	int64_t *last = &u->imported[mbox_group_of(u, i)], at = -1;
	struct identity_row row;

	if (*last > 0)
		return *last - 2;
	*last = 1;
	while (identity_next(u->m->log, key_of(&u->t->rows[i]), &at, &row))
		if (row.source == IDENTITY_IMPORTED)
			*last = at + 2;
	return *last - 2;
}

/*
 * What the old server's clients know goes before what we gave out until it was imported;
 * what we gave out since, to the same text that came again, stays.
 */
bool
mbox_gives_way(struct uidls *u, uint32_t i, struct view uidl)
{
	int64_t last = u->m->log ? last_imported(u, i) : -1, at = -1;
	struct identity_row row;

	if (last < 0)
		return false;
	while (identity_next_uidl(u->m->log, uidl, &at, &row))
		if (view_equal(row.key, key_of(&u->t->rows[i])) &&
			(row.source == IDENTITY_IMPORTED ||
				(row.source == IDENTITY_ASSIGNED && at > last)))
			return false;
	return true;
}

int
mbox_find_logged(struct uidls *u, uint32_t i, bool imported_only, struct view *ret)
{
	struct identity_row row;

	if (!u->m->log || identity_count(u->m->log) == 0)
		return 0;
	/* What was taken or used up stays so: no row is looked at twice. */
	int64_t *at = &u->logged[imported_only][mbox_group_of(u, i)];
	int64_t last = last_imported(u, i);
	while (identity_next(u->m->log, key_of(&u->t->rows[i]), at, &row)) {
		if (row.source == IDENTITY_USED_UP ||
			(row.source != IDENTITY_IMPORTED &&
				(imported_only || *at < last)))
			continue;
		if (mbox_is_taken(u, row.uidl))
			continue;
		int used = mbox_was_used_up(u, row.uidl);
		if (used < 0)
			return used;
		if (used > 0)
			continue;
		*ret = row.uidl;
		return 1;
	}
	return 0;
}

int
mbox_log_sync(struct uidls *u)
{
	int e = u->added ? identity_sync(u->m->log) : 0;

	if (u->m->log && identity_left_out(u->m->log) > 0)
		mbox_notice(u->m, MBOX_NOTICE_LOG_FULL);
	if (e == -EACCES || e == -EPERM || e == -EROFS) {
		mbox_notice(u->m, MBOX_NOTICE_NO_IDENTITY);
		return 0;
	}
	if (e == -ESTALE) {
		/* Replaced while we looked: what it says now goes before what we know. */
		identity_close(&u->m->log);
		u->m->log_lent = false;
		u->m->full = true;
		return -EAGAIN;
	}
	/* On a full disk people must still be able to delete. */
	return u->needed ? e : 0;
}

static int
use_up_once(struct mbox *m, const struct mbox_table *t, const uint8_t *gone)
{
	struct uidls u = {.m = m};
	int e = mbox_open_log(m);

	for (uint32_t i = 0; i < t->pub.count && e == 0; i++)
		if (gone[i])
			e = mbox_log_row(&u, IDENTITY_USED_UP, &t->rows[i],
				mbox_row_uidl(t, &t->rows[i]));
	return e < 0 ? e : mbox_log_sync(&u);
}

int
mbox_uidls_use_up(struct mbox *m, const struct mbox_table *t, const uint8_t *gone)
{
	int e = -EAGAIN;

	/* Another may write the log anew meanwhile: then it is opened again. */
	for (int i = 0; i < LOG_ATTEMPTS && e == -EAGAIN; i++)
		e = use_up_once(m, t, gone);
	return e;
}
