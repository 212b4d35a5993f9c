/*
 * compare_lists.c: which message of NEW is which of OLD. Pure.
 *
 * Four joins, each over the rows that are still without a partner: UIDL with header,
 * UIDL, header with all else, header. A join sorts row numbers of both sides by a key and
 * walks them together, so that a server with 100000 equal UIDLs costs no more than
 * others.
 */
#include "move/compare_lists.h"

#include "base/check.h"

#include <string.h>

enum key { KEY_UIDL_HEADER, KEY_UIDL, KEY_ALL, KEY_HEADER, KEY_SIZE };

static int
by_view(struct view a, struct view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

static int
by_all(const struct compare_message *a, const struct compare_message *b)
{
	int c = memcmp(a->header, b->header, MESSAGE_DIGEST_OCTETS);

	if (c == 0)
		c = (a->has_whole > b->has_whole) - (a->has_whole < b->has_whole);
	if (c == 0 && a->has_whole)
		c = memcmp(a->whole, b->whole, MESSAGE_DIGEST_OCTETS);
	return c != 0 ? c : (a->size > b->size) - (a->size < b->size);
}

static int
by_key(enum key key, const struct compare_message *a, const struct compare_message *b)
{
	int c;

	switch (key) {
	case KEY_UIDL_HEADER:
		c = by_view(a->uidl, b->uidl);
		return c != 0 ? c : memcmp(a->header, b->header, MESSAGE_DIGEST_OCTETS);
	case KEY_UIDL: return by_view(a->uidl, b->uidl);
	case KEY_ALL: return by_all(a, b);
	case KEY_HEADER: return memcmp(a->header, b->header, MESSAGE_DIGEST_OCTETS);
	case KEY_SIZE: return (a->size > b->size) - (a->size < b->size);
	}
	UNREACHABLE();
}

static bool
has_key(enum key key, const struct compare_message *m)
{
	switch (key) {
	case KEY_UIDL_HEADER: return m->uidl.p && m->has_header;
	case KEY_UIDL: return m->uidl.p != NULL;
	case KEY_ALL:
	case KEY_HEADER: return m->has_header;
	case KEY_SIZE: return true;
	}
	UNREACHABLE();
}

/* ---- a heap sort: in place, and no input makes it slow ---- */

static bool
is_before(const struct compare_side *s, enum key key, uint32_t a, uint32_t b)
{
	int c = by_key(key, &s->messages[a], &s->messages[b]);

	return c != 0 ? c < 0 : a < b;
}

static void
sift(const struct compare_side *s, enum key key, uint32_t at, uint32_t n)
{
	uint32_t row = s->order[at];

	for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
		if (child + 1 < n &&
			is_before(s, key, s->order[child], s->order[child + 1]))
			child++;
		if (!is_before(s, key, row, s->order[child]))
			break;
		s->order[at] = s->order[child];
	}
	s->order[at] = row;
}

static void
sort(const struct compare_side *s, enum key key, uint32_t n)
{
	for (uint32_t at = n / 2; at > 0; at--)
		sift(s, key, at - 1, n);
	for (uint32_t end = n; end > 1; end--) {
		uint32_t top = s->order[0];

		s->order[0] = s->order[end - 1];
		s->order[end - 1] = top;
		sift(s, key, 0, end - 1);
	}
}

/* The rows that have the key and, unless `taken` ones count too, no partner. */
static uint32_t
collect(const struct compare_side *s, enum key key, bool taken)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct compare_message *m = &s->messages[i];
		if (has_key(key, m) && (taken || m->partner == 0))
			s->order[n++] = i;
	}
	sort(s, key, n);
	return n;
}

/* ---- joins ---- */

static void
join_rows(struct compare_pair *p, enum key key, uint32_t i, uint32_t j)
{
	struct compare_message *old = &p->old.messages[i], *new = &p->new.messages[j];

	if (key == KEY_UIDL && old->has_header && new->has_header) {
		old->reused = new->reused = true;
		old->rival = j + 1;
		new->rival = i + 1;
		p->reused++;
		return;
	}
	old->partner = j + 1;
	new->partner = i + 1;
	p->matched++;
}

static void
join(struct compare_pair *p, enum key key)
{
	uint32_t old_n = collect(&p->old, key, false);
	uint32_t new_n = collect(&p->new, key, false);
	uint32_t i = 0, j = 0;

	while (i < old_n && j < new_n) {
		int c = by_key(key, &p->old.messages[p->old.order[i]],
			&p->new.messages[p->new.order[j]]);
		if (c == 0)
			join_rows(p, key, p->old.order[i], p->new.order[j]);
		i += c <= 0;
		j += c >= 0;
	}
}

static void
mark_duplicates(const struct compare_side *s)
{
	uint32_t n = collect(s, KEY_UIDL, true);

	for (uint32_t i = 1; i < n; i++) {
		struct compare_message *a = &s->messages[s->order[i - 1]];
		struct compare_message *b = &s->messages[s->order[i]];
		if (by_key(KEY_UIDL, a, b) == 0)
			a->duplicate = b->duplicate = true;
	}
}

static void
forget(const struct compare_side *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		s->messages[i].partner = 0;
		s->messages[i].duplicate = s->messages[i].reused = false;
		s->messages[i].again = false;
	}
}

/* Those of NEW that are left and those of OLD, whether left or not, that have one key:
 * each row is found with the first of the other side at least. */
static void
meet(const struct compare_pair *p, enum key key,
	void (*found)(struct compare_message *old, struct compare_message *new))
{
	struct compare_message *old = p->old.messages, *new = p->new.messages;
	const uint32_t *x = p->old.order, *y = p->new.order;
	uint32_t old_n = collect(&p->old, key, true);
	uint32_t new_n = collect(&p->new, key, false);
	uint32_t i = 0, j = 0;

	while (i < old_n && j < new_n) {
		uint32_t first = i, here = j;
		int c = by_key(key, &old[x[i]], &new[y[j]]);
		i += c < 0;
		j += c > 0;
		if (c != 0)
			continue;
		for (; i < old_n && by_key(key, &old[x[i]], &new[y[here]]) == 0; i++)
			found(&old[x[i]], &new[y[here]]);
		for (; j < new_n && by_key(key, &old[x[first]], &new[y[j]]) == 0; j++)
			found(&old[x[first]], &new[y[j]]);
	}
}

static void
is_there_again(struct compare_message *old, struct compare_message *new)
{
	new->again = new->again || !old->has_whole || !new->has_whole ||
		memcmp(old->whole, new->whole, MESSAGE_DIGEST_OCTETS) == 0;
}

void
compare_match(struct compare_pair *p)
{
	CHECK(p->old.n == 0 || p->old.order);
	CHECK(p->new.n == 0 || p->new.order);
	forget(&p->old);
	forget(&p->new);
	p->matched = p->reused = 0;
	mark_duplicates(&p->old);
	mark_duplicates(&p->new);
	join(p, KEY_UIDL_HEADER);
	join(p, KEY_UIDL);
	join(p, KEY_ALL);
	join(p, KEY_HEADER);
	meet(p, KEY_HEADER, is_there_again);
	p->old_left = p->old.n - p->matched;
	p->new_left = p->new.n - p->matched;
}

/* ---- which headers are needed ---- */

static bool
is_doubtful(const struct compare_pair *p, const struct compare_message *old)
{
	if (old->partner == 0)
		return p->new_left > 0;
	const struct compare_message *new = &p->new.messages[old->partner - 1];
	return old->duplicate || new->duplicate || old->size != new->size;
}

static void
want(struct compare_pair *p, struct compare_message *old)
{
	old->want = true;
	if (old->partner > 0)
		p->new.messages[old->partner - 1].want = true;
}

static void
want_both(struct compare_message *old, struct compare_message *new)
{
	old->want = new->want = true;
}

static uint64_t
count_wanted(const struct compare_side *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->n; i++)
		n += s->messages[i].want && !s->messages[i].has_header &&
			!s->messages[i].refused;
	return n;
}

/* Of n rows as many as sample says, the distances as equal as can be. */
static bool
is_picked(uint32_t i, uint32_t n, uint32_t sample, uint64_t seed)
{
	uint64_t at = ((uint64_t)i + seed % n) % n;

	if (sample >= n)
		return true;
	return (at + 1) * sample / n > at * sample / n;
}

uint64_t
compare_want(struct compare_pair *p, uint32_t sample, uint64_t seed, bool all)
{
	uint32_t sure = 0;

	for (uint32_t i = 0; i < p->old.n; i++) {
		struct compare_message *old = &p->old.messages[i];
		bool picked = false;

		if (old->partner > 0)
			picked = is_picked(sure++, p->matched, sample, seed);
		if (all || picked || is_doubtful(p, old))
			want(p, old);
	}
	for (uint32_t i = 0; i < p->new.n; i++) {
		struct compare_message *new = &p->new.messages[i];
		if (all || (new->partner == 0 && p->old_left > 0))
			new->want = true;
	}
	meet(p, KEY_SIZE, want_both);
	return count_wanted(&p->old) + count_wanted(&p->new);
}
