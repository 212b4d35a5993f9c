/* What databases give and are given: fields, queries, filters, entries. */
#include "helper/helper_fields.h"
#include "helper/ldap_parts.h"
#include "helper/sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define V(text) VIEW(text)

static bool
is(struct view v, const char *text)
{
	return v.n == strlen(text) && (v.n == 0 || memcmp(v.p, text, v.n) == 0);
}

static void
names_that_can_be(void **state)
{
	static const struct view good[] = {V("bob"), V("bob@example.org"), V("o'brien"),
		V("a b"), V("\xc3\xbc"), V("\xe2\x82\xac"), V("\xf0\x9f\x90\x81"),
		V("\xf4\x8f\xbf\xbf"), V("*")};
	static const struct view bad[] = {V(""), V("a:b"), V("a\0"), V("\n"), V("\x7f"),
		V("\x80"), V("\xc3"), V("\xc0\xaf"), V("\xed\xa0\x80"),
		V("\xf4\x90\x80\x80"), V("\xf8\x88\x80\x80\x80"), V("\xe2\x82"),
		V("\xe0\x80\x80"), V("\xff")};
	uint8_t long_one[HELPER_USER_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(helper_name_can_be(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(helper_name_can_be(bad[i]));
	memset(long_one, 'x', sizeof(long_one));
	assert_true(helper_name_can_be((struct view){long_one, HELPER_USER_NAME_MAX}));
	assert_false(helper_name_can_be((struct view){long_one, sizeof(long_one)}));
	assert_true(is(helper_name_local(V("a@b@c")), "a"));
	assert_true(is(helper_name_domain(V("a@b@c")), "b@c"));
	assert_true(is(helper_name_local(V("a")), "a"));
	assert_true(is(helper_name_domain(V("a")), ""));
	assert_true(is(helper_name_local(V("@b")), ""));
}

static struct helper_fields fields;

struct pair {
	const char *field;
	struct view value;
};

/* The answer to these pairs for bob; its line, or the empty text. */
static const char *
line_of(const struct pair *pairs, size_t n, bool locked, enum ask_outcome *ret)
{
	static char line[HELPER_LINE_MAX + 1];
	struct helper_answer a = {.line = buf_over(line, HELPER_LINE_MAX)};

	helper_fields_init(&fields, V("bob"));
	for (size_t i = 0; i < n; i++)
		helper_fields_put(&fields,
			(struct view){
				(const uint8_t *)pairs[i].field, strlen(pairs[i].field)},
			pairs[i].value);
	helper_fields_answer(&fields, locked, &a);
	*ret = a.outcome;
	line[a.outcome == ANSWER_FOUND ? a.line.n : 0] = 0;
	assert_true(a.outcome == ANSWER_FOUND || a.reason);
	return line;
}

#define LINE_OF(pairs, locked, ret)                                                      \
	line_of(pairs, sizeof(pairs) / sizeof((pairs)[0]), locked, ret)

static void
fields_become_a_line(void **state)
{
	const struct pair full[] = {{"password", V("{PLAIN}x")}, {"uid", V("7")},
		{"gid", V("8")}, {"home", V("/h")}, {"maildrop", V("maildir:/m")},
		{"allow_nets", V("::1/128")}, {"name", V("bob")},
		{"userdb_read_only", V("yes")}};
	const struct pair none[] = {{"password", V("")}, {"uid", V("")}, {"gid", V("")},
		{"home", V("")}, {"maildrop", V("")}, {"name", V("")}};
	/* What takes something away goes on, so that auth refuses the line. */
	const struct pair empty[] = {{"userdb_read_only", V("")}, {"tls", V("")}};
	enum ask_outcome outcome;

	(void)state;
	assert_string_equal(LINE_OF(full, true, &outcome),
		"bob:{PLAIN}x:7:8::/h::userdb_mail=maildir:/m allow_nets=::1/128 "
		"userdb_read_only=yes");
	assert_int_equal(outcome, ANSWER_FOUND);
	assert_string_equal(LINE_OF(none, true, &outcome), "bob:!::::::");
	assert_string_equal(LINE_OF(none, false, &outcome), "bob:::::::");
	assert_string_equal(
		LINE_OF(empty, true, &outcome), "bob:!::::::userdb_read_only= tls=");
}

static void
fields_that_cannot_be_taken_are_temporary(void **state)
{
	static const struct pair bad[][2] = {
		{{"uid", V("7")}, {"uid", V("8")}},
		{{"userdb_mail", V("a")}, {"maildrop", V("b")}},
		{{"userdb_mail", V("a b")}, {"x", V("1")}},
		{{"x", V("a\tb")}, {"y", V("1")}},
		{{"x", V("a\nb")}, {"y", V("1")}},
		{{"X", V("1")}, {"y", V("1")}},
		{{"", V("1")}, {"y", V("1")}},
		{{"a b", V("1")}, {"y", V("1")}},
		{{"a=b", V("1")}, {"y", V("1")}},
		{{"password", V("a:b")}, {"y", V("1")}},
		{{"home", V("a\nb")}, {"y", V("1")}},
		{{"uid", V("7:0")}, {"y", V("1")}},
		{{"uid", V("7\0")}, {"y", V("1")}},
	};
	enum ask_outcome outcome;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)LINE_OF(bad[i], true, &outcome);
		assert_int_equal(outcome, ANSWER_TEMPORARY);
	}
}

static void
too_much_is_temporary(void **state)
{
	static uint8_t big[HELPER_LINE_MAX];
	enum ask_outcome outcome;

	(void)state;
	memset(big, 'x', sizeof(big));
	const struct pair home[] = {{"home", {big, sizeof(big)}}, {"password", V("x")}};
	const struct pair extra[] = {{"extra", {big, sizeof(big)}}};
	const struct pair both[] = {{"home", {big, 5000}}, {"extra", {big, 5000}}};
	(void)LINE_OF(home, true, &outcome);
	assert_int_equal(outcome, ANSWER_TEMPORARY);
	(void)LINE_OF(extra, true, &outcome);
	assert_int_equal(outcome, ANSWER_TEMPORARY);
	(void)LINE_OF(both, true, &outcome);
	assert_int_equal(outcome, ANSWER_TEMPORARY);
}

static void
another_name_is_another_user(void **state)
{
	const struct pair other[] = {{"name", V("Bob")}, {"password", V("x")}};
	const struct pair longer[] = {{"name", V("bob ")}};
	const struct pair several[] = {{"name", V("robert")}, {"name", V("bob")}};
	const struct pair later[] = {{"name", V("bob")}, {"name", V("robert")}};
	enum ask_outcome outcome;

	(void)state;
	(void)LINE_OF(other, true, &outcome);
	assert_int_equal(outcome, ANSWER_NO_USER);
	(void)LINE_OF(longer, true, &outcome);
	assert_int_equal(outcome, ANSWER_NO_USER);
	(void)LINE_OF(several, true, &outcome);
	assert_int_equal(outcome, ANSWER_FOUND);
	(void)LINE_OF(later, true, &outcome);
	assert_int_equal(outcome, ANSWER_FOUND);
}

static void
queries_must_use_the_name(void **state)
{
	static const char *const bad[] = {"", "SELECT 1", "SELECT '$1'", "SELECT \"$1\"",
		"SELECT 1 -- $1", "SELECT 1 /* $1 */", "SELECT 'it''s $1'", "SELECT $3",
		"SELECT $0 $1", "SELECT $4 $1", "SELECT $10", "SELECT $1 $",
		"SELECT $x$ $1 $x$", "SELECT ? $1", "SELECT '$1", "SELECT 1 /* $1"};
	bool uses[SQL_PARAMETERS];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(sql_query_read(bad[i], uses));
	assert_null(
		sql_query_read("SELECT 'a' FROM b WHERE c = $1 -- $4\n AND d=$3", uses));
	assert_true(uses[0] && !uses[1] && uses[2]);
	assert_null(sql_query_read("SELECT 'it''s' || $2 /* $4 */", uses));
	assert_true(!uses[0] && uses[1] && !uses[2]);
}

static const char *
filter_of(const char *filter, struct view name)
{
	static char text[LDAP_FILTER_MAX];
	struct buf b = buf_over(text, sizeof(text));

	return ldap_filter_for(filter, name, &b) ? text : NULL;
}

static void
filters_escape_every_name(void **state)
{
	uint8_t long_one[HELPER_USER_NAME_MAX];
	char filter[1024] = "(";

	(void)state;
	assert_string_equal(filter_of("(uid=%u)", V("bob")), "(uid=bob)");
	assert_string_equal(
		filter_of("(uid=%u)", V("*)(\\\0")), "(uid=\\2a\\29\\28\\5c\\00)");
	assert_string_equal(filter_of("(&(a=%n)(b=%d)(c=%%))", V("x@y.z")),
		"(&(a=x)(b=y\\2ez)(c=%))");
	assert_string_equal(filter_of("(uid=%u)", V("\xc3\xbc")), "(uid=\\c3\\bc)");
	memset(long_one, '*', sizeof(long_one));
	for (size_t i = 0; i < 400; i++)
		memcpy(filter + 1 + i * 2, "%u", 3);
	assert_null(filter_of(filter, (struct view){long_one, sizeof(long_one)}));

	assert_null(ldap_filter_check("(uid=%u)"));
	assert_null(ldap_filter_check("(mail=%n@%d)"));
	assert_non_null(ldap_filter_check("(uid=x)"));
	assert_non_null(ldap_filter_check("(uid=%d)"));
	assert_non_null(ldap_filter_check("(uid=%u%)"));
	assert_non_null(ldap_filter_check("(uid=%u%x)"));
	assert_non_null(ldap_filter_check("uid=%u"));
	assert_non_null(ldap_filter_check("(%%u)"));
}

static void
attributes_are_pairs(void **state)
{
	static const char *const bad[] = {
		"uid", "uid=", "=uid", "a=b,c=b", "a b", "a*=b", "a=b c", "a(=b"};
	static const char seventeen[] =
		"a=a b=b c=c d=d e=e f=f g=g h=h i=i j=j k=k l=l m=m n=n "
		"o=o p=p q=q";
	static struct ldap_map m;

	(void)state;
	assert_null(ldap_map_read(
		&m, "uid=name, uidNumber=uid\tuserPassword=password", true));
	assert_int_equal(m.n, 3);
	assert_string_equal(m.attributes[1], "uidNumber");
	assert_string_equal(m.fields[2], "password");
	assert_null(m.attributes[3]);
	assert_null(ldap_map_read(&m, "uid=name,userPassword=password", false));
	assert_int_equal(m.n, 1);
	assert_null(ldap_map_read(&m, " ", true));
	assert_string_equal(m.attributes[0], "1.1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(ldap_map_read(&m, bad[i], true));
	assert_non_null(ldap_map_read(&m, seventeen, true));
}

static const char *
password_of(struct view value)
{
	static char text[128];
	struct buf b = buf_over(text, sizeof(text) - 1);

	if (!ldap_password_field(value, &b))
		return NULL;
	text[b.n] = 0;
	return text;
}

static void
passwords_of_directories(void **state)
{
	static uint8_t big[200];

	(void)state;
	assert_string_equal(password_of(V("{SSHA}abc=")), "{SSHA}abc=");
	assert_string_equal(password_of(V("{md5}abc=")), "{LDAP-MD5}abc=");
	assert_string_equal(
		password_of(V("{ARGON2}$argon2id$x")), "{ARGON2ID}$argon2id$x");
	assert_string_equal(password_of(V("{argon2}$argon2i$x")), "{ARGON2I}$argon2i$x");
	assert_string_equal(password_of(V("{ARGON2}x")), "{ARGON2}x");
	assert_string_equal(password_of(V("f")), "{PLAIN.b64}Zg==");
	assert_string_equal(password_of(V("fo:")), "{PLAIN.b64}Zm86");
	assert_string_equal(password_of(V("foob")), "{PLAIN.b64}Zm9vYg==");
	assert_string_equal(password_of(V("fooba")), "{PLAIN.b64}Zm9vYmE=");
	assert_string_equal(password_of(V("{a")), "{PLAIN.b64}e2E=");
	assert_null(password_of((struct view){big, sizeof(big)}));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_that_can_be),
		cmocka_unit_test(fields_become_a_line),
		cmocka_unit_test(fields_that_cannot_be_taken_are_temporary),
		cmocka_unit_test(too_much_is_temporary),
		cmocka_unit_test(another_name_is_another_user),
		cmocka_unit_test(queries_must_use_the_name),
		cmocka_unit_test(filters_escape_every_name),
		cmocka_unit_test(attributes_are_pairs),
		cmocka_unit_test(passwords_of_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
