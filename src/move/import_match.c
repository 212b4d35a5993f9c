#include "move/import.h"

#include "base/ascii.h"
#include "move/import_fit.h"
#include "os/fd.h"
#include "store/maildir_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void
pair(struct import *im, uint32_t row, uint32_t message)
{
	im->rows[row].message = message + 1;
	im->messages[message].row = row + 1;
}

static void
part(struct import *im, struct import_row *r)
{
	if (r->message != 0)
		im->messages[r->message - 1].row = 0;
	r->message = 0;
}

static bool
is_free(const struct import_row *r)
{
	return r->fate == IMPORT_OPEN && r->message == 0;
}

/* ---- names ----------------------------------------------------------------------------
 */

static int
compare_keys(struct view a, struct view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (c != 0)
		return c;
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
by_key(const void *a, const void *b, void *arg)
{
	const struct import *im = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int c = compare_keys(im->messages[i].key, im->messages[j].key);

	return c != 0 ? c : i < j ? -1 : i > j;
}

/* The numbers of all messages, by their keys; marks those that share one. */
static uint32_t *
sorted_by_key(struct import *im)
{
	uint32_t *list = calloc((size_t)im->messages_n + 1, sizeof(*list));

	if (!list)
		return NULL;
	for (uint32_t i = 0; i < im->messages_n; i++)
		list[i] = i;
	qsort_r(list, im->messages_n, sizeof(*list), by_key, im);
	for (uint32_t i = 1; i < im->messages_n; i++) {
		struct import_message *a = &im->messages[list[i - 1]];
		struct import_message *b = &im->messages[list[i]];
		if (view_equal(a->key, b->key))
			a->twin = b->twin = true;
	}
	return list;
}

/* The first with this key; messages_n: none. */
static uint32_t
find_key(const struct import *im, const uint32_t *list, struct view key)
{
	uint32_t low = 0, high = im->messages_n;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (compare_keys(im->messages[list[middle]].key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < im->messages_n && view_equal(im->messages[list[low]].key, key))
		return low;
	return im->messages_n;
}

/* A list that names a file twice means the later row. Of two lists that disagree on its
 * UIDL one has clients who download it again. */
static uint8_t
fate_of_older(const struct import_row *older, const struct import_row *r)
{
	bool same = older->source == r->source || view_equal(older->uidl, r->uidl);

	return same ? IMPORT_GONE : IMPORT_NO_MATCH;
}

int
import_match_names(struct import *im)
{
	AUTO_FREE uint32_t *list = sorted_by_key(im);
	struct maildir_name name;

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < im->rows_n; i++) {
		struct import_row *r = &im->rows[i];
		if (!is_free(r) || !maildir_name_parse(r->name, &name))
			continue;
		uint32_t at = find_key(im, list, (struct view){name.key, name.key_n});
		if (at == im->messages_n)
			continue;
		struct import_message *m = &im->messages[list[at]];
		struct import_row *older = m->row != 0 ? &im->rows[m->row - 1] : NULL;
		/* Contents were compared, and say otherwise than the name. */
		if (m->marks && (r->marks || (older && older->marks)))
			continue;
		if (older) {
			part(im, older);
			older->fate = fate_of_older(older, r);
		}
		pair(im, i, list[at]);
	}
	return 0;
}

/* ---- size and header
 * -------------------------------------------------------------------- */

struct mark {
	const uint8_t *digest;
	uint64_t size; /* of rows; 0 for messages */
	uint32_t number;
};

static int
by_digest(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;
	int c = memcmp(x->digest, y->digest, MARKS_DIGEST);

	if (c != 0)
		return c;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* What is compared in one pass: the digest with k fields left out, or the Message-ID. */
#define PASS_ID (MARKS_RECEIVED_MAX + 1)
#define PASSES	(PASS_ID + 1)

static size_t
marks_of_rows(const struct import *im, uint8_t pass, struct mark *list)
{
	size_t n = 0;

	for (uint32_t i = 0; i < im->rows_n; i++) {
		const struct import_row *r = &im->rows[i];
		if (!is_free(r) || !r->marks || r->marks->n == 0)
			continue;
		if (pass == PASS_ID && !r->marks->has_id)
			continue;
		list[n++] = (struct mark){
			pass == PASS_ID ? r->marks->id : r->marks->digests[0], r->size,
			i};
	}
	qsort(list, n, sizeof(*list), by_digest);
	return n;
}

static size_t
marks_of_messages(const struct import *im, uint8_t pass, struct mark *list)
{
	size_t n = 0;

	for (uint32_t i = 0; i < im->messages_n; i++) {
		const struct import_message *m = &im->messages[i];
		if (m->row != 0 || !m->marks)
			continue;
		if (pass == PASS_ID ? !m->marks->has_id : pass >= m->marks->n)
			continue;
		list[n++] = (struct mark){
			pass == PASS_ID ? m->marks->id : m->marks->digests[pass], 0, i};
	}
	qsort(list, n, sizeof(*list), by_digest);
	return n;
}

/* One pass: rows and messages by their digests, and where those that fit are put. */
struct matching {
	struct import *im;
	struct mark *rows, *messages;
	struct import_fit fit;
	uint32_t *fits;
	uint8_t pass;
};

/* Whether messages that fit all of these rows, as many as they, may be paired in order:
 * they are the same to the octet, so that no client can tell, or have their names still.
 */
static bool
is_sure(const struct matching *x, const struct mark *rows, size_t n)
{
	const struct import_message *first = &x->im->messages[x->fits[0]];
	bool same = true, named = true;

	for (size_t i = 0; i < n; i++) {
		const struct import_message *m = &x->im->messages[x->fits[i]];
		same &= m->has_body && m->body == first->body;
		named &= view_equal(x->im->rows[rows[i].number].name, m->key);
	}
	return n == 1 || same || named;
}

/*
 * Rows of one digest and size, and the messages that fit. As many of each are paired in
 * order, if that is sure. Otherwise, or by Message-ID with more than one, it is not
 * clear.
 */
static void
settle(struct matching *x, const struct mark *rows, size_t n)
{
	/* One more than there are rows is enough to know that it is not clear. */
	uint32_t fit = import_fit_find(
		&x->fit, &x->im->rows[rows[0].number], x->fits, (uint32_t)n + 1);
	bool clear = fit == n && (x->pass != PASS_ID || fit == 1) && is_sure(x, rows, n);

	if (fit == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		if (clear)
			pair(x->im, rows[i].number, x->fits[i]);
		else
			x->im->rows[rows[i].number].fate = IMPORT_UNCLEAR;
	}
}

/* Rows of one digest, all those of one size at a time. */
static void
settle_sizes(struct matching *x, const struct mark *rows, size_t n)
{
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && rows[end].size == rows[i].size;)
			end++;
		settle(x, rows + i, end - i);
	}
}

static int
match_pass(struct matching *x)
{
	size_t rows_n = marks_of_rows(x->im, x->pass, x->rows);
	size_t messages_n = marks_of_messages(x->im, x->pass, x->messages);
	size_t at = 0;

	for (size_t i = 0, end; i < rows_n; i = end) {
		const uint8_t *digest = x->rows[i].digest;
		for (end = i + 1; end < rows_n; end++)
			if (memcmp(x->rows[end].digest, digest, MARKS_DIGEST) != 0)
				break;
		while (at < messages_n &&
			memcmp(x->messages[at].digest, digest, MARKS_DIGEST) < 0)
			at++;
		size_t last = at;
		while (last < messages_n &&
			memcmp(x->messages[last].digest, digest, MARKS_DIGEST) == 0)
			last++;
		int r = import_fit_begin(&x->fit, (uint32_t)(last - at));
		if (r < 0)
			return r;
		while (at < last)
			import_fit_add(&x->fit, x->messages[at++].number);
		import_fit_added(&x->fit);
		settle_sizes(x, x->rows + i, end - i);
	}
	return 0;
}

int
import_match_marks(struct import *im)
{
	AUTO_FREE struct mark *rows = calloc((size_t)im->rows_n + 1, sizeof(*rows));
	AUTO_FREE struct mark *messages =
		calloc((size_t)im->messages_n + 1, sizeof(*messages));
	AUTO_FREE uint32_t *fits = calloc((size_t)im->rows_n + 1, sizeof(*fits));
	struct matching x = {.im = im,
		.rows = rows,
		.messages = messages,
		.fits = fits,
		.fit = {.im = im}};
	int r = rows && messages && fits ? 0 : -ENOMEM;

	for (; r == 0 && x.pass < PASSES; x.pass++)
		r = match_pass(&x);
	import_fit_done(&x.fit);
	return r;
}

/* ---- the end
 * ------------------------------------------------------------------------------ */

/* Messages from i on that share a key with it, in list. */
static uint32_t
twins_end(const struct import *im, const uint32_t *list, uint32_t i)
{
	uint32_t end = i + 1;

	while (end < im->messages_n &&
		view_equal(im->messages[list[end]].key, im->messages[list[i]].key))
		end++;
	return end;
}

/* The log tells messages with one key apart by their order: all have rows, or none. */
static void
settle_twins(struct import *im, const uint32_t *list, uint32_t from, uint32_t end)
{
	bool all = im->is_mbox;

	for (uint32_t i = from; i < end; i++)
		all &= im->messages[list[i]].row != 0 &&
			im->rows[im->messages[list[i]].row - 1].fate == IMPORT_OPEN;
	for (uint32_t i = from; i < end && !all; i++) {
		uint32_t row = im->messages[list[i]].row;
		if (row != 0 && im->rows[row - 1].fate == IMPORT_OPEN)
			im->rows[row - 1].fate = IMPORT_UNCLEAR;
	}
}

int
import_match_end(struct import *im)
{
	AUTO_FREE uint32_t *list = sorted_by_key(im);

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < im->rows_n; i++)
		if (is_free(&im->rows[i]))
			im->rows[i].fate =
				im->rows[i].beside ? IMPORT_GONE : IMPORT_NO_MATCH;
	for (uint32_t i = 0, end; i < im->messages_n; i = end) {
		end = twins_end(im, list, i);
		if (end - i > 1)
			settle_twins(im, list, i, end);
	}
	return 0;
}
