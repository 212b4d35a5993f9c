#include "unit.h"

#include "base/network.h"

#include <string.h>

/* Bit by bit, as slowly as can be. */
static bool
by_bits(const uint8_t network[17], const uint8_t address[16])
{
	for (unsigned i = 0; i < network[16]; i++)
		if ((network[i / 8] >> (7 - i % 8) & 1) !=
			(address[i / 8] >> (7 - i % 8) & 1))
			return false;
	return true;
}

static void
as_by_bits(void **state)
{
	uint8_t network[17] = {
		0x20, 0x01, 0x0D, 0xB8, 0xA5, 0x5A, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

	(void)state;
	for (unsigned bits = 0; bits <= 128; bits++) {
		network[16] = (uint8_t)bits;
		for (unsigned flip = 0; flip <= 128; flip++) {
			uint8_t address[16];
			memcpy(address, network, 16);
			if (flip < 128)
				address[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
			assert_int_equal(
				network_has(network, address), by_bits(network, address));
			assert_int_equal(network_has(network, address), flip >= bits);
		}
	}
	network[16] = 129;
	assert_false(network_has(network, network));
}

static void
lists(void **state)
{
	uint8_t rows[34] = {
		[10] = 0xFF, 0xFF, 10, [16] = 104, [17] = 0x20, 0x01, [33] = 16};
	const uint8_t ten[16] = {[10] = 0xFF, 0xFF, 10, 9, 8, 7};
	const uint8_t six[16] = {0x20, 0x01, 5};
	const uint8_t other[16] = {0x20, 0x02};
	struct view all = {rows, sizeof(rows)};

	(void)state;
	assert_true(network_list_has(all, ten));
	assert_true(network_list_has(all, six));
	assert_false(network_list_has(all, other));
	assert_false(network_list_has((struct view){NULL, 0}, ten));
	assert_true(network_list_is_sound(all));
	assert_true(network_list_is_sound((struct view){NULL, 0}));
	assert_false(network_list_is_sound((struct view){rows, 33}));
	rows[33] = 129;
	assert_false(network_list_is_sound(all));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_by_bits),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
