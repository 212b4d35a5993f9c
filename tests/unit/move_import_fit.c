/* Rows and messages that are alike: what is decided of them is what the slow rule says,
 * and many of them take no long time. */
#include "unit.h"

#include "base/ascii.h"
#include "move/import.h"

#include <stdlib.h>
#include <string.h>

static struct view
text(struct import *im, const char *s)
{
	return import_keep(im, (struct view){(const uint8_t *)s, strlen(s)});
}

/* ---- the rule itself, slowly: every row against every message of its digest ---- */

static void
slow_pair(struct import *im, uint32_t row, uint32_t message)
{
	im->rows[row].message = message + 1;
	im->messages[message].row = row + 1;
}

static bool
sizes_agree(const struct import_row *r, const struct import_message *m)
{
	uint64_t last = m->unfinished ? 2 : 0;
	uint64_t body = r->size - r->marks->wire;
	uint64_t wire = m->body_wire + m->marks->wire;

	if (r->size == UINT64_MAX)
		return false;
	if (r->size == wire || r->size == wire - last ||
		r->size == m->body_stored + m->marks->stored)
		return true;
	if (r->size < r->marks->wire)
		return false;
	return body == m->body_wire || body == m->body_wire - last ||
		body == m->body_stored;
}

struct mark {
	const uint8_t *digest;
	uint64_t size;
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

#define PASS_ID (MARKS_RECEIVED_MAX + 1)
#define PASSES	(PASS_ID + 1)

static size_t
marks_of_rows(const struct import *im, uint8_t pass, struct mark *list)
{
	size_t n = 0;

	for (uint32_t i = 0; i < im->rows_n; i++) {
		const struct import_row *r = &im->rows[i];
		if ((r->fate != IMPORT_OPEN || r->message != 0) || !r->marks ||
			r->marks->n == 0)
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

static bool
is_sure(const struct import *im, const struct mark *rows, const struct mark *messages,
	size_t messages_n)
{
	const struct import_row *r = &im->rows[rows[0].number];
	const struct import_message *first = NULL;
	bool same = true, named = true;
	size_t next = 0;

	for (size_t i = 0; i < messages_n; i++) {
		const struct import_message *m = &im->messages[messages[i].number];
		if (m->row != 0 || !sizes_agree(r, m))
			continue;
		first = first ? first : m;
		same &= m->has_body && m->body == first->body;
		named &= view_equal(im->rows[rows[next++].number].name, m->key);
	}
	return next == 1 || same || named;
}

static void
slow_settle(struct import *im, uint8_t pass, const struct mark *rows, size_t rows_n,
	const struct mark *messages, size_t messages_n)
{
	const struct import_row *r = &im->rows[rows[0].number];
	size_t fit = 0, next = 0;

	for (size_t i = 0; i < messages_n; i++) {
		const struct import_message *m = &im->messages[messages[i].number];
		fit += m->row == 0 && sizes_agree(r, m);
	}
	if (fit == 0)
		return;
	if (fit != rows_n || (pass == PASS_ID && fit > 1) ||
		!is_sure(im, rows, messages, messages_n)) {
		for (size_t i = 0; i < rows_n; i++)
			im->rows[rows[i].number].fate = IMPORT_UNCLEAR;
		return;
	}
	for (size_t i = 0; i < messages_n && next < rows_n; i++) {
		const struct import_message *m = &im->messages[messages[i].number];
		if (m->row == 0 && sizes_agree(r, m))
			slow_pair(im, rows[next++].number, messages[i].number);
	}
}

static void
match_pass(struct import *im, uint8_t pass, struct mark *rows, struct mark *messages)
{
	size_t rows_n = marks_of_rows(im, pass, rows);
	size_t messages_n = marks_of_messages(im, pass, messages);
	size_t at = 0;

	for (size_t i = 0, end; i < rows_n; i = end) {
		for (end = i + 1; end < rows_n; end++)
			if (rows[end].size != rows[i].size ||
				memcmp(rows[end].digest, rows[i].digest, MARKS_DIGEST))
				break;
		while (at < messages_n &&
			memcmp(messages[at].digest, rows[i].digest, MARKS_DIGEST) < 0)
			at++;
		size_t last = at;
		while (last < messages_n &&
			!memcmp(messages[last].digest, rows[i].digest, MARKS_DIGEST))
			last++;
		slow_settle(im, pass, rows + i, end - i, messages + at, last - at);
	}
}

static void
slow_match_marks(struct import *im)
{
	struct mark *rows = calloc((size_t)im->rows_n + 1, sizeof(*rows));
	struct mark *messages = calloc((size_t)im->messages_n + 1, sizeof(*messages));

	assert_true(rows && messages);
	for (uint8_t pass = 0; pass < PASSES; pass++)
		match_pass(im, pass, rows, messages);
	free(rows);
	free(messages);
}

/* ---- the rule, quickly ---- */

static uint32_t
next_random(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % below;
}

/* Few digests and sizes, so that much is alike. */
static struct header_marks *
random_marks(struct import *im, uint32_t *seed)
{
	struct header_marks *m = import_room(im, sizeof(*m));

	assert_non_null(m);
	memset(m, 0, sizeof(*m));
	m->n = (uint8_t)(next_random(seed, 8) ? 1 + next_random(seed, 3) : 0);
	for (uint8_t i = 0; i < m->n; i++)
		m->digests[i][0] = (uint8_t)next_random(seed, 2);
	m->has_id = next_random(seed, 2) == 0;
	m->id[0] = (uint8_t)next_random(seed, 3);
	m->wire = 2 + next_random(seed, 2);
	m->stored = m->wire - next_random(seed, 2);
	return m;
}

static void
random_import(struct import *im, uint32_t seed)
{
	static const char *const words[] = {"", "1.", "2.", "3."};
	uint32_t rows = next_random(&seed, 9), messages = next_random(&seed, 9);

	for (uint32_t i = 0; i < messages; i++) {
		struct import_message *m = import_message_add(im);
		m->key = text(im, words[1 + next_random(&seed, 3)]);
		m->unfinished = next_random(&seed, 3) == 0;
		m->body_stored = next_random(&seed, 4);
		m->body_wire =
			m->body_stored + next_random(&seed, 2) + (m->unfinished ? 2 : 0);
		m->has_body = next_random(&seed, 4) != 0;
		m->body = next_random(&seed, 2);
		if (next_random(&seed, 8) != 0)
			m->marks = random_marks(im, &seed);
	}
	for (uint32_t i = 0; i < rows; i++) {
		struct import_row *r = import_row_add(im);
		r->name = text(im, words[next_random(&seed, 4)]);
		r->size =
			next_random(&seed, 10) == 0 ? UINT64_MAX : next_random(&seed, 9);
		if (next_random(&seed, 8) != 0)
			r->marks = random_marks(im, &seed);
	}
}

static void
same_as_the_slow_rule(void **state)
{
	uint32_t paired = 0, unclear = 0;

	(void)state;
	for (uint32_t seed = 0; seed < 50000; seed++) {
		struct import im = {.rows_n = 0}, slow = {.rows_n = 0};
		random_import(&im, seed);
		random_import(&slow, seed);
		assert_int_equal(import_match_marks(&im), 0);
		slow_match_marks(&slow);
		for (uint32_t i = 0; i < im.rows_n; i++) {
			assert_int_equal(im.rows[i].message, slow.rows[i].message);
			assert_int_equal(im.rows[i].fate, slow.rows[i].fate);
			paired += im.rows[i].message != 0;
			unclear += im.rows[i].fate == IMPORT_UNCLEAR;
		}
		for (uint32_t i = 0; i < im.messages_n; i++)
			assert_int_equal(im.messages[i].row, slow.messages[i].row);
		import_done(&im);
		import_done(&slow);
	}
	assert_true(paired > 10000 && unclear > 10000);
}

/* All of one header; rows from first on, each with the size of one message, or of none.
 */
static void
many_of_one_header(uint32_t n, uint64_t apart, uint64_t off, enum import_fate want)
{
	struct import im = {.rows_n = 0};
	struct header_marks *marks = import_room(&im, sizeof(*marks));

	assert_non_null(marks);
	memset(marks, 0, sizeof(*marks));
	marks->n = MARKS_RECEIVED_MAX + 1;
	marks->has_id = true;
	marks->wire = marks->stored = 40;
	*import_message_add(&im) =
		(struct import_message){.has_body = true, .marks = marks};
	*import_row_add(&im) = (struct import_row){.size = 40 + off, .marks = marks};
	for (uint32_t i = 1; i < n; i++) {
		struct import_message *m = import_message_add(&im);
		*m = im.messages[0];
		m->body_wire = m->body_stored = i * apart;
		struct import_row *r = import_row_add(&im);
		*r = im.rows[0];
		r->size += i * apart;
	}
	assert_int_equal(import_match_marks(&im), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(im.rows[i].fate, want);
		assert_int_equal(im.rows[i].message, off == 0 ? i + 1 : 0);
	}
	import_done(&im);
}

/* In the square of their number, this would take minutes. */
static void
many(void **state)
{
	(void)state;
	many_of_one_header(100000, 0, 0, IMPORT_OPEN);
	many_of_one_header(100000, 10, 0, IMPORT_OPEN);
	many_of_one_header(100000, 10, 5, IMPORT_OPEN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_the_slow_rule),
		cmocka_unit_test(many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
