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

/* One failure more; how long its answer waits. */
static uint64_t
fail_once(void)
{
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	session_refused(&d.s, REFUSAL_CREDENTIALS, (struct view){0}, 0, d.now, 0);
	assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_DELAY);
	assert_string_equal(d.said, "");
	uint64_t waits = session_delay_until(&d.s) - d.now;
	d.now = session_delay_until(&d.s) - 1;
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_DELAY);
	d.now++;
	assert_int_not_equal(drive_say(&d, ""), SESSION_WANT_DELAY);
	assert_string_equal(d.said, "-ERR [AUTH] name or password is wrong\r\n");
	return waits;
}

static void
penalty_grows_up_to_16_s(void **state)
{
	(void)state;
	static const uint64_t grows[] = {500, 1000, 2000, 4000, 8000, 16000, 16000};

	for (int way = 0; way < 3; way++) {
		drive_init(&d);
		d.options.max_login_failures = 8;
		d.options.growing_penalty = way > 0;
		d.s.peer.loopback = way == 2;
		for (size_t i = 0; i < sizeof(grows) / sizeof(grows[0]); i++)
			assert_true(fail_once() == (way == 1 ? grows[i] : 500));
		assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_INPUT);
		(void)fail_once();
		assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_CLOSE);
		assert_int_equal(session_reason(&d.s), SESSION_LOGIN_FAILURES);
		assert_int_equal(session_counts(&d.s)->login_failures, 8);
	}
}

static void
no_delay_where_none_is_set(void **state)
{
	(void)state;
	drive_init(&d);
	d.options.login_failure_delay_ms = 0;
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	session_refused(&d.s, REFUSAL_CREDENTIALS, (struct view){0}, 0, d.now, 0);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "-ERR [AUTH] name or password is wrong\r\n");
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
		{REFUSAL_TEMPORARY, "-ERR [SYS/TEMP] "},
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
		session_refused(&d.s, rows[i].code, (struct view){v4, 16}, 1795318811,
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
		&d.s, REFUSAL_IN_USE, (struct view){0}, 1795318901, d.now, 1795318900);
	(void)drive_say(&d, "");
	assert_string_equal(d.said, "-ERR [IN-USE] maildrop is in use by a session\r\n");
}

static void
nul_is_never_asked_about(void **state)
{
	(void)state;
	static const uint8_t line[] = "USER a\r\nPASS b\0c\r\n";
	uint8_t storage[2 * SESSION_ROOM];
	struct buf out = buf_over(storage, sizeof(storage));
	struct view in = {line, sizeof(line) - 1};

	drive_init(&d);
	assert_int_equal(session_run(&d.s, d.now, &in, &out), SESSION_WANT_DELAY);
	assert_int_equal(session_counts(&d.s)->login_failures, 1);
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
		cmocka_unit_test(penalty_grows_up_to_16_s),
		cmocka_unit_test(no_delay_where_none_is_set),
		cmocka_unit_test(every_refusal_has_its_words),
		cmocka_unit_test(holder_may_be_unknown),
		cmocka_unit_test(nul_is_never_asked_about),
		cmocka_unit_test(base64_that_is_none_leaves_nothing_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
