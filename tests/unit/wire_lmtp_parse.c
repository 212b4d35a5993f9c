#include "unit.h"

#include "base/check.h"
#include "wire/lmtp_parse.h"

#include <stdio.h>
#include <string.h>

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
lines_and_what_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum lmtp_command command;
		enum lmtp_reply reply;
	} rows[] = {
		{"LHLO x", LMTP_LHLO, LMTP_REPLY_OK},
		{"lhlo [127.0.0.1] ", LMTP_LHLO, LMTP_REPLY_OK},
		{"LHLO", LMTP_LHLO, LMTP_REPLY_ARGUMENT},
		{"LHLO a b", LMTP_LHLO, LMTP_REPLY_ARGUMENT},
		{"LHLO \xC3\xA4.example", LMTP_LHLO, LMTP_REPLY_LINE_OCTETS},
		{"MAIL FROM:<>", LMTP_MAIL, LMTP_REPLY_OK},
		{"mail from:<a@b>", LMTP_MAIL, LMTP_REPLY_OK},
		{"MAIL FROM:<a@b> ", LMTP_MAIL, LMTP_REPLY_OK},
		{"MAIL FROM: <a@b>", LMTP_MAIL, LMTP_REPLY_SENDER_SYNTAX},
		{"MAIL FROM:a@b", LMTP_MAIL, LMTP_REPLY_SENDER_SYNTAX},
		{"MAIL FROM:<a@b>x", LMTP_MAIL, LMTP_REPLY_SENDER_SYNTAX},
		{"MAIL FROM:<a@b", LMTP_MAIL, LMTP_REPLY_SENDER_SYNTAX},
		{"MAIL TO:<a@b>", LMTP_MAIL, LMTP_REPLY_ARGUMENT},
		{"MAIL", LMTP_MAIL, LMTP_REPLY_ARGUMENT},
		{"RCPT TO:<a@b>", LMTP_RCPT, LMTP_REPLY_OK},
		{"RCPT TO:<postmaster>", LMTP_RCPT, LMTP_REPLY_OK},
		{"RCPT TO:<>", LMTP_RCPT, LMTP_REPLY_RECIPIENT_SYNTAX},
		{"RCPT TO:<a@>", LMTP_RCPT, LMTP_REPLY_RECIPIENT_SYNTAX},
		{"RCPT FROM:<a@b>", LMTP_RCPT, LMTP_REPLY_ARGUMENT},
		{"DATA", LMTP_DATA, LMTP_REPLY_OK},
		{"DATA now", LMTP_DATA, LMTP_REPLY_ARGUMENT},
		{"BDAT 0", LMTP_BDAT, LMTP_REPLY_OK},
		{"BDAT 18446744073709551615 last", LMTP_BDAT, LMTP_REPLY_OK},
		{"BDAT 18446744073709551616", LMTP_BDAT, LMTP_REPLY_ARGUMENT},
		{"BDAT 000000000000000000001", LMTP_BDAT, LMTP_REPLY_ARGUMENT},
		{"BDAT", LMTP_BDAT, LMTP_REPLY_ARGUMENT},
		{"BDAT -1", LMTP_BDAT, LMTP_REPLY_ARGUMENT},
		{"BDAT 1 FIRST", LMTP_BDAT, LMTP_REPLY_ARGUMENT},
		{"BDAT 1 LAST x", LMTP_BDAT, LMTP_REPLY_ARGUMENT},
		{"RSET", LMTP_RSET, LMTP_REPLY_OK},
		{"RSET x", LMTP_RSET, LMTP_REPLY_ARGUMENT},
		{"NOOP", LMTP_NOOP, LMTP_REPLY_OK},
		{"NOOP whatever it is", LMTP_NOOP, LMTP_REPLY_OK},
		{"VRFY a", LMTP_VRFY, LMTP_REPLY_OK},
		{"VRFY", LMTP_VRFY, LMTP_REPLY_ARGUMENT},
		{"VRFY \xC3\xA4", LMTP_VRFY, LMTP_REPLY_ARGUMENT},
		{"VRFY \xC3\xA4 SMTPUTF8", LMTP_VRFY, LMTP_REPLY_OK},
		{"QUIT \t", LMTP_QUIT, LMTP_REPLY_OK},
		{"HELP me", LMTP_HELP, LMTP_REPLY_OK},
		{"EHLO x", LMTP_EHLO, LMTP_REPLY_OK},
		{"NOOP a\rb", LMTP_NOOP, LMTP_REPLY_LINE_OCTETS},
		{"NOOP \x7F", LMTP_NOOP, LMTP_REPLY_LINE_OCTETS},
		{"RCPT TO:<\xC3@b>", LMTP_RCPT, LMTP_REPLY_LINE_OCTETS},
		{"", LMTP_COMMANDS, LMTP_REPLY_UNKNOWN},
		{" QUIT", LMTP_COMMANDS, LMTP_REPLY_UNKNOWN},
		{"QUITS", LMTP_COMMANDS, LMTP_REPLY_UNKNOWN},
		{"QUI", LMTP_COMMANDS, LMTP_REPLY_UNKNOWN},
		{"EXPN list", LMTP_COMMANDS, LMTP_REPLY_UNKNOWN},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct lmtp_request r;

		if (lmtp_parse(text(rows[i].line), &r) != rows[i].reply)
			fail_msg("%s", rows[i].line);
		assert_int_equal(r.known, rows[i].command != LMTP_COMMANDS);
		if (r.known)
			assert_int_equal(r.command, rows[i].command);
	}
}

/* A NUL is an octet that no command has, wherever it stands. */
static void
nul_is_refused(void **state)
{
	(void)state;
	struct lmtp_request r;

	assert_int_equal(lmtp_parse(VIEW("NOOP \0"), &r), LMTP_REPLY_LINE_OCTETS);
	assert_int_equal(lmtp_parse(VIEW("RCPT TO:<a\0@b>"), &r), LMTP_REPLY_LINE_OCTETS);
	assert_int_equal(lmtp_parse(VIEW("\0"), &r), LMTP_REPLY_LINE_OCTETS);
}

static void
parameters_and_what_they_take(void **state)
{
	(void)state;
	static const struct {
		const char *mail, *rcpt; /* one of them */
		enum lmtp_reply reply;
	} rows[] = {
		{" SIZE=0", NULL, LMTP_REPLY_OK},
		{" size=99999999999999999999", NULL, LMTP_REPLY_OK},
		{" SIZE=100000000000000000000", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" SIZE=", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" SIZE", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" SIZE=1x", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" SIZE=1 SIZE=1", NULL, LMTP_REPLY_PARAMETER_TWICE},
		{" BODY=7bit", NULL, LMTP_REPLY_OK},
		{" BODY=8BITMIME", NULL, LMTP_REPLY_OK},
		{" BODY=BINARYMIME", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" SMTPUTF8", NULL, LMTP_REPLY_OK},
		{" SMTPUTF8=yes", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" RET=FULL ENVID=QQ+2B", NULL, LMTP_REPLY_OK},
		{" RET=HALF", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" ENVID=", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" ENVID=a+2", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" ENVID=a+2b", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" ENVID=a=b", NULL, LMTP_REPLY_PARAMETER_VALUE},
		{" AUTH=<>", NULL, LMTP_REPLY_PARAMETER},
		{" NOTIFY=NEVER", NULL, LMTP_REPLY_PARAMETER},
		{" =x", NULL, LMTP_REPLY_PARAMETER},
		{NULL, " NOTIFY=NEVER", LMTP_REPLY_OK},
		{NULL, " NOTIFY=success,DELAY,FAILURE", LMTP_REPLY_OK},
		{NULL, " NOTIFY=NEVER,DELAY", LMTP_REPLY_PARAMETER_VALUE},
		{NULL, " NOTIFY=DELAY,", LMTP_REPLY_PARAMETER_VALUE},
		{NULL, " NOTIFY=", LMTP_REPLY_PARAMETER_VALUE},
		{NULL, " ORCPT=rfc822;a+40b@c", LMTP_REPLY_OK},
		{NULL, " ORCPT=utf-8;\xC3\xA4@c", LMTP_REPLY_OK},
		{NULL, " ORCPT=rfc822;\xC3\xA4@c", LMTP_REPLY_PARAMETER_VALUE},
		{NULL, " ORCPT=rfc822", LMTP_REPLY_PARAMETER_VALUE},
		{NULL, " ORCPT=;a", LMTP_REPLY_PARAMETER_VALUE},
		{NULL, " ORCPT=a;b ORCPT=a;b", LMTP_REPLY_PARAMETER_TWICE},
		{NULL, " SIZE=1", LMTP_REPLY_PARAMETER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char line[128];
		struct lmtp_request r;

		(void)snprintf(line, sizeof(line), "%s:<a@b>%s",
			rows[i].mail ? "MAIL FROM" : "RCPT TO",
			rows[i].mail ? rows[i].mail : rows[i].rcpt);
		if (lmtp_parse(text(line), &r) != rows[i].reply)
			fail_msg("%s", line);
	}
}

static void
the_figures_come_out(void **state)
{
	(void)state;
	struct lmtp_request r;

	assert_int_equal(
		lmtp_parse(text("MAIL FROM:<a@b> SIZE=12 SMTPUTF8"), &r), LMTP_REPLY_OK);
	assert_int_equal(r.size, 12);
	assert_true(r.utf8);
	assert_int_equal(lmtp_parse(text("MAIL FROM:<> SIZE=99999999999999999999"), &r),
		LMTP_REPLY_OK);
	assert_true(r.size == UINT64_MAX);
	assert_int_equal(lmtp_parse(text("BDAT 77 LAST"), &r), LMTP_REPLY_OK);
	assert_int_equal(r.chunk, 77);
	assert_true(r.chunk_last);
	assert_int_equal(lmtp_parse(text("BDAT 77"), &r), LMTP_REPLY_OK);
	assert_false(r.chunk_last);
	assert_int_equal(
		lmtp_parse(text("MAIL FROM:<\xC3\xA4@b>"), &r), LMTP_REPLY_NEEDS_UTF8);
	assert_int_equal(
		lmtp_parse(text("MAIL FROM:<\xC3\xA4@b> SMTPUTF8"), &r), LMTP_REPLY_OK);
	assert_int_equal(
		lmtp_parse(text("RCPT TO:<\xC3\xA4@\xC3\xA4.b>"), &r), LMTP_REPLY_OK);
	assert_true(r.eight_bit);
}

static void
limits_of_parameters(void **state)
{
	(void)state;
	static const struct {
		const char *head;
		size_t max;
	} rows[] = {{"MAIL FROM:<> ENVID=", 100}, {"RCPT TO:<a> ORCPT=a;", 498}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t line[640];
		size_t n = strlen(rows[i].head);
		struct lmtp_request r;

		memset(line, 'x', sizeof(line));
		memcpy(line, rows[i].head, n);
		assert_int_equal(lmtp_parse((struct view){line, n + rows[i].max}, &r),
			LMTP_REPLY_OK);
		assert_int_equal(lmtp_parse((struct view){line, n + rows[i].max + 1}, &r),
			LMTP_REPLY_PARAMETER_VALUE);
	}
}

/* Paths, and what is left of them; NULL: none. */
static const struct {
	const char *path, *mailbox, *unquoted;
} paths[] = {
	{"<>", "", ""},
	{"<a@b>", "a@b", "a@b"},
	{"<A.b+c/d=e@x-y.example>", "A.b+c/d=e@x-y.example", "A.b+c/d=e@x-y.example"},
	{"<Postmaster>", "Postmaster", "Postmaster"},
	{"<@r.example,@s.example:a@b>", "a@b", "a@b"},
	{"<@r.example:a@b>", "a@b", "a@b"},
	{"<\"a b\"@c>", "\"a b\"@c", "a b@c"},
	{"<\"a@b\"@c>", "\"a@b\"@c", "a@b@c"},
	{"<\"a\\\"\\\\>b\"@c>", "\"a\\\"\\\\>b\"@c", "a\"\\>b@c"},
	{"<\"\"@c>", "\"\"@c", "@c"},
	{"<a@[127.0.0.1]>", "a@[127.0.0.1]", "a@[127.0.0.1]"},
	{"<a@[IPv6:::1]>", "a@[IPv6:::1]", "a@[IPv6:::1]"},
	{"<a@[IPv6:1:2:3:4:5:6:7:8]>", "a@[IPv6:1:2:3:4:5:6:7:8]",
		"a@[IPv6:1:2:3:4:5:6:7:8]"},
	{"<a@[ipv6:::ffff:1.2.3.4]>", "a@[ipv6:::ffff:1.2.3.4]",
		"a@[ipv6:::ffff:1.2.3.4]"},
	{"<a@[IPv6:1::8]>", "a@[IPv6:1::8]", "a@[IPv6:1::8]"},
	{"<a@[tag:what]>", "a@[tag:what]", "a@[tag:what]"},
	{"<a_b@c_d>", "a_b@c_d", "a_b@c_d"},
	{"<\xC3\xA4@\xE2\x82\xAC.b>", "\xC3\xA4@\xE2\x82\xAC.b",
		"\xC3\xA4@\xE2\x82\xAC.b"},
	{"", NULL, NULL},
	{"a@b", NULL, NULL},
	{"<a@b", NULL, NULL},
	{"<@b>", NULL, NULL},
	{"<a@>", NULL, NULL},
	{"<a@b@c>", NULL, NULL},
	{"<.a@b>", NULL, NULL},
	{"<a.@b>", NULL, NULL},
	{"<a..b@c>", NULL, NULL},
	{"<a b@c>", NULL, NULL},
	{"<a@b.>", NULL, NULL},
	{"<a@.b>", NULL, NULL},
	{"<a@-b>", NULL, NULL},
	{"<a@b->", NULL, NULL},
	{"<a@b c>", NULL, NULL},
	{"<\"a\">", NULL, NULL},
	{"<\"a@b>", NULL, NULL},
	{"<\"a\\", NULL, NULL},
	{"<\"a\"b@c>", NULL, NULL},
	{"<\"\\\xC3\xA4\"@c>", NULL, NULL},
	{"<@r.example a@b>", NULL, NULL},
	{"<@r.example>", NULL, NULL},
	{"<@r.example,:a@b>", NULL, NULL},
	{"<@[1.2.3.4]:a@b>", NULL, NULL},
	{"<a@[1.2.3]>", NULL, NULL},
	{"<a@[1.2.3.256]>", NULL, NULL},
	{"<a@[1.2.3.4.5]>", NULL, NULL},
	{"<a@[0001.2.3.4]>", NULL, NULL},
	{"<a@[IPv6:1:2]>", NULL, NULL},
	{"<a@[IPv6:1::2::3]>", NULL, NULL},
	{"<a@[IPv6:1:2:3:4:5:6:7:8:9]>", NULL, NULL},
	{"<a@[IPv6:12345::]>", NULL, NULL},
	{"<a@[IPv6::1]>", NULL, NULL},
	{"<a@[IPv6:1:]>", NULL, NULL},
	{"<a@[IPv6:1:2:3:4:5:6:7:1.2.3.4]>", NULL, NULL},
	{"<a@[]>", NULL, NULL},
	{"<a@[tag:]>", NULL, NULL},
	{"<a@[1.2.3.4>", NULL, NULL},
	{"<a@[1.2.3.4]x>", NULL, NULL},
};

static void
paths_and_what_is_left(void **state)
{
	(void)state;
	uint8_t out[LMTP_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		struct view in = text(paths[i].path);
		struct lmtp_path p;

		if (lmtp_path_take(&in, &p) != (paths[i].mailbox != NULL))
			fail_msg("%s", paths[i].path);
		if (!paths[i].mailbox) {
			assert_ptr_equal(in.p, paths[i].path);
			continue;
		}
		assert_int_equal(in.n, 0);
		assert_int_equal(p.mailbox.n, strlen(paths[i].mailbox));
		if (p.mailbox.n > 0)
			assert_memory_equal(p.mailbox.p, paths[i].mailbox, p.mailbox.n);
		assert_int_equal(lmtp_path_unquote(&p, out), strlen(paths[i].unquoted));
		assert_memory_equal(out, paths[i].unquoted, strlen(paths[i].unquoted));
	}
}

static void
limits_of_paths(void **state)
{
	(void)state;
	/* head, a run of x, tail; the longest run that is taken */
	static const struct {
		const char *head, *tail;
		size_t max;
	} rows[] = {
		{"<", "@b>", LMTP_PATH_MAX - 2},
		{"<\"", "\"@b>", LMTP_PATH_MAX - 4},
		{"<a@", ">", 63},
		{"<@", ":a@b>", 63},
		{"<a@[t:", "]>", 255 - 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (size_t more = 0; more < 2; more++) {
			char line[LMTP_PATH_MAX + 64];
			size_t head = strlen(rows[i].head), run = rows[i].max + more;
			struct view in = {
				(const uint8_t *)line, head + run + strlen(rows[i].tail)};
			struct lmtp_path p;

			memset(line, 'x', sizeof(line));
			memcpy(line, rows[i].head, head);
			memcpy(line + head + run, rows[i].tail, strlen(rows[i].tail));
			assert_int_equal(lmtp_path_take(&in, &p), more == 0);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_what_they_are),
		cmocka_unit_test(nul_is_refused),
		cmocka_unit_test(parameters_and_what_they_take),
		cmocka_unit_test(the_figures_come_out),
		cmocka_unit_test(limits_of_parameters),
		cmocka_unit_test(paths_and_what_is_left),
		cmocka_unit_test(limits_of_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
