/* What all helpers share: the line of a user, and the settings. */
#include "helper/helper_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define V(text) VIEW(text)

static bool
line_is(const struct helper_user *u, const char *expected)
{
	static uint8_t octets[HELPER_LINE_MAX];
	struct buf out = buf_over(octets, sizeof(octets));

	if (!helper_put_line(u, &out))
		return expected == NULL;
	return expected && out.n == strlen(expected) &&
		memcmp(out.p, expected, out.n) == 0;
}

static void
a_user_is_a_line(void **state)
{
	(void)state;
	assert_true(line_is(&(struct helper_user){.name = V("bob")}, "bob:::::::"));
	assert_true(line_is(&(struct helper_user){.name = V("bob@example.org"),
				    .password = V("{SSHA}x"),
				    .uid = V("1001"),
				    .gid = V("1002"),
				    .home = V("/home/bob"),
				    .extra = V("userdb_mail=maildir:~/M allow_nets=::1")},
		"bob@example.org:{SSHA}x:1001:1002::/home/bob::"
		"userdb_mail=maildir:~/M allow_nets=::1"));
}

static void
what_would_move_the_fields_is_no_line(void **state)
{
	static const struct view bad[] = {
		V("a:b"), V("a\nb"), V("a\rb"), V("a\0b"), V("\x7f"), V("a\tb")};

	(void)state;
	assert_true(line_is(&(struct helper_user){.password = V("x")}, NULL));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct view ok = V("x");
		assert_true(line_is(&(struct helper_user){.name = bad[i]}, NULL));
		assert_true(line_is(
			&(struct helper_user){.name = ok, .password = bad[i]}, NULL));
		assert_true(
			line_is(&(struct helper_user){.name = ok, .uid = bad[i]}, NULL));
		assert_true(
			line_is(&(struct helper_user){.name = ok, .gid = bad[i]}, NULL));
		assert_true(
			line_is(&(struct helper_user){.name = ok, .home = bad[i]}, NULL));
		if (i > 0)
			assert_true(line_is(
				&(struct helper_user){.name = ok, .extra = bad[i]},
				NULL));
	}
}

static void
a_line_has_a_limit(void **state)
{
	static uint8_t long_one[HELPER_LINE_MAX];

	(void)state;
	memset(long_one, 'x', sizeof(long_one));
	struct helper_user u = {
		.name = V("b"), .home = {long_one, sizeof(long_one) - 8 + 1}};
	assert_true(line_is(&u, NULL));
	u.home.n--;
	uint8_t octets[HELPER_LINE_MAX];
	struct buf out = buf_over(octets, sizeof(octets));
	assert_true(helper_put_line(&u, &out));
	assert_int_equal(out.n, HELPER_LINE_MAX);
}

static struct helper helper;

static void
settings_are_pairs(void **state)
{
	struct helper *h = &helper;

	(void)state;
	assert_true(helper_take_settings(h,
		V("sql_query\0SELECT 1\0sql_uid\0"
		  "00017\0sql_password_file\0\0")));
	assert_string_equal(helper_setting(h, "sql_query"), "SELECT 1");
	assert_string_equal(helper_setting(h, "sql_password_file"), "");
	assert_string_equal(helper_setting(h, "SELECT 1"), "");
	assert_string_equal(helper_setting(h, "sql"), "");
	assert_int_equal(helper_number(h, "sql_uid"), 17);
	assert_int_equal(helper_number(h, "sql_query"), 0);
	assert_true(helper_take_settings(h, (struct view){NULL, 0}));
	assert_string_equal(helper_setting(h, "sql_query"), "");
}

static void
settings_that_are_no_pairs_are_refused(void **state)
{
	static uint8_t long_one[HELPER_SETTINGS_MAX + 2];
	struct helper *h = &helper;

	(void)state;
	assert_false(helper_take_settings(h, V("sql_query\0")));
	assert_false(helper_take_settings(h, V("sql_query\0SELECT")));
	assert_false(helper_take_settings(h, V("sql_query\0SELECT\0x")));
	assert_false(helper_take_settings(h, (struct view){long_one, sizeof(long_one)}));
	assert_true(
		helper_take_settings(h, (struct view){long_one, HELPER_SETTINGS_MAX}));
	assert_string_equal(helper_setting(h, "x"), "");
}

static void
a_reason_is_cut_and_stays(void **state)
{
	char long_one[2 * HELPER_WHY_MAX];

	(void)state;
	memset(long_one, 'x', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = 0;
	assert_string_equal(
		helper_why(&helper, "%s: %d", "sql_query", 3), "sql_query: 3");
	assert_int_equal(strlen(helper_why(&helper, "%s", long_one)), HELPER_WHY_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_is_a_line),
		cmocka_unit_test(what_would_move_the_fields_is_no_line),
		cmocka_unit_test(a_line_has_a_limit),
		cmocka_unit_test(settings_are_pairs),
		cmocka_unit_test(settings_that_are_no_pairs_are_refused),
		cmocka_unit_test(a_reason_is_cut_and_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
