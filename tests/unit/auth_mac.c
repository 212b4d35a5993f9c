#include "unit.h"

#include "auth/mac.h"
#include "auth/sip.h"

#include <string.h>

static uint8_t text[1200];

static void
a_kept_key_gives_the_same_macs(void **state)
{
	(void)state;
	uint8_t key[32];
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(i * 7 + 1);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 31);
	struct mac *m = mac_new(key);
	assert_non_null(m);
	/* Around every edge of a block, and of what is gathered. */
	for (size_t a = 0; a < 140; a++)
		for (size_t b = 0; b <= 1000; b += 125) {
			const struct view parts[] = {{text, a}, {text + a, b}, {text, 1}};
			uint8_t kept[MAC_OCTETS], once[MAC_OCTETS];
			assert_true(mac_make(m, parts, 3, kept));
			assert_true(mac_of(key, parts, 3, once));
			assert_memory_equal(kept, once, MAC_OCTETS);
		}
	mac_free(&m);
	assert_null(m);
	mac_free(&m);
}

static void
parts_and_keys_count(void **state)
{
	(void)state;
	static const uint8_t keys[2][32] = {{1}, {2}};
	const struct view ab_c[] = {VIEW("ab"), VIEW("c")},
			  a_bc[] = {VIEW("a"), VIEW("bc")};
	uint8_t macs[4][MAC_OCTETS];
	struct mac *one = mac_new(keys[0]), *two = mac_new(keys[1]);

	assert_true(mac_make(one, ab_c, 2, macs[0]));
	assert_true(mac_make(one, a_bc, 2, macs[1]));
	assert_true(mac_make(one, ab_c, 1, macs[2]));
	assert_true(mac_make(two, ab_c, 2, macs[3]));
	for (size_t i = 0; i < 4; i++)
		for (size_t k = i + 1; k < 4; k++)
			assert_memory_not_equal(macs[i], macs[k], MAC_OCTETS);
	mac_free(&one);
	mac_free(&two);
}

/* The test vector of the paper: the octets 0 to 14, and their number behind them. */
static void
siphash_is_siphash(void **state)
{
	(void)state;
	static const uint64_t key[2] = {0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
	struct sip s = sip_begin(key);

	sip_word(&s, 0x0706050403020100U);
	sip_word(&s, 0x0f0e0d0c0b0a0908U);
	assert_true(sip_end(&s) == 0xa129ca6149be45e5U);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kept_key_gives_the_same_macs),
		cmocka_unit_test(parts_and_keys_count),
		cmocka_unit_test(siphash_is_siphash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
