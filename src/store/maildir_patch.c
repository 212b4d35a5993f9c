/*
 * A table in which a few rows took the places of others: somebody changed flags. What the
 * known one has is taken over and changed in place; to copy a large one costs as much as
 * to read its directory again does.
 */
#include "base/check.h"
#include "store/maildir_build.h"

#include <stdlib.h>
#include <string.h>

#define PATCH_MAX 64 /* rows; and the table has at least so many times them: */
#define PATCH_OF  16

/* Fresh row i belongs where known row `hole` was, between those that stay around it. */
static bool
fits(const struct maildir_build *b, uint32_t i, uint32_t hole)
{
	uint32_t next = hole + 1;

	for (uint32_t at = hole; at > 0; at--)
		if (b->kept[at - 1]) {
			if (!maildir_kept_is_first(b, at - 1, i))
				return false;
			break;
		}
	while (next < b->known->pub.count && !b->kept[next])
		next++;
	return next == b->known->pub.count || !maildir_kept_is_first(b, next, i);
}

/* The places of fresh rows; holes has room for them. */
static bool
find_holes(const struct maildir_build *b, uint32_t *holes)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->known->pub.count; i++) {
		if (b->kept[i] == MAILDIR_KEPT)
			continue;
		/* Something is to be changed in a row that stays. */
		if (b->kept[i] != 0 || n == b->n)
			return false;
		holes[n++] = i;
	}
	if (n != b->n)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!fits(b, i, holes[i]))
			return false;
	return true;
}

static bool
is_fit(const struct maildir_build *b)
{
	const struct maildir_table *k = b->known;

	/* A table that a session holds stays as it is. */
	if (!k || k->refs != 1 || k->names.p || b->t->moved > 0)
		return false;
	if (b->n > PATCH_MAX || b->n > k->pub.count / PATCH_OF)
		return false;
	if (b->scan->known_linked || b->scan->known_shared || !k->hashes)
		return false;
	return b->t->text.n <= k->text.cap - k->text.n;
}

static void
take_over(struct maildir_table *t, struct maildir_table *k)
{
	free(t->rows);
	free(t->text.p);
	t->rows = k->rows;
	t->text = k->text;
	t->block = k->block;
	t->stale = k->stale;
	t->messages = k->messages;
	t->hashes = k->hashes;
	t->uidls_are_keys = k->uidls_are_keys;
	t->pub.count = k->pub.count;
	t->pub.octets = k->pub.octets;
	t->pub.messages = t->messages;
	k->rows = NULL;
	k->text = (struct maildir_bytes){.p = NULL};
	k->block = NULL;
	k->messages = NULL;
	k->hashes = NULL;
	k->pub.messages = NULL;
	k->pub.count = 0;
}

static void
put_row(struct maildir_table *t, uint32_t at, const struct maildir_row *fresh)
{
	struct store_message now = maildir_message_of(t, fresh);

	t->as_before = t->as_before && maildir_message_same(&t->messages[at], &now);
	t->pub.octets = t->pub.octets - t->rows[at].wire + fresh->wire;
	t->stale += t->rows[at].name_n + 1U;
	t->rows[at] = *fresh;
	t->messages[at] = now;
	t->hashes[at] = maildir_key_hash(maildir_key(t, fresh));
	if (fresh->uidl_at != fresh->key_at || fresh->uidl_n != fresh->key_n)
		t->uidls_are_keys = false;
}

bool
maildir_patch(struct maildir_build *b, struct maildir_table *known)
{
	uint32_t holes[PATCH_MAX];
	struct maildir_row fresh[PATCH_MAX];

	CHECK(known == b->known);
	if (!is_fit(b) || !find_holes(b, holes))
		return false;
	uint64_t octets = known->pub.octets;
	for (uint32_t i = 0; i < b->n; i++)
		if (__builtin_add_overflow(octets, b->t->rows[i].wire, &octets))
			return false;
	uint32_t shift = (uint32_t)known->text.n;
	memcpy(known->text.p + shift, b->t->text.p, b->t->text.n);
	known->text.n += b->t->text.n;
	memcpy(fresh, b->t->rows, b->n * sizeof(*fresh));
	for (uint32_t i = 0; i < known->pub.count; i++)
		b->moved[i] = i;
	take_over(b->t, known);
	b->t->as_before = true;
	for (uint32_t i = 0; i < b->n; i++) {
		fresh[i].name_at += shift;
		fresh[i].key_at += shift;
		fresh[i].uidl_at += shift;
		put_row(b->t, holes[i], &fresh[i]);
	}
	memcpy(b->t->found, b->t->ids, b->t->dirs * sizeof(*b->t->ids));
	b->t->found_racy = b->t->racy;
	return true;
}
