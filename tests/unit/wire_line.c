#include "unit.h"

#include "wire/limits.h"
#include "wire/line.h"

#include <string.h>

static void
line_ends_at_lf(void **state)
{
	(void)state;
	struct line_state s = {0};
	struct view in = VIEW("STAT\r\nLIST\nQU"), line;

	assert_int_equal(line_next(&s, &in, 1024, &line), LINE_WHOLE);
	assert_int_equal(line.n, 4);
	assert_memory_equal(line.p, "STAT", 4);
	assert_int_equal(line_next(&s, &in, 1024, &line), LINE_WHOLE);
	assert_memory_equal(line.p, "LIST", 4);
	assert_int_equal(line_next(&s, &in, 1024, &line), LINE_CUT);
	assert_int_equal(in.n, 2);
}

static void
only_one_cr_belongs_to_the_end(void **state)
{
	(void)state;
	struct line_state s = {0};
	struct view in = VIEW("a\r\r\n\r\n\n"), line;

	assert_int_equal(line_next(&s, &in, 1024, &line), LINE_WHOLE);
	assert_int_equal(line.n, 2);
	assert_memory_equal(line.p, "a\r", 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(line_next(&s, &in, 1024, &line), LINE_WHOLE);
		assert_int_equal(line.n, 0);
	}
	assert_int_equal(in.n, 0);
}

/* A line of n octets with its LF, offered in pieces; what came of it, as letters. */
static void
offer(size_t n, size_t piece, char results[16])
{
	static uint8_t octets[4096];
	struct line_state s = {0};
	struct view line;
	size_t start = 0, got = 0;

	memset(octets, 'x', n);
	octets[n - 1] = '\n';
	memcpy(octets + n, "ok\n", 3);
	for (size_t end = piece; start < n + 3; end += piece) {
		struct view in = {octets + start, (end < n + 3 ? end : n + 3) - start};
		enum line_result r;
		while ((r = line_next(&s, &in, 100, &line)) != LINE_CUT)
			results[got++] =
				r == LINE_WHOLE ? (line.n == 2 ? 'o' : 'w') : 'L';
		start = (size_t)(in.p - octets);
		if (end >= n + 3)
			break;
	}
	results[got] = '\0';
}

static void
limit_is_the_same_at_every_split(void **state)
{
	(void)state;
	char results[16];

	for (size_t piece = 1; piece <= 400; piece += piece < 8 ? 1 : 31) {
		offer(99, piece, results);
		assert_string_equal(results, "wo");
		offer(100, piece, results);
		assert_string_equal(results, "wo");
		offer(101, piece, results);
		assert_string_equal(results, "Lo");
		offer(350, piece, results);
		assert_string_equal(results, "Lo");
	}
}

static void
line_without_end_is_given_up(void **state)
{
	(void)state;
	static uint8_t octets[65536];
	struct line_state s = {0};
	struct view line;
	size_t total = 0;
	enum line_result r;

	memset(octets, 'x', sizeof(octets));
	do {
		struct view in = {octets, sizeof(octets)};
		r = line_next(&s, &in, 1024, &line);
		assert_int_equal(in.n, 0);
		total += sizeof(octets);
	} while (r == LINE_CUT || (r == LINE_TOO_LONG && total == sizeof(octets)));
	assert_int_equal(r, LINE_FLOOD);
	assert_true(total > LINE_DISCARD_MAX);
	assert_true(total <= LINE_DISCARD_MAX + 2 * sizeof(octets));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_ends_at_lf),
		cmocka_unit_test(only_one_cr_belongs_to_the_end),
		cmocka_unit_test(limit_is_the_same_at_every_split),
		cmocka_unit_test(line_without_end_is_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
