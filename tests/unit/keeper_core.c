/* What a keeper decides. */
#include "unit.h"

#include "keeper/core.h"

#include <errno.h>
#include <string.h>

static void
messages_have_their_state_and_right(void **state)
{
	unsigned allowed = 0;
	(void)state;

	for (uint32_t n = 0; n < 0x10000; n++)
		for (int s = KEEPER_ATTACHING; s <= KEEPER_ENDED; s++)
			allowed += keeper_allows((enum keeper_state)s, (uint16_t)n, 0xFF);
	assert_int_equal(allowed, 6);
	assert_true(keeper_allows(KEEPER_SERVING, MSG_WANT, RIGHT_READ));
	assert_false(keeper_allows(KEEPER_SERVING, MSG_WANT, RIGHT_DELETE));
	assert_false(keeper_allows(KEEPER_JUDGING, MSG_WANT, RIGHT_READ));
	assert_false(keeper_allows(KEEPER_ATTACHING, MSG_VERDICT, 0xFF));
	assert_true(keeper_allows(KEEPER_JUDGING, MSG_VERDICT, 0));
	assert_false(keeper_allows(KEEPER_ENDED, MSG_VERDICT, 0xFF));
	assert_true(keeper_allows(KEEPER_ACCEPTING, MSG_DEPOSIT, RIGHT_DELIVER));
	assert_false(keeper_allows(KEEPER_ACCEPTING, MSG_DEPOSIT, RIGHT_READ));
	assert_false(keeper_allows(KEEPER_SERVING, MSG_DEPOSIT, 0xFF));
	assert_false(keeper_allows(KEEPER_STORING, MSG_DEPOSIT, RIGHT_DELIVER));
}

static void
who_delivers_does_nothing_else(void **state)
{
	(void)state;
	for (unsigned rights = 0; rights < 0x100; rights++)
		assert_int_equal(keeper_rights_are_sound((uint8_t)rights),
			!(rights & RIGHT_DELIVER) || rights == RIGHT_DELIVER);
}

static void
deposits_have_their_outcomes(void **state)
{
	static const struct {
		int error;
		uint8_t outcome;
	} rows[] = {
		{0, DEPOSIT_DONE},
		{EDQUOT, DEPOSIT_FULL},
		{ENOSPC, DEPOSIT_NO_SPACE},
		{EFBIG, DEPOSIT_TOO_LARGE},
		{EACCES, DEPOSIT_CLOSED},
		{EPERM, DEPOSIT_CLOSED},
		{EROFS, DEPOSIT_CLOSED},
		{ELOOP, DEPOSIT_CLOSED},
		{EXDEV, DEPOSIT_CLOSED},
		{ENOTDIR, DEPOSIT_CLOSED},
		{EIO, DEPOSIT_TEMPORARY},
		{EAGAIN, DEPOSIT_TEMPORARY},
		{EINTR, DEPOSIT_TEMPORARY},
		{ENOMEM, DEPOSIT_TEMPORARY},
		{EMFILE, DEPOSIT_TEMPORARY},
	};
	unsigned done = 0;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			keeper_deposit_outcome_of(-rows[i].error), rows[i].outcome);
	/* Nothing but success is one. */
	for (int e = 0; e < 4096; e++)
		done += keeper_deposit_outcome_of(-e) == DEPOSIT_DONE;
	assert_int_equal(done, 1);
}

static void
wants_are_whole_and_exist(void **state)
{
	struct keeper_wants w = {.n = 0};
	uint8_t list[(SLICES_BATCH_MAX + 1) * 4] = {0};
	(void)state;

	for (size_t i = 0; i <= SLICES_BATCH_MAX; i++)
		list[i * 4] = 1;
	assert_false(keeper_wants_take(&w, (struct view){list, 0}, 9));
	assert_false(keeper_wants_take(&w, (struct view){list, 3}, 9));
	assert_false(keeper_wants_take(&w, (struct view){list, 5}, 9));
	assert_false(keeper_wants_take(&w, (struct view){list, sizeof(list)}, 9));
	assert_false(keeper_wants_take(&w, (struct view){list, 4}, 0));
	list[4] = 10;
	assert_false(keeper_wants_take(&w, (struct view){list, 8}, 9));
	list[4] = 0;
	assert_false(keeper_wants_take(&w, (struct view){list, 8}, 9));
	list[4] = 9;
	assert_true(keeper_wants_take(&w, (struct view){list, sizeof(list) - 4}, 9));
	assert_int_equal(w.n, SLICES_BATCH_MAX);
	assert_int_equal(w.msgno[1], 9);
}

static void
verdicts_come_in_rising_parts(void **state)
{
	uint8_t octets[4];
	struct keeper_marks m;
	(void)state;
#define FRESH()                                                                          \
	(memset(octets, 0, 4),                                                           \
		m = (struct keeper_marks){.octets = octets, .count = 20, .next = 1})
#define PART(first_, last_, literal)                                                     \
	keeper_marks_take(&m,                                                            \
		&(struct msg_verdict){                                                   \
			.first = (first_), .last = (last_), .marks = VIEW(literal)})

	FRESH();
	assert_true(PART(1, 0, "\x81"));
	assert_true(PART(13, 1, "\x80"));
	assert_int_equal(m.marked, 3);
	assert_memory_equal(octets, "\x81\x00\x08", 3);
	/* Once more the same, or backwards. */
	assert_false(PART(1, 1, "\x01"));
	FRESH();
	assert_false(PART(0, 1, "\x01"));
	assert_false(PART(0, 1, ""));
	assert_false(PART(1, 2, "\x01"));
	assert_false(PART(1, 0, ""));
	assert_false(PART(14, 1, "\x80"));
	assert_false(PART(UINT32_MAX, 1, "\x01"));
	assert_false(PART(1, 1, "\x00\x00\x00\x00"));
	FRESH();
	assert_true(PART(1, 1, "\xFF\xFF\x0F"));
	assert_int_equal(m.marked, 20);
	FRESH();
	assert_true(PART(1, 1, ""));
	assert_int_equal(m.marked, 0);
}

static void
pieces_have_a_limit(void **state)
{
	(void)state;
#define SOUND(no, off, len)                                                              \
	keeper_fetch_is_sound(                                                           \
		&(struct msg_fetch){.msgno = (no), .offset = (off), .length = (len)}, 2)
	assert_true(SOUND(1, 0, 1));
	assert_true(SOUND(2, 5, KEEPER_PIECE_MAX));
	assert_false(SOUND(0, 0, 1));
	assert_false(SOUND(3, 0, 1));
	assert_false(SOUND(1, 0, 0));
	assert_false(SOUND(1, 0, KEEPER_PIECE_MAX + 1));
	assert_false(SOUND(1, UINT64_MAX, 1));
	assert_false(SOUND(1, INT64_MAX, 1));
}

static void
logins_are_admitted_or_told_why(void **state)
{
	struct keeper_question q = {.now_ms = 100000};
	uint8_t code = 0;
	(void)state;

	assert_int_equal(keeper_admit(&q, &code), KEEPER_ADMIT);
	q.held = true;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_REFUSE);
	assert_int_equal(code, REFUSAL_IN_USE);
	q.takeover_s = 30;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_YIELD);
	q.asked = true;
	q.ask_until_ms = 100001;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_WAIT);
	q.ask_until_ms = 100000;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_REFUSE);
	assert_int_equal(code, REFUSAL_IN_USE);
	q.held = false;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_ADMIT);
	q.delay_s = 60;
	q.last_login_ms = 40001;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_REFUSE);
	assert_int_equal(code, REFUSAL_LOGIN_DELAY);
	q.last_login_ms = 40000;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_ADMIT);
	q.others = q.others_max = 3;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_REFUSE);
	assert_int_equal(code, REFUSAL_CONNECTIONS);
	q.others = 2;
	assert_int_equal(keeper_admit(&q, &code), KEEPER_ADMIT);
}

static void
errors_have_their_words(void **state)
{
	(void)state;
	assert_int_equal(keeper_refusal_of(-ELOOP), REFUSAL_PERMANENT);
	assert_int_equal(keeper_refusal_of(-EIO), REFUSAL_TEMPORARY);
	assert_int_equal(keeper_refusal_of(-ENOSPC), REFUSAL_TEMPORARY);
	assert_int_equal(keeper_outcome_of(0, 0), VERDICT_DONE);
	assert_int_equal(keeper_outcome_of(0, 1), VERDICT_PARTIAL);
	assert_int_equal(keeper_outcome_of(-EIO, 0), VERDICT_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_have_their_state_and_right),
		cmocka_unit_test(who_delivers_does_nothing_else),
		cmocka_unit_test(deposits_have_their_outcomes),
		cmocka_unit_test(wants_are_whole_and_exist),
		cmocka_unit_test(verdicts_come_in_rising_parts),
		cmocka_unit_test(pieces_have_a_limit),
		cmocka_unit_test(logins_are_admitted_or_told_why),
		cmocka_unit_test(errors_have_their_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
