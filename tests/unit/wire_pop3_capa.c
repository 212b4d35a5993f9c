#include "unit.h"

#include "base/buf.h"
#include "pop3/server.h"

#include <string.h>

static char storage[4096];

static const char *
capa(const struct pop3_server_options *o, struct pop3_link link, bool logged_in)
{
	struct pop3_server s;
	struct buf out = buf_over(storage, sizeof(storage) - 1);

	pop3_server_init(&s, o, &link);
	if (logged_in) {
		pop3_server_identified(&s, 9, 450);
		pop3_server_logged_in(&s);
	}
	pop3_put_capa(&s, &out);
	assert_false(out.full);
	assert_true(out.n <= POP3_PUT_MAX);
	storage[out.n] = '\0';
	return storage;
}

static const struct pop3_link plain = {.tls_available = true,
	.plaintext = true,
	.user = true,
	.mechanisms = (1 << POP3_MECHANISMS) - 1};

static void
policy_differs_until_login(void **state)
{
	(void)state;
	struct pop3_server_options o = {.expire_days = 5,
		.login_delay_s = 900,
		.expire_differs = true,
		.login_delay_differs = true};

	assert_non_null(strstr(capa(&o, plain, false), "\r\nEXPIRE 5 USER\r\n"));
	assert_non_null(strstr(storage, "\r\nLOGIN-DELAY 900 USER\r\n"));
	assert_non_null(strstr(capa(&o, plain, true), "\r\nEXPIRE 9\r\n"));
	assert_non_null(strstr(storage, "\r\nLOGIN-DELAY 450\r\n"));
	o = (struct pop3_server_options){.expire_days = POP3_EXPIRE_NEVER};
	assert_non_null(strstr(capa(&o, plain, false), "\r\nEXPIRE NEVER\r\n"));
	assert_null(strstr(storage, "LOGIN-DELAY"));
	assert_null(strstr(storage, "IMPLEMENTATION"));
	o.expire_days = 0;
	assert_non_null(strstr(capa(&o, plain, false), "\r\nEXPIRE 0\r\n"));
}

static void
stls_is_named_where_it_is_allowed(void **state)
{
	(void)state;
	struct pop3_server_options o = {.expire_days = 0};
	struct pop3_link link = plain;

	assert_non_null(strstr(capa(&o, link, false), "\r\nSTLS\r\n"));
	assert_null(strstr(capa(&o, link, true), "STLS"));
	link.tls = true;
	assert_null(strstr(capa(&o, link, false), "STLS"));
	link = (struct pop3_link){.plaintext = true};
	assert_null(strstr(capa(&o, link, false), "STLS"));
}

static void
passwords_are_asked_for_where_they_are_safe(void **state)
{
	(void)state;
	struct pop3_server_options o = {.expire_days = 0};
	struct pop3_link link = {.tls_available = true,
		.user = true,
		.mechanisms = 1 << POP3_MECHANISM_PLAIN};

	assert_null(strstr(capa(&o, link, false), "USER"));
	assert_null(strstr(storage, "SASL"));
	link.tls = true;
	assert_non_null(strstr(capa(&o, link, false), "\r\nUSER\r\n"));
	assert_non_null(strstr(storage, "\r\nSASL PLAIN\r\n"));
}

static void
longest_options_fit(void **state)
{
	(void)state;
	static uint8_t text[1000];
	struct pop3_server_options o = {.implementation = {text, sizeof(text)},
		.hostname = {text, sizeof(text)},
		.expire_days = 4294967294U,
		.login_delay_s = 4294967295U,
		.expire_differs = true,
		.login_delay_differs = true};

	memset(text, '\n', sizeof(text));
	o.utf8 = true;
	struct pop3_link link = plain;
	link.tls = link.binding = link.certificate = link.xclient = true;
	assert_non_null(strstr(capa(&o, link, false), "SCRAM-SHA-256-PLUS"));
	(void)capa(&o, plain, false);
	const char *line = strstr(storage, "IMPLEMENTATION ");
	assert_non_null(line);
	assert_int_equal(strspn(line + 15, "?"), 128);
	assert_string_equal(line + 15 + 128, "\r\n.\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policy_differs_until_login),
		cmocka_unit_test(stls_is_named_where_it_is_allowed),
		cmocka_unit_test(passwords_are_asked_for_where_they_are_safe),
		cmocka_unit_test(longest_options_fit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
