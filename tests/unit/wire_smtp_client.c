#include "unit.h"

#include "base/buf.h"
#include "wire/smtp_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct view
v(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* What a server's octets mean to a client, as text; given in pieces of that size. */
static void
read_all(struct smtp_client *c, struct view octets, size_t piece, char *ret, size_t cap)
{
	struct smtp_reply r;
	size_t n = 0;

	ret[0] = '\0';
	for (size_t at = 0; at < octets.n; at += piece) {
		struct view in = {
			octets.p + at, octets.n - at < piece ? octets.n - at : piece};
		enum smtp_client_event e;

		while ((e = smtp_client_next(c, &in, &r)) != SMTP_CLIENT_NEED_INPUT) {
			n += (size_t)snprintf(ret + n, cap - n, "%d:%d:%u:%u.%u.%u:%s;",
				(int)e, (int)r.command, r.code, r.enhanced[0],
				r.enhanced[1], r.detail,
				e == SMTP_CLIENT_BROKEN ? r.why : r.words);
			assert_true(n < cap);
			if (e == SMTP_CLIENT_BROKEN)
				return;
		}
		assert_int_equal(in.n, 0);
	}
}

static uint8_t sent[65536];
static struct buf out;

static void
start(struct smtp_client *c, bool lmtp, const char *extensions)
{
	char octets[4096], got[4096];

	out = buf_over(sent, sizeof(sent));
	smtp_client_init(c, lmtp);
	assert_false(smtp_client_hello(c, v("me.example"), false, &out));
	read_all(c, v("220 hello\r\n"), 100, got, sizeof(got));
	assert_string_equal(got, "1:0:220:0.0.0:220 hello;");
	assert_true(smtp_client_hello(c, v("me.example"), false, &out));
	(void)snprintf(octets, sizeof(octets), "250-there\r\n%s250 HELP\r\n", extensions);
	read_all(c, v(octets), 1, got, sizeof(got));
	assert_memory_equal(got, "1:1:250:", 8);
	out.n = 0;
}

#define ALL                                                                              \
	"250-PIPELINING\r\n250-size 1000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"         \
	"250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250-STARTTLS\r\n"                         \
	"250-AUTH plain SCRAM-SHA-256\r\n250-AUTH=LOGIN\r\n"

static void
assert_sent(const char *text)
{
	assert_int_equal(out.n, strlen(text));
	assert_memory_equal(out.p, text, out.n);
	out.n = 0;
}

static void
extensions_are_read(void **state)
{
	struct smtp_client c;

	(void)state;
	start(&c, false, ALL);
	assert_int_equal(c.has, 0xFF);
	assert_int_equal(c.size_limit, 1000000);
	assert_string_equal(c.mechanisms, "PLAIN SCRAM-SHA-256 LOGIN");
	start(&c, true, "250-SIZE\r\n250-XYZ PIPELINING\r\n");
	assert_int_equal(c.has, SMTP_SIZE);
	assert_int_equal(c.size_limit, 0);
	start(&c, true, "250-SIZE 99999999999999999999999999\r\n");
	assert_int_equal(c.size_limit, 0);
}

static void
a_group_waits_where_it_must(void **state)
{
	struct smtp_client c;
	char got[512];

	(void)state;
	start(&c, false, ALL);
	assert_true(smtp_client_mail(&c, v(""), 77, v("0af3"), false, &out));
	assert_true(smtp_client_rcpt(&c, v("anna@example.org"), &out));
	assert_true(smtp_client_send(&c, SMTP_DATA, &out));
	assert_false(smtp_client_send(&c, SMTP_NOOP, &out));
	assert_false(smtp_client_body(&c, 1));
	assert_sent("MAIL FROM:<> SIZE=77 BODY=8BITMIME ENVID=0af3\r\n"
		    "RCPT TO:<anna@example.org>\r\nDATA\r\n");
	read_all(&c, v("250 2.1.0 ok\r\n250-2.1.5 a\r\n250 2.1.5 b\r\n354 go\r\n"), 3,
		got, sizeof(got));
	assert_string_equal(got,
		"1:4:250:2.1.0:250 2.1.0 ok;"
		"1:5:250:2.1.5:250 2.1.5 a b;1:6:354:0.0.0:354 go;");
	/* The next group goes behind the octets. */
	assert_true(smtp_client_body(&c, 1));
	assert_true(smtp_client_mail(&c, v("b@c"), 0, v(""), false, &out));
	assert_true(smtp_client_rcpt(&c, v("anna"), &out));
	assert_true(smtp_client_send(&c, SMTP_DATA, &out));
	assert_false(smtp_client_mail(&c, v(""), 0, v(""), false, &out));
	assert_int_equal(smtp_client_waits(&c), 4);
	/* Without PIPELINING one at a time. */
	start(&c, false, "");
	assert_true(smtp_client_mail(&c, v(""), 77, v("0af3"), false, &out));
	assert_false(smtp_client_rcpt(&c, v("anna"), &out));
	assert_sent("MAIL FROM:<>\r\n");
}

static void
lmtp_answers_for_each_recipient(void **state)
{
	struct smtp_client c;
	char got[512];

	(void)state;
	start(&c, true, ALL);
	assert_true(smtp_client_body(&c, 2));
	read_all(&c, v("250 a\r\n450 b\r\n"), 2, got, sizeof(got));
	assert_string_equal(got, "1:7:250:0.0.0:250 a;1:7:450:0.0.0:450 b;");
	assert_false(smtp_client_body(&c, 0));
}

/* Whatever the pieces, the same is understood. */
static void
every_split_is_the_same(void **state)
{
	static const char octets[] =
		"250 a\r\n250-b\r\n250-\r\n250\r\n550 5.1.1 n\xC3\xB6 \033[2J\r\n"
		"421 4.3.2 bye\r\n421 again\r\n";
	struct smtp_client c;
	char whole[1024], got[1024];

	(void)state;
	for (size_t piece = sizeof(octets); piece > 0; piece--) {
		start(&c, false, ALL);
		assert_true(smtp_client_send(&c, SMTP_RSET, &out));
		assert_true(smtp_client_mail(&c, v(""), 0, v(""), false, &out));
		assert_true(smtp_client_rcpt(&c, v("a"), &out));
		assert_true(smtp_client_send(&c, SMTP_DATA, &out));
		read_all(&c, v(octets), piece, got, sizeof(got));
		if (piece == sizeof(octets))
			memcpy(whole, got, sizeof(got));
		assert_string_equal(got, whole);
	}
	assert_string_equal(whole,
		"1:8:250:0.0.0:250 a;1:4:250:0.0.0:250 b;"
		"1:5:550:5.1.1:550 5.1.1 n?? ?[2J;1:6:421:4.3.2:421 4.3.2 bye;"
		"1:11:421:0.0.0:421 again;");
}

static void
break_it(enum smtp_command after, const char *octets, const char *why)
{
	struct smtp_client c;
	char got[512];

	for (size_t piece = 1; piece < 40; piece += 13) {
		start(&c, false, ALL);
		if (after != SMTP_UNASKED)
			assert_true(smtp_client_send(&c, after, &out));
		read_all(&c, v(octets), piece, got, sizeof(got));
		if (!strstr(got, why))
			fail_msg("%s: %s", octets, got);
		assert_true(c.broken);
		assert_false(smtp_client_send(&c, SMTP_RSET, &out));
	}
}

static void
hostile_servers_are_left(void **state)
{
	static char line[SMTP_LINE_MAX + 100], many[SMTP_REPLY_LINES * 8 + 9];

	(void)state;
	break_it(SMTP_NOOP, "250 ok\n", "without CR");
	break_it(SMTP_NOOP, "2\r\n", "no reply");
	break_it(SMTP_NOOP, "650 x\r\n", "no reply");
	break_it(SMTP_NOOP, "250x\r\n", "no reply");
	break_it(SMTP_NOOP, "\r\n", "no reply");
	break_it(SMTP_NOOP, "250-a\r\n251 b\r\n", "changes the code");
	break_it(SMTP_NOOP, "354 go\r\n", "not offered");
	break_it(SMTP_NOOP, "334 eA==\r\n", "not offered");
	break_it(SMTP_UNASKED, "250 ok\r\n", "not asked");
	break_it(SMTP_NOOP, "250 ok\r\n250 more\r\n", "not asked");
	break_it(SMTP_DATA, "250 ok\r\n", "neither 354");
	break_it(SMTP_DATA, "354 go\r\n250 taken\r\n", "not asked");
	break_it(SMTP_TLS, "220 go\r\n250 injected\r\n", "behind STARTTLS");
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "250 ", 4);
	break_it(SMTP_NOOP, line, "line does not end");
	for (size_t i = 0; i <= SMTP_REPLY_LINES; i++)
		memcpy(many + i * 7, "250-x\r\n", 8);
	break_it(SMTP_NOOP, many, "reply does not end");
}

static void
nothing_gets_into_a_command(void **state)
{
	static const char *const bad[] = {"a b", "a>b", "<a", "a\r\nRSET", "a\nb", "\"a",
		"a\x7F", "\"a\\\n\"", "\"a\\"};
	struct smtp_client c;
	char long_path[SMTP_PATH_MAX + 2];
	bool utf8;

	(void)state;
	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	start(&c, false, "250-PIPELINING\r\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(smtp_client_rcpt(&c, v(bad[i]), &out));
		assert_false(smtp_client_mail(&c, v(bad[i]), 0, v(""), false, &out));
	}
	assert_false(smtp_client_rcpt(&c, v(long_path), &out));
	assert_false(smtp_client_rcpt(&c, v("j\xC3\xBCrg@x"), &out));
	assert_false(smtp_client_rcpt(&c, v(""), &out));
	assert_false(smtp_client_hello(&c, v("a b"), false, &out));
	assert_int_equal(out.n, 0);
	assert_true(smtp_path_is_good(v("\"a b>\\\"\"@x"), &utf8));
	assert_false(utf8);
	start(&c, false, ALL);
	assert_true(smtp_client_mail(&c, v(""), 0, v(""), true, &out));
	assert_true(smtp_client_rcpt(&c, v("j\xC3\xBCrg@x"), &out));
	assert_sent("MAIL FROM:<> BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<j\xC3\xBCrg@x>\r\n");
	/* No room: nothing at all. */
	struct buf small = buf_over(sent, 8);
	assert_false(smtp_client_rcpt(&c, v("anna"), &small));
	assert_int_equal(small.n, 0);
	assert_int_equal(smtp_client_waits(&c), 2);
}

static void
a_login_is_a_talk(void **state)
{
	struct smtp_client c;
	struct smtp_reply r;
	struct view octets = v("\0a\0b"), in;

	(void)state;
	octets.n = 4;
	start(&c, false, ALL);
	assert_true(smtp_client_auth(&c, "PLAIN", &octets, &out));
	assert_sent("AUTH PLAIN AGEAYg==\r\n");
	assert_false(smtp_client_respond(&c, octets, &out));
	in = v("334 Y2hhbGxlbmdl\r\n334 ???\r\n235 in\r\n");
	assert_int_equal(smtp_client_next(&c, &in, &r), SMTP_CLIENT_CHALLENGE);
	assert_int_equal(r.challenge.n, 9);
	assert_memory_equal(r.challenge.p, "challenge", 9);
	assert_false(smtp_client_send(&c, SMTP_NOOP, &out));
	assert_true(smtp_client_respond(&c, v(""), &out));
	assert_sent("\r\n");
	assert_int_equal(smtp_client_next(&c, &in, &r), SMTP_CLIENT_CHALLENGE);
	assert_true(r.bad64);
	assert_true(smtp_client_cancel(&c, &out));
	assert_sent("*\r\n");
	assert_int_equal(smtp_client_next(&c, &in, &r), SMTP_CLIENT_REPLY);
	assert_int_equal(r.command, SMTP_LOGIN);
	assert_false(smtp_client_respond(&c, octets, &out));
	octets.n = 0;
	assert_true(smtp_client_auth(&c, "EXTERNAL", &octets, &out));
	assert_sent("AUTH EXTERNAL =\r\n");
}

static void
tls_forgets_what_was_said(void **state)
{
	struct smtp_client c;
	struct smtp_reply r;
	struct view in = v("220 go\r\n");

	(void)state;
	start(&c, false, ALL);
	assert_true(smtp_client_send(&c, SMTP_TLS, &out));
	assert_int_equal(smtp_client_next(&c, &in, &r), SMTP_CLIENT_REPLY);
	assert_false(smtp_client_hello(&c, v("me"), false, &out));
	smtp_client_secured(&c);
	assert_int_equal(c.has, 0);
	assert_string_equal(c.mechanisms, "");
	assert_true(smtp_client_hello(&c, v("me"), false, &out));
}

static void
fates_are_told_apart(void **state)
{
	static const struct {
		enum smtp_command command;
		uint16_t code;
		uint8_t subject, detail;
		enum smtp_meaning meaning;
	} rows[] = {{SMTP_BODY, 250, 0, 0, SMTP_YES}, {SMTP_DATA, 354, 0, 0, SMTP_YES},
		{SMTP_RCPT, 450, 0, 0, SMTP_LATER}, {SMTP_RCPT, 550, 1, 1, SMTP_NEVER},
		{SMTP_RCPT, 530, 7, 0, SMTP_CONFIGURED},
		{SMTP_RCPT, 503, 0, 0, SMTP_CONFIGURED},
		{SMTP_MAIL, 550, 0, 0, SMTP_CONFIGURED},
		{SMTP_MAIL, 552, 0, 0, SMTP_NEVER}, {SMTP_MAIL, 554, 3, 4, SMTP_NEVER},
		{SMTP_BODY, 554, 6, 0, SMTP_NEVER}, {SMTP_BODY, 552, 2, 2, SMTP_LATER},
		{SMTP_BODY, 552, 0, 0, SMTP_LATER}, {SMTP_BODY, 552, 2, 0, SMTP_LATER},
		{SMTP_BODY, 550, 2, 2, SMTP_LATER}, {SMTP_RCPT, 552, 0, 0, SMTP_LATER},
		{SMTP_RCPT, 550, 2, 2, SMTP_LATER}, {SMTP_DATA, 554, 3, 1, SMTP_LATER},
		{SMTP_BODY, 552, 3, 4, SMTP_NEVER}, {SMTP_BODY, 552, 2, 3, SMTP_NEVER},
		{SMTP_BODY, 552, 7, 0, SMTP_NEVER}, {SMTP_RCPT, 550, 2, 1, SMTP_NEVER},
		{SMTP_GREETING, 554, 0, 0, SMTP_CONFIGURED},
		{SMTP_LOGIN, 535, 7, 8, SMTP_CONFIGURED}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_reply r = {.command = rows[i].command, .code = rows[i].code};

		r.enhanced[0] = rows[i].subject ? 5 : 0;
		r.enhanced[1] = rows[i].subject;
		r.detail = rows[i].detail;
		assert_int_equal(smtp_reply_meaning(&r), rows[i].meaning);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extensions_are_read),
		cmocka_unit_test(a_group_waits_where_it_must),
		cmocka_unit_test(lmtp_answers_for_each_recipient),
		cmocka_unit_test(every_split_is_the_same),
		cmocka_unit_test(hostile_servers_are_left),
		cmocka_unit_test(nothing_gets_into_a_command),
		cmocka_unit_test(a_login_is_a_talk),
		cmocka_unit_test(tls_forgets_what_was_said),
		cmocka_unit_test(fates_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
