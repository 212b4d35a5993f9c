/* The table as a value: room for it, its hash of UIDLs, what it shows to a client. */
#include "base/check.h"
#include "store/mbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int
mbox_text_add(struct mbox_text *x, const void *p, size_t n, uint32_t *ret_at)
{
	if (n > UINT32_MAX - 1 - x->n)
		return -EFBIG;
	if (x->n + n > x->cap) {
		size_t cap = x->cap < 1024 ? 1024 : x->cap * 2;
		while (cap < x->n + n)
			cap *= 2;
		char *grown = realloc(x->p, cap);
		if (!grown)
			return -ENOMEM;
		x->p = grown;
		x->cap = cap;
	}
	if (n > 0)
		memcpy(x->p + x->n, p, n);
	*ret_at = (uint32_t)x->n;
	x->n += n;
	return 0;
}

int
mbox_table_new(size_t cap, struct mbox_table **ret)
{
	struct mbox_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->refs = 1;
	t->cap = cap > 0 ? cap : 16;
	t->rows = calloc(t->cap, sizeof(*t->rows));
	if (!t->rows) {
		mbox_table_unref(&t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

void
mbox_table_unref(struct mbox_table **tp)
{
	struct mbox_table *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	CHECK(t->refs > 0);
	if (--t->refs > 0)
		return;
	free(t->rows);
	free(t->messages);
	free(t->text.p);
	free(t->by_uidl);
	free(t);
}

int
mbox_table_add(struct mbox_table *t, const struct mbox_row *row)
{
	if (t->pub.count == MBOX_MESSAGES_MAX)
		return -EFBIG;
	if (t->pub.count == t->cap) {
		struct mbox_row *grown =
			reallocarray(t->rows, t->cap * 2, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->rows = grown;
		t->cap *= 2;
	}
	t->rows[t->pub.count++] = *row;
	return 0;
}

static uint32_t
uidl_slot(const struct mbox_table *t, struct view uidl)
{
	uint32_t at = (uint32_t)XXH3_64bits(uidl.p, uidl.n) & t->by_uidl_mask;

	for (; t->by_uidl[at] != 0; at = (at + 1) & t->by_uidl_mask) {
		struct view v = mbox_row_uidl(t, &t->rows[t->by_uidl[at] - 1]);
		if (v.n == uidl.n && memcmp(v.p, uidl.p, v.n) == 0)
			break;
	}
	return at;
}

bool
mbox_table_find(const struct mbox_table *t, struct view uidl, uint32_t *ret_idx)
{
	uint32_t row = t->by_uidl ? t->by_uidl[uidl_slot(t, uidl)] : 0;

	if (row == 0)
		return false;
	*ret_idx = row - 1;
	return true;
}

static int
hash_uidls(struct mbox_table *t)
{
	t->by_uidl_mask = mbox_hash_mask(t->pub.count);
	t->by_uidl = calloc((size_t)t->by_uidl_mask + 1, sizeof(*t->by_uidl));
	if (!t->by_uidl)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		uint32_t at = uidl_slot(t, mbox_row_uidl(t, &t->rows[i]));
		if (t->by_uidl[at] != 0)
			return -EINVAL;
		t->by_uidl[at] = i + 1;
	}
	return 0;
}

int
mbox_table_finish(struct mbox_table *t)
{
	CHECK(!t->messages);
	t->messages = calloc((size_t)t->pub.count + 1, sizeof(*t->messages));
	if (!t->messages)
		return -ENOMEM;
	t->pub.messages = t->messages;
	t->pub.octets = 0;
	for (uint32_t i = 0; i < t->pub.count; i++) {
		const struct mbox_row *r = &t->rows[i];
		if (__builtin_add_overflow(t->pub.octets, r->wire, &t->pub.octets))
			return -EOVERFLOW;
		t->messages[i] = (struct store_message){
			.wire = r->wire,
			.stored = r->length,
			.as_is = r->flags & MBOX_AS_IS,
			.seen = r->flags & MBOX_SEEN,
			.uidl = mbox_row_uidl(t, r),
		};
	}
	return hash_uidls(t);
}

bool
mbox_table_same(const struct mbox_table *a, const struct mbox_table *b)
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

int
mbox_table_copy(const struct mbox_table *t, uint32_t n, struct mbox_table **ret)
{
	struct mbox_table *c = NULL;
	uint32_t at;

	CHECK(n <= t->pub.count);
	int r = mbox_table_new((size_t)n + n / 8 + 16, &c);
	if (r < 0)
		return r;
	r = mbox_text_add(&c->text, t->text.p, t->text.n, &at);
	if (r < 0) {
		mbox_table_unref(&c);
		return r;
	}
	if (n > 0)
		memcpy(c->rows, t->rows, n * sizeof(*t->rows));
	c->pub.count = n;
	for (uint32_t i = 0; i < n; i++)
		c->rows[i].flags |= MBOX_GIVEN;
	c->how = t->how;
	*ret = c;
	return 0;
}
