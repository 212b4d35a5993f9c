/* Records that a crash left in parts, as identity_state.h has it: pure. */
#include "unit.h"

#include "store/identity_state.h"

#include <errno.h>
#include <string.h>

#define ROOM (IDENTITY_HEADER + 2 * IDENTITY_RECORD_MAX)

/* One record of that length, and one more; where the second begins. */
static size_t
two_records(size_t uidl_n, struct buf *b)
{
	static const uint8_t octets[IDENTITY_UIDL_MAX] = {'k'};
	uint8_t uidl[IDENTITY_UIDL_MAX];
	struct identity_row row = {.source = IDENTITY_ASSIGNED,
		.key = {octets, sizeof(octets)},
		.uidl = {uidl, uidl_n}};
	uint64_t sum;

	memset(uidl, 'u', sizeof(uidl));
	identity_put_header(b);
	assert_int_equal(identity_get_header(buf_view(b), &sum), 0);
	identity_put_record(b, &row, &sum);
	size_t at = b->n;
	uidl[0] = 'v';
	row.uidl.n = 200;
	identity_put_record(b, &row, &sum);
	return at;
}

static void
what_was_not_committed_is_no_damage([[maybe_unused]] void **state)
{
	for (size_t n = 1; n <= IDENTITY_UIDL_MAX; n++) {
		uint8_t octets[ROOM];
		struct buf b = buf_over(octets, sizeof(octets));
		size_t rows, sound, at = two_records(n, &b);
		size_t first = identity_commit_octets(at);

		assert_in_range(first, 1, 8);
		assert_int_equal(
			at / IDENTITY_SECTOR, (at + first - 1) / IDENTITY_SECTOR);
		assert_int_equal(identity_decode(buf_view(&b), &rows, &sound), 0);
		assert_int_equal(rows, 2);
		memset(octets + at, 0, first);
		assert_int_equal(identity_decode(buf_view(&b), &rows, &sound), 0);
		assert_int_equal(rows, 1);
		assert_int_equal(sound, at);
	}
}

static void
what_was_committed_is_damage([[maybe_unused]] void **state)
{
	uint8_t octets[ROOM];
	struct buf b = buf_over(octets, sizeof(octets));
	size_t rows, sound, at = two_records(30, &b);

	for (size_t i = at; i < b.n; i++) {
		octets[i] ^= 4;
		assert_int_equal(identity_decode(buf_view(&b), &rows, &sound), -EBADMSG);
		octets[i] ^= 4;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_committed_is_no_damage),
		cmocka_unit_test(what_was_committed_is_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
