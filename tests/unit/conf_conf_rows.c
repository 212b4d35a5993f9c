#include "unit.h"

#include "conf/conf_table.h"

#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
a_near_name_is_suggested(void **state)
{
	(void)state;
	static const struct {
		const char *wrong, *near;
	} rows[] = {
		{"maildrop", "maildrop"},
		{"Maildrop", "maildrop"},
		{"mail_drop", "maildrop"},
		{"idletimeout", "idle_timeout"},
		{"conections_per_user", "connections_per_user"},
		{"tls_cert", NULL},
		{"lats", "last"},
		{"", NULL},
		{"zzzzzzzz", NULL},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		 "aaaaa",
			NULL},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *got =
			conf_suggest(CONF_SECTION_GLOBAL, view_of(rows[i].wrong));
		if (rows[i].near)
			assert_string_equal(got ? got : "(none)", rows[i].near);
		else
			assert_null(got);
	}
}

static void
rows_are_found_in_their_section_only(void **state)
{
	(void)state;
	const struct conf_row *row =
		conf_row_find(CONF_SECTION_LISTENER, VIEW("plaintext"));

	assert_non_null(row);
	assert_ptr_not_equal(row, conf_row_find(CONF_SECTION_GLOBAL, VIEW("plaintext")));
	assert_null(conf_row_find(CONF_SECTION_LISTENER, VIEW("fronts")));
	assert_null(conf_row_find(CONF_SECTION_GLOBAL, VIEW("front")));
}

static void
addresses_are_read_whole_or_not(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool ok, v4, any;
		unsigned port, last;
	} rows[] = {
		{"127.0.0.1:110", true, true, false, 110, 1},
		{"[::2]:995", true, false, false, 995, 2},
		{"*:0", true, false, true, 0, 0},
		{"*:65535", true, false, true, 65535, 0},
		{"*:65536", false, 0, 0, 0, 0},
		{"127.0.0.1", false, 0, 0, 0, 0},
		{":110", false, 0, 0, 0, 0},
		{"::1:110", false, 0, 0, 0, 0},
		{"[::1]", false, 0, 0, 0, 0},
		{"[::1]110", false, 0, 0, 0, 0},
		{"[]:1", false, 0, 0, 0, 0},
		{"1.2.3.4:", false, 0, 0, 0, 0},
		{"host:110", false, 0, 0, 0, 0},
		{"1.2.3.4: 1", false, 0, 0, 0, 0},
		{"", false, 0, 0, 0, 0},
		{"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:"
		 "0000]:1",
			false, 0, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct conf_address a = {.port = 4242};
		assert_int_equal(
			conf_address_read(view_of(rows[i].text), &a), rows[i].ok);
		assert_int_equal(a.port, rows[i].ok ? rows[i].port : 4242);
		if (!rows[i].ok)
			continue;
		assert_int_equal(a.v4, rows[i].v4);
		assert_int_equal(a.any, rows[i].any);
		assert_int_equal(a.ip[15], rows[i].last);
		assert_int_equal(a.ip[10], rows[i].v4 ? 0xff : 0);
	}
}

static void
paths_have_one_spelling(void **state)
{
	(void)state;
	static const char *const good[] = {"/a", "/a/b", "/...", "/.a/..b", "/a b"};
	static const char *const bad[] = {"", "/", "a", "/a/", "//a", "/a//b", "/.",
		"/..", "/a/.", "/a/..", "/a/./b", "/a/../b", "./a"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(conf_path_is_normal(view_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(conf_path_is_normal(view_of(bad[i])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_near_name_is_suggested),
		cmocka_unit_test(rows_are_found_in_their_section_only),
		cmocka_unit_test(addresses_are_read_whole_or_not),
		cmocka_unit_test(paths_have_one_spelling),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
