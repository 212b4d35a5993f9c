#include "unit.h"

#include "monitor/deny_list.h"

#include <stdlib.h>
#include <string.h>

struct heard {
	struct deny_sink sink; /* first */
	uint32_t lines[8], n;
};

static void
hear(struct deny_sink *s, uint32_t line, struct view text)
{
	struct heard *h = (struct heard *)s;

	assert_true(text.n > 0);
	h->lines[h->n++ % 8] = line;
}

static size_t
read_text(const char *text, struct heard *h, uint8_t *rows)
{
	struct view v = {(const uint8_t *)text, strlen(text)};

	*h = (struct heard){.sink = {hear}};
	assert_true(deny_list_rows(v) <= 16);
	return deny_list_read(v, &h->sink, rows);
}

static void
good_lines_count_and_bad_ones_are_told(void **state)
{
	(void)state;
	uint8_t rows[16 * DENY_ROW];
	struct heard h;

	assert_int_equal(read_text("# spammers\n192.0.2.1 # one\n\nno address\r\n"
				   "10.0.0.0/8\r\n10.0.0.1/8\n2001:db8::/32",
				 &h, rows),
		3);
	assert_int_equal(h.n, 2);
	assert_int_equal(h.lines[0], 4);
	assert_int_equal(h.lines[1], 6); /* octets behind its bits */
	assert_int_equal(rows[16], 96 + 8);
	assert_int_equal(rows[12], 10);
	assert_int_equal(rows[DENY_ROW + 16], 128);
	assert_int_equal(rows[2 * DENY_ROW], 0x20);
	assert_int_equal(read_text("", &h, rows), 0);
	assert_int_equal(read_text("\n\n#\n", &h, rows), 0);
	assert_int_equal(h.n, 0);
}

static void
rows_are_in_order_and_none_lies_within_another(void **state)
{
	(void)state;
	uint8_t rows[16 * DENY_ROW];
	struct heard h;

	assert_int_equal(read_text("10.1.2.3\n192.0.2.0/25\n10.1.0.0/16\n10.0.0.0/8\n"
				   "192.0.2.128/25\n192.0.2.1\n10.0.0.0/8\n9.0.0.0/8\n",
				 &h, rows),
		4);
	for (size_t i = 1; i < 4; i++)
		assert_true(memcmp(rows + (i - 1) * DENY_ROW, rows + i * DENY_ROW,
				    DENY_ROW) < 0);
	assert_int_equal(rows[12], 9);
	assert_int_equal(rows[DENY_ROW + 12], 10);
	assert_int_equal(rows[DENY_ROW + 16], 104);
	/* All of IPv6 covers everything, as IPv4 is a part of it here. */
	assert_int_equal(read_text("1.2.3.4\n::/0\nffff::1\n", &h, rows), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines_count_and_bad_ones_are_told),
		cmocka_unit_test(rows_are_in_order_and_none_lies_within_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
