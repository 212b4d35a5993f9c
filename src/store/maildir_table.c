/* The table as a value: room for it, its hash of keys, what it shows to a client. */
#include "base/check.h"
#include "store/maildir_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define HUGE_OCTETS ((size_t)2 << 20)
#define ROOM_ALIGN  64

uint32_t
maildir_key_hash(struct view key)
{
	return (uint32_t)XXH3_64bits(key.p, key.n);
}

/* To fault a page in for each 4 KiB costs as much as to fill them. */
void *
maildir_room(size_t n)
{
	size_t align = n >= 2 * HUGE_OCTETS ? HUGE_OCTETS : ROOM_ALIGN;
	size_t size = (n + align) / align * align;
	void *room = aligned_alloc(align, size);

	if (room && align == HUGE_OCTETS)
		(void)madvise(room, size, MADV_HUGEPAGE);
	return room;
}

int
maildir_table_new(uint32_t count, unsigned dirs, struct maildir_table **ret)
{
	struct maildir_table *t = calloc(1, sizeof(*t));

	if (t) {
		t->refs = 1;
		t->pub.count = count;
		t->dirs = dirs;
		t->rows = maildir_room(((size_t)count + 1) * sizeof(*t->rows));
		t->ids = calloc(dirs, 2 * sizeof(*t->ids));
	}
	if (!t || !t->rows || !t->ids) {
		maildir_table_unref(&t);
		return -ENOMEM;
	}
	t->found = t->ids + dirs;
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
	if (t->block) {
		free(t->block);
	} else {
		free(t->rows);
		free(t->text.p);
	}
	free(t->messages);
	free(t->names.p);
	free(t->by_key);
	free(t->hashes);
	maildir_walks_free(&t->walks, t->dirs);
	free(t->ids);
	free(t);
}

bool
maildir_table_next(
	const struct maildir_table *t, struct view key, int64_t *slot, uint32_t *ret_idx)
{
	uint32_t at = *slot < 0 ? maildir_key_hash(key) : (uint32_t)*slot + 1;

	CHECK(t->by_key);
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

int
maildir_table_hashes(const struct maildir_table *table)
{
	struct maildir_table *t = (struct maildir_table *)(uintptr_t)table;

	if (t->hashes)
		return 0;
	t->hashes = malloc(((size_t)t->pub.count + 1) * sizeof(*t->hashes));
	if (!t->hashes)
		return -ENOMEM;
	t->uidls_are_keys = true;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		const struct maildir_row *r = &t->rows[i];
		t->hashes[i] = maildir_key_hash(maildir_key(t, r));
		if (r->uidl_at != r->key_at || r->uidl_n != r->key_n)
			t->uidls_are_keys = false;
	}
	return 0;
}

int
maildir_table_hash(struct maildir_table *t)
{
	if (t->by_key)
		return 0;
	int r = maildir_table_hashes(t);
	if (r < 0)
		return r;
	t->by_key_mask = maildir_hash_mask(t->pub.count);
	t->by_key = calloc((size_t)t->by_key_mask + 1, sizeof(*t->by_key));
	if (!t->by_key)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		uint32_t at = t->hashes[i] & t->by_key_mask;
		while (t->by_key[at] != 0)
			at = (at + 1) & t->by_key_mask;
		t->by_key[at] = i + 1;
	}
	return 0;
}

struct store_message
maildir_message_of(const struct maildir_table *t, const struct maildir_row *r)
{
	return (struct store_message){
		.wire = r->wire,
		.stored = r->stored,
		.wire_believed = !(r->flags & ROW_COUNTED),
		.as_is = r->flags & ROW_AS_IS,
		.seen = r->flags & ROW_SEEN,
		.uidl = maildir_row_uidl(t, r),
	};
}

int
maildir_table_finish(struct maildir_table *t)
{
	uint64_t octets = 0;
	bool overflow = false;

	t->messages = maildir_room(((size_t)t->pub.count + 1) * sizeof(*t->messages));
	if (!t->messages)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		overflow |= __builtin_add_overflow(octets, t->rows[i].wire, &octets);
		t->messages[i] = maildir_message_of(t, &t->rows[i]);
	}
	t->pub.messages = t->messages;
	t->pub.octets = octets;
	memcpy(t->found, t->ids, t->dirs * sizeof(*t->ids));
	t->found_racy = t->racy;
	return overflow ? -EOVERFLOW : 0;
}

static int
bytes_copy(const struct maildir_bytes *from, struct maildir_bytes *ret)
{
	if (!from->p)
		return 0;
	ret->p = malloc(from->n + 1);
	if (!ret->p)
		return -ENOMEM;
	memcpy(ret->p, from->p, from->n);
	ret->n = from->n;
	ret->cap = from->n + 1;
	return 0;
}

int
maildir_table_clone(const struct maildir_table *t, struct maildir_table **ret)
{
	struct maildir_table *c = NULL;
	int r = maildir_table_new(t->pub.count, t->dirs, &c);

	if (r < 0)
		return r;
	memcpy(c->rows, t->rows, t->pub.count * sizeof(*t->rows));
	memcpy(c->ids, t->ids, t->dirs * sizeof(*t->ids));
	c->racy = t->racy;
	c->log = t->log;
	c->stale = t->stale;
	r = bytes_copy(&t->names, &c->names);
	if (r == 0)
		r = bytes_copy(&t->text, &c->text);
	if (r == 0)
		r = maildir_table_finish(c);
	if (r < 0) {
		maildir_table_unref(&c);
		return r;
	}
	/* Places may have been looked up since the names were read. */
	memcpy(c->found, t->found, t->dirs * sizeof(*t->ids));
	c->found_racy = t->found_racy;
	*ret = c;
	return 0;
}

int
maildir_table_add_name(
	struct maildir_table *t, const char *name, size_t n, uint32_t *ret_at)
{
	if (!t->names.p) {
		int r = bytes_copy(&t->text, &t->names);
		if (r < 0)
			return r;
	}
	return maildir_bytes_add(&t->names, name, n, ret_at);
}

bool
maildir_message_same(const struct store_message *x, const struct store_message *y)
{
	return x->wire == y->wire && x->seen == y->seen && x->uidl.n == y->uidl.n &&
		memcmp(x->uidl.p, y->uidl.p, x->uidl.n) == 0;
}

bool
maildir_table_same(const struct maildir_table *a, const struct maildir_table *b)
{
	if (a->pub.count != b->pub.count)
		return false;
	for (uint32_t i = 0; i < a->pub.count; i++)
		if (!maildir_message_same(&a->messages[i], &b->messages[i]))
			return false;
	return true;
}
