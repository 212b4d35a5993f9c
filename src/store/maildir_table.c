/* The table as a value: room for it, its hash of keys, what it shows to a client. */
#include "base/check.h"
#include "store/maildir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint64_t
key_hash(struct view key)
{
	return XXH3_64bits(key.p, key.n);
}

int
maildir_table_new(uint32_t count, struct maildir_table **ret)
{
	struct maildir_table *t = calloc(1, sizeof(*t));

	if (t) {
		t->refs = 1;
		t->pub.count = count;
		t->rows = calloc((size_t)count + 1, sizeof(*t->rows));
		t->messages = calloc((size_t)count + 1, sizeof(*t->messages));
		t->pub.messages = t->messages;
	}
	if (!t || !t->rows || !t->messages) {
		maildir_table_unref(&t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void
maildir_table_unref(struct maildir_table **tp)
{
	struct maildir_table *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	CHECK(t->refs > 0);
	if (--t->refs > 0)
		return;
	free(t->rows);
	free(t->messages);
	free(t->names.p);
	free(t->text.p);
	free(t->by_key);
	free(t);
}

bool
maildir_table_next(
	const struct maildir_table *t, struct view key, int64_t *slot, uint32_t *ret_idx)
{
	uint32_t at = *slot < 0 ? (uint32_t)key_hash(key) : (uint32_t)*slot + 1;

	for (;; at++) {
		at &= t->by_key_mask;
		if (t->by_key[at] == 0)
			return false;
		uint32_t idx = t->by_key[at] - 1;
		const struct maildir_row *r = &t->rows[idx];
		if (r->key_n != key.n || memcmp(t->text.p + r->key_at, key.p, key.n) != 0)
			continue;
		*slot = at;
		*ret_idx = idx;
		return true;
	}
}

/* Two rows with one key are told apart by their inodes. */
static int
hash_keys(struct maildir_table *t)
{
	t->by_key_mask = maildir_hash_mask(t->pub.count);
	t->by_key = calloc((size_t)t->by_key_mask + 1, sizeof(*t->by_key));
	if (!t->by_key)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		struct maildir_row *r = &t->rows[i];
		struct view key = maildir_key(t, r);
		uint32_t at = (uint32_t)key_hash(key) & t->by_key_mask;
		for (; t->by_key[at] != 0; at = (at + 1) & t->by_key_mask) {
			struct maildir_row *other = &t->rows[t->by_key[at] - 1];
			if (other->key_n != r->key_n ||
				memcmp(t->text.p + other->key_at, key.p, key.n) != 0)
				continue;
			other->flags |= ROW_SHARED;
			r->flags |= ROW_SHARED;
		}
		t->by_key[at] = i + 1;
	}
	return 0;
}

int
maildir_table_finish(struct maildir_table *t)
{
	uint64_t octets = 0;

	for (uint32_t i = 0; i < t->pub.count; i++) {
		const struct maildir_row *r = &t->rows[i];
		if (__builtin_add_overflow(octets, r->wire, &octets))
			return -EOVERFLOW;
		t->messages[i] = (struct store_message){
			.wire = r->wire,
			.stored = r->stored,
			.wire_believed = !(r->flags & ROW_COUNTED),
			.as_is = r->flags & ROW_AS_IS,
			.seen = r->flags & ROW_SEEN,
			.uidl = {(const uint8_t *)t->text.p + r->uidl_at, r->uidl_n},
		};
	}
	t->pub.octets = octets;
	memcpy(t->found, t->ids, sizeof(t->ids));
	t->found_racy = t->racy;
	return t->by_key ? 0 : hash_keys(t);
}

int
maildir_table_clone(const struct maildir_table *t, struct maildir_table **ret)
{
	struct maildir_table *c = NULL;
	uint32_t at;
	int r = maildir_table_new(t->pub.count, &c);

	if (r < 0)
		return r;
	memcpy(c->rows, t->rows, t->pub.count * sizeof(*t->rows));
	memcpy(c->ids, t->ids, sizeof(t->ids));
	c->racy = t->racy;
	r = maildir_bytes_add(&c->names, t->names.p, t->names.n, &at);
	if (r == 0)
		r = maildir_bytes_add(&c->text, t->text.p, t->text.n, &at);
	if (r == 0)
		r = maildir_table_finish(c);
	if (r < 0) {
		maildir_table_unref(&c);
		return r;
	}
	*ret = c;
	return 0;
}

bool
maildir_table_same(const struct maildir_table *a, const struct maildir_table *b)
{
	if (a->pub.count != b->pub.count)
		return false;
	for (uint32_t i = 0; i < a->pub.count; i++) {
		const struct store_message *x = &a->messages[i], *y = &b->messages[i];
		if (x->wire != y->wire || x->seen != y->seen || x->uidl.n != y->uidl.n ||
			memcmp(x->uidl.p, y->uidl.p, x->uidl.n) != 0)
			return false;
	}
	return true;
}
