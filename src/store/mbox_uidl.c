/*
 * UIDLs. A message that was known keeps its own. A new one gets, in this order, what the
 * identity log holds for its digest, its X-UIDL, its digest in hex, or the digest with a
 * number: the first that no other message has and that was never used up.
 */
#include "base/check.h"
#include "os/fd.h"
#include "store/mbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_N	     (2 * MBOX_DIGEST)
#define LOG_ATTEMPTS 4
#define LAST_GONE    UINT32_MAX /* in next: the message was met again */

struct uidls {
	struct mbox *m;
	struct mbox_table *t;
	const struct mbox_table *known;
	uint32_t given;	 /* rows of both tables that are the same and have theirs */
	uint32_t *taken; /* UIDLs: row + 1 */
	uint32_t *heads, *next; /* rows of known by digest, in order: row + 1 */
	uint32_t *groups;	/* by digest: the first row of t that has it + 1 */
	uint32_t *numbers;	/* of a group: the last number tried */
	int64_t *logged[2]; /* of a group: the row of the log that was looked at last; of
			       imported ones only */
	uint32_t *used;	    /* UIDLs used up: row of the log + 1; NULL: not yet made */
	uint32_t used_mask;
	uint32_t *match; /* of each row of t: row of known + 1 */
	uint32_t mask;
	bool added, needed; /* rows of the log; ones that a client sees */
};

static uint32_t
digest_hash(const uint8_t *digest)
{
	uint32_t n;

	memcpy(&n, digest, sizeof(n));
	return n;
}

static struct view
key_of(const struct mbox_row *r)
{
	return (struct view){r->digest, MBOX_DIGEST};
}

static void
hex_of(const struct mbox_row *r, char to[HEX_N + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < MBOX_DIGEST; i++) {
		to[2 * i] = digits[r->digest[i] >> 4];
		to[2 * i + 1] = digits[r->digest[i] & 15];
	}
	to[HEX_N] = '\0';
}

static bool
views_equal(struct view a, struct view b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
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

static uint32_t
taken_slot(const struct uidls *u, struct view uidl)
{
	uint32_t at = (uint32_t)XXH3_64bits(uidl.p, uidl.n) & u->mask;

	while (u->taken[at] != 0 &&
		!views_equal(mbox_row_uidl(u->t, &u->t->rows[u->taken[at] - 1]), uidl))
		at = (at + 1) & u->mask;
	return at;
}

static bool
is_taken(const struct uidls *u, struct view uidl)
{
	return u->taken[taken_slot(u, uidl)] != 0;
}

static bool
is_logged(const struct uidls *u, struct view uidl)
{
	return u->m->log && identity_has_uidl(u->m->log, uidl);
}

static int
give(struct uidls *u, uint32_t i, struct view uidl)
{
	struct mbox_row *r = &u->t->rows[i];
	uint32_t slot = taken_slot(u, uidl);

	CHECK(u->taken[slot] == 0);
	CHECK(uidl.n <= IDENTITY_UIDL_MAX);
	if (!views_equal(mbox_row_uidl(u->t, r), uidl)) {
		int e = mbox_text_add(&u->t->text, uidl.p, uidl.n, &r->uidl_at);
		if (e < 0)
			return e;
		r->uidl_n = (uint8_t)uidl.n;
	}
	r->flags |= MBOX_GIVEN;
	u->taken[slot] = i + 1;
	return 0;
}

/* ---- the log ------------------------------------------------------------------------
 */

static int
log_row(struct uidls *u, uint8_t source, const struct mbox_row *r, struct view uidl)
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
		!views_equal(identity_at(u->m->log, u->used[at] - 1).uidl, uidl))
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

/* As the log was when this began. 1: yes, 0: no, or -errno. */
static int
was_used_up(struct uidls *u, struct view uidl)
{
	int e = u->used ? 0 : collect_used(u);

	return e < 0 ? e : u->used[used_slot(u, uidl)] != 0;
}

static uint32_t
group_of(struct uidls *u, uint32_t i)
{
	const struct mbox_row *rows = u->t->rows;
	uint32_t at = digest_hash(rows[i].digest) & u->mask;

	while (u->groups[at] != 0 &&
		memcmp(rows[u->groups[at] - 1].digest, rows[i].digest, MBOX_DIGEST) != 0)
		at = (at + 1) & u->mask;
	if (u->groups[at] == 0) {
		u->groups[at] = i + 1;
		u->logged[0][at] = u->logged[1][at] = -1;
	}
	return at;
}

/* What the log holds for this message and nobody has. 1: *ret, 0: nothing, or -errno. */
static int
find_logged(struct uidls *u, uint32_t i, bool imported_only, struct view *ret)
{
	struct identity_row row;

	if (!u->m->log || identity_count(u->m->log) == 0)
		return 0;
	/* What was taken or used up stays so: no row is looked at twice. */
	int64_t *at = &u->logged[imported_only][group_of(u, i)];
	while (identity_next(u->m->log, key_of(&u->t->rows[i]), at, &row)) {
		if (row.source == IDENTITY_USED_UP ||
			(imported_only && row.source != IDENTITY_IMPORTED))
			continue;
		if (is_taken(u, row.uidl))
			continue;
		int used = was_used_up(u, row.uidl);
		if (used < 0)
			return used;
		if (used > 0)
			continue;
		*ret = row.uidl;
		return 1;
	}
	return 0;
}

/* ---- messages that were known ------------------------------------------------------ */

static int
index_known(struct uidls *u)
{
	for (uint32_t i = u->known->pub.count; i > u->given; i--) {
		const struct mbox_row *k = &u->known->rows[i - 1];
		uint32_t at = digest_hash(k->digest) & u->mask;
		if (k->flags & MBOX_REMOVED)
			continue;
		/* What we know is older than that: removed, or under an imported one. */
		int used = u->m->full && u->m->log
			? was_used_up(u, mbox_row_uidl(u->known, k))
			: 0;
		if (used < 0)
			return used;
		if (used > 0)
			continue;
		while (u->heads[at] != 0 &&
			memcmp(u->known->rows[u->heads[at] - 1].digest, k->digest,
				MBOX_DIGEST) != 0)
			at = (at + 1) & u->mask;
		u->next[i - 1] = u->heads[at];
		u->heads[at] = i;
	}
	return 0;
}

static void
match_known(struct uidls *u)
{
	for (uint32_t i = u->given; i < u->t->pub.count; i++) {
		const struct mbox_row *r = &u->t->rows[i];
		uint32_t at = digest_hash(r->digest) & u->mask;
		while (u->heads[at] != 0 &&
			memcmp(u->known->rows[u->heads[at] - 1].digest, r->digest,
				MBOX_DIGEST) != 0)
			at = (at + 1) & u->mask;
		uint32_t k = u->heads[at];
		if (k == 0 || u->next[k - 1] == LAST_GONE)
			continue;
		u->match[i] = k;
		/* Where the last of them went the slot stays theirs: a hole would cut off
		 * others behind it. */
		if (u->next[k - 1] != 0)
			u->heads[at] = u->next[k - 1];
		else
			u->next[k - 1] = LAST_GONE;
	}
}

static int
keep_known(struct uidls *u, uint32_t i)
{
	struct mbox_row *r = &u->t->rows[i];
	const struct mbox_row *k = &u->known->rows[u->match[i] - 1];
	struct view uidl = mbox_row_uidl(u->known, k), imported = {NULL, 0};
	struct view said = mbox_row_uidl(u->t, r);
	char hex[HEX_N + 1];
	int e = 0;

	r->flags |= k->flags & MBOX_SEEN;
	/* Imported after we had served it: those are what its clients know. */
	if (u->m->full && !is_logged(u, uidl)) {
		e = find_logged(u, i, true, &imported);
		if (e > 0)
			e = log_row(u, IDENTITY_USED_UP, r, uidl);
		if (e < 0)
			return e;
		if (imported.n > 0)
			return give(u, i, imported);
	}
	if (is_taken(u, uidl)) {
		u->match[i] = 0;
		return 0;
	}
	hex_of(r, hex);
	bool follows = said.n > 0
		? views_equal(said, uidl)
		: views_equal(uidl, (struct view){(const uint8_t *)hex, HEX_N});
	if (!follows && !is_logged(u, uidl))
		e = log_row(u, IDENTITY_ASSIGNED, r, uidl);
	return e < 0 ? e : give(u, i, uidl);
}

/* ---- messages that are new --------------------------------------------------------- */

/* The same text came twice, or comes again after it was deleted. */
static int
give_numbered(struct uidls *u, uint32_t i, const char *hex)
{
	const struct mbox_row *r = &u->t->rows[i];
	uint32_t *number = &u->numbers[group_of(u, i)];
	struct view plain = {(const uint8_t *)hex, HEX_N};
	uint32_t holder = u->taken[taken_slot(u, plain)];
	char text[HEX_N + 16];
	struct view uidl = {(const uint8_t *)text, 0};
	int e = 0;

	if (holder != 0 && !is_logged(u, plain))
		e = log_row(u, IDENTITY_ASSIGNED, &u->t->rows[holder - 1], plain);
	if (*number == 0)
		*number = 1;
	do {
		(*number)++;
		uidl.n = (size_t)snprintf(text, sizeof(text), "%s.%u", hex, *number);
	} while (is_taken(u, uidl) || is_logged(u, uidl));
	if (e == 0)
		e = log_row(u, IDENTITY_ASSIGNED, r, uidl);
	return e < 0 ? e : give(u, i, uidl);
}

static int
give_new(struct uidls *u, uint32_t i)
{
	const struct mbox_row *r = &u->t->rows[i];
	struct view said = mbox_row_uidl(u->t, r), uidl;
	char hex[HEX_N + 1];

	hex_of(r, hex);
	int e = find_logged(u, i, false, &uidl);
	if (e != 0)
		return e < 0 ? e : give(u, i, uidl);
	if (said.n > 0 && !is_taken(u, said) && !is_logged(u, said))
		return give(u, i, said);
	uidl = (struct view){(const uint8_t *)hex, HEX_N};
	if (!is_taken(u, uidl) && !is_logged(u, uidl))
		return give(u, i, uidl);
	return give_numbered(u, i, hex);
}

/* ---- all of it ----------------------------------------------------------------------
 */

/* Messages that others removed: their UIDLs must not come again. */
static int
use_up_unmatched(struct uidls *u)
{
	AUTO_FREE uint8_t *found = calloc((size_t)u->known->pub.count + 1, 1);
	int e = found ? 0 : -ENOMEM;

	for (uint32_t i = 0; e == 0 && i < u->t->pub.count; i++)
		if (u->match[i] > 0)
			found[u->match[i] - 1] = 1;
	for (uint32_t i = u->given; e == 0 && i < u->known->pub.count; i++) {
		const struct mbox_row *k = &u->known->rows[i];
		struct view uidl = mbox_row_uidl(u->known, k);
		if (found[i] || (k->flags & MBOX_REMOVED) || is_taken(u, uidl))
			continue;
		int used = u->m->log ? was_used_up(u, uidl) : 1;
		if (used <= 0)
			e = used < 0 ? used : log_row(u, IDENTITY_USED_UP, k, uidl);
	}
	return e;
}

static int
sync_log(struct uidls *u)
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
assign_all(struct uidls *u)
{
	int e = 0;

	for (uint32_t i = 0; i < u->given && e == 0; i++)
		e = give(u, i, mbox_row_uidl(u->t, &u->t->rows[i]));
	if (e == 0 && u->known) {
		e = index_known(u);
		if (e == 0)
			match_known(u);
	}
	for (uint32_t i = u->given; i < u->t->pub.count && e == 0; i++)
		if (u->match[i] > 0)
			e = keep_known(u, i);
	for (uint32_t i = u->given; i < u->t->pub.count && e == 0; i++)
		if (u->match[i] == 0)
			e = give_new(u, i);
	if (e == 0 && u->known)
		e = use_up_unmatched(u);
	if (e == 0)
		e = sync_log(u);
	u->t->log_rows = u->m->log ? identity_count(u->m->log) : 0;
	return e;
}

int
mbox_uidls_assign(struct mbox *m, struct mbox_table *t, const struct mbox_table *known)
{
	uint32_t most = t->pub.count;
	struct uidls u = {.m = m, .t = t, .known = known};

	if (known && known->pub.count > most)
		most = known->pub.count;
	while (u.given < t->pub.count && (t->rows[u.given].flags & MBOX_GIVEN))
		u.given++;
	CHECK(u.given == 0 || (known && u.given <= known->pub.count));
	u.mask = mbox_hash_mask(most);
	size_t slots = (size_t)u.mask + 1;
	AUTO_FREE uint32_t *all = calloc(4 * slots + 2 * (size_t)most + 1, sizeof(*all));
	AUTO_FREE int64_t *logged = calloc(2 * slots, sizeof(*logged));
	if (!all || !logged)
		return -ENOMEM;
	u.taken = all;
	u.heads = all + slots;
	u.numbers = all + 2 * slots;
	u.groups = all + 3 * slots;
	u.next = all + 4 * slots;
	u.match = u.next + most;
	u.logged[0] = logged;
	u.logged[1] = logged + slots;
	int r = assign_all(&u);
	free(u.used);
	return r;
}

static int
use_up_once(struct mbox *m, const struct mbox_table *t, const uint8_t *gone)
{
	struct uidls u = {.m = m};
	int e = mbox_open_log(m);

	for (uint32_t i = 0; i < t->pub.count && e == 0; i++)
		if (gone[i])
			e = log_row(&u, IDENTITY_USED_UP, &t->rows[i],
				mbox_row_uidl(t, &t->rows[i]));
	return e < 0 ? e : sync_log(&u);
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
