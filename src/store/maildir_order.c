/* POP order: the old server's places first, then by time and name; fresh among kept. */
#include "base/ascii.h"
#include "base/check.h"
#include "os/fd.h"
#include "store/item_sort.h"
#include "store/maildir_build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_ROOM      16384
#define ROW_TEXT_GUESS 64 /* octets of text of a row that is gone */

/* What decides the order of a row. */
struct rank {
	uint32_t place;
	uint64_t time;
	struct view key;
	uint64_t ino;
	uint32_t row;
};

static int
by_rank(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;
	size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	int r = memcmp(x->key.p, y->key.p, n);
	if (r != 0)
		return r;
	if (x->key.n != y->key.n)
		return x->key.n < y->key.n ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static struct rank
rank_of_fresh(const struct maildir_build *b, uint32_t i)
{
	const struct maildir_row *r = &b->t->rows[i];

	return (struct rank){r->place, b->times[i], maildir_key(b->t, r), r->ino, i};
}

int
maildir_order_of(const struct maildir_build *b, uint32_t x, uint32_t y)
{
	struct rank p = rank_of_fresh(b, x), q = rank_of_fresh(b, y);

	p.place = q.place = IDENTITY_NO_PLACE;
	return by_rank(&p, &q);
}

/* 0: the same place and time. */
static int
by_place_and_time(const struct maildir_build *b, uint32_t x, uint32_t y)
{
	const struct maildir_row *p = &b->t->rows[x], *q = &b->t->rows[y];

	if (p->place != q->place)
		return p->place < q->place ? -1 : 1;
	return b->times[x] < b->times[y] ? -1 : b->times[x] > b->times[y];
}

static bool
is_sorted(const struct maildir_build *b)
{
	for (uint32_t i = 1; i < b->n; i++) {
		int r = by_place_and_time(b, i - 1, i);
		if (r > 0)
			return false;
		struct rank x = rank_of_fresh(b, i - 1), y = rank_of_fresh(b, i);
		if (r == 0 && by_rank(&x, &y) > 0)
			return false;
	}
	return true;
}

/* Rows of one place and time, of which there are few, by name. */
static int
sort_run(const struct maildir_build *b, struct sort_item *run, size_t n)
{
	AUTO_FREE struct rank *ranks = calloc(n, sizeof(*ranks));

	if (!ranks)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ranks[i] = rank_of_fresh(b, run[i].idx);
	qsort(ranks, n, sizeof(*ranks), by_rank);
	for (size_t i = 0; i < n; i++)
		run[i].idx = ranks[i].row;
	return 0;
}

static int
sort_items(const struct maildir_build *b, struct sort_item *list)
{
	bool placed = false;
	int r = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		list[i] = (struct sort_item){b->times[i], i};
		placed |= b->t->rows[i].place != IDENTITY_NO_PLACE;
	}
	item_sort(list, list + b->n, b->n);
	if (placed) {
		for (uint32_t i = 0; i < b->n; i++)
			list[i].key = b->t->rows[list[i].idx].place;
		item_sort(list, list + b->n, b->n);
	}
	for (uint32_t from = 0, to; from < b->n && r == 0; from = to) {
		for (to = from + 1; to < b->n; to++)
			if (by_place_and_time(b, list[from].idx, list[to].idx) != 0)
				break;
		if (to - from > 1)
			r = sort_run(b, list + from, to - from);
	}
	return r;
}

int
maildir_sort(struct maildir_build *b)
{
	size_t n = (size_t)b->n + 1;

	if (is_sorted(b))
		return 0;
	AUTO_FREE struct sort_item *list = maildir_room(2 * n * sizeof(*list));
	AUTO_FREE uint32_t *match = calloc(n, sizeof(*match));
	AUTO_FREE uint64_t *times = calloc(n, sizeof(*times));
	AUTO_FREE struct maildir_row *rows = maildir_room(n * sizeof(*rows));
	if (!list || !match || !times || !rows)
		return -ENOMEM;
	int r = sort_items(b, list);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < b->n; i++) {
		rows[i] = b->t->rows[list[i].idx];
		match[i] = b->match[list[i].idx];
		times[i] = b->times[list[i].idx];
	}
	free(b->t->rows);
	b->t->rows = rows;
	rows = NULL;
	memcpy(b->match, match, b->n * sizeof(*match));
	memcpy(b->times, times, b->n * sizeof(*times));
	return 0;
}

/* ---- fresh among kept --------------------------------------------------------- */

/* The time that a key begins with, as maildir_name.c has it. */
static uint64_t
time_of_key(struct view key)
{
	uint64_t time = 0;
	size_t i = 0;

	for (; i < key.n && ascii_is_digit(key.p[i]); i++)
		if (__builtin_mul_overflow(time, UINT64_C(10), &time) ||
			__builtin_add_overflow(time, (uint64_t)(key.p[i] - '0'), &time))
			return UINT64_MAX;
	return i > 0 ? time : UINT64_MAX;
}

static bool
kept_is_first(const struct maildir_build *b, uint32_t idx, const struct rank *fresh)
{
	const struct maildir_row *k = &b->known->rows[idx];
	struct rank kept = {.place = k->place, .ino = k->ino};

	if (k->place != fresh->place)
		return k->place < fresh->place;
	kept.key = maildir_key(b->known, k);
	kept.time = time_of_key(kept.key);
	return by_rank(&kept, fresh) < 0;
}

bool
maildir_kept_is_first(const struct maildir_build *b, uint32_t idx, uint32_t i)
{
	struct rank fresh = rank_of_fresh(b, i);

	return kept_is_first(b, idx, &fresh);
}

struct merge {
	struct maildir_build *b;
	struct maildir_bytes text;
	bool whole;	/* known's text is taken as it is, and offsets stay */
	uint32_t shift; /* of offsets of fresh rows */
	struct maildir_row *rows;
	uint32_t n;
};

/* Whether known's text may stay as it is: little of it is of rows that are gone. */
static bool
is_worth_whole(const struct maildir_build *b)
{
	const struct maildir_table *k = b->known;

	if (k->names.p || k->stale > k->text.n / 2)
		return false;
	return b->kept_n >= k->pub.count / 2;
}

static int
merge_begin(struct merge *m)
{
	const struct maildir_table *k = m->b->known;
	const struct maildir_bytes *fresh = &m->b->t->text;

	if (!k || m->b->kept_n == 0) {
		m->whole = true;
		m->text = m->b->t->text;
		m->b->t->text = (struct maildir_bytes){.p = NULL};
		return 0;
	}
	m->whole = is_worth_whole(m->b);
	size_t base = m->whole ? k->text.n : 0;
	if (base + fresh->n > UINT32_MAX - 1)
		return -EFBIG;
	/* Room for what a few changes bring (maildir_patch.c). */
	m->text.cap = k->text.n + k->names.n + fresh->n;
	m->text.cap += m->text.cap / 64 + TEXT_ROOM;
	m->text.p = maildir_room(m->text.cap);
	if (!m->text.p)
		return -ENOMEM;
	if (m->whole)
		memcpy(m->text.p, k->text.p, base);
	if (fresh->n > 0)
		memcpy(m->text.p + base, fresh->p, fresh->n);
	m->text.n = base + fresh->n;
	m->shift = (uint32_t)base;
	return 0;
}

static int
take_kept(struct merge *m, uint32_t idx)
{
	const struct maildir_table *k = m->b->known;
	struct maildir_row *r = &m->rows[m->n];

	m->b->moved[idx] = m->n++;
	*r = k->rows[idx];
	r->flags = (uint8_t)(r->flags & ~(ROW_SHARED | ROW_LINKED));
	if (m->b->kept[idx] & MAILDIR_KEPT_LINKED)
		r->flags |= ROW_LINKED;
	if (m->b->kept[idx] & MAILDIR_KEPT_SHARED)
		r->flags |= ROW_SHARED;
	if (m->b->kept[idx] & MAILDIR_KEPT_SETTLED)
		r->flags |= ROW_SETTLED;
	if (m->whole)
		return 0;
	bool key_is_name = k->names.p == NULL && r->key_at == r->name_at;
	bool uidl_is_key = r->uidl_at == r->key_at;
	struct view key = maildir_key(k, r), uidl = maildir_row_uidl(k, r);
	int e = maildir_bytes_add(
		&m->text, maildir_row_name(k, r), r->name_n, &r->name_at);
	if (e == 0 && (key_is_name || memcmp(m->text.p + r->name_at, key.p, key.n) == 0))
		r->key_at = r->name_at;
	else if (e == 0)
		e = maildir_bytes_add(&m->text, key.p, key.n, &r->key_at);
	if (uidl_is_key)
		r->uidl_at = r->key_at;
	else if (e == 0)
		e = maildir_bytes_add(&m->text, uidl.p, uidl.n, &r->uidl_at);
	return e;
}

static void
take_fresh(struct merge *m, uint32_t i)
{
	struct maildir_row *r = &m->rows[m->n++];

	*r = m->b->t->rows[i];
	r->name_at += m->shift;
	r->key_at += m->shift;
	r->uidl_at += m->shift;
}

static int
merge_rows(struct merge *m)
{
	struct maildir_build *b = m->b;
	struct rank next = {.row = 0};
	uint32_t at = 0;
	int r = 0;

	if (b->n > 0)
		next = rank_of_fresh(b, 0);
	for (uint32_t i = 0; b->known && i < b->known->pub.count && r == 0; i++) {
		if (!b->kept[i])
			continue;
		while (at < b->n && !kept_is_first(b, i, &next)) {
			take_fresh(m, at++);
			if (at < b->n)
				next = rank_of_fresh(b, at);
		}
		r = take_kept(m, i);
	}
	while (at < b->n)
		take_fresh(m, at++);
	return r;
}

int
maildir_merge(struct maildir_build *b)
{
	struct merge m = {.b = b};
	uint32_t count = b->n + b->kept_n;
	AUTO_FREE struct maildir_row *rows =
		maildir_room(((size_t)count + 1) * sizeof(*rows));

	if (!rows)
		return -ENOMEM;
	m.rows = rows;
	int r = merge_begin(&m);
	/* Fresh rows are compared by what stands in their own text still. */
	struct maildir_bytes fresh = b->t->text;
	if (!fresh.p)
		b->t->text = m.text;
	if (r == 0)
		r = merge_rows(&m);
	b->t->text = m.text;
	if (fresh.p)
		free(fresh.p);
	if (r < 0)
		return r;
	CHECK(m.n == count);
	free(b->t->rows);
	b->t->rows = rows;
	rows = NULL;
	b->t->pub.count = count;
	if (m.shift > 0)
		b->t->stale = b->known->stale +
			(b->known->pub.count - b->kept_n) * (size_t)ROW_TEXT_GUESS;
	return 0;
}
