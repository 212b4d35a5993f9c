/*
 * What follows a session: exit statuses, when to try again, when to poll.
 */
#include "unit.h"

#include "base/check.h"
#include "fetch/schedule.h"

#include <sysexits.h>

static struct session_outcome
outcome(enum session_outcome_kind kind, enum pop3_code code)
{
	return (struct session_outcome){.kind = kind, .code = code};
}

static void
statuses(void **state)
{
	static const struct {
		enum session_outcome_kind kind;
		int status;
	} rows[] = {
		{OUTCOME_OK, EX_OK},
		{OUTCOME_MORE, EX_OK},
		{OUTCOME_CUT, EX_TEMPFAIL},
		{OUTCOME_TEMPORARY, EX_TEMPFAIL},
		{OUTCOME_REFUSED, EX_NOPERM},
		{OUTCOME_PROTOCOL, EX_PROTOCOL},
		{OUTCOME_UNREACHABLE, EX_UNAVAILABLE},
		{OUTCOME_LOCAL, EX_TEMPFAIL},
		{OUTCOME_FILE, EX_NOINPUT},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct session_outcome o = outcome(rows[i].kind, POP3_CODE_NONE);
		assert_int_equal(schedule_status(&o), rows[i].status);
	}
}

static void
the_worse_of_two(void **state)
{
	static const int order[] = {EX_NOPERM, EX_PROTOCOL, EX_NOINPUT, EX_DATAERR,
		EX_UNAVAILABLE, EX_TEMPFAIL, EX_OK};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		for (size_t j = i; j < ARRAY_SIZE(order); j++) {
			assert_int_equal(schedule_worse(order[i], order[j]), order[i]);
			assert_int_equal(schedule_worse(order[j], order[i]), order[i]);
		}
	}
	assert_int_equal(schedule_worse(0, EX_OSERR), EX_OSERR);
}

struct after {
	enum session_outcome_kind kind;
	struct schedule_gain gain;
	enum schedule_next next;
	int status;
};
static const struct after afters[] = {
	{OUTCOME_OK, {0}, SCHEDULE_DONE, EX_OK},
	{OUTCOME_OK, {.committed = 3}, SCHEDULE_DONE, EX_OK},
	{OUTCOME_OK, {.tried = 1}, SCHEDULE_DONE, EX_TEMPFAIL},
	{OUTCOME_OK, {.temporary = 1}, SCHEDULE_DONE, EX_TEMPFAIL},
	{OUTCOME_OK, {.tried = 1, .quarantined = 1}, SCHEDULE_DONE, EX_DATAERR},
	{OUTCOME_MORE, {.committed = 1}, SCHEDULE_AGAIN, EX_OK},
	{OUTCOME_MORE, {.tried = 1}, SCHEDULE_AGAIN, EX_OK},
	{OUTCOME_MORE, {0}, SCHEDULE_DONE, EX_TEMPFAIL},
	{OUTCOME_CUT, {0}, SCHEDULE_AGAIN, EX_OK},
	{OUTCOME_TEMPORARY, {0}, SCHEDULE_DONE, EX_TEMPFAIL},
	{OUTCOME_REFUSED, {0}, SCHEDULE_DONE, EX_NOPERM},
	{OUTCOME_PROTOCOL, {.committed = 5}, SCHEDULE_DONE, EX_PROTOCOL},
	{OUTCOME_UNREACHABLE, {0}, SCHEDULE_DONE, EX_UNAVAILABLE},
	{OUTCOME_LOCAL, {0}, SCHEDULE_DONE, EX_TEMPFAIL},
	{OUTCOME_FILE, {0}, SCHEDULE_DONE, EX_NOINPUT},
};

static void
after_one_session(void **state)
{
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(afters); i++) {
		struct schedule s = {0};
		struct session_outcome o = outcome(afters[i].kind, POP3_CODE_NONE);
		enum schedule_next next = schedule_after(&s, &o, &afters[i].gain);

		if (next != afters[i].next || s.status != afters[i].status)
			fail_msg("row %zu: next %d, status %d", i, next, s.status);
	}
}

static void
a_line_that_always_breaks(void **state)
{
	struct session_outcome o = outcome(OUTCOME_CUT, POP3_CODE_NONE);
	struct schedule s = {0};
	const struct schedule_gain none = {0}, tried = {.tried = 1},
				   some = {.committed = 1}, given_up = {.quarantined = 1},
				   left = {.tried = 1, .left = 1};
	(void)state;

	assert_int_equal(schedule_after(&s, &o, &none), SCHEDULE_AGAIN);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_AGAIN);
	/* While something is won it goes on. */
	for (int i = 0; i < 50; i++)
		assert_int_equal(schedule_after(&s, &o, &some), SCHEDULE_AGAIN);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_AGAIN);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_AGAIN);
	/* The last try of one message makes way for the next. */
	assert_int_equal(schedule_after(&s, &o, &given_up), SCHEDULE_AGAIN);
	assert_int_equal(s.status, EX_DATAERR);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_AGAIN);
	/* So does its last one in this run. */
	assert_int_equal(schedule_after(&s, &o, &left), SCHEDULE_AGAIN);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_AGAIN);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_AGAIN);
	assert_int_equal(schedule_after(&s, &o, &tried), SCHEDULE_DONE);
}

static void
sessions_of_a_run_end(void **state)
{
	struct session_outcome o = outcome(OUTCOME_MORE, POP3_CODE_NONE);
	const struct schedule_gain some = {.committed = 1};
	struct schedule s = {0};
	uint32_t n = 0;
	(void)state;

	while (schedule_after(&s, &o, &some) == SCHEDULE_AGAIN)
		assert_true(++n < 20000);
	assert_true(n >= 1000);
}

/* Once a run, and only where the secret was good before and can be another now. */
static void
a_token_that_ran_out(void **state)
{
	struct session_outcome cut = outcome(OUTCOME_CUT, POP3_CODE_NONE),
			       refused = outcome(OUTCOME_REFUSED, POP3_CODE_AUTH);
	const struct schedule_gain none = {0}, in = {.committed = 1, .logged_in = true};
	(void)state;

	for (int renews = 0; renews < 2; renews++) {
		struct schedule s = {.renews = renews}, never_in = s;

		assert_int_equal(schedule_after(&never_in, &cut, &none), SCHEDULE_AGAIN);
		assert_int_equal(
			schedule_after(&never_in, &refused, &none), SCHEDULE_DONE);
		assert_int_equal(schedule_after(&s, &cut, &in), SCHEDULE_AGAIN);
		if (renews) {
			assert_int_equal(
				schedule_after(&s, &refused, &none), SCHEDULE_AGAIN);
			assert_int_equal(schedule_after(&s, &cut, &in), SCHEDULE_AGAIN);
			assert_int_equal(s.status, EX_OK);
		}
		assert_int_equal(schedule_after(&s, &refused, &none), SCHEDULE_DONE);
		assert_int_equal(s.status, EX_NOPERM);
	}
}

/* ---- polls ----------------------------------------------------------------------- */

#define NOW UINT64_C(1700000000)

static const struct fetch_account daily = {.poll_min_ms = 60000, .poll_max_ms = 3600000};

static void
back_off_grows_to_an_hour(void **state)
{
	static const uint64_t base[] = {
		60, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600};
	struct session_outcome o = outcome(OUTCOME_UNREACHABLE, POP3_CODE_NONE);
	(void)state;

	for (uint32_t f = 0; f < ARRAY_SIZE(base); f++) {
		for (uint64_t random = 0; random < 2000; random += 7) {
			struct remembered r = {.failures = f};
			uint64_t s =
				schedule_poll(&daily, &r, &o, false, NOW, random) - NOW;
			assert_in_range(
				s, base[f] - base[f] / 10, base[f] + base[f] / 10);
		}
	}
	struct remembered r = {.failures = UINT32_MAX};
	assert_true(schedule_poll(&daily, &r, &o, false, NOW, UINT64_MAX) <= NOW + 3960);
}

static void
jitter_reaches_both_sides(void **state)
{
	struct fetch_account a = {.poll_ms = 600000};
	struct session_outcome o = outcome(OUTCOME_OK, POP3_CODE_NONE);
	uint64_t least = UINT64_MAX, most = 0;
	(void)state;

	for (uint64_t random = 0; random < 500; random++) {
		struct remembered r = {0};
		uint64_t s = schedule_poll(&a, &r, &o, false, NOW, random) - NOW;
		least = s < least ? s : least;
		most = s > most ? s : most;
	}
	assert_int_equal(least, 540);
	assert_int_equal(most, 660);
}

static void
the_server_says_when(void **state)
{
	struct fetch_account a = {.poll_ms = 10000};
	struct remembered r = {.after.login_delay_s = 900};
	struct session_outcome o = outcome(OUTCOME_OK, POP3_CODE_NONE);
	(void)state;

	assert_int_equal(schedule_poll(&a, &r, &o, true, NOW, 3), NOW + 900);
	o = outcome(OUTCOME_TEMPORARY, POP3_CODE_LOGIN_DELAY);
	o.wait_s = 4000;
	assert_int_equal(schedule_poll(&a, &r, &o, true, NOW, 3), NOW + 4000);
	r.last_try_s = NOW;
	assert_int_equal(schedule_not_before(&r, NOW), NOW + 900);
	r.after.login_delay_s = 0;
	assert_int_equal(schedule_not_before(&r, NOW), 0);
	/* But no server stops us for years. */
	r.after.login_delay_s = UINT32_MAX;
	o.wait_s = UINT32_MAX;
	assert_int_equal(schedule_not_before(&r, NOW), NOW + 86400);
	assert_int_equal(schedule_poll(&a, &r, &o, true, NOW, 3), NOW + 86400);
}

static void
the_interval_is_learnt(void **state)
{
	struct session_outcome o = outcome(OUTCOME_OK, POP3_CODE_NONE);
	struct remembered r = {0};
	uint64_t before = 300000;
	(void)state;

	for (int i = 0; i < 40; i++) {
		(void)schedule_poll(&daily, &r, &o, true, NOW, 0);
		assert_true(r.interval_ms <= before);
		before = r.interval_ms;
	}
	assert_int_equal(r.interval_ms, 60000);
	for (int i = 0; i < 40; i++) {
		(void)schedule_poll(&daily, &r, &o, false, NOW, 0);
		assert_true(r.interval_ms >= before);
		before = r.interval_ms;
	}
	assert_int_equal(r.interval_ms, 3600000);
	/* Failures teach nothing of when mail comes. */
	o = outcome(OUTCOME_CUT, POP3_CODE_NONE);
	(void)schedule_poll(&daily, &r, &o, true, NOW, 0);
	assert_int_equal(r.interval_ms, 3600000);
}

static void
a_refused_login_stops_polls(void **state)
{
	struct remembered r = {.refusals = 1};
	struct session_outcome o = outcome(OUTCOME_REFUSED, POP3_CODE_AUTH);
	(void)state;

	assert_int_equal(schedule_poll(&daily, &r, &o, false, NOW, 0), 0);
	o.code = POP3_CODE_SYS_PERM;
	assert_int_equal(schedule_poll(&daily, &r, &o, false, NOW, 0), 0);
	/* "wrong password" alone is what some say to who polls too often. */
	o.code = POP3_CODE_NONE;
	assert_true(schedule_poll(&daily, &r, &o, false, NOW, 0) > NOW);
	r.refusals = 2;
	assert_true(schedule_poll(&daily, &r, &o, false, NOW, 0) > NOW);
	r.refusals = 3;
	assert_int_equal(schedule_poll(&daily, &r, &o, false, NOW, 0), 0);
	/* Other failures never stop them. */
	r.failures = 1000;
	o.kind = OUTCOME_UNREACHABLE;
	assert_true(schedule_poll(&daily, &r, &o, false, NOW, 0) > NOW);
}

static void
refusals_are_counted_in_a_row(void **state)
{
	static const enum session_outcome_kind others[] = {OUTCOME_CUT, OUTCOME_TEMPORARY,
		OUTCOME_PROTOCOL, OUTCOME_UNREACHABLE, OUTCOME_LOCAL, OUTCOME_OK,
		OUTCOME_MORE};
	struct session_outcome refused = outcome(OUTCOME_REFUSED, POP3_CODE_NONE);
	struct remembered r = {0};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct session_outcome o = outcome(others[i], POP3_CODE_NONE);
		bool well = o.kind == OUTCOME_OK || o.kind == OUTCOME_MORE;

		for (int n = 0; n < 5; n++)
			schedule_count(&r, &o);
		assert_int_equal(r.failures == 0, well);
		schedule_count(&r, &refused);
		assert_int_equal(r.refusals, 1);
		assert_true(schedule_poll(&daily, &r, &refused, false, NOW, 0) > NOW);
		schedule_count(&r, &refused);
		schedule_count(&r, &refused);
		assert_int_equal(schedule_poll(&daily, &r, &refused, false, NOW, 0), 0);
	}
	/* A login in one flight that is said again step by step is no failure, and no
	 * answer to the question either. */
	struct session_outcome again = outcome(OUTCOME_CUT, POP3_CODE_NONE);
	uint32_t failures = r.failures, refusals = r.refusals;
	r.step_by_step = true;
	schedule_count(&r, &again);
	assert_int_equal(r.failures, failures);
	assert_int_equal(r.refusals, refusals);
}

static void
a_login_delay_counts_over_a_restart(void **state)
{
	struct remembered r = {.last_try_s = NOW, .next_poll_s = NOW + 5000};
	(void)state;

	assert_int_equal(schedule_not_before(&r, NOW), 0);
	r.after.login_delay_s = 900;
	assert_int_equal(schedule_not_before(&r, NOW), NOW + 900);
}

#define TEN_YEARS UINT64_C(315360000)

/* What was written while the clock was ahead, or is read while it is behind. */
static void
the_clock_was_wrong(void **state)
{
	struct fetch_account a = {.poll_max_ms = 1800000, .tombstones_ms = 7776000000};
	struct remembered r = {.last_try_s = NOW + TEN_YEARS, .after.login_delay_s = 900};
	(void)state;

	assert_int_equal(schedule_not_before(&r, NOW), NOW + 900);
	r.last_try_s = UINT64_MAX;
	assert_int_equal(schedule_not_before(&r, NOW), NOW + 900);
	assert_int_equal(schedule_wait_s(&a, NOW + 1800, NOW), 1800);
	assert_int_equal(schedule_wait_s(&a, NOW, NOW + TEN_YEARS), 0);
	/* A day is what a server may ask for. */
	assert_int_equal(schedule_wait_s(&a, NOW + 86400, NOW), 86400);
	assert_in_range(schedule_wait_s(&a, NOW + TEN_YEARS, NOW), 86400, 100000);
	a.poll_ms = 604800000;
	assert_int_equal(schedule_wait_s(&a, NOW + 665280, NOW), 665280);
	assert_in_range(schedule_wait_s(&a, UINT64_MAX, NOW), 604800, 700000);
	/* Nothing is forgotten by a machine that begins in 1970. */
	assert_int_equal(schedule_forget_before(&a, NOW), NOW - 7776000);
	assert_int_equal(schedule_forget_before(&a, 1000), 0);
	a.tombstones_ms = FETCH_NEVER;
	assert_int_equal(schedule_forget_before(&a, NOW), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses),
		cmocka_unit_test(the_worse_of_two),
		cmocka_unit_test(after_one_session),
		cmocka_unit_test(a_line_that_always_breaks),
		cmocka_unit_test(sessions_of_a_run_end),
		cmocka_unit_test(a_token_that_ran_out),
		cmocka_unit_test(back_off_grows_to_an_hour),
		cmocka_unit_test(jitter_reaches_both_sides),
		cmocka_unit_test(the_server_says_when),
		cmocka_unit_test(the_interval_is_learnt),
		cmocka_unit_test(a_refused_login_stops_polls),
		cmocka_unit_test(refusals_are_counted_in_a_row),
		cmocka_unit_test(a_login_delay_counts_over_a_restart),
		cmocka_unit_test(the_clock_was_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
