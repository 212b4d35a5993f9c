#include "unit.h"

#include "base/buf.h"
#include "base/check.h"
#include "ipc/snapshot.h"

#include <string.h>

static uint8_t octets[4096];

struct row {
	uint64_t wire;
	uint32_t at;
	uint16_t n, flags;
};

/* What a keeper would make of these rows; total and strings as said, right or wrong. */
static struct view
build(const struct row *rows, uint32_t count, uint64_t total, const char *strings)
{
	struct buf b = buf_over(octets, sizeof(octets));

	buf_put_u64(&b, SNAPSHOT_MAGIC);
	buf_put_u32(&b, SNAPSHOT_VERSION);
	buf_put_u32(&b, count);
	buf_put_u64(&b, total);
	buf_put_u64(&b, strlen(strings));
	for (uint32_t i = 0; i < count; i++) {
		buf_put_u64(&b, rows[i].wire);
		buf_put_u32(&b, rows[i].at);
		buf_put_u16(&b, rows[i].n);
		buf_put_u16(&b, rows[i].flags);
	}
	buf_put_str(&b, strings);
	CHECK(!b.full);
	return buf_view(&b);
}

static bool
sound(struct view v)
{
	struct snapshot s = {.count = 77};
	bool ok = snapshot_check(v, &s);

	/* Only on success is anything filled in. */
	assert_true(ok || s.count == 77);
	return ok;
}

static const struct row two[] = {{100, 0, 3, 0}, {200, 3, 2, SNAPSHOT_SEEN}};

static void
rows_are_read_as_they_were_written(void **state)
{
	(void)state;
	struct snapshot s;

	assert_true(snapshot_check(build(two, 2, 300, "abcde"), &s));
	assert_int_equal(s.count, 2);
	assert_int_equal(s.octets, 300);
	assert_int_equal(snapshot_wire(&s, 0), 100);
	assert_int_equal(snapshot_wire(&s, 1), 200);
	assert_int_equal(snapshot_flags(&s, 0), 0);
	assert_int_equal(snapshot_flags(&s, 1), SNAPSHOT_SEEN);
	struct view uidl = snapshot_uidl(&s, 1);
	assert_int_equal(uidl.n, 2);
	assert_memory_equal(uidl.p, "de", 2);
	/* No message at all is a maildrop, too. */
	assert_true(snapshot_check(build(NULL, 0, 0, ""), &s));
	assert_int_equal(s.count, 0);
}

static void
what_does_not_add_up_is_refused(void **state)
{
	(void)state;
	static const struct {
		struct row row;
		uint64_t total;
		bool ok;
	} rows[] = {
		{{10, 0, 5, 0}, 10, true},
		{{10, 0, 5, 0}, 11, false},
		{{10, 0, 5, 0}, 9, false},
		{{10, 4, 1, 0}, 10, true},
		{{10, 5, 1, 0}, 10, false},
		{{10, 0, 6, 0}, 10, false},
		{{10, 0, 0, 0}, 10, false},
		{{10, UINT32_MAX, 1, 0}, 10, false},
		{{10, UINT32_MAX, UINT16_MAX, 0}, 10, false},
		{{UINT64_MAX, 0, 1, 0}, UINT64_MAX, true},
	};
	static const struct row over[] = {{UINT64_MAX, 0, 1, 0}, {2, 1, 1, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(sound(build(&rows[i].row, 1, rows[i].total, "abcde")),
			rows[i].ok);
	/* The sum runs over. */
	assert_false(sound(build(over, 2, 1, "abcde")));
}

static void
every_octet_of_the_length_counts(void **state)
{
	(void)state;
	struct view v = build(two, 2, 300, "abcde");

	for (size_t n = 0; n < v.n; n++)
		assert_false(sound((struct view){v.p, n}));
	assert_true(sound(v));
	assert_false(sound((struct view){v.p, v.n + 1}));
}

/* Any bit of magic, version, count or strings flipped is no snapshot. */
static void
every_bit_of_the_header_counts(void **state)
{
	(void)state;
	for (size_t bit = 0; bit < SNAPSHOT_HEADER * 8; bit++) {
		struct view v = build(two, 2, 300, "abcde");
		octets[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(sound(v));
	}
}

static void
uidls_are_of_graphic_characters(void **state)
{
	(void)state;
	struct row row = {10, 0, 1, 0};

	for (unsigned int c = 0; c < 256; c++) {
		struct view v = build(&row, 1, 10, "x");
		octets[v.n - 1] = (uint8_t)c;
		assert_int_equal(sound(v), c >= 0x21 && c <= 0x7E);
	}
	/* At every place of a word, beside the least and the greatest. */
	row.n = 19;
	for (size_t at = 0; at < row.n; at++)
		for (unsigned int c = 0; c < 256; c++) {
			struct view v = build(&row, 1, 10, "!~!~!~!~!~!~!~!~!~!");
			octets[v.n - row.n + at] = (uint8_t)c;
			assert_int_equal(sound(v), c >= 0x21 && c <= 0x7E);
		}
	char strings[SNAPSHOT_UIDL_MAX + 2];
	memset(strings, 'u', sizeof(strings) - 1);
	strings[sizeof(strings) - 1] = 0;
	row.n = SNAPSHOT_UIDL_MAX;
	assert_true(sound(build(&row, 1, 10, strings)));
	row.n = SNAPSHOT_UIDL_MAX + 1;
	assert_false(sound(build(&row, 1, 10, strings)));
}

/* In steps of every size the answer is the same as at once. */
static void
steps_come_to_the_same(void **state)
{
	(void)state;
	struct row rows[10];
	struct snapshot_checking c;

	for (uint32_t i = 0; i < 10; i++)
		rows[i] = (struct row){i, 0, 1, 0};
	for (uint32_t step = 1; step <= 11; step++) {
		enum snapshot_step r = SNAPSHOT_MORE;
		uint32_t calls = 0;
		assert_true(snapshot_check_begin(build(rows, 10, 45, "x"), &c));
		for (; r == SNAPSHOT_MORE; calls++)
			r = snapshot_check_rows(&c, step);
		assert_int_equal(r, SNAPSHOT_SOUND);
		assert_int_equal(calls, (10 + step - 1) / step);
		assert_true(snapshot_check_begin(build(rows, 10, 44, "x"), &c));
		for (r = SNAPSHOT_MORE; r == SNAPSHOT_MORE;)
			r = snapshot_check_rows(&c, step);
		assert_int_equal(r, SNAPSHOT_BAD);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_read_as_they_were_written),
		cmocka_unit_test(what_does_not_add_up_is_refused),
		cmocka_unit_test(every_octet_of_the_length_counts),
		cmocka_unit_test(every_bit_of_the_header_counts),
		cmocka_unit_test(uidls_are_of_graphic_characters),
		cmocka_unit_test(steps_come_to_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
