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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_leaves_as_it_must_at_every_split),
		cmocka_unit_test(another_size_than_announced_is_never_terminated),
		cmocka_unit_test(the_missing_line_end_is_part_of_the_size),
		cmocka_unit_test(top_reads_no_further_than_it_must),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
