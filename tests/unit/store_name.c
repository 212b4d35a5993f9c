/* Names of files in a Maildir: what they say, and what is no name of a message. */
#include "unit.h"

#include "store/maildir_name.h"

#include <stdio.h>
#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
keys_lose_size_fields_and_nothing_else(void **state)
{
	static const struct {
		const char *name, *key;
		uint64_t size, wire;
	} rows[] = {
		{"1.a", "1.a", 0, 0},
		{"1.a:2,S", "1.a", 0, 0},
		{"1.a,S=12,W=34:2,", "1.a", 12, 34},
		{"1.a,W=34,S=12", "1.a", 12, 34},
		{"1.a,S=12,x=y,W=34:2,", "1.a,x=y", 12, 34},
		{"1.a,S=:2,", "1.a,S=", 0, 0},
		{"1.a,S=1x:2,", "1.a,S=1x", 0, 0},
		{"1.a,S=-1:2,", "1.a,S=-1", 0, 0},
		{"1.a,s=1:2,", "1.a,s=1", 0, 0},
		{"1.a,S1:2,", "1.a,S1", 0, 0},
		{"1.a,,S=1,:2,", "1.a,,", 1, 0},
		{"1.a,S=99999999999999999999", "1.a,S=99999999999999999999", 0, 0},
		{",S=1:2,", "", 1, 0},
		{":2,S", "", 0, 0},
		{"1.a:2,S:x,S=9", "1.a", 0, 0},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct maildir_name got;
		assert_true(maildir_name_parse(view_of(rows[i].name), &got));
		assert_int_equal(got.key_n, strlen(rows[i].key));
		assert_memory_equal(got.key, rows[i].key, got.key_n);
		assert_int_equal(got.size, rows[i].size);
		assert_int_equal(got.wire, rows[i].wire);
		assert_int_equal(got.has_size, rows[i].size > 0);
	}
}

static void
what_is_no_message(void **state)
{
	char long_name[257];
	struct maildir_name got;
	(void)state;

	memset(long_name, 'a', sizeof(long_name));
	assert_false(maildir_name_parse(VIEW(""), &got));
	assert_false(maildir_name_parse(VIEW("."), &got));
	assert_false(maildir_name_parse(VIEW(".hidden"), &got));
	assert_false(maildir_name_parse(VIEW("a/b"), &got));
	assert_false(maildir_name_parse(VIEW("a\0b"), &got));
	assert_false(maildir_name_parse((struct view){(uint8_t *)long_name, 256}, &got));
	assert_true(maildir_name_parse((struct view){(uint8_t *)long_name, 255}, &got));
}

static void
times_and_flags(void **state)
{
	struct maildir_name got;
	(void)state;

	assert_true(maildir_name_parse(VIEW("1720000000.M1.h:2,RS"), &got));
	assert_int_equal(got.time, 1720000000);
	assert_true(got.seen);
	assert_true(maildir_name_parse(VIEW("0012S.h:2,R"), &got));
	assert_int_equal(got.time, 12);
	assert_false(got.seen);
	assert_true(maildir_name_parse(VIEW("S.h:1,S"), &got));
	assert_true(got.time == UINT64_MAX);
	assert_false(got.seen);
	assert_true(maildir_name_parse(VIEW("99999999999999999999.h"), &got));
	assert_true(got.time == UINT64_MAX);
}

static void
seen_is_sorted_in(void **state)
{
	static const struct {
		const char *name, *with;
	} rows[] = {
		{"1.a", "1.a:2,S"},
		{"1.a:2,", "1.a:2,S"},
		{"1.a:2,FT", "1.a:2,FST"},
		{"1.a:2,S", "1.a:2,S"},
		{"1.a:2,RSab", "1.a:2,RSab"},
		{"1.a:2,ab", "1.a:2,Sab"},
		{"1.a,S=5:2,R", "1.a,S=5:2,RS"},
		{"1.a:1,x", NULL},
		{"1.a:", NULL},
	};
	char out[MAILDIR_NAME_MAX + 1], name[256];
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = maildir_name_with_seen(view_of(rows[i].name), out);
		assert_int_equal(n, rows[i].with ? strlen(rows[i].with) : 0);
		if (rows[i].with)
			assert_string_equal(out, rows[i].with);
	}
	(void)snprintf(name, sizeof(name), "%0252d", 1);
	assert_int_equal(maildir_name_with_seen(view_of(name), out), 0);
	(void)snprintf(name, sizeof(name), "%0251d", 1);
	assert_int_equal(maildir_name_with_seen(view_of(name), out), 255);
}

static void
made_uidls_are_the_same_for_ever(void **state)
{
	uint8_t a[MAILDIR_UIDL_HASHED], b[MAILDIR_UIDL_HASHED];
	(void)state;

	assert_true(maildir_uidl_legal(VIEW("a")));
	assert_false(maildir_uidl_legal(VIEW("")));
	assert_false(maildir_uidl_legal(VIEW("a b")));
	assert_false(maildir_uidl_legal(VIEW("a\x7F")));
	assert_false(maildir_uidl_legal(VIEW("a\xC3")));
	/* If these two change, every client of such a maildrop loads it again. */
	maildir_uidl_hash(VIEW("a b"), 0, 0, a);
	assert_memory_equal(a, "restante-e932d71afddc92588044f8a624582c4c", sizeof(a));
	maildir_uidl_hash(VIEW("1.dup"), 7, 1, b);
	assert_memory_equal(b, "restante-77101c486facfe1c8caa4ecb1678ff1a", sizeof(b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_lose_size_fields_and_nothing_else),
		cmocka_unit_test(what_is_no_message),
		cmocka_unit_test(times_and_flags),
		cmocka_unit_test(seen_is_sorted_in),
		cmocka_unit_test(made_uidls_are_the_same_for_ever),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
