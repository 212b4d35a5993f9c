/* UIDLs: the key where RFC 1939 s.7 allows it, a stable hash where not, no two the same.
 */
#include "base/check.h"
#include "os/fd.h"
#include "store/maildir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

struct uidl_set {
	uint32_t *slots; /* row + 1 */
	uint32_t mask;
};

/* False if another row has this UIDL already. */
static bool
uidl_take(const struct maildir_table *t, struct uidl_set *set, uint32_t i)
{
	const struct maildir_row *r = &t->rows[i];
	const char *uidl = t->text.p + r->uidl_at;
	uint32_t at = (uint32_t)XXH3_64bits(uidl, r->uidl_n) & set->mask;

	for (; set->slots[at] != 0; at = (at + 1) & set->mask) {
		const struct maildir_row *o = &t->rows[set->slots[at] - 1];
		if (o->uidl_n == r->uidl_n &&
			memcmp(t->text.p + o->uidl_at, uidl, r->uidl_n) == 0)
			return false;
	}
	set->slots[at] = i + 1;
	return true;
}

int
maildir_uidls_differ(const struct maildir_table *t)
{
	uint32_t mask = maildir_hash_mask(t->pub.count);
	AUTO_FREE uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	struct uidl_set set = {slots, mask};

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->pub.count; i++)
		if (!uidl_take(t, &set, i))
			return -EINVAL;
	return 0;
}

static int
uidl_set_to(struct maildir_table *t, uint32_t i, const void *uidl, uint8_t n)
{
	struct maildir_row *r = &t->rows[i];

	r->uidl_n = n;
	/* Mostly the key: it stands in the text already. */
	if (n == r->key_n && memcmp(t->text.p + r->key_at, uidl, n) == 0) {
		r->uidl_at = r->key_at;
		return 0;
	}
	return maildir_bytes_add(&t->text, uidl, n, &r->uidl_at);
}

static int
uidl_make(struct maildir_table *t, struct uidl_set *set, uint32_t i)
{
	struct maildir_row *r = &t->rows[i];
	uint8_t hashed[MAILDIR_UIDL_HASHED];
	struct maildir_name name;
	struct view v = {(const uint8_t *)maildir_row_name(t, r), r->name_n};

	CHECK(maildir_name_parse(v, &name));
	struct view key = {name.key, name.key_n};
	if (maildir_uidl_legal(key)) {
		r->uidl_at = r->key_at;
		r->uidl_n = r->key_n;
	} else {
		maildir_uidl_hash(key, 0, 0, hashed);
		int e = uidl_set_to(t, i, hashed, sizeof(hashed));
		if (e < 0)
			return e;
	}
	for (uint32_t attempt = 1; !uidl_take(t, set, i); attempt++) {
		maildir_uidl_hash(key, r->ino, attempt, hashed);
		int e = uidl_set_to(t, i, hashed, sizeof(hashed));
		if (e < 0)
			return e;
	}
	return 0;
}

/* Rows that had a UIDL keep it; then the others in order, so that a late twin gets
 * another. */
int
maildir_uidls_assign(struct maildir_table *t, uint32_t n,
	const struct maildir_table *known, uint32_t *match)
{
	uint32_t mask = maildir_hash_mask(n);
	AUTO_FREE uint32_t *slots = calloc((size_t)mask + 1, sizeof(*slots));
	struct uidl_set set = {slots, mask};
	int r = 0;

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < n && r == 0; i++) {
		if (match[i] == 0)
			continue;
		const struct maildir_row *k = &known->rows[match[i] - 1];
		r = uidl_set_to(t, i, known->text.p + k->uidl_at, k->uidl_n);
		if (r == 0 && !uidl_take(t, &set, i))
			match[i] = 0;
	}
	for (uint32_t i = 0; i < n && r == 0; i++)
		if (match[i] == 0)
			r = uidl_make(t, &set, i);
	return r;
}
