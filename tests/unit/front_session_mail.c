#include "front_session_drive.h"

#include <stdlib.h>

static struct drive d;

static void
large_lists_come_as_there_is_room(void **state)
{
	(void)state;
	enum { COUNT = SNAPSHOT_MESSAGES_MAX };
	size_t n = SNAPSHOT_HEADER + (size_t)COUNT * SNAPSHOT_ROW + 1;
	uint8_t *map = calloc(n, 1), *marks = calloc(COUNT / 8 + 1, 1);
	struct buf b = buf_over(map, n);

	assert_non_null(map);
	assert_non_null(marks);
	buf_put_u64(&b, SNAPSHOT_MAGIC);
	buf_put_u32(&b, SNAPSHOT_VERSION);
	buf_put_u32(&b, COUNT);
	buf_put_u64(&b, 7 * (uint64_t)COUNT);
	buf_put_u64(&b, 1);
	for (uint32_t i = 0; i < COUNT; i++) {
		buf_put_u64(&b, 7);
		buf_put_u32(&b, 0);
		buf_put_u16(&b, 1);
		buf_put_u16(&b, 0);
	}
	buf_put_u8(&b, 'u');
	drive_init(&d);
	assert_true(snapshot_check(buf_view(&b), &d.snap));
	assert_int_equal(drive_say(&d, "USER a\r\nPASS b\r\n"), SESSION_WANT_LOGIN);
	session_attached(&d.s, &d.snap, RIGHT_READ | RIGHT_DELETE, marks, d.now);
	(void)drive_say(&d, "DELE 3999999\r\n");

	static uint8_t storage[65536];
	struct view in = VIEW("LIST\r\nNOOP\r\n");
	uint64_t lines = 0;
	enum session_want want;
	do {
		struct buf out = buf_over(storage, sizeof(storage));
		want = session_run(&d.s, d.now, &in, &out);
		assert_true(out.n > 0);
		for (size_t i = 0; i < out.n; i++)
			lines += storage[i] == '\n';
	} while (want == SESSION_WANT_OUTPUT);
	assert_int_equal(want, SESSION_WANT_INPUT);
	/* +OK, the rows less one, ".", and +OK of NOOP */
	assert_true(lines == COUNT - 1 + 3);
	free(map);
	free(marks);
}

static void
a_permit_limits_what_is_done(void **state)
{
	(void)state;
	uint32_t count;

	drive_init(&d);
	drive_login(&d, RIGHT_READ);
	(void)drive_say(&d, "DELE 1\r\n");
	assert_string_equal(d.said, "-ERR this login may not delete\r\n");
	assert_int_equal(drive_say(&d, "QUIT\r\n"), SESSION_WANT_COMMIT);
	(void)session_marks(&d.s, &count);
	assert_int_equal(count, 0);
	/* Nothing was asked for, so a refusal of the verdict is no failure. */
	session_committed(&d.s, VERDICT_DENIED, 0, 0);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_CLOSE);
	assert_string_equal(d.said, "+OK bye (3 messages left)\r\n");

	drive_init(&d);
	drive_login(&d, RIGHT_DELETE);
	(void)drive_say(&d, "RETR 1\r\nTOP 1 0\r\n");
	assert_string_equal(d.said,
		"-ERR this login may not read messages\r\n"
		"-ERR this login may not read messages\r\n");
}

static void
marks_are_those_of_the_verdict(void **state)
{
	(void)state;
	uint32_t count;

	drive_init(&d);
	drive_drop(&d, 20, 0);
	drive_login(&d, RIGHT_READ | RIGHT_DELETE);
	(void)drive_say(&d, "DELE 1\r\nDELE 9\r\nDELE 20\r\nDELE 9\r\n");
	assert_int_equal(drive_say(&d, "QUIT\r\n"), SESSION_WANT_COMMIT);
	struct view marks = session_marks(&d.s, &count);
	assert_int_equal(count, 3);
	assert_int_equal(marks.n, 3);
	assert_memory_equal(marks.p, "\x01\x01\x08", 3);
}

static void
ok_only_for_what_was_done(void **state)
{
	(void)state;
	static const struct {
		uint8_t outcome;
		uint32_t removed, remain, deleted;
		const char *answer;
	} rows[] = {
		{VERDICT_DONE, 2, 0, 2, "+OK bye (1 message left)\r\n"},
		{VERDICT_PARTIAL, 1, 1, 1,
			"-ERR [SYS/TEMP] not all deletions were done: 1 message of 2 "
			"remains\r\n"},
		{VERDICT_PARTIAL, 0, 99, 0,
			"-ERR [SYS/TEMP] not all deletions were done: 2 messages of 2 "
			"remain\r\n"},
		{VERDICT_LOST_LOCK, 0, 2, 0, "-ERR [SYS/TEMP] nothing was deleted"},
		{VERDICT_UNKNOWN, 2, 0, 2,
			"-ERR [SYS/TEMP] deletions may not be complete"},
		{VERDICT_DENIED, 0, 2, 0, "-ERR nothing was deleted"},
		{0, 0, 0, 0, "-ERR [SYS/TEMP] deletions may not be complete"},
		{200, 0, 0, 0, "-ERR [SYS/TEMP] deletions may not be complete"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		drive_init(&d);
		drive_login(&d, RIGHT_READ | RIGHT_DELETE);
		assert_int_equal(drive_say(&d, "DELE 1\r\nDELE 2\r\nQUIT\r\n"),
			SESSION_WANT_COMMIT);
		session_committed(&d.s, rows[i].outcome, rows[i].removed, rows[i].remain);
		assert_int_equal(drive_say(&d, "CAPA\r\n"), SESSION_WANT_CLOSE);
		assert_int_equal(
			strncmp(d.said, rows[i].answer, strlen(rows[i].answer)), 0);
		assert_int_equal(session_reason(&d.s), SESSION_QUIT);
		assert_int_equal(session_counts(&d.s)->deleted, rows[i].deleted);
	}
}

static void
retr_announces_the_counted_size(void **state)
{
	(void)state;
	drive_init(&d);
	drive_login(&d, RIGHT_READ | RIGHT_DELETE);
	assert_int_equal(drive_say(&d, "RETR 2\r\nSTAT\r\n"), SESSION_WANT_SLICE);
	assert_string_equal(d.said, "");
	assert_int_equal(session_msgno(&d.s), 2);
	session_slice(&d.s, 12345);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_BODY);
	assert_string_equal(d.said, "+OK 12345 octets\r\n");
	struct session_body body = session_body(&d.s);
	assert_false(body.top);
	assert_true(body.wire == 12345);
	session_body_sent(&d.s, d.now);
	assert_int_equal(drive_say(&d, "TOP 3 7\r\n"), SESSION_WANT_SLICE);
	session_slice(&d.s, 300);
	assert_int_equal(drive_say(&d, ""), SESSION_WANT_BODY);
	body = session_body(&d.s);
	assert_true(body.top);
	assert_true(body.lines == 7);
	session_body_sent(&d.s, d.now);
	const struct session_counts *c = session_counts(&d.s);
	assert_int_equal(c->retrieved, 1);
	assert_int_equal(c->topped, 1);
	assert_true(c->octets == 12345);
	/* The table of this session keeps what it said. */
	assert_int_equal(drive_say(&d, "LIST 2\r\n"), SESSION_WANT_INPUT);
	assert_string_equal(d.said, "+OK 2 200\r\n");
}

static void
last_starts_with_what_was_seen(void **state)
{
	(void)state;
	drive_init(&d);
	d.options.wire.last = true;
	drive_drop(&d, 3, 2);
	drive_login(&d, RIGHT_READ | RIGHT_DELETE);
	(void)drive_say(&d, "LAST\r\n");
	assert_string_equal(d.said, "+OK 2\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_lists_come_as_there_is_room),
		cmocka_unit_test(a_permit_limits_what_is_done),
		cmocka_unit_test(marks_are_those_of_the_verdict),
		cmocka_unit_test(ok_only_for_what_was_done),
		cmocka_unit_test(retr_announces_the_counted_size),
		cmocka_unit_test(last_starts_with_what_was_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
