#include "unit.h"

#include "control/control_who.h"
#include "control/core.h"

#include <string.h>

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static struct who_row
row_of(const char *user)
{
	struct who_row r = {.used = 1,
		.mechanism = 2,
		.tls = 1,
		.user_n = (uint8_t)strlen(user),
		.session = 9,
		.since_s = 951782400, /* the leap day of 2000 */
		.messages = 3,
		.address = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1},
		.port = 4711};

	memcpy(r.user, user, strlen(user));
	return r;
}

static void
what_cannot_be_is_left_out(void **state)
{
	(void)state;
	struct who_session s;
	struct who_row r = row_of("bert");

	assert_true(who_take(&r, 5, &s));
	assert_int_equal(s.front, 5);
	r.user_n = WHO_USER_MAX + 1;
	assert_false(who_take(&r, 5, &s));
	r = row_of("bert");
	r.used = 2;
	assert_false(who_take(&r, 5, &s));
	r = row_of("bert");
	r.session = 0;
	assert_false(who_take(&r, 5, &s));
}

static void
a_name_cannot_forge_a_line(void **state)
{
	(void)state;
	struct who_row r = row_of("b\"\n\xff");
	struct who_session s;
	char out[1024];
	struct buf b = buf_over(out, sizeof(out) - 1);
	struct who_list l = {&s, 1};

	assert_true(who_take(&r, 5, &s));
	s.mechanism = 200;
	who_render(&l, &b);
	out[b.n] = '\0';
	assert_string_equal(out,
		"user=\"b\\\"\\u000a\\u00ff\" address=192.0.2.1 port=4711 "
		"since=2000-02-29T00:00:00Z tls=yes mechanism=other messages=3 "
		"retrieved=0 marked=0 octets=0 front=5 session=9\n");
	b = buf_over(out, sizeof(out) - 1);
	s.since_s = UINT64_MAX;
	memset(s.address, 0, sizeof(s.address));
	s.address[15] = 1;
	who_render_json(&l, &b);
	out[b.n] = '\0';
	assert_non_null(strstr(out, "\"address\":\"0:0:0:0:0:0:0:1\""));
	assert_non_null(strstr(out, "\"since\":\"9999-12-31T23:59:59Z\""));
}

static void
an_operator_means_some(void **state)
{
	(void)state;
	static const char *const bad[] = {"", "user ", "user", "session 5", "session /9",
		"session 5/", "session 5/9x", "network 00",
		"network 0000000000000000000000000000000081", "all"};
	struct who_row r = row_of("bert");
	struct who_filter f;
	struct who_session s;

	assert_true(who_take(&r, 5, &s));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(who_filter_read(text(bad[i]), &f));
	assert_true(who_filter_read(text("user bert"), &f));
	assert_true(who_matches(&f, &s));
	assert_true(who_filter_read(text("user ber"), &f));
	assert_false(who_matches(&f, &s));
	assert_true(who_filter_read(text("session 5/9"), &f));
	assert_true(who_matches(&f, &s));
	assert_true(who_filter_read(text("session 5/8"), &f));
	assert_false(who_matches(&f, &s));
	assert_true(
		who_filter_read(text("network 00000000000000000000ffffc000020078"), &f));
	assert_true(who_matches(&f, &s));
	assert_true(
		who_filter_read(text("network 00000000000000000000ffffc000030078"), &f));
	assert_false(who_matches(&f, &s));
}

static void
questions_for_auth(void **state)
{
	(void)state;
	static const char *const bad[] = {"id", "id x", "id 4294967296", "login",
		"login 00 yes 1 bert", "login 00000000000000000000ffffc0000201 maybe 1 b",
		"login 00000000000000000000ffffc0000201 yes 256 b",
		"login 00000000000000000000ffffc0000201 yes 1 "};
	struct core_why w;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(core_why_read(text(bad[i]), &w));
	assert_true(core_why_read(text("id 77"), &w));
	assert_int_equal(w.id, 77);
	assert_true(core_why_read(
		text("login 00000000000000000000ffffc0000201 no 2 a b"), &w));
	assert_int_equal(w.tls, 0);
	assert_int_equal(w.mechanism, 2);
	assert_int_equal(w.address[12], 0xc0);
	assert_int_equal(w.name.n, 3);
}

static void
answers_of_auth(void **state)
{
	(void)state;
	static const uint8_t pairs[] = "\x02"
				       "id\x03\x00"
				       "a\nb\x01k\x00\x00";
	struct view v = {pairs, sizeof(pairs) - 1};
	char out[64];
	struct buf b = buf_over(out, sizeof(out) - 1);

	assert_true(why_render(v, &b));
	out[b.n] = '\0';
	assert_string_equal(out, "id: a?b\nk: \n");
	assert_int_equal(why_value(v, "id").n, 3);
	assert_null(why_value(v, "nothing").p);
	for (size_t n = 1; n < v.n; n++) {
		b = buf_over(out, sizeof(out));
		assert_int_equal(why_render((struct view){v.p, n}, &b), n == 8);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cannot_be_is_left_out),
		cmocka_unit_test(a_name_cannot_forge_a_line),
		cmocka_unit_test(an_operator_means_some),
		cmocka_unit_test(questions_for_auth),
		cmocka_unit_test(answers_of_auth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
