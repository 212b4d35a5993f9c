/*
 * UIDLs. A message that was known keeps its own. A new one gets, in this order, what the
 * identity log holds for its digest, its X-UIDL, its digest in hex, or the digest with a
 * number: the first that no other message has and that was never used up.
 */
#include "store/mbox_uidl.h"
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_N	  (2 * MBOX_DIGEST)
#define LAST_GONE UINT32_MAX /* in next: the message was met again */

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

static int
give(struct uidls *u, uint32_t i, struct view uidl)
{
	struct mbox_row *r = &u->t->rows[i];
	uint32_t slot = mbox_taken_slot(u, uidl);

	CHECK(u->taken[slot] == 0);
	CHECK(uidl.n <= IDENTITY_UIDL_MAX);
	if (!view_equal(mbox_row_uidl(u->t, r), uidl)) {
		int e = mbox_text_add(&u->t->text, uidl.p, uidl.n, &r->uidl_at);
		if (e < 0)
			return e;
		r->uidl_n = (uint8_t)uidl.n;
	}
	r->flags |= MBOX_GIVEN;
	u->taken[slot] = i + 1;
	return 0;
}

/* ---- messages that were known ------------------------------------------------------ */

static int
index_known(struct uidls *u)
{
	for (uint32_t i = u->known->pub.count; i > u->given; i--) {
		const struct mbox_row *k = &u->known->rows[i - 1];
		uint32_t at = mbox_digest_hash(k->digest) & u->mask;
		if (k->flags & MBOX_REMOVED)
			continue;
		/* What we know is older than that: removed, or under an imported one. */
		int used = u->m->full && u->m->log
			? mbox_was_used_up(u, mbox_row_uidl(u->known, k))
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
		uint32_t at = mbox_digest_hash(r->digest) & u->mask;
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
	/* Imported after we had served it, under whatever we gave it: those are what its
	 * clients know. */
	if (u->m->full && mbox_gives_way(u, i, uidl)) {
		e = mbox_find_logged(u, i, true, &imported);
		if (e > 0)
			e = mbox_log_row(u, IDENTITY_USED_UP, r, uidl);
		if (e < 0)
			return e;
		if (imported.n > 0)
			return give(u, i, imported);
	}
	if (mbox_is_taken(u, uidl)) {
		u->match[i] = 0;
		return 0;
	}
	hex_of(r, hex);
	bool follows = said.n > 0
		? view_equal(said, uidl)
		: view_equal(uidl, (struct view){(const uint8_t *)hex, HEX_N});
	if (!follows && !mbox_is_logged(u, uidl))
		e = mbox_log_row(u, IDENTITY_ASSIGNED, r, uidl);
	return e < 0 ? e : give(u, i, uidl);
}

/* ---- messages that are new --------------------------------------------------------- */

/* The same text came twice, or comes again after it was deleted. */
static int
give_numbered(struct uidls *u, uint32_t i, const char *hex)
{
	const struct mbox_row *r = &u->t->rows[i];
	uint32_t *number = &u->numbers[mbox_group_of(u, i)];
	struct view plain = {(const uint8_t *)hex, HEX_N};
	uint32_t holder = u->taken[mbox_taken_slot(u, plain)];
	char text[HEX_N + 16];
	struct view uidl = {(const uint8_t *)text, 0};
	int e = 0;

	if (holder != 0 && !mbox_is_logged(u, plain))
		e = mbox_log_row(u, IDENTITY_ASSIGNED, &u->t->rows[holder - 1], plain);
	if (*number == 0)
		*number = 1;
	do {
		(*number)++;
		uidl.n = (size_t)snprintf(text, sizeof(text), "%s.%u", hex, *number);
	} while (mbox_is_taken(u, uidl) || mbox_is_logged(u, uidl));
	if (e == 0)
		e = mbox_log_row(u, IDENTITY_ASSIGNED, r, uidl);
	return e < 0 ? e : give(u, i, uidl);
}

static int
give_new(struct uidls *u, uint32_t i)
{
	const struct mbox_row *r = &u->t->rows[i];
	struct view said = mbox_row_uidl(u->t, r), uidl;
	char hex[HEX_N + 1];

	hex_of(r, hex);
	int e = mbox_find_logged(u, i, false, &uidl);
	if (e != 0)
		return e < 0 ? e : give(u, i, uidl);
	if (said.n > 0 && !mbox_is_taken(u, said) && !mbox_is_logged(u, said))
		return give(u, i, said);
	uidl = (struct view){(const uint8_t *)hex, HEX_N};
	if (!mbox_is_taken(u, uidl) && !mbox_is_logged(u, uidl))
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
		if (found[i] || (k->flags & MBOX_REMOVED) || mbox_is_taken(u, uidl))
			continue;
		int used = u->m->log ? mbox_was_used_up(u, uidl) : 1;
		if (used <= 0)
			e = used < 0 ? used : mbox_log_row(u, IDENTITY_USED_UP, k, uidl);
	}
	return e;
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
		e = mbox_log_sync(u);
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
	AUTO_FREE int64_t *logged = calloc(3 * slots, sizeof(*logged));
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
	u.imported = logged + 2 * slots;
	int r = assign_all(&u);
	free(u.used);
	return r;
}
