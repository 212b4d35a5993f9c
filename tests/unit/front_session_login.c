#include "front_session_drive.h"

static struct drive d;

static void
auth_is_asked_byte_for_byte(void **state)
{
	(void)state;
	static const uint8_t zeros[SESSION_SCRATCH];

	drive_init(&d);
	assert_int_equal(
		drive_say(&d, "USER  ker\tmit \r\nPASS  s\xff \r\n"), SESSION_WANT_LOGIN);
	struct session_login l = session_login(&d.s);
	assert_int_equal(l.mechanism, MECHANISM_PASS);
	assert_int_equal(l.name.n, 9);
	assert_memory_equal(l.name.p, " ker\tmit ", 9);
	assert_int_equal(l.response.n, 4);
	assert_memory_equal(l.response.p, " s\xff ", 4);
	session_login_sent(&d.s);
	assert_memory_equal(d.scratch, zeros, sizeof(zeros));
}

static void
plain_is_handed_on_decoded(void **state)
{
	(void)state;
	drive_init(&d);
	assert_int_equal(
		drive_say(&d, "AUTH PLAIN AGtlcm1pdABzZWNyZXQ=\r\n"), SESSION_WANT_LOGIN);
	struct session_login l = session_login(&d.s);
	assert_int_equal(l.mechanism, MECHANISM_PLAIN);
	assert_int_equal(l.name.n, 0);
	assert_int_equal(l.response.n, 14);
	assert_memory_equal(l.response.p, "\0kermit\0secret", 14);
}

static void
refused(uint8_t code, uint32_t delay_ms)
{
	session_refused(&d.s, code, delay_ms, (struct view){0}, 0, d.now, 0);
}

static void
answer_waits_as_long_as_auth_says(void **state)
{
	(void)state;
	static const uint32_t delays[] = {1, 500, 16000};

	drive_init(&d);
	d.options.max_login_failures = 4;
	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		assert_int_equal(
			drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
		refused(REFUSAL_CREDENTIALS, delays[i]);
		assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_DELAY);
		assert_string_equal(d.said, "");
		assert_true(session_delay_until(&d.s) == d.now + delays[i]);
		d.now += delays[i] - 1;
		assert_int_equal(drive_say(&d, ""), SESSION_WANT_DELAY);
		d.now++;
		assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
		assert_string_equal(d.said, "-ERR [AUTH] name or password is wrong\r\n");
	}
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	refused(REFUSAL_POLICY, 0);
	assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_CLOSE);
	assert_string_equal(d.said, "-ERR [AUTH] this login is not permitted\r\n");
	assert_int_equal(session_reason(&d.s), SESSION_LOGIN_FAILURES);
	assert_int_equal(session_counts(&d.s)->login_failures, 4);
}

static void
refusal_shows_its_id_once(void **state)
{
	(void)state;
	drive_init(&d);
	d.options.max_login_failures = 0;
	(void)drive_say(&d, "USER a\r\nPASS b\r\n");
	session_set_id(&d.s, 0xFFFFFFFF);
	session_login_sent(&d.s);
	refused(REFUSAL_TOO_MANY, 10);
	(void)drive_say(&d, "");
	d.now += 10;
	(void)drive_say(&d, "CAPA\r\n");
	assert_non_null(strstr(d.said,
		"-ERR [SYS/TEMP] too many logins of this user, try again later "
		"(id 3ZZZ-ZZZ)\r\n+OK"));
	/* The next login has its own, or none. */
	(void)drive_say(&d, "USER a\r\nPASS b\r\n");
	refused(REFUSAL_CREDENTIALS, 0);
	(void)drive_say(&d, "");
	assert_string_equal(d.said, "-ERR [AUTH] name or password is wrong\r\n");
	/* Nobody refused this one. */
	(void)drive_say(&d, "USER a\r\nPASS b\r\n");
	session_set_id(&d.s, 7);
	session_end(&d.s, SESSION_DRAINED);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_CLOSE);
	assert_null(strstr(d.said, "(id"));
}

static void
every_refusal_has_its_words(void **state)
{
	(void)state;
	static const uint8_t v4[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 7};
	static const struct {
		uint8_t code;
		const char *answer;
	} rows[] = {
		{REFUSAL_TEMPORARY, "-ERR [SYS/TEMP] maildrop cannot be opened now"},
		{REFUSAL_NOT_NOW, "-ERR [SYS/TEMP] logins are not possible now, try"},
		{REFUSAL_PERMANENT, "-ERR [SYS/PERM] "},
		{REFUSAL_IN_USE,
			"-ERR [IN-USE] maildrop is in use by a session from 192.0.2.7 "
			"since 2026-11-22T03:40:11Z\r\n"},
		{REFUSAL_CONNECTIONS, "-ERR [IN-USE] too many"},
		{REFUSAL_BUSY, "-ERR [SYS/TEMP] "},
		{REFUSAL_LOGIN_DELAY, "-ERR [LOGIN-DELAY] "},
		{0, "-ERR [SYS/TEMP] "},
		{255, "-ERR [SYS/TEMP] "},
	};

	drive_init(&d);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
			drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
		session_refused(&d.s, rows[i].code, 0, (struct view){v4, 16}, 1795318811,
			d.now, 1795318900);
		assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
		assert_int_equal(
			strncmp(d.said, rows[i].answer, strlen(rows[i].answer)), 0);
	}
	assert_int_equal(session_counts(&d.s)->login_failures, 0);
}

static void
holder_may_be_unknown(void **state)
{
	(void)state;
	drive_init(&d);
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	/* A time to come is no time. */
	session_refused(
		&d.s, REFUSAL_IN_USE, 0, (struct view){0}, 1795318901, d.now, 1795318900);
	(void)drive_say(&d, "");
	assert_string_equal(d.said, "-ERR [IN-USE] maildrop is in use by a session\r\n");
}

static void
nul_is_never_cut_off(void **state)
{
	(void)state;
	static const uint8_t line[] = "USER a\r\nPASS b\0c\r\n";
	uint8_t storage[2 * SESSION_ROOM];
	struct buf out = buf_over(storage, sizeof(storage));
	struct view in = {line, sizeof(line) - 1};

	drive_init(&d);
	assert_int_equal(session_run(&d.s, d.now, &in, &out), SESSION_WANT_LOGIN);
	struct session_login l = session_login(&d.s);
	assert_int_equal(l.response.n, 3);
	assert_memory_equal(l.response.p, "b\0c", 3);
}

/* A login by SCRAM up to auth's question; the session number is the same for all of it.
 */
static void
begin_talk(void)
{
	drive_init(&d);
	assert_int_equal(
		drive_say(&d, "AUTH SCRAM-SHA-256 biws\r\n"), SESSION_WANT_LOGIN);
	struct session_login l = session_login(&d.s);
	assert_int_equal(l.mechanism, MECHANISM_SCRAM_SHA_256);
	assert_true(l.has_response);
	assert_false(l.continues);
	session_login_sent(&d.s);
	assert_false(session_owes_cancel(&d.s));
	assert_true(session_challenge(&d.s, VIEW("foo"), d.now));
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "+ Zm9v\r\n");
	assert_false(session_owes_cancel(&d.s));
}

static void
talk_goes_on_until_the_end(void **state)
{
	(void)state;
	static const uint8_t zeros[SESSION_SCRATCH];

	begin_talk();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(drive_say(&d, "c2VjcmV0\r\n"), SESSION_WANT_LOGIN);
		struct session_login l = session_login(&d.s);
		assert_true(l.continues);
		assert_int_equal(l.response.n, 6);
		assert_memory_equal(l.response.p, "secret", 6);
		assert_false(session_owes_cancel(&d.s));
		session_login_sent(&d.s);
		assert_memory_equal(d.scratch, zeros, sizeof(zeros));
		assert_true(session_challenge(&d.s, (struct view){0}, d.now));
		assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
		assert_string_equal(d.said, "+ \r\n");
	}
	assert_int_equal(drive_say(&d, "\r\n"), SESSION_WANT_LOGIN);
	session_login_sent(&d.s);
	session_identified(&d.s, 1, 1);
	session_attached(&d.s, &d.snap, RIGHT_READ, d.marks, d.now);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "+OK maildrop has 3 messages (600 octets)\r\n");
	assert_false(session_owes_cancel(&d.s));
}

static void
auth_learns_of_every_end(void **state)
{
	(void)state;
	static const char *const lines[] = {"*\r\n", "!\r\n"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		begin_talk();
		assert_int_equal(drive_say(&d, lines[i]), SESSION_WANT_INPUT);
		assert_true(session_owes_cancel(&d.s));
		session_cancelled(&d.s);
		assert_false(session_owes_cancel(&d.s));
	}
	begin_talk();
	session_end(&d.s, SESSION_PEER);
	assert_true(session_owes_cancel(&d.s));
	begin_talk();
	d.now = session_deadline(&d.s);
	session_expire(&d.s, d.now);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_CLOSE);
	assert_true(session_owes_cancel(&d.s));
	/* A new login in the same write: the old talk is over all the same. */
	begin_talk();
	assert_int_equal(
		drive_say(&d, "*\r\nAUTH SCRAM-SHA-256 biws\r\n"), SESSION_WANT_LOGIN);
	assert_false(session_login(&d.s).continues);
	assert_true(session_owes_cancel(&d.s));
	/* Also one in the two-line form: what answers it is no answer to the old
	 * question. */
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[64];
		begin_talk();
		(void)snprintf(text, sizeof(text), "%sAUTH PLAIN\r\n", lines[i]);
		assert_int_equal(drive_say(&d, text), SESSION_WANT_INPUT);
		assert_true(session_owes_cancel(&d.s));
		assert_int_equal(
			drive_say(&d, "AGtlcm1pdABzZWNyZXQ=\r\n"), SESSION_WANT_LOGIN);
		struct session_login l = session_login(&d.s);
		assert_int_equal(l.mechanism, MECHANISM_PLAIN);
		assert_false(l.continues);
		assert_true(session_owes_cancel(&d.s));
	}
	/* The response is with auth: nothing is left to cancel, until it asks again. */
	begin_talk();
	assert_int_equal(drive_say(&d, "\r\n"), SESSION_WANT_LOGIN);
	session_login_sent(&d.s);
	session_end(&d.s, SESSION_PEER);
	assert_false(session_owes_cancel(&d.s));
	assert_true(session_challenge(&d.s, VIEW("late"), d.now));
	assert_true(session_owes_cancel(&d.s));
}

static void
auth_may_not_ask_what_is_no_sasl(void **state)
{
	(void)state;
	static const uint8_t octets[POP3_SASL_MAX + 1];

	drive_init(&d);
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	assert_false(session_challenge(&d.s, VIEW("foo"), d.now));
	drive_init(&d);
	assert_int_equal(drive_say(&d, "AUTH LOGIN\r\n"), SESSION_WANT_LOGIN);
	assert_false(session_login(&d.s).has_response);
	assert_false(
		session_challenge(&d.s, (struct view){octets, sizeof(octets)}, d.now));
	assert_true(session_challenge(
		&d.s, (struct view){octets, sizeof(octets) - 1}, d.now));
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	assert_int_equal(d.said_n, 2 + 12288 + 2);
}

static void
ticket_serves_once(void **state)
{
	(void)state;
	static const struct session_peer peer = {
		.tls_available = true, .kpop = true, .mechanisms = UINT32_MAX};

	drive_init(&d);
	session_init(&d.s, &d.options, &peer, d.now);
	assert_int_equal(drive_say(&d, "AUTH\r\n"), SESSION_WANT_INPUT);
	assert_false(session_owes_cancel(&d.s));
	assert_int_equal(
		drive_say(&d, "USER kermit\r\nPASS ignored\r\n"), SESSION_WANT_LOGIN);
	struct session_login l = session_login(&d.s);
	assert_int_equal(l.mechanism, MECHANISM_KPOP);
	assert_true(l.continues);
	assert_int_equal(l.response.n, 6);
	assert_memory_equal(l.response.p, "kermit", 6);
	session_login_sent(&d.s);
	assert_false(session_owes_cancel(&d.s));
	refused(REFUSAL_TEMPORARY, 0);
	assert_int_equal(drive_say(&d, "USER kermit\r\n"), SESSION_WANT_CLOSE);
	session_init(&d.s, &d.options, &peer, d.now);
	assert_int_equal(drive_say(&d, "QUIT\r\n"), SESSION_WANT_CLOSE);
	assert_true(session_owes_cancel(&d.s));
}

static void
stamp_comes_before_the_greeting(void **state)
{
	(void)state;
	static const char digest[] = "APOP a b 00112233445566778899aabbccddeeFF\r\n";
	static const struct session_peer peer = {.mechanisms = 1 << MECHANISM_APOP};

	drive_init(&d);
	session_init(&d.s, &d.options, &peer, d.now);
	assert_int_equal(drive_say(&d, digest), SESSION_WANT_STAMP);
	assert_string_equal(d.said, "");
	session_stamp(&d.s, VIEW("<1.2@host>"));
	assert_int_equal(drive_say(&d, digest), SESSION_WANT_LOGIN);
	assert_string_equal(d.said, "+OK POP3 server ready <1.2@host>\r\n");
	struct session_login l = session_login(&d.s);
	assert_int_equal(l.mechanism, MECHANISM_APOP);
	assert_int_equal(l.name.n, 3);
	assert_memory_equal(l.name.p, "a b", 3);
	assert_int_equal(l.response.n, 32);
	/* Without one there is no APOP; nor with what is none. */
	for (int i = 0; i < 2; i++) {
		session_init(&d.s, &d.options, &peer, d.now);
		assert_int_equal(drive_say(&d, ""), SESSION_WANT_STAMP);
		session_stamp(&d.s, i ? VIEW("1.2@host") : (struct view){0});
		assert_int_equal(drive_say(&d, digest), SESSION_WANT_INPUT);
		assert_string_equal(
			d.said, "+OK POP3 server ready\r\n-ERR unknown command\r\n");
	}
}

static void
another_client_begins_anew(void **state)
{
	(void)state;
	struct session_peer peer = {.plaintext = true,
		.tls = true,
		.xclient = true,
		.mechanisms = 1 << MECHANISM_PASS};

	drive_init(&d);
	session_init(&d.s, &d.options, &peer, d.now);
	assert_int_equal(
		drive_say(&d, "UTF8\r\nXCLIENT ADDR=192.0.2.7 PORT=+34\r\nNOOP\r\n"),
		SESSION_WANT_PEER);
	assert_true(session_utf8(&d.s));
	struct pop3_peer p = session_new_peer(&d.s);
	assert_true(p.has_address && p.has_port);
	assert_int_equal(p.address[15], 7);
	assert_int_equal(p.port, 4);
	peer.tls = false;
	peer.plaintext = false;
	session_peer_changed(&d.s, &peer);
	assert_false(session_utf8(&d.s));
	/* What came under TLS still does. */
	assert_int_equal(drive_say(&d, "USER a\r\n"), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "+OK client has changed\r\n+OK send PASS\r\n");
}

static void
base64_that_is_none_leaves_nothing_behind(void **state)
{
	(void)state;
	static const uint8_t zeros[SESSION_SCRATCH];

	drive_init(&d);
	assert_int_equal(
		drive_say(&d, "AUTH PLAIN AGtlcm1pdABzZWNyZXQ!\r\n"), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "-ERR response is not base64\r\n");
	assert_memory_equal(d.scratch, zeros, sizeof(zeros));
	assert_int_equal(session_counts(&d.s)->login_failures, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auth_is_asked_byte_for_byte),
		cmocka_unit_test(plain_is_handed_on_decoded),
		cmocka_unit_test(answer_waits_as_long_as_auth_says),
		cmocka_unit_test(refusal_shows_its_id_once),
		cmocka_unit_test(every_refusal_has_its_words),
		cmocka_unit_test(holder_may_be_unknown),
		cmocka_unit_test(nul_is_never_cut_off),
		cmocka_unit_test(talk_goes_on_until_the_end),
		cmocka_unit_test(auth_learns_of_every_end),
		cmocka_unit_test(auth_may_not_ask_what_is_no_sasl),
		cmocka_unit_test(ticket_serves_once),
		cmocka_unit_test(stamp_comes_before_the_greeting),
		cmocka_unit_test(another_client_begins_anew),
		cmocka_unit_test(base64_that_is_none_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
