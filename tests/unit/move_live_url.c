/*
 * Where a server is, and the name that is sent to it.
 */
#include "unit.h"

#include "base/check.h"
#include "move/live.h"

#include <string.h>

static void
urls(void **state)
{
	static const struct {
		const char *text, *host, *user;
		uint16_t port;
		bool tls;
	} rows[] = {
		{"pop3s://mail.example.org", "mail.example.org", "", 995, true},
		{"pop3://mail.example.org", "mail.example.org", "", 110, false},
		{"POP3S://h:1995", "h", "", 1995, true},
		{"pop3s://anna@h", "h", "anna", 995, true},
		{"pop3s://anna@example.org@h:99/", "h", "anna@example.org", 99, true},
		{"pop3://a%3Ab%40c@127.0.0.1:1", "127.0.0.1", "a:b@c", 1, false},
		{"pop3s://[::1]", "::1", "", 995, true},
		{"pop3s://u@[fe80::1%eth0]:65535", "fe80::1%eth0", "u", 65535, true},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct live_url url;
		const char *why = NULL;

		assert_true(live_url_read(rows[i].text, &url, &why));
		assert_string_equal(url.host, rows[i].host);
		assert_string_equal(url.user, rows[i].user);
		assert_int_equal(url.port, rows[i].port);
		assert_int_equal(url.tls, rows[i].tls);
	}
}

static void
wrong_urls(void **state)
{
	static const char *const texts[] = {
		"",
		"mail.example.org",
		"imap://h",
		"pop3s://",
		"pop3s://@h",
		"pop3s://anna:secret@h",
		"pop3s://h:0",
		"pop3s://h:65536",
		"pop3s://h:",
		"pop3s://h:9x",
		"pop3s://h ost",
		"pop3s://h/inbox",
		"pop3s://[::1",
		"pop3s://[::1]x",
		"pop3s://a%0@h",
		"pop3s://a%0a@h",
		"pop3s://a%gg@h",
	};
	char text[2 * LIVE_NAME_MAX + 32] = "pop3s://";
	struct live_url url = {.port = 7};
	const char *why;
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		why = NULL;
		assert_false(live_url_read(texts[i], &url, &why));
		assert_non_null(why);
	}
	memset(text + 8, 'h', LIVE_NAME_MAX + 1);
	assert_false(live_url_read(text, &url, &why));
	text[8 + LIVE_NAME_MAX] = '\0';
	assert_int_equal(url.port, 7); /* untouched so far */
	assert_true(live_url_read(text, &url, &why));
}

static void
login_names(void **state)
{
	char name[2 * LIVE_NAME_MAX + 2], longest[LIVE_NAME_MAX + 1];
	(void)state;

	assert_true(live_login_name(NULL, "anna", NULL, name));
	assert_string_equal(name, "anna");
	assert_true(live_login_name(NULL, "anna", "root", name));
	assert_string_equal(name, "anna*root");
	assert_true(live_login_name("%m/%u%%", "anna", "root", name));
	assert_string_equal(name, "root/anna%");
	assert_false(live_login_name("%m", "anna", "root", name));
	assert_false(live_login_name("%u*%m", "anna", NULL, name));
	assert_false(live_login_name("%u%", "anna", NULL, name));
	assert_false(live_login_name("%x%u", "anna", NULL, name));
	memset(longest, 'x', LIVE_NAME_MAX);
	longest[LIVE_NAME_MAX] = '\0';
	assert_true(live_login_name("%u*%m", longest, longest, name));
	assert_int_equal(strlen(name), 2 * LIVE_NAME_MAX + 1);
	assert_false(live_login_name("%u**%m", longest, longest, name));
}

static void
options(void **state)
{
	char pin[] = "--pin=sha256:"
		     "00112233445566778899AABBccddeeff00112233445566778899aabbccddeeff";
	char *good[] = {"x", "--ca", "file", pin, "--plaintext", "--timeout=7",
		"--master", "m", "--login-format", "%u+%m", "--other"};
	char *bad[] = {"--pin", "0011", "--timeout", "0", "--timeout", "3601",
		"--login-format", "%m", "--plaintext=yes", "-", "--master", "", "--ca"};
	struct live_options o;
	char why[128];
	int i = 1;
	(void)state;

	live_options_init(&o);
	while (live_option(&o, ARRAY_SIZE(good), good, &i, why, sizeof(why)) == 1)
		;
	assert_int_equal(i, ARRAY_SIZE(good) - 1);
	assert_string_equal(o.tls.ca_file, "file");
	assert_int_equal(o.tls.pins_n, 1);
	assert_int_equal(o.tls.pins[0][10], 0xAA);
	assert_true(o.plaintext);
	assert_int_equal(o.timeout_ms, 7000);
	assert_string_equal(o.master, "m");
	assert_string_equal(o.format, "%u+%m");
	for (size_t at = 0; at < ARRAY_SIZE(bad); at += 2) {
		i = (int)at;
		why[0] = '\0';
		assert_int_equal(
			live_option(&o, ARRAY_SIZE(bad), bad, &i, why, sizeof(why)), -1);
		assert_non_null(strstr(why, "--"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls),
		cmocka_unit_test(wrong_urls),
		cmocka_unit_test(login_names),
		cmocka_unit_test(options),
	};

	return cmocka_run_group_tests_name("move_live_url", tests, NULL, NULL);
}
