/* UIDLs: the one that the log has, else the key where RFC 1939 s.7 allows it, a stable
 * hash where not; no two the same. */
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define BITS_EACH	32 /* for each slot: few others have the same bit */
#define DIGEST_ATTEMPTS 16 /* twins of one content whose UIDLs are looked for */

/* What is met tells by its hash alone whether it can be another UIDL's. */
struct uidl_slot {
	uint32_t hash;
	uint32_t number; /* plus 1; 0: free */
};

/* Rows are numbered known ones first, then fresh ones. */
struct uidls {
	struct store *s;
	struct maildir_build *b;
	struct uidl_slot *slots;
	uint32_t mask;
	uint32_t known_n;
	/* A bit for each UIDL of a kept row; these go into the slots only when one of
	 * their bits was hit: mostly a few new messages come and none is. */
	uint64_t *bits; /* NULL: they are in the slots */
	uint32_t bits_mask;
	const struct identity *log; /* NULL: there is none */
	uint8_t *waits; /* of each fresh row: not to be shown before the log is synced */
};

struct view
maildir_uidl_plain(struct view key, uint8_t hashed[MAILDIR_UIDL_HASHED])
{
	if (maildir_uidl_legal(key))
		return key;
	maildir_uidl_hash(key, 0, 0, hashed);
	return (struct view){hashed, MAILDIR_UIDL_HASHED};
}

/* ---- which are taken ---------------------------------------------------------- */

static struct view
uidl_of(const struct uidls *u, uint32_t number)
{
	if (number < u->known_n)
		return maildir_row_uidl(u->b->known, &u->b->known->rows[number]);
	return maildir_row_uidl(u->b->t, &u->b->t->rows[number - u->known_n]);
}

static uint32_t
hash_of(struct view uidl)
{
	return (uint32_t)XXH3_64bits(uidl.p, uidl.n);
}

static struct uidl_slot *
slot_of(const struct uidls *u, struct view uidl, uint32_t hash)
{
	uint32_t at = hash & u->mask;

	for (;; at = (at + 1) & u->mask) {
		struct uidl_slot *p = &u->slots[at];
		if (p->number == 0)
			return p;
		if (p->hash == hash && view_equal(uidl_of(u, p->number - 1), uidl))
			return p;
	}
}

/* A known row's; mostly its UIDL is its key, whose hash is at hand. */
static uint32_t
known_hash(const struct uidls *u, uint32_t i)
{
	const struct maildir_table *k = u->b->known;
	const struct maildir_row *r = &k->rows[i];

	if (k->uidls_are_keys)
		return k->hashes[i];
	if (r->uidl_at == r->key_at && r->uidl_n == r->key_n)
		return k->hashes[i];
	return hash_of(maildir_row_uidl(k, r));
}

static void
kept_into_slots(struct uidls *u)
{
	for (uint32_t i = 0; i < u->known_n; i++) {
		if (!u->b->kept[i])
			continue;
		struct view uidl = maildir_row_uidl(u->b->known, &u->b->known->rows[i]);
		uint32_t hash = known_hash(u, i);
		*slot_of(u, uidl, hash) = (struct uidl_slot){hash, i + 1};
	}
	free(u->bits);
	u->bits = NULL;
}

static int
kept_into_bits(struct uidls *u)
{
	uint32_t bits = (maildir_hash_mask(u->b->kept_n) + 1) * BITS_EACH;

	if (u->known_n > 0 && maildir_table_hashes(u->b->known) < 0)
		return -ENOMEM;
	u->bits_mask = bits - 1;
	u->bits = calloc(bits / 64, sizeof(*u->bits));
	if (!u->bits)
		return -ENOMEM;
	for (uint32_t i = 0; i < u->known_n; i++) {
		if (!u->b->kept[i])
			continue;
		uint32_t bit = u->bits_mask & known_hash(u, i);
		u->bits[bit / 64] |= UINT64_C(1) << bit % 64;
	}
	return 0;
}

static struct uidl_slot *
find(struct uidls *u, struct view uidl, uint32_t hash)
{
	uint32_t bit = hash & u->bits_mask;

	if (u->bits && (u->bits[bit / 64] >> bit % 64 & 1))
		kept_into_slots(u);
	return slot_of(u, uidl, hash);
}

static bool
is_taken(struct uidls *u, struct view uidl)
{
	return find(u, uidl, hash_of(uidl))->number != 0;
}

static int
set_uidl(struct maildir_build *b, uint32_t i, struct view uidl)
{
	struct maildir_row *r = &b->t->rows[i];

	r->uidl_n = (uint8_t)uidl.n;
	/* Mostly the key: it stands in the text already. */
	if (view_equal(maildir_key(b->t, r), uidl)) {
		r->uidl_at = r->key_at;
		return 0;
	}
	return maildir_bytes_add(&b->t->text, uidl.p, uidl.n, &r->uidl_at);
}

/* Into the slot, which is free. */
static int
give_at(struct uidls *u, uint32_t i, struct view uidl, uint32_t hash,
	struct uidl_slot *slot)
{
	int r = set_uidl(u->b, i, uidl);

	CHECK(slot->number == 0);
	if (r == 0)
		*slot = (struct uidl_slot){hash, u->known_n + i + 1};
	return r;
}

static int
give(struct uidls *u, uint32_t i, struct view uidl)
{
	uint32_t hash = hash_of(uidl);

	return give_at(u, i, uidl, hash, find(u, uidl, hash));
}

/* ---- from the log ------------------------------------------------------------- */

/* A message that cannot be read keeps its inode for a digest: the log has the result. */
static uint64_t
digest_of(const struct uidls *u, uint32_t i)
{
	const struct maildir_row *r = &u->b->t->rows[i];
	uint64_t digest;

	if (maildir_digest(u->s->sub[r->dir], maildir_row_name(u->b->t, r), &digest) < 0)
		return r->ino;
	return digest;
}

static bool
is_free(struct uidls *u, const struct identity_row *row)
{
	return row->source != IDENTITY_USED_UP && !is_taken(u, row->uidl) &&
		!maildir_log_is_used_up(u->log, row->key, row->uidl);
}

/* The first free row of this key and source. */
static bool
pick_source(struct uidls *u, struct view key, uint8_t source, struct identity_row *ret)
{
	for (int64_t at = -1; identity_next(u->log, key, &at, ret);)
		if (ret->source == source && is_free(u, ret))
			return true;
	return false;
}

/* The row of one of several messages with a key, by what the message holds. */
static bool
pick_digest(struct uidls *u, uint32_t i, struct view key, struct identity_row *ret)
{
	uint8_t hashed[MAILDIR_UIDL_HASHED];
	struct view made = {hashed, sizeof(hashed)};
	uint64_t digest = digest_of(u, i);

	for (uint32_t attempt = 1; attempt <= DIGEST_ATTEMPTS; attempt++) {
		maildir_uidl_hash(key, digest, attempt, hashed);
		if (!identity_has_uidl(u->log, made))
			return false;
		for (int64_t at = -1; identity_next_uidl(u->log, made, &at, ret);)
			if (view_equal(ret->key, key) && is_free(u, ret))
				return true;
	}
	return false;
}

static bool
pick(struct uidls *u, uint32_t i, struct identity_row *ret)
{
	struct view key = maildir_key(u->b->t, &u->b->t->rows[i]);
	int64_t at = -1;

	if (!u->log || !identity_next(u->log, key, &at, ret))
		return false;
	if (pick_source(u, key, IDENTITY_ASSIGNED, ret) && pick_digest(u, i, key, ret))
		return true;
	/* Not just any that we gave: its message may be gone, and this another. */
	return pick_source(u, key, IDENTITY_IMPORTED, ret);
}

static int
take_from_log(struct uidls *u, uint32_t i, const struct identity_row *row)
{
	struct maildir_row *r = &u->b->t->rows[i];

	r->place = row->place;
	if (row->seen_s != 0 && row->seen_s <= UINT32_MAX)
		r->first_s = (uint32_t)row->seen_s;
	r->flags |= ROW_SETTLED;
	return give(u, i, row->uidl);
}

/* ---- one row ------------------------------------------------------------------ */

/* Where the plain one is another's, or was: one of what the message holds, and logged. */
static int
make_twin(struct uidls *u, uint32_t i)
{
	struct maildir_row *r = &u->b->t->rows[i];
	uint8_t hashed[MAILDIR_UIDL_HASHED];
	struct view made = {hashed, sizeof(hashed)};
	uint64_t digest = digest_of(u, i);

	for (uint32_t attempt = 1;; attempt++) {
		maildir_uidl_hash(maildir_key(u->b->t, r), digest, attempt, hashed);
		if (is_taken(u, made))
			continue;
		if (!u->log || !identity_has_uidl(u->log, made))
			break;
	}
	int e = give(u, i, made);
	if (e == 0)
		e = maildir_log_given(u->s, u->b->t, r, IDENTITY_ASSIGNED);
	u->log = u->s->log;
	r->flags |= ROW_SETTLED;
	u->waits[i] = 1;
	return e;
}

static int
make(struct uidls *u, uint32_t i)
{
	struct maildir_row *r = &u->b->t->rows[i];
	uint8_t hashed[MAILDIR_UIDL_HASHED];
	struct identity_row row;

	if (pick(u, i, &row))
		return take_from_log(u, i, &row);
	struct view plain = maildir_uidl_plain(maildir_key(u->b->t, r), hashed);
	uint32_t hash = hash_of(plain);
	struct uidl_slot *slot = find(u, plain, hash);
	if (slot->number != 0 || (u->log && identity_has_uidl(u->log, plain)))
		return make_twin(u, i);
	r->flags |= ROW_SETTLED;
	return give_at(u, i, plain, hash, slot);
}

/* Whether the log, now another one, has a UIDL for this known message that goes first. */
static bool
is_overruled(struct uidls *u, struct maildir_row *r, struct view uidl)
{
	struct identity_row row;
	bool imported = false;

	for (int64_t at = -1;
		identity_next(u->log, maildir_key(u->b->t, r), &at, &row);) {
		if (row.source == IDENTITY_USED_UP)
			continue;
		if (view_equal(row.uidl, uidl)) {
			r->place = row.place;
			r->flags |= ROW_SETTLED;
			return false;
		}
		imported |= row.source == IDENTITY_IMPORTED;
	}
	return imported;
}

static int
take_known(struct uidls *u, uint32_t i)
{
	struct maildir_row *r = &u->b->t->rows[i];
	const struct maildir_row *k = &u->b->known->rows[u->b->match[i] - 1];
	struct view uidl = maildir_row_uidl(u->b->known, k);

	r->place = k->place;
	/* Another log, perhaps one that was repaired, may lack what this rested on. */
	if (!u->b->again)
		r->flags |= k->flags & ROW_SETTLED;
	if ((u->b->again && u->log && is_overruled(u, r, uidl)) || is_taken(u, uidl)) {
		r->flags = (uint8_t)(r->flags & ~ROW_SETTLED);
		r->place = IDENTITY_NO_PLACE;
		u->b->match[i] = 0;
		return 0;
	}
	return give(u, i, uidl);
}

/* ---- all of them -------------------------------------------------------------- */

/* Whether a UIDL is one that make_twin would come to, which is found again as ours only;
 * any other can come from nowhere but another server. */
static uint8_t
source_of(struct uidls *u, uint32_t i)
{
	const struct maildir_row *r = &u->b->t->rows[i];
	uint8_t hashed[MAILDIR_UIDL_HASHED];
	struct view made = {hashed, sizeof(hashed)}, uidl = maildir_row_uidl(u->b->t, r);

	if (!u->b->again)
		return IDENTITY_ASSIGNED;
	if (uidl.n != made.n)
		return IDENTITY_IMPORTED;
	uint64_t digest = digest_of(u, i);
	for (uint32_t attempt = 1; attempt <= DIGEST_ATTEMPTS; attempt++) {
		maildir_uidl_hash(maildir_key(u->b->t, r), digest, attempt, hashed);
		if (view_equal(made, uidl))
			return IDENTITY_ASSIGNED;
	}
	return IDENTITY_IMPORTED;
}

/* A UIDL that follows from nothing that will be there again: of an older index, or of a
 * log that has it no longer. idx: of a fresh row; else UINT32_MAX. */
static int
settle(struct uidls *u, const struct maildir_table *t, const struct maildir_row *r,
	uint32_t idx)
{
	uint8_t hashed[MAILDIR_UIDL_HASHED];
	struct view key = maildir_key(t, r), uidl = maildir_row_uidl(t, r);
	struct identity_row row;

	if (view_equal(maildir_uidl_plain(key, hashed), uidl) &&
		(!u->b->again || r->place == IDENTITY_NO_PLACE))
		return 0;
	for (int64_t at = -1; u->log && identity_next(u->log, key, &at, &row);)
		if (view_equal(row.uidl, uidl))
			return 0;
	uint8_t source = idx == UINT32_MAX ? IDENTITY_ASSIGNED : source_of(u, idx);
	int e = maildir_log_given(u->s, t, r, source);
	u->log = u->s->log;
	return e;
}

static int
settle_known(struct uidls *u)
{
	const struct maildir_table *k = u->b->known;
	int r = 0;

	for (uint32_t i = 0; i < u->known_n && r == 0; i++) {
		if (!u->b->kept[i] || (k->rows[i].flags & ROW_SETTLED))
			continue;
		u->b->kept[i] |= MAILDIR_KEPT_SETTLED;
		r = settle(u, k, &k->rows[i], UINT32_MAX);
	}
	for (uint32_t i = 0; i < u->b->n && r == 0; i++) {
		if (u->b->match[i] == 0 || (u->b->t->rows[i].flags & ROW_SETTLED))
			continue;
		u->b->t->rows[i].flags |= ROW_SETTLED;
		r = settle(u, u->b->t, &u->b->t->rows[i], i);
	}
	return r;
}

/* Known rows that are no longer there. */
static int
use_up(struct uidls *u, const uint8_t *stays)
{
	/* What was not met, or could not be looked at, is not gone for sure. */
	if (u->known_n == 0 || u->b->lossy || u->b->scan->racy == UINT64_MAX)
		return 0;
	int r = maildir_log_used_up(u->s, u->b->known, stays);
	u->log = u->s->log;
	return r;
}

static int
assign(struct uidls *u)
{
	struct maildir_build *b = u->b;
	AUTO_FREE uint8_t *stays = calloc((size_t)u->known_n + 1, 1);
	int r = stays ? 0 : -ENOMEM;

	if (r == 0)
		r = kept_into_bits(u);
	for (uint32_t i = 0; i < u->known_n && r == 0; i++)
		stays[i] = b->kept[i] != 0;
	for (uint32_t i = 0; i < b->n && r == 0; i++)
		if (b->match[i] != 0)
			stays[b->match[i] - 1] = 1;
	/* First, so that a new message does not get what another had. */
	if (r == 0)
		r = use_up(u, stays);
	for (uint32_t i = 0; i < b->n && r == 0; i++)
		if (b->match[i] != 0)
			r = take_known(u, i);
	for (uint32_t i = 0; i < b->n && r == 0; i++)
		if (b->match[i] == 0)
			r = make(u, i);
	return r < 0 ? r : settle_known(u);
}

/* The owner has to be able to remove mail from a full disk, so this is no reason to
 * refuse him; messages that nobody has seen wait until their UIDL can be kept. */
static bool
is_lack_of_room(int r)
{
	return fd_is_full(r) || r == -EFBIG || r == -EROFS || r == -EACCES || r == -EPERM;
}

static int
sync_log(struct uidls *u)
{
	struct maildir_build *b = u->b;
	int r = u->s->log ? maildir_log_sync(u->s) : 0;

	b->t->log = u->s->log_now;
	if (!is_lack_of_room(r))
		return r;
	for (uint32_t i = 0; i < b->n; i++)
		if (u->waits[i])
			b->t->racy |= UINT64_C(1) << b->t->rows[i].dir;
	maildir_build_drop(b, u->waits);
	return 0;
}

int
maildir_uidls_assign(struct store *s, struct maildir_build *b)
{
	struct uidls u = {.s = s, .b = b, .log = s->log};

	u.known_n = b->known ? b->known->pub.count : 0;
	u.mask = maildir_hash_mask(b->n + b->kept_n);
	AUTO_FREE struct uidl_slot *slots = calloc((size_t)u.mask + 1, sizeof(*slots));
	AUTO_FREE uint8_t *waits = calloc((size_t)b->n + 1, 1);
	if (!slots || !waits)
		return -ENOMEM;
	u.slots = slots;
	u.waits = waits;
	int r = assign(&u);
	free(u.bits);
	return r < 0 ? r : sync_log(&u);
}
