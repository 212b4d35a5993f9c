#include "unit.h"

#include "base/check.h"
#include "ipc/message.h"
#include "ipc/slice.h"

#include <string.h>

static struct slice
slice_of(uint8_t kind)
{
	return (struct slice){.msgno = 7,
		.kind = kind,
		.as_is = 1,
		.offset = UINT64_C(0x1122334455667788),
		.length = 26112,
		.wire = UINT64_MAX};
}

static void
rows_come_back_as_they_went(void **state)
{
	(void)state;
	uint8_t octets[SLICES_BATCH_MAX * SLICE_ROW_OCTETS];
	struct buf out = buf_over(octets, sizeof(octets));
	struct slice got;

	for (uint8_t kind = SLICE_FILE; kind <= SLICE_UNREADABLE; kind++)
		slice_put(&(struct slice){.kind = kind, .msgno = kind}, &out);
	assert_int_equal(out.n, 5 * SLICE_ROW_OCTETS);
	struct cursor c = cursor_over(buf_view(&out));
	for (uint8_t kind = SLICE_FILE; kind <= SLICE_UNREADABLE; kind++) {
		assert_true(slice_get(&got, &c));
		assert_int_equal(got.kind, kind);
		assert_int_equal(got.msgno, kind);
	}
	assert_false(slice_get(&got, &c));
	assert_false(c.bad);
	struct slice full = slice_of(SLICE_FILE);
	out.n = 0;
	slice_put(&full, &out);
	c = cursor_over(buf_view(&out));
	assert_true(slice_get(&got, &c));
	assert_int_equal(got.offset, full.offset);
	assert_int_equal(got.length, full.length);
	assert_int_equal(got.wire, full.wire);
	assert_int_equal(got.as_is, 1);
}

/* A whole batch is within the limit of its message. */
static void
a_batch_fits_its_message(void **state)
{
	(void)state;
	static uint8_t rows[SLICES_BATCH_MAX * SLICE_ROW_OCTETS], octets[2048];
	struct buf out = buf_over(octets, sizeof(octets));
	struct msg_slices m = {.rows = {rows, sizeof(rows)}};

	msg_slices_put(&m, &out);
	assert_false(out.full);
	assert_int_equal(message_fds_max(MSG_SLICES), SLICES_BATCH_MAX);
}

static void
bad_rows_are_refused(void **state)
{
	(void)state;
	uint8_t octets[SLICE_ROW_OCTETS];
	struct slice s = slice_of(SLICE_FILE), got = {.msgno = 99};

	for (size_t n = 1; n < SLICE_ROW_OCTETS; n++) {
		struct buf out = buf_over(octets, sizeof(octets));
		slice_put(&s, &out);
		struct cursor c = cursor_over((struct view){octets, n});
		assert_false(slice_get(&got, &c));
		assert_true(c.bad);
	}
	for (unsigned int kind = 0; kind < 256; kind++) {
		struct buf out = buf_over(octets, sizeof(octets));
		s.kind = (uint8_t)kind;
		slice_put(&s, &out);
		struct cursor c = cursor_over(buf_view(&out));
		bool known = kind >= SLICE_FILE && kind <= SLICE_UNREADABLE;
		struct slice ignored;
		assert_int_equal(slice_get(&ignored, &c), known);
		assert_int_equal(c.bad, !known);
	}
	s = slice_of(SLICE_FILE);
	s.as_is = 2;
	struct buf out = buf_over(octets, sizeof(octets));
	slice_put(&s, &out);
	struct cursor c = cursor_over(buf_view(&out));
	assert_false(slice_get(&got, &c));
	assert_int_equal(got.msgno, 99);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_come_back_as_they_went),
		cmocka_unit_test(a_batch_fits_its_message),
		cmocka_unit_test(bad_rows_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
