#include "front_session_drive.h"

static struct drive d;

#define ALL_RIGHTS (RIGHT_READ | RIGHT_DELETE)

static void
time_before_login_is_absolute(void **state)
{
	(void)state;
	drive_init(&d);
	d.now += 119 * 1000;
	(void)drive_say(&d, "CAPA\r\n");
	assert_true(session_deadline(&d.s) == 121 * 1000);
	session_expire(&d.s, d.now);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	d.now = 121 * 1000;
	session_expire(&d.s, d.now);
	assert_int_equal(drive_say(&d, "USER a\r\n"), SESSION_WANT_CLOSE);
	assert_string_equal(d.said, "");
	assert_int_equal(session_reason(&d.s), SESSION_TIMEOUT);
}

static void
octets_without_line_end_are_no_life(void **state)
{
	(void)state;
	drive_init(&d);
	drive_login(&d, ALL_RIGHTS);
	uint64_t deadline = session_deadline(&d.s);
	d.now += 5000;
	(void)drive_say(&d, "NOO");
	assert_true(session_deadline(&d.s) == deadline);
	assert_true(session_idle_ms(&d.s, d.now) == 5000);
	(void)drive_say(&d, "NOOP\r\n");
	assert_true(session_deadline(&d.s) == deadline + 5000);
	assert_true(session_idle_ms(&d.s, d.now) == 0);
	d.now += 7000;
	session_progress(&d.s, d.now);
	assert_true(session_deadline(&d.s) == deadline + 12000);
}

static void
who_waits_is_answered_before_the_end(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum session_reason why;
		const char *answer;
	} rows[] = {
		{"RETR 1\r\n", SESSION_LOST_KEEPER, "-ERR [SYS/TEMP] "},
		{"RETR 1\r\n", SESSION_DRAINED, "-ERR [SYS/TEMP] "},
		{"RETR 1\r\n", SESSION_PEER, ""},
		{"QUIT\r\n", SESSION_LOST_KEEPER,
			"-ERR [SYS/TEMP] deletions may not be complete"},
		{"QUIT\r\n", SESSION_TIMEOUT,
			"-ERR [SYS/TEMP] deletions may not be complete"},
		{"QUIT\r\n", SESSION_PEER, ""},
		{"", SESSION_LOST_KEEPER, ""},
		{"", SESSION_YIELDED, ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		drive_init(&d);
		drive_login(&d, ALL_RIGHTS);
		(void)drive_say(&d, rows[i].line);
		session_end(&d.s, rows[i].why);
		assert_int_equal(drive_say(&d, ""), SESSION_WANT_CLOSE);
		assert_int_equal(
			strncmp(d.said, rows[i].answer, strlen(rows[i].answer)), 0);
		assert_int_equal(d.said_n > 0, rows[i].answer[0] != '\0');
		assert_int_equal(session_reason(&d.s), rows[i].why);
	}
}

static void
a_verdict_that_was_sent_is_waited_for(void **state)
{
	(void)state;
	drive_init(&d);
	drive_login(&d, ALL_RIGHTS);
	assert_int_equal(drive_say(&d, "DELE 1\r\nQUIT\r\n"), SESSION_WANT_COMMIT);
	session_end(&d.s, SESSION_DRAINED);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_COMMIT);
	session_committed(&d.s, VERDICT_DONE, 1, 0);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_CLOSE);
	assert_string_equal(d.said, "+OK bye (2 messages left)\r\n");
	assert_int_equal(session_reason(&d.s), SESSION_QUIT);
}

static void
late_answers_change_nothing(void **state)
{
	(void)state;
	drive_init(&d);
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	session_end(&d.s, SESSION_PEER);
	session_refused(&d.s, REFUSAL_CREDENTIALS, 0, (struct view){0}, 0, d.now, 0);
	session_identified(&d.s, 1, 1);
	session_attached(&d.s, &d.snap, ALL_RIGHTS, d.marks, d.now);
	session_slice(&d.s, 1);
	session_no_slice(&d.s, true);
	session_body_sent(&d.s, d.now);
	session_committed(&d.s, VERDICT_DONE, 0, 0);
	session_tls_started(&d.s, d.now);
	assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_CLOSE);
	assert_string_equal(d.said, "");
	assert_int_equal(session_reason(&d.s), SESSION_PEER);
}

static void
bad_commands_close_in_the_end(void **state)
{
	(void)state;
	drive_init(&d);
	assert_int_equal(drive_say(&d, "A\r\nB\r\nC\r\nD\r\n"), SESSION_WANT_INPUT);
	assert_int_equal(drive_say(&d, "E\r\nCAPA\r\n"), SESSION_WANT_CLOSE);
	assert_string_equal(d.said, "-ERR unknown command\r\n");
	assert_int_equal(session_reason(&d.s), SESSION_BAD_COMMANDS);
	assert_int_equal(session_counts(&d.s)->commands_bad, 5);
}

static void
injected_octets_drop_the_connection(void **state)
{
	(void)state;
	drive_init(&d);
	assert_int_equal(drive_say(&d, "STLS\r\nCAPA\r\n"), SESSION_WANT_CLOSE);
	assert_int_equal(session_reason(&d.s), SESSION_INJECTION);
	drive_init(&d);
	assert_int_equal(drive_say(&d, "STLS\r\n"), SESSION_WANT_TLS);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_TLS);
	session_tls_started(&d.s, d.now);
	assert_int_equal(drive_say(&d, "STLS\r\n"), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "-ERR TLS is on already\r\n");
}

static void
done_wipes_everything(void **state)
{
	(void)state;
	static const struct session nothing = {.phase = PHASE_CLOSED};
	static const uint8_t zeros[SESSION_SCRATCH];

	drive_init(&d);
	assert_int_equal(
		drive_say(&d, "USER kermit\r\nPASS secret\r\n"), SESSION_WANT_LOGIN);
	session_done(&d.s);
	assert_memory_equal(&d.s, &nothing, sizeof(nothing));
	assert_memory_equal(d.scratch, zeros, sizeof(zeros));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_before_login_is_absolute),
		cmocka_unit_test(octets_without_line_end_are_no_life),
		cmocka_unit_test(who_waits_is_answered_before_the_end),
		cmocka_unit_test(a_verdict_that_was_sent_is_waited_for),
		cmocka_unit_test(late_answers_change_nothing),
		cmocka_unit_test(bad_commands_close_in_the_end),
		cmocka_unit_test(injected_octets_drop_the_connection),
		cmocka_unit_test(done_wipes_everything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
