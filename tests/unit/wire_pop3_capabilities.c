#include "unit.h"

#include "base/check.h"
#include "pop3/capabilities.h"
#include "pop3/server.h"

#include <stdio.h>
#include <string.h>

static void
capabilities(void **state)
{
	(void)state;
	struct pop3_capabilities caps = {0};
	static const char *const rows[] = {"top", "UIDL", "User", "STLS", "PIPELINING x",
		"RESP-CODES", "AUTH-RESP-CODE", "UTF8 USER",
		"SASL PLAIN  xoauth2 b@d PLAIN", "LOGIN-DELAY 900 USER",
		"expire never USER", "X-WORD", "", "IMPLEMENTATION x"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		pop3_capabilities_take(
			&caps, (struct view){(const uint8_t *)rows[i], strlen(rows[i])});
	assert_int_equal(caps.has, (1 << 11) - 1);
	assert_string_equal(caps.mechanisms, "PLAIN XOAUTH2");
	assert_int_equal(caps.mechanisms_n, 13);
	assert_int_equal(caps.login_delay_s, 900);
	assert_int_equal(caps.expire_days, POP3_EXPIRE_NEVER);
	assert_true(pop3_capabilities_offer(&caps, "XOAUTH2"));
	assert_true(pop3_capabilities_offer(&caps, "PLAIN"));
	assert_false(pop3_capabilities_offer(&caps, "XOAUTH"));
	assert_false(pop3_capabilities_offer(&caps, "PLAIN XOAUTH2"));
	assert_false(pop3_capabilities_offer(&caps, ""));
}

static void
capabilities_that_are_none(void **state)
{
	(void)state;
	struct pop3_capabilities caps = {0};
	char row[64];

	pop3_capabilities_take(&caps, VIEW("LOGIN-DELAY soon"));
	pop3_capabilities_take(&caps, VIEW("EXPIRE"));
	pop3_capabilities_take(&caps, VIEW("TOPS"));
	assert_int_equal(caps.has, 0);
	pop3_capabilities_take(&caps, VIEW("EXPIRE 0"));
	pop3_capabilities_take(&caps, VIEW("LOGIN-DELAY 99999999999999999999999"));
	assert_int_equal(caps.expire_days, 0);
	assert_int_equal(caps.login_delay_s, UINT32_MAX);
	assert_int_equal(caps.has, POP3_CAPA_EXPIRE | POP3_CAPA_LOGIN_DELAY);
	pop3_capabilities_take(&caps, VIEW("EXPIRE 4294967295"));
	assert_int_equal(caps.expire_days, POP3_EXPIRE_NEVER - 1);
	for (int i = 0; i < 1000; i++) {
		int n = snprintf(row, sizeof(row), "SASL MECHANISM-%d", i);
		pop3_capabilities_take(&caps, (struct view){(uint8_t *)row, (size_t)n});
		assert_true(caps.mechanisms_n < POP3_CLIENT_MECHANISMS_MAX);
		assert_int_equal(strlen(caps.mechanisms), caps.mechanisms_n);
	}
	assert_true(pop3_capabilities_offer(&caps, "MECHANISM-30"));
	assert_false(pop3_capabilities_offer(&caps, "MECHANISM-999"));
}

/* 24 names of 20 octets and the blanks are 503: seven octets more fit, eight do not. */
static void
mechanisms_have_a_limit(void **state)
{
	(void)state;
	struct pop3_capabilities caps = {0};
	char row[64];

	for (int i = 0; i < 24; i++) {
		int n = snprintf(row, sizeof(row), "SASL ABCDEFGHIJKLMNOPQR%02d", i);
		pop3_capabilities_take(&caps, (struct view){(uint8_t *)row, (size_t)n});
	}
	assert_int_equal(caps.mechanisms_n, 503);
	pop3_capabilities_take(&caps, VIEW("SASL 12345678"));
	assert_int_equal(caps.mechanisms_n, 503);
	pop3_capabilities_take(&caps, VIEW("SASL 1234567"));
	assert_int_equal(caps.mechanisms_n, 511);
	assert_int_equal(caps.mechanisms[511], '\0');
	assert_true(pop3_capabilities_offer(&caps, "1234567"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities),
		cmocka_unit_test(capabilities_that_are_none),
		cmocka_unit_test(mechanisms_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
