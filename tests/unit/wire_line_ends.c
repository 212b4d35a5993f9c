#include "unit.h"

#include "base/check.h"
#include "pop3/view.h"
#include "wire/line_ends.h"

#include <stdlib.h>
#include <string.h>

/* The rule, octet by octet, of all the octets at once. */
static size_t
by_rule(struct view in, uint8_t *out)
{
	size_t o = 0;

	for (size_t i = 0; i < in.n; i++)
		if (in.p[i] != '\r' || i + 1 == in.n || in.p[i + 1] != '\n')
			out[o++] = in.p[i];
	return o;
}

static size_t
in_pieces(struct view in, size_t cut, size_t step, uint8_t *out)
{
	struct line_ends s = {0};
	size_t o = 0, end;

	for (size_t at = 0; at < in.n; at = end) {
		end = step > 0 ? at + step : at < cut ? cut : in.n;
		end = end < in.n ? end : in.n;
		size_t n = line_ends_to_lf(&s, in.p + at, end - at, out + o);
		assert_true(n <= end - at + 1);
		o += n;
		assert_int_equal(line_ends_to_lf(&s, in.p, 0, out + o), 0);
	}
	o += line_ends_finish(&s, out + o);
	assert_int_equal(line_ends_finish(&s, out + o), 0);
	return o;
}

static void
is_the_same_everywhere(struct view in)
{
	uint8_t want[4096], got[4096 + 1];
	size_t n = by_rule(in, want);

	assert_true(in.n <= sizeof(want));
	for (size_t cut = 0; cut <= in.n; cut++) {
		assert_int_equal(in_pieces(in, cut, 0, got), n);
		assert_memory_equal(got, want, n);
	}
	for (size_t step = 1; step < 5; step++) {
		assert_int_equal(in_pieces(in, 0, step, got), n);
		assert_memory_equal(got, want, n);
	}
}

static void
known_ones(void **state)
{
	(void)state;
	static const struct {
		struct view in, out;
	} rows[] = {
		{VIEW(""), VIEW("")},
		{VIEW("a\r\nb\r\n"), VIEW("a\nb\n")},
		{VIEW("\r\r\n\n\r"), VIEW("\r\n\n\r")},
		{VIEW("a\rb\nc\r"), VIEW("a\rb\nc\r")},
		{VIEW("\r\n\r\n"), VIEW("\n\n")},
		{VIEW("\0\xff\r\n"), VIEW("\0\xff\n")},
	};
	uint8_t got[64];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = in_pieces(rows[i].in, 0, 0, got);
		assert_int_equal(n, rows[i].out.n);
		assert_memory_equal(got, rows[i].out.p, n);
		is_the_same_everywhere(rows[i].in);
	}
}

/* Every text of up to eight octets over CR, LF and a letter. */
static void
all_short_ones(void **state)
{
	(void)state;
	uint8_t text[8];

	for (size_t n = 0; n <= sizeof(text); n++) {
		size_t texts = 1;
		for (size_t i = 0; i < n; i++)
			texts *= 3;
		for (size_t k = 0; k < texts; k++) {
			size_t rest = k;
			for (size_t i = 0; i < n; i++, rest /= 3)
				text[i] = (uint8_t) "\r\na"[rest % 3];
			is_the_same_everywhere((struct view){text, n});
		}
	}
}

static void
random_ones(void **state)
{
	(void)state;
	uint8_t text[600];

	srand(1939);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = (uint8_t) "\r\nabcdefghijklmn"[rand() % 16];
		is_the_same_everywhere((struct view){text, sizeof(text)});
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_ones),
		cmocka_unit_test(all_short_ones),
		cmocka_unit_test(random_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
