#include "unit.h"

#include "wire/address_text.h"

#include <arpa/inet.h>
#include <string.h>

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
four_numbers_are_an_address(void **state)
{
	(void)state;
	static const uint8_t want[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 255};
	static const char *const bad[] = {"", ".", "1.2.3", "1.2.3.4.5", "1.2.3.4.",
		".1.2.3.4", "1..2.3", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4",
		"1.2.3.-4", "+1.2.3.4", "1.2.3.0x4", "1.2.3.1000", "::1"};
	uint8_t got[16];

	assert_true(address_text_v4(text("192.0.2.255"), got));
	assert_memory_equal(got, want, 16);
	assert_true(address_text_v4(text("0.0.0.0"), got));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(address_text_v4(text(bad[i]), got));
}

/* What is one and what is not is known to the C library as well. */
static void
groups_are_read_as_the_system_does(void **state)
{
	(void)state;
	static const char *const rows[] = {"::", "::1", "1::", "2001:db8::1",
		"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
		"::2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "1::8", "1::2::3", ":1",
		"1:", ":::", "::1:", ":1::", "1:::2",
		"12345::", "g::", "::ffff:192.0.2.1", "::192.0.2.1",
		"1:2:3:4:5:6:192.0.2.1", "192.0.2.1::", "1:2:3:4:5:6:7:192.0.2.1",
		"::192.0.2.1:1", "::1.2.3", "FE80::ABCD:Ef01", "::%lo", "fe80::1%1",
		"[::1]", "::1 ", "", ":", "1", "0000:0000:0000:0000:0000:0000:0000:0001",
		"00000::1", "::ffff:1.2.3.4.5", "1:2:3:4:5:6::7:8", "1:2:3:4::5:6:7:8"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t got[16] = {0}, want[16] = {0};
		bool is = inet_pton(AF_INET6, rows[i], want) == 1;
		/* RFC 4291 s.2.2: "::" stands for one group or more; the library takes it
		 * for none as well. */
		if (strcmp(rows[i], "1:2:3:4:5:6::7:8") == 0 ||
			strcmp(rows[i], "1:2:3:4::5:6:7:8") == 0)
			is = false;
		if (address_text_v6(text(rows[i]), got) != is)
			fail_msg("%s", rows[i]);
		if (is)
			assert_memory_equal(got, want, 16);
	}
}

static void
either_is_taken(void **state)
{
	(void)state;
	uint8_t a[16], b[16];

	assert_true(address_text(text("192.0.2.1"), a));
	assert_true(address_text(text("::ffff:192.0.2.1"), b));
	assert_memory_equal(a, b, 16);
	assert_false(address_text(text("192.0.2.1:110"), a));
	assert_false(address_text((struct view){NULL, 0}, a));
	assert_false(address_text((struct view){(const uint8_t *)"::1\0", 4}, a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_numbers_are_an_address),
		cmocka_unit_test(groups_are_read_as_the_system_does),
		cmocka_unit_test(either_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
