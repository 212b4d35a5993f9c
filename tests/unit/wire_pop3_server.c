#include "unit.h"

#include "pop3/server.h"

#include <stdio.h>
#include <string.h>

static const struct pop3_server_options options = {.max_bad_commands = 3, .utf8 = true};

static struct pop3_server
server(struct pop3_link link)
{
	struct pop3_server s;

	pop3_server_init(&s, &options, &link);
	return s;
}

static enum pop3_event
say(struct pop3_server *s, const char *line, struct pop3_request *r)
{
	struct view in = {(const uint8_t *)line, strlen(line)};
	enum pop3_event e = pop3_server_next(s, &in, r);

	assert_int_equal(in.n, 0);
	return e;
}

static const struct pop3_link plain = {.tls_available = true,
	.plaintext = true,
	.user = true,
	.mechanisms = 1 << POP3_MECHANISM_PLAIN};

static void
bad_commands_count_in_a_row(void **state)
{
	(void)state;
	struct pop3_server s = server(plain);
	struct pop3_request r;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(say(&s, "FOO\r\n", &r), POP3_BAD);
		assert_int_equal(say(&s, "STAT\r\n", &r), POP3_BAD);
		assert_int_equal(r.reply, POP3_ERR_BEFORE_LOGIN);
		assert_false(pop3_server_exhausted(&s));
		assert_int_equal(say(&s, "CAPA\r\n", &r), POP3_COMMAND);
	}
	assert_int_equal(say(&s, "\r\n", &r), POP3_BAD);
	assert_int_equal(say(&s, "DELE x\r\n", &r), POP3_BAD);
	assert_int_equal(say(&s, "PASS x\r\n", &r), POP3_BAD);
	assert_int_equal(r.reply, POP3_ERR_NO_USER);
	assert_true(pop3_server_exhausted(&s));
}

static void
tls_does_not_forgive_bad_commands(void **state)
{
	(void)state;
	struct pop3_server s = server(plain);
	struct pop3_request r;

	assert_int_equal(say(&s, "USER kermit\r\n", &r), POP3_COMMAND);
	assert_int_equal(say(&s, "FOO\r\n", &r), POP3_BAD);
	assert_int_equal(say(&s, "FOO\r\n", &r), POP3_BAD);
	pop3_server_secured(&s);
	assert_int_equal(s.bad_in_row, 2);
	assert_int_equal(say(&s, "STLS\r\n", &r), POP3_REFUSED);
	assert_int_equal(r.reply, POP3_ERR_TLS_ACTIVE);
}

static void
name_is_wiped_when_it_is_forgotten(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"FOO\r\n", "AUTH\r\n", "NOOP\r\n", "USER\r\n"};
	static const uint8_t nothing[POP3_NAME_MAX];
	struct pop3_server s;
	struct pop3_request r;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		s = server(plain);
		assert_int_equal(say(&s, "USER kermit\r\n", &r), POP3_COMMAND);
		assert_memory_equal(s.name, "kermit", 6);
		(void)say(&s, lines[i], &r);
		assert_memory_equal(s.name, nothing, sizeof(nothing));
	}
	s = server(plain);
	assert_int_equal(say(&s, "USER kermit\r\n", &r), POP3_COMMAND);
	assert_int_equal(say(&s, "PASS x\r\n", &r), POP3_COMMAND);
	assert_int_equal(r.name.n, 6);
	pop3_server_logged_in(&s);
	assert_memory_equal(s.name, nothing, sizeof(nothing));
}

static void
name_that_is_too_long_is_nobodys(void **state)
{
	(void)state;
	char line[1024] = "USER ";
	struct pop3_server s = server(plain);
	struct pop3_request r;

	memset(line + 5, 'k', POP3_NAME_MAX + 1);
	memcpy(line + 5 + POP3_NAME_MAX + 1, "\r\n", 3);
	assert_int_equal(say(&s, line, &r), POP3_COMMAND);
	assert_int_equal(say(&s, "PASS x\r\n", &r), POP3_COMMAND);
	assert_non_null(memchr(r.name.p, '\0', r.name.n));
}

static void
without_tls_no_password_is_taken(void **state)
{
	(void)state;
	static const char *const lines[] = {"USER kermit\r\n", "PASS x\r\n", "AUTH\r\n",
		"AUTH PLAIN\r\n", "AUTH PLAIN AAAA\r\n"};
	struct pop3_server s = server((struct pop3_link){.tls_available = true,
		.user = true,
		.mechanisms = 1 << POP3_MECHANISM_PLAIN});
	struct pop3_request r;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(say(&s, lines[i], &r), POP3_REFUSED);
		assert_int_equal(r.reply, POP3_ERR_TLS_NEEDED);
	}
	pop3_server_secured(&s);
	assert_int_equal(say(&s, "USER kermit\r\n", &r), POP3_COMMAND);
}

static void
sasl_takes_one_line(void **state)
{
	(void)state;
	struct pop3_server s = server(plain);
	struct pop3_request r;

	assert_int_equal(say(&s, "AUTH PLAIN\r\n", &r), POP3_COMMAND);
	pop3_server_challenged(&s, r.mechanism);
	assert_int_equal(say(&s, "QUIT\r\n", &r), POP3_RESPONSE);
	assert_memory_equal(r.text.p, "QUIT", 4);
	pop3_server_challenged(&s, POP3_MECHANISM_PLAIN);
	assert_int_equal(say(&s, "\r\n", &r), POP3_RESPONSE);
	assert_int_equal(r.text.n, 0);
	pop3_server_challenged(&s, POP3_MECHANISM_PLAIN);
	assert_int_equal(say(&s, "*\r\n", &r), POP3_REFUSED);
	assert_int_equal(r.reply, POP3_ERR_CANCELLED);
	assert_int_equal(say(&s, "*\r\n", &r), POP3_BAD);
}

/* Each mechanism on each kind of connection: offered, or why not. */
static void
one_rule_for_what_is_offered(void **state)
{
	(void)state;
	static const char *const names[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS",
		"SCRAM-SHA-256", "SCRAM-SHA-1", "EXTERNAL", "GSSAPI", "OAUTHBEARER",
		"XOAUTH2", "CRAM-MD5", "PLAIN", "LOGIN"};
	/* O: offered, T: needs TLS, -: not offered; in the order above. */
	static const struct {
		bool tls, plaintext, binding, certificate;
		const char *want;
	} rows[] = {
		{false, false, false, false, "--OO-OTTOTT"},
		{false, true, true, true, "--OO-OOOOOO"},
		{true, false, false, false, "--OO-OOOOOO"},
		{true, false, true, false, "OOOO-OOOOOO"},
		{true, false, false, true, "--OOOOOOOOO"},
		{true, false, true, true, "OOOOOOOOOOO"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * POP3_MECHANISMS; i++) {
		size_t row = i / POP3_MECHANISMS, m = i % POP3_MECHANISMS;
		struct pop3_server s = server((struct pop3_link){.tls = rows[row].tls,
			.plaintext = rows[row].plaintext,
			.binding = rows[row].binding,
			.certificate = rows[row].certificate,
			.mechanisms = (UINT32_C(1) << POP3_MECHANISMS) - 1});
		struct pop3_request r;
		char line[64];
		char want = rows[row].want[m];
		snprintf(line, sizeof(line), "AUTH %s\r\n", names[m]);
		assert_int_equal(
			say(&s, line, &r), want == 'O' ? POP3_COMMAND : POP3_REFUSED);
		assert_int_equal(
			pop3_server_offers(&s, (enum pop3_mechanism)m), want == 'O');
		if (want != 'O')
			assert_int_equal(r.reply,
				want == 'T' ? POP3_ERR_TLS_NEEDED : POP3_ERR_MECHANISM);
		s.link.mechanisms = 0;
		assert_int_equal(say(&s, line, &r), POP3_REFUSED);
	}
}

static void
tls_and_xclient_forget_what_was_said(void **state)
{
	(void)state;
	struct pop3_link link = plain;
	struct pop3_request r;

	link.xclient = true;
	for (int i = 0; i < 2; i++) {
		struct pop3_server s = server(link);
		assert_int_equal(say(&s, "UTF8\r\n", &r), POP3_COMMAND);
		assert_int_equal(say(&s, "LANG de\r\n", &r), POP3_COMMAND);
		assert_int_equal(r.language, POP3_GERMAN);
		assert_int_equal(say(&s, "USER a\r\n", &r), POP3_COMMAND);
		assert_true(s.utf8 && s.named && s.language == POP3_GERMAN);
		if (i == 0)
			pop3_server_secured(&s);
		else
			pop3_server_peer_changed(&s, &plain);
		assert_false(s.utf8 || s.named || s.name_n > 0);
		assert_int_equal(s.language, POP3_ENGLISH);
		assert_int_equal(s.link.xclient, i == 0);
	}
}

static void
commands_are_there_where_they_work(void **state)
{
	(void)state;
	static const struct pop3_server_options without = {.max_bad_commands = 30};
	static const char *const lines[] = {"APOP a 00000000000000000000000000000000\r\n",
		"XCLIENT ADDR=::1\r\n", "UTF8\r\n", "LANG\r\n", "LANG en\r\n"};
	struct pop3_server s;
	struct pop3_link link = plain;
	struct pop3_request r;

	pop3_server_init(&s, &without, &plain);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(say(&s, lines[i], &r), POP3_BAD);
		assert_int_equal(r.reply, POP3_ERR_UNKNOWN);
	}
	link.apop = link.xclient = true;
	s = server(link);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(say(&s, lines[i], &r), POP3_COMMAND);
		assert_int_equal(pop3_answer_is_many(&r), i == 3);
	}
	pop3_server_logged_in(&s);
	assert_int_equal(say(&s, lines[0], &r), POP3_BAD);
	assert_int_equal(say(&s, lines[1], &r), POP3_BAD);
	assert_int_equal(say(&s, lines[4], &r), POP3_COMMAND);
}

static void
utf8_comes_before_the_first_look(void **state)
{
	(void)state;
	static const char *const looks[] = {"STAT\r\n", "LIST\r\n", "LIST 1\r\n",
		"UIDL\r\n", "TOP 1 0\r\n", "RETR 1\r\n", "DELE 1\r\n"};
	struct pop3_request r;

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
		struct pop3_server s = server(plain);
		/* A bad command before login is none. */
		(void)say(&s, looks[i], &r);
		pop3_server_logged_in(&s);
		assert_int_equal(say(&s, "NOOP\r\n", &r), POP3_COMMAND);
		assert_int_equal(say(&s, "UTF8\r\n", &r), POP3_COMMAND);
		assert_int_equal(say(&s, looks[i], &r), POP3_COMMAND);
		assert_int_equal(say(&s, "UTF8\r\n", &r), POP3_REFUSED);
		assert_int_equal(r.reply, POP3_ERR_UTF8_LATE);
		assert_true(s.utf8);
	}
}

static void
nothing_is_read_behind_quit(void **state)
{
	(void)state;
	struct pop3_server s = server(plain);
	struct pop3_request r;
	struct view in = VIEW("QUIT\r\nCAPA\r\n");

	assert_int_equal(pop3_server_next(&s, &in, &r), POP3_COMMAND);
	assert_int_equal(r.command, POP3_QUIT);
	assert_int_equal(pop3_server_next(&s, &in, &r), POP3_NEED_INPUT);
	assert_int_equal(in.n, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_commands_count_in_a_row),
		cmocka_unit_test(tls_does_not_forgive_bad_commands),
		cmocka_unit_test(name_is_wiped_when_it_is_forgotten),
		cmocka_unit_test(name_that_is_too_long_is_nobodys),
		cmocka_unit_test(without_tls_no_password_is_taken),
		cmocka_unit_test(sasl_takes_one_line),
		cmocka_unit_test(one_rule_for_what_is_offered),
		cmocka_unit_test(tls_and_xclient_forget_what_was_said),
		cmocka_unit_test(commands_are_there_where_they_work),
		cmocka_unit_test(utf8_comes_before_the_first_look),
		cmocka_unit_test(nothing_is_read_behind_quit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
