#include "move/import.h"

#include "base/ascii.h"
#include "os/fd.h"
#include "store/identity.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_OCTETS ((size_t)256 * 1024)

struct import_chunk {
	struct import_chunk *next;
	size_t n, cap;
	_Alignas(16) uint8_t octets[];
};

void *
import_room(struct import *im, size_t n)
{
	struct import_chunk *c = im->chunks;
	size_t need = (n + 15) & ~(size_t)15;

	if (!c || c->cap - c->n < need) {
		size_t cap = need > CHUNK_OCTETS ? need : CHUNK_OCTETS;
		c = malloc(sizeof(*c) + cap);
		if (!c) {
			im->no_memory = true;
			return NULL;
		}
		c->n = 0;
		c->cap = cap;
		c->next = im->chunks;
		im->chunks = c;
	}
	void *p = c->octets + c->n;
	c->n += need;
	return p;
}

struct view
import_keep(struct import *im, struct view v)
{
	uint8_t *p = import_room(im, v.n + 1);

	if (!p)
		return (struct view){NULL, 0};
	if (v.n > 0)
		memcpy(p, v.p, v.n);
	p[v.n] = '\0';
	return (struct view){p, v.n};
}

void
import_done(struct import *im)
{
	while (im->chunks) {
		struct import_chunk *next = im->chunks->next;
		free(im->chunks);
		im->chunks = next;
	}
	free(im->rows);
	free(im->messages);
	*im = (struct import){.rows_n = 0};
}

/* Room for one more of size octets, zeroed. */
static void *
grow(struct import *im, void *list, uint32_t n, uint32_t *cap, size_t size)
{
	if (n == *cap) {
		uint32_t more = *cap ? *cap * 2 : 256;
		void *p = n < IMPORT_ROWS_MAX ? reallocarray(list, more, size) : NULL;
		if (!p) {
			im->no_memory = true;
			return NULL;
		}
		list = p;
		*cap = more;
	}
	memset((char *)list + n * size, 0, size);
	return list;
}

struct import_row *
import_row_add(struct import *im)
{
	void *p = grow(im, im->rows, im->rows_n, &im->rows_cap, sizeof(*im->rows));

	if (!p)
		return NULL;
	im->rows = p;
	return &im->rows[im->rows_n++];
}

void
import_rows_came(struct import *im, uint32_t first, size_t source, bool beside)
{
	for (uint32_t i = first; i < im->rows_n; i++) {
		im->rows[i].source = (uint8_t)source;
		im->rows[i].beside = beside;
	}
}

struct import_message *
import_message_add(struct import *im)
{
	void *p = grow(im, im->messages, im->messages_n, &im->messages_cap,
		sizeof(*im->messages));

	if (!p)
		return NULL;
	im->messages = p;
	return &im->messages[im->messages_n++];
}

/* ---- places and UIDLs
 * ------------------------------------------------------------------ */

static int
by_order(const void *a, const void *b, void *arg)
{
	const struct import *im = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct import_row *x = &im->rows[i], *y = &im->rows[j];

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return i < j ? -1 : i > j;
}

static uint32_t *
row_numbers(const struct import *im)
{
	uint32_t *list = calloc((size_t)im->rows_n + 1, sizeof(*list));

	for (uint32_t i = 0; list && i < im->rows_n; i++)
		list[i] = i;
	return list;
}

int
import_places(struct import *im)
{
	AUTO_FREE uint32_t *list = row_numbers(im);

	if (!list)
		return -ENOMEM;
	qsort_r(list, im->rows_n, sizeof(*list), by_order, im);
	for (uint32_t i = 0; i < im->rows_n; i++)
		im->rows[list[i]].place = i;
	return 0;
}

static int
compare_views(struct view a, struct view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
by_uidl(const void *a, const void *b, void *arg)
{
	const struct import *im = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int c = compare_views(im->rows[i].uidl, im->rows[j].uidl);

	return c != 0 ? c : i < j ? -1 : i > j;
}

static bool
is_legal(struct view uidl)
{
	if (uidl.n < 1 || uidl.n > IDENTITY_UIDL_MAX)
		return false;
	for (size_t i = 0; i < uidl.n; i++)
		if (!ascii_is_graph(uidl.p[i]))
			return false;
	return true;
}

/* A row that already has its end decides nothing for others. */
static bool
is_alive(const struct import_row *r)
{
	return r->fate == IMPORT_OPEN;
}

int
import_check_uidls(struct import *im)
{
	AUTO_FREE uint32_t *list = row_numbers(im);
	const struct import_row *last = NULL;

	if (!list)
		return -ENOMEM;
	qsort_r(list, im->rows_n, sizeof(*list), by_uidl, im);
	for (uint32_t i = 0; i < im->rows_n; i++) {
		struct import_row *r = &im->rows[list[i]];
		if (!is_alive(r))
			continue;
		if (!is_legal(r->uidl))
			r->fate = IMPORT_ILLEGAL;
		else if (last && view_equal(last->uidl, r->uidl))
			r->fate = IMPORT_DUPLICATE;
		else
			last = r;
	}
	return 0;
}

void
import_count(struct import *im)
{
	uint32_t unreadable = im->counts[IMPORT_UNREADABLE];

	memset(im->counts, 0, sizeof(im->counts));
	im->counts[IMPORT_UNREADABLE] = unreadable;
	im->strangers = im->messages_n;
	im->longs = 0;
	for (uint32_t i = 0; i < im->rows_n; i++) {
		const struct import_row *r = &im->rows[i];
		im->counts[r->fate]++;
		if (r->message != 0)
			im->strangers--;
		if (r->fate == IMPORT_TAKEN && r->uidl.n > 70)
			im->longs++;
	}
}

const char *
import_fate_word(enum import_fate f)
{
	static const char *const words[] = {
#define FATE(NAME, word, why) [IMPORT_##NAME] = word,
		IMPORT_FATES(FATE)
#undef FATE
	};

	return words[f];
}

const char *
import_fate_why(enum import_fate f)
{
	static const char *const reasons[] = {
#define FATE(NAME, word, why) [IMPORT_##NAME] = why,
		IMPORT_FATES(FATE)
#undef FATE
	};

	return reasons[f];
}
