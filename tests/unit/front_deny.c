#include "unit.h"

#include "base/network.h"
#include "front/deny.h"

#include <stdlib.h>
#include <string.h>

#define V4(a, b, c, d, bits)                                                             \
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d, 96 + (bits)
#define ADDRESS4(a, b, c, d)                                                             \
	(const uint8_t[16])                                                              \
	{                                                                                \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d                     \
	}
#define SIX(last, bits) 0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last, bits

/* A network within another does not hide what lies in the outer one only. */
static const uint8_t rows[] = {
	V4(10, 0, 0, 0, 8),
	V4(10, 1, 0, 0, 16),
	V4(10, 1, 2, 3, 32),
	V4(192, 0, 2, 128, 25),
	SIX(0, 64),
	SIX(8, 128),
};

static void
networks_hold_their_addresses(void **state)
{
	(void)state;
	struct deny d;
	const uint8_t six[16] = {0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 1};
	const uint8_t other[16] = {0x20, 1, 0xD, 0xB8, 0, 0, 0, 1, 1};

	assert_true(deny_init((struct view){rows, sizeof(rows)}, &d));
	assert_true(deny_has(&d, ADDRESS4(10, 255, 255, 255)));
	assert_true(deny_has(&d, ADDRESS4(10, 1, 2, 4)));
	assert_true(deny_has(&d, ADDRESS4(10, 200, 2, 4)));
	assert_true(deny_has(&d, ADDRESS4(192, 0, 2, 128)));
	assert_true(deny_has(&d, ADDRESS4(192, 0, 2, 255)));
	assert_false(deny_has(&d, ADDRESS4(192, 0, 2, 127)));
	assert_false(deny_has(&d, ADDRESS4(192, 0, 3, 128)));
	assert_false(deny_has(&d, ADDRESS4(9, 255, 255, 255)));
	assert_false(deny_has(&d, ADDRESS4(11, 0, 0, 0)));
	assert_true(deny_has(&d, six));
	assert_false(deny_has(&d, other));
}

/* Against the plain way: looking at every row. */
static void
as_one_by_one(void **state)
{
	(void)state;
	struct deny d;

	assert_true(deny_init((struct view){rows, sizeof(rows)}, &d));
	for (unsigned i = 0; i < 65536; i++) {
		const uint8_t *a = ADDRESS4((uint8_t)(i % 3 ? 10 : 192), (uint8_t)(i % 2),
			(uint8_t)(i >> 8 & 3), (uint8_t)i);
		assert_int_equal(deny_has(&d, a),
			network_list_has((struct view){rows, sizeof(rows)}, a));
	}
}

static void
none_and_all(void **state)
{
	(void)state;
	static const uint8_t all[17] = {0};
	struct deny d;

	assert_true(deny_init((struct view){NULL, 0}, &d));
	assert_false(deny_has(&d, ADDRESS4(10, 0, 0, 1)));
	assert_true(deny_init((struct view){all, sizeof(all)}, &d));
	assert_true(deny_has(&d, ADDRESS4(10, 0, 0, 1)));
	assert_true(
		network_list_has((struct view){all, sizeof(all)}, ADDRESS4(1, 2, 3, 4)));
	assert_false(network_list_has((struct view){NULL, 0}, ADDRESS4(1, 2, 3, 4)));
}

static void
unsound_tables_are_refused(void **state)
{
	(void)state;
	static const uint8_t disorder[] = {V4(10, 1, 0, 0, 16), V4(10, 0, 0, 0, 8)};
	static const uint8_t twice[] = {V4(10, 0, 0, 0, 8), V4(10, 0, 0, 0, 8)};
	static const uint8_t loose[] = {V4(10, 0, 0, 1, 8)};
	static const uint8_t bits[] = {SIX(0, 129)};
	struct deny d;

	assert_false(deny_init((struct view){disorder, sizeof(disorder)}, &d));
	assert_false(deny_init((struct view){twice, sizeof(twice)}, &d));
	assert_false(deny_init((struct view){loose, sizeof(loose)}, &d));
	assert_false(deny_init((struct view){bits, sizeof(bits)}, &d));
	assert_false(deny_init((struct view){rows, 16}, &d));
	assert_false(network_list_has((struct view){bits, sizeof(bits)}, bits));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_hold_their_addresses),
		cmocka_unit_test(as_one_by_one),
		cmocka_unit_test(none_and_all),
		cmocka_unit_test(unsound_tables_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
