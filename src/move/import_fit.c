#include "move/import_fit.h"

#include <errno.h>
#include <stdlib.h>

/* Servers count the octets of a message with CRLF, or as they are stored, and the end of
 * a last line that has none, or not. */
#define COUNTS 3

void
import_fit_done(struct import_fit *f)
{
	free(f->whole.entries);
	free(f->body.entries);
	*f = (struct import_fit){.im = NULL};
}

/* ---- the messages ---- */

static int
grow(struct fit_list *l, uint32_t n)
{
	void *p = reallocarray(l->entries, COUNTS * (size_t)n, sizeof(*l->entries));

	if (!p)
		return -ENOMEM;
	l->entries = p;
	return 0;
}

int
import_fit_begin(struct import_fit *f, uint32_t n)
{
	f->whole.n = f->body.n = 0;
	if (n <= f->cap)
		return 0;
	if (grow(&f->whole, n) < 0 || grow(&f->body, n) < 0)
		return -ENOMEM;
	f->cap = n;
	return 0;
}

static void
add(struct fit_list *l, uint32_t message, const uint64_t sizes[COUNTS])
{
	for (size_t i = 0; i < COUNTS; i++) {
		bool again = (i > 0 && sizes[i] == sizes[0]) ||
			(i > 1 && sizes[i] == sizes[1]);
		if (!again)
			l->entries[l->n++] =
				(struct fit_entry){.size = sizes[i], .message = message};
	}
}

void
import_fit_add(struct import_fit *f, uint32_t message)
{
	const struct import_message *m = &f->im->messages[message];
	uint64_t last = m->unfinished ? 2 : 0;
	uint64_t wire = m->body_wire + m->marks->wire;
	uint64_t stored = m->body_stored + m->marks->stored;

	add(&f->whole, message, (uint64_t[COUNTS]){wire, wire - last, stored});
	add(&f->body, message,
		(uint64_t[COUNTS]){m->body_wire, m->body_wire - last, m->body_stored});
}

static int
by_size(const void *a, const void *b)
{
	const struct fit_entry *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return x->message < y->message ? -1 : x->message > y->message;
}

static void
sort(struct fit_list *l)
{
	if (l->n > 0)
		qsort(l->entries, l->n, sizeof(*l->entries), by_size);
	for (uint32_t i = 0; i < l->n; i++)
		l->entries[i].next = i + 1;
}

void
import_fit_added(struct import_fit *f)
{
	sort(&f->whole);
	sort(&f->body);
}

/* ---- a row ---- */

static uint32_t
first_of(const struct fit_list *l, uint64_t size)
{
	uint32_t low = 0, high = l->n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (l->entries[middle].size < size)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_paired(const struct import_fit *f, const struct fit_list *l, uint32_t i)
{
	return i < l->n && f->im->messages[l->entries[i].message].row != 0;
}

/* The first free one of this size from i on; n: none. Paired ones stay paired, and ways
 * past them get shorter: else each row would go past all those before it. */
static uint32_t
free_of(const struct import_fit *f, struct fit_list *l, uint32_t i, uint64_t size)
{
	while (is_paired(f, l, i)) {
		struct fit_entry *e = &l->entries[i];
		if (is_paired(f, l, e->next))
			e->next = l->entries[e->next].next;
		i = e->next;
	}
	return i < l->n && l->entries[i].size == size ? i : l->n;
}

uint32_t
import_fit_find(
	struct import_fit *f, const struct import_row *r, uint32_t *ret, uint32_t max)
{
	struct fit_list *w = &f->whole, *b = &f->body;
	uint32_t n = 0;

	if (r->size == UINT64_MAX)
		return 0;
	uint64_t body = r->size - r->marks->wire;
	uint32_t i = first_of(w, r->size);
	uint32_t j = r->size < r->marks->wire ? b->n : first_of(b, body);
	while (n < max) {
		i = free_of(f, w, i, r->size);
		j = free_of(f, b, j, body);
		if (i == w->n && j == b->n)
			break;
		uint32_t x = i < w->n ? w->entries[i].message : UINT32_MAX;
		uint32_t y = j < b->n ? b->entries[j].message : UINT32_MAX;
		ret[n++] = x < y ? x : y;
		i += x <= y;
		j += y <= x;
	}
	return n;
}
