/* Fresh names against what was known: the same message elsewhere, the same file twice. */
#include "base/ascii.h"
#include "os/fd.h"
#include "store/item_sort.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Rows of known that are not where they were, by key. */
struct strays {
	uint32_t *slots; /* row + 1 */
	uint32_t mask;
};

static bool
keys_equal(const struct maildir_table *t, const struct maildir_row *x,
	const struct maildir_table *u, const struct maildir_row *y)
{
	return x->key_n == y->key_n &&
		memcmp(t->text.p + x->key_at, u->text.p + y->key_at, x->key_n) == 0;
}

/* The same file system: inodes can be compared. */
static bool
is_one_device(const struct maildir_build *b, const struct maildir_row *fresh,
	const struct maildir_row *known)
{
	if (known->dir == MAILDIR_NOWHERE)
		return true;
	return b->known->ids[known->dir].dev == b->t->ids[fresh->dir].dev;
}

static void
take_known(struct maildir_build *b, uint32_t i, uint32_t idx)
{
	struct maildir_row *r = &b->t->rows[i];
	const struct maildir_row *k = &b->known->rows[idx];

	b->match[i] = idx + 1;
	if (k->ino != r->ino || !is_one_device(b, r, k))
		return;
	r->stored = k->stored;
	r->wire = k->wire;
	r->mtime_ns = k->mtime_ns;
	r->flags |= k->flags & (ROW_COUNTED | ROW_AS_IS | ROW_UNSAVED);
}

/*
 * The same key and inode. A file of several names may be met again under another: true
 * also where its row is taken already.
 */
static bool
match_inode(struct maildir_build *b, uint32_t i, uint8_t *taken)
{
	const struct maildir_row *r = &b->t->rows[i];
	int64_t slot = -1;
	uint32_t idx;

	while (maildir_inodes_next(b->known, &b->scan->inodes, r->ino, &slot, &idx)) {
		const struct maildir_row *k = &b->known->rows[idx];
		if (!is_one_device(b, r, k) || !keys_equal(b->t, r, b->known, k))
			continue;
		if (taken[idx] && !maildir_is_cur(r->dir))
			return true;
		taken[idx] = 1;
		take_known(b, i, idx);
		return true;
	}
	return false;
}

static int
strays_make(const struct maildir_build *b, struct strays *ret)
{
	uint32_t mask = maildir_hash_mask(b->known->pub.count - b->kept_n);
	uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->known->pub.count; i++) {
		const struct maildir_row *k = &b->known->rows[i];
		if (b->kept[i] || (k->flags & ROW_REMOVED))
			continue;
		uint32_t at = maildir_key_hash(maildir_key(b->known, k)) & mask;
		while (slots[at] != 0)
			at = (at + 1) & mask;
		slots[at] = i + 1;
	}
	*ret = (struct strays){slots, mask};
	return 0;
}

/* The only one with the key. */
static void
match_key(struct maildir_build *b, uint32_t i, const struct strays *s, uint8_t *taken)
{
	const struct maildir_row *r = &b->t->rows[i];
	uint32_t at = maildir_key_hash(maildir_key(b->t, r)) & s->mask;
	uint32_t found = 0, candidates = 0;

	for (; s->slots[at] != 0; at = (at + 1) & s->mask) {
		uint32_t idx = s->slots[at] - 1;
		if (!keys_equal(b->t, r, b->known, &b->known->rows[idx]))
			continue;
		candidates++;
		if (!taken[idx])
			found = idx + 1;
	}
	if (!found || candidates > 1)
		return;
	taken[found - 1] = 1;
	take_known(b, i, found - 1);
}

int
maildir_match(struct maildir_build *b)
{
	struct strays strays;

	if (!b->known || b->known->pub.count == 0 || b->n == 0)
		return 0;
	AUTO_FREE uint8_t *taken = calloc(b->known->pub.count, 1);
	if (!taken)
		return -ENOMEM;
	AUTO_FREE uint8_t *same = calloc(b->n, 1);
	if (!same)
		return -ENOMEM;
	memcpy(taken, b->kept, b->known->pub.count);
	for (uint32_t i = 0; i < b->n; i++)
		same[i] = match_inode(b, i, taken);
	int r = strays_make(b, &strays);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < b->n; i++)
		if (!same[i])
			match_key(b, i, &strays, taken);
	free(strays.slots);
	return 0;
}

/* ---- the same key twice ------------------------------------------------------- */

/* What is met tells by its hash alone whether it can be another key's. */
struct key_slot {
	uint32_t hash;
	uint32_t number; /* plus 1; 0: free */
};

/* Rows whose keys are compared with all others: fresh ones, behind the known ones. */
struct keys {
	struct maildir_build *b;
	struct key_slot *slots;
	uint32_t mask, known_n;
};

static struct view
key_of(const struct keys *k, uint32_t number)
{
	if (number < k->known_n)
		return maildir_key(k->b->known, &k->b->known->rows[number]);
	return maildir_key(k->b->t, &k->b->t->rows[number - k->known_n]);
}

static void
mark(struct keys *k, uint32_t number)
{
	if (number < k->known_n)
		k->b->kept[number] |= MAILDIR_KEPT_SHARED;
	else
		k->b->t->rows[number - k->known_n].flags |= ROW_SHARED;
}

/* Marks it and what has the same key; adds it where `add` says so. */
static void
key_meet(struct keys *k, uint32_t number, uint32_t hash, bool add)
{
	uint32_t at = hash & k->mask;

	for (; k->slots[at].number != 0; at = (at + 1) & k->mask) {
		const struct key_slot *p = &k->slots[at];
		if (p->hash != hash ||
			!view_equal(key_of(k, p->number - 1), key_of(k, number)))
			continue;
		mark(k, p->number - 1);
		mark(k, number);
	}
	if (add)
		k->slots[at] = (struct key_slot){hash, number + 1};
}

static bool
was_shared(const struct maildir_build *b, uint32_t i)
{
	return b->kept[i] && (b->known->rows[i].flags & ROW_SHARED);
}

int
maildir_mark_shared(struct maildir_build *b)
{
	struct keys k = {.b = b, .known_n = b->known ? b->known->pub.count : 0};
	uint32_t n = b->n;

	for (uint32_t i = 0; i < k.known_n && b->scan->known_shared; i++)
		n += was_shared(b, i);
	k.mask = maildir_hash_mask(n);
	AUTO_FREE struct key_slot *slots = calloc((size_t)k.mask + 1, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	k.slots = slots;
	if (n > 0 && b->known && maildir_table_hashes(b->known) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < k.known_n && n > b->n; i++)
		if (was_shared(b, i))
			key_meet(&k, i, b->known->hashes[i], true);
	for (uint32_t i = 0; i < b->n; i++)
		key_meet(&k, k.known_n + i,
			maildir_key_hash(maildir_key(b->t, &b->t->rows[i])), true);
	/* Kept rows that were alone can only have got a fresh one beside them. */
	for (uint32_t i = 0; i < k.known_n && b->n > 0; i++)
		if (b->kept[i] && !(b->scan->known_shared && was_shared(b, i)))
			key_meet(&k, i, b->known->hashes[i], false);
	return 0;
}

/* ---- the same file twice ---------------------------------------------------- */

/* Of two names of one file: the one in cur, else the first in order. */
static bool
is_better_name(const struct maildir_build *b, uint32_t x, uint32_t y)
{
	const struct maildir_row *p = &b->t->rows[x], *q = &b->t->rows[y];

	if (maildir_is_cur(p->dir) != maildir_is_cur(q->dir))
		return maildir_is_cur(p->dir);
	return maildir_order_of(b, x, y) < 0;
}

/* Of two fresh names the better one stays. The number of that one. */
static uint32_t
drop_link(struct maildir_build *b, uint32_t x, uint32_t y, uint8_t *drop)
{
	struct maildir_row *rows = b->t->rows;
	bool better = is_better_name(b, x, y);
	uint32_t keep = better ? x : y, gone = better ? y : x;

	drop[gone] = 1;
	rows[keep].flags |= ROW_LINKED;
	if (b->match[keep] == 0 && keys_equal(b->t, &rows[keep], b->t, &rows[gone]))
		b->match[keep] = b->match[gone];
	return keep;
}

/* A fresh name of a file whose row stays: the one that is known goes on being its name,
 * but where the other is in cur. True: the fresh one is dropped. */
static bool
is_link_of_kept(struct maildir_build *b, uint32_t i)
{
	struct maildir_row *r = &b->t->rows[i];
	int64_t slot = -1;
	uint32_t idx;

	while (maildir_inodes_next(b->known, &b->scan->inodes, r->ino, &slot, &idx)) {
		struct maildir_row *k = &b->known->rows[idx];
		if (!b->kept[idx] || !is_one_device(b, r, k))
			continue;
		if (maildir_is_cur(k->dir) || !maildir_is_cur(r->dir)) {
			b->kept[idx] |= MAILDIR_KEPT_LINKED;
			return true;
		}
		b->kept[idx] = 0;
		b->kept_n--;
		r->flags |= ROW_LINKED;
		if (b->match[i] == 0 && keys_equal(b->t, r, b->known, k))
			take_known(b, i, idx);
		return false;
	}
	return false;
}

/* Rows of one inode, of whichever file systems. */
static void
drop_links_of(
	struct maildir_build *b, const struct sort_item *run, size_t n, uint8_t *drop)
{
	const struct maildir_row *rows = b->t->rows;

	for (size_t i = 0; i < n; i++) {
		uint32_t keep = run[i].idx;
		for (size_t k = i + 1; k < n && !drop[run[i].idx]; k++) {
			uint32_t x = run[k].idx;
			if (!drop[x] &&
				b->t->ids[rows[x].dir].dev ==
					b->t->ids[rows[keep].dir].dev)
				keep = drop_link(b, x, keep, drop);
		}
	}
}

int
maildir_drop_links(struct maildir_build *b)
{
	AUTO_FREE struct sort_item *list =
		maildir_room((2 * (size_t)b->n + 1) * sizeof(*list));
	AUTO_FREE uint8_t *drop = calloc((size_t)b->n + 1, 1);
	bool sorted = true;

	if (!list || !drop)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		list[i] = (struct sort_item){b->t->rows[i].ino, i};
		sorted = sorted && (i == 0 || list[i - 1].key <= list[i].key);
	}
	if (!sorted)
		item_sort(list, list + b->n, b->n);
	for (uint32_t from = 0, to; from < b->n; from = to) {
		for (to = from + 1; to < b->n && list[to].key == list[from].key; to++)
			continue;
		if (to - from > 1)
			drop_links_of(b, list + from, to - from, drop);
	}
	for (uint32_t i = 0; b->known && i < b->n; i++)
		if (!drop[i] && is_link_of_kept(b, i))
			drop[i] = 1;
	maildir_build_drop(b, drop);
	return 0;
}
