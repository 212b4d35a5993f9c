#include "unit.h"

#include "front/body.h"

#include <string.h>

static uint8_t storage[65536];

/* Feeds the message in pieces of at most `piece`; what came out lies in storage. */
static enum body_result
run(struct body *b, struct view message, size_t piece, size_t *ret_n)
{
	struct buf out = buf_over(storage, sizeof(storage));
	enum body_result r;

	do {
		size_t n = body_wants(b, piece);
		struct view in = {message.p + b->offset, n};
		r = body_feed(b, dot_best(), in, &out);
	} while (r == BODY_MORE);
	*ret_n = out.n;
	return r;
}

/* The same, read to where it is sent from, whether or not it travels as it is stored. */
static enum body_result
run_in_place(
	struct body *b, struct view message, size_t piece, uint8_t *to, size_t *ret_n)
{
	static uint8_t spare[4096];
	struct buf out = buf_over(to, sizeof(storage));
	enum body_result r;

	do {
		size_t n = body_wants(b, piece);
		if (n > 0)
			memcpy(out.p + out.n, message.p + b->offset, n);
		r = body_feed_in_place(b, dot_best(), n, spare, &out);
	} while (r == BODY_MORE);
	*ret_n = out.n;
	return r;
}

struct row {
	const char *stored;
	uint64_t wire; /* RETR: as counted; 0 with lines */
	int64_t lines; /* TOP; -1: RETR */
	const char *sent;
};

static const struct row rows[] = {
	{"", 0, -1, ".\r\n"},
	{"a\n", 3, -1, "a\r\n.\r\n"},
	{"a\r\n", 3, -1, "a\r\n.\r\n"},
	{"a", 3, -1, "a\r\n.\r\n"},
	{".a\n.\n", 7, -1, "..a\r\n..\r\n.\r\n"},
	{"a\r", 4, -1, "a\r\r\n.\r\n"},
	{"H: 1\n\nb1\nb2\n", 0, 0, "H: 1\r\n\r\n.\r\n"},
	{"H: 1\n\nb1\nb2\n", 0, 1, "H: 1\r\n\r\nb1\r\n.\r\n"},
	{"H: 1\n\nb1\nb2\n", 0, 99, "H: 1\r\n\r\nb1\r\nb2\r\n.\r\n"},
	{"H: 1\n\n.b1", 0, 5, "H: 1\r\n\r\n..b1\r\n.\r\n"},
	{"H: 1\n", 0, 0, "H: 1\r\n\r\n.\r\n"},
	{"H: 1", 0, 3, "H: 1\r\n\r\n.\r\n"},
	{"", 0, 0, "\r\n.\r\n"},
};

static void
a_message_leaves_as_it_must_at_every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view m = {(const uint8_t *)rows[i].stored, strlen(rows[i].stored)};
		for (size_t piece = 1; piece <= m.n + 1; piece++) {
			struct body b;
			size_t n;
			if (rows[i].lines < 0)
				body_retr(&b, m.n, rows[i].wire);
			else
				body_top(&b, m.n, (uint64_t)rows[i].lines);
			assert_int_equal(run(&b, m, piece, &n), BODY_DONE);
			assert_int_equal(n, strlen(rows[i].sent));
			assert_memory_equal(storage, rows[i].sent, n);
		}
	}
}

/* Wire points 50 and 57: what was announced is what is sent, or nothing ends it. */
static void
another_size_than_announced_is_never_terminated(void **state)
{
	(void)state;
	struct view m = VIEW("one\ntwo\n");
	const uint64_t wrong[] = {0, 1, 8, 9, 11, 12, 1000};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		for (size_t piece = 1; piece <= m.n; piece++) {
			struct body b;
			size_t n;
			body_retr(&b, m.n, wrong[i]);
			assert_int_equal(run(&b, m, piece, &n), BODY_CHANGED);
			assert_true(
				n < 5 || memcmp(storage + n - 5, "\r\n.\r\n", 5) != 0);
			/* Never more than was announced, but for stuffing. */
			assert_true(n <= wrong[i]);
		}
	}
	struct body b;
	size_t n;
	body_retr(&b, m.n, 10);
	assert_int_equal(run(&b, m, 3, &n), BODY_DONE);
}

static void
the_missing_line_end_is_part_of_the_size(void **state)
{
	(void)state;
	struct body b;
	size_t n;

	body_retr(&b, 3, 3);
	assert_int_equal(run(&b, VIEW("abc"), 3, &n), BODY_CHANGED);
	body_retr(&b, 3, 5);
	assert_int_equal(run(&b, VIEW("abc"), 3, &n), BODY_DONE);
}

static void
top_reads_no_further_than_it_must(void **state)
{
	(void)state;
	struct body b;
	struct buf out = buf_over(storage, sizeof(storage));

	body_top(&b, UINT64_C(1) << 40, 0);
	assert_int_equal(body_wants(&b, 4096), 4096);
	assert_int_equal(
		body_feed(&b, dot_best(), VIEW("H: 1\n\nrest of it"), &out), BODY_DONE);
	assert_int_equal(out.n, strlen("H: 1\r\n\r\n.\r\n"));
}

static void
in_place_is_the_same(struct view m, size_t piece)
{
	static uint8_t other[sizeof(storage)];
	struct dot_state count = {0};
	struct body a, b;
	size_t n, other_n;
	uint64_t wire = dot_best()->count(&count, m.p, m.n) + dot_finish_count(&count);

	body_retr(&a, m.n, wire);
	body_retr(&b, m.n, wire);
	assert_int_equal(run(&a, m, piece, &n), BODY_DONE);
	assert_int_equal(run_in_place(&b, m, piece, other, &other_n), BODY_DONE);
	assert_int_equal(n, other_n);
	assert_memory_equal(storage, other, n);
	if (m.n == 0)
		return;
	body_retr(&b, m.n, wire + 1);
	assert_int_equal(run_in_place(&b, m, piece, other, &other_n), BODY_CHANGED);
	body_retr(&b, m.n, wire - 1);
	assert_int_equal(run_in_place(&b, m, piece, other, &other_n), BODY_CHANGED);
}

static void
what_stays_in_place_is_what_encoding_gives(void **state)
{
	static const char octets[] = "ab.\r\n\n.";
	uint8_t message[400];
	uint32_t dice = 7;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t piece = 1; piece <= strlen(rows[i].stored) + 1; piece++)
			in_place_is_the_same(
				(struct view){(const uint8_t *)rows[i].stored,
					strlen(rows[i].stored)},
				piece);
	for (int round = 0; round < 3000; round++) {
		size_t n = 0, most = (size_t)(dice >> 16) % 390;
		while (n < most) {
			dice = dice * 1664525U + 1013904223U;
			/* Mostly whole lines, as mail that is stored as it travels. */
			if (dice >> 29 != 0) {
				memcpy(message + n, "x\r\n", 3);
				n += 3;
			} else {
				message[n++] = (uint8_t)octets[(dice >> 8) % 7];
			}
		}
		in_place_is_the_same((struct view){message, n}, 1 + (dice >> 20) % 200);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_leaves_as_it_must_at_every_split),
		cmocka_unit_test(another_size_than_announced_is_never_terminated),
		cmocka_unit_test(the_missing_line_end_is_part_of_the_size),
		cmocka_unit_test(top_reads_no_further_than_it_must),
		cmocka_unit_test(what_stays_in_place_is_what_encoding_gives),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
