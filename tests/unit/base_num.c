#include "unit.h"

#include "base/num.h"

static void
decimal_takes_digits_only(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok;
		uint64_t value;
	} rows[] = {
		{"0", true, 0},
		{"007", true, 7},
		{"4294967295", true, 4294967295U},
		{"18446744073709551615", true, UINT64_MAX},
		{"18446744073709551616", false, 0},
		{"", false, 0},
		{"+1", false, 0},
		{"-1", false, 0},
		{" 1", false, 0},
		{"1 ", false, 0},
		{"1x", false, 0},
		{"0x1", false, 0},
		{"99999999999999999999999999", false, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = 0;
		while (rows[i].text[n])
			n++;
		uint64_t got = 42;
		bool ok = num_decimal((struct view){(const uint8_t *)rows[i].text, n},
			UINT64_MAX, &got);
		assert_int_equal(ok, rows[i].ok);
		assert_int_equal(got, rows[i].ok ? rows[i].value : 42);
	}
}

static void
decimal_obeys_its_limit(void **state)
{
	(void)state;
	uint64_t got = 0;
	assert_true(num_decimal(VIEW("70"), 70, &got));
	assert_false(num_decimal(VIEW("71"), 70, &got));
	assert_int_equal(got, 70);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decimal_takes_digits_only),
		cmocka_unit_test(decimal_obeys_its_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
