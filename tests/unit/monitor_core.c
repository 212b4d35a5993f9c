#include "unit.h"

#include "monitor_world.h"

static void
serves_when_all_are_ready(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_begin(&w, &l);
	assert_int_equal(w.started_n, 5);
	assert_int_equal(w.started[0], CORE_LOG);
	world_ready(&w, CORE_FRONT);
	world_ready(&w, CORE_LOG);
	world_ready(&w, CORE_AUTH);
	world_ready(&w, CORE_FRONT + 1);
	assert_int_equal(w.serving, 0);
	world_ready(&w, CORE_CONTROL);
	assert_int_equal(w.serving, 1);
	/* Ready is said once. */
	assert_false(core_ready(w.c, CORE_CONTROL, w.now));
	assert_int_equal(core_deadline(w.c), UINT64_MAX);
	world_end(&w);
}

static void
a_failure_at_the_start_ends_with_1(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_begin(&w, &l);
	world_ready(&w, CORE_LOG);
	world_die(&w, CORE_AUTH, false);
	assert_int_equal(w.finished, 1);
	world_end(&w);
	/* And so does one that never gets ready. */
	world_begin(&w, &l);
	assert_int_equal(core_deadline(w.c), 1000 + CORE_READY_MS);
	assert_true(world_wait(&w));
	assert_int_equal(w.finished, 1);
	world_end(&w);
}

/* What lacked when a process was to be told its set-up may be there later. */
static void
a_start_that_lacks_something_is_tried_again(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	static const uint32_t slots[] = {CORE_LOG, CORE_AUTH, CORE_FRONT + 1};
	static const uint64_t waits[] = {100, 200, 400};

	world_begin(&w, &l);
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		for (size_t k = 0; k < sizeof(waits) / sizeof(waits[0]); k++) {
			uint64_t died = w.now;
			core_starve(w.c, slots[i], w.now);
			world_act(&w);
			core_died(w.c, slots[i], CORE_END_KILLED, w.now);
			world_act(&w);
			assert_int_equal(w.finished, -1);
			assert_true(world_wait(&w));
			assert_int_equal(w.now - died, waits[k]);
			assert_true(core_lives(w.c, slots[i]));
		}
	}
	for (uint32_t s = 0; s < CORE_KEEPER; s++)
		if (core_lives(w.c, s))
			world_ready(&w, s);
	assert_int_equal(w.serving, 1);
	world_end(&w);
	/* Not for ever: what never becomes ready in its time ends all. */
	world_begin(&w, &l);
	while (w.finished < 0) {
		if (core_lives(w.c, CORE_AUTH)) {
			core_starve(w.c, CORE_AUTH, w.now);
			core_died(w.c, CORE_AUTH, CORE_END_KILLED, w.now);
		}
		assert_true(world_wait(&w));
	}
	assert_int_equal(w.finished, 1);
	assert_int_equal(w.now, 1000 + CORE_READY_MS);
	world_end(&w);
}

static void
restarts_back_off_and_recover(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	static const uint64_t waits[] = {
		100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};

	world_serve(&w, &l);
	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		uint64_t died = w.now;
		world_die(&w, CORE_AUTH, false);
		assert_false(core_lives(w.c, CORE_AUTH));
		assert_true(world_wait(&w));
		assert_int_equal(w.now - died, waits[i]);
		assert_true(core_lives(w.c, CORE_AUTH));
	}
	/* A minute alive: the next one comes soon again. */
	world_ready(&w, CORE_AUTH);
	w.now += CORE_STEADY_MS;
	world_die(&w, CORE_AUTH, false);
	assert_int_equal(core_deadline(w.c) - w.now, 100);
	world_end(&w);
}

/* Kills slot `lived` after its start; how long the next one is waited for. */
static uint64_t
wait_after_kill(struct world *w, uint32_t slot, uint64_t lived)
{
	w->now += lived;
	uint64_t died = w->now;
	core_died(w->c, slot, CORE_END_KILLED, died);
	world_act(w);
	assert_true(world_wait(w));
	assert_true(core_lives(w->c, slot));
	world_ready(w, slot);
	return w->now - died;
}

static void
one_killed_from_outside_is_soon_there_again(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	/* As often as it likes, if it lived for a tenth of a second in between. */
	for (int i = 0; i < 200; i++)
		assert_int_equal(wait_after_kill(&w, CORE_FRONT, 100), 10);
	/* Else ever more slowly, and soon again after a good life. */
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 100), 10);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 50), 15);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 0), 25);
	for (int i = 3; i < 100; i++)
		assert_int_equal(wait_after_kill(&w, CORE_AUTH, 0), 5 + 10 * i);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 1000), 905);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 9060), 10);
	for (int i = 0; i < 4000; i++)
		assert_true(wait_after_kill(&w, CORE_AUTH, 0) <= CORE_BACKOFF_MAX_MS);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 0), CORE_BACKOFF_MAX_MS);
	world_end(&w);
}

static void
one_that_we_kill_is_not_killed_from_outside(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	core_blame(w.c, CORE_AUTH, w.now);
	world_act(&w);
	assert_int_equal(w.closed, 1);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 1000), 100);
	/* Its channel ended and it stayed: killed when due. */
	core_hangup(w.c, CORE_AUTH, w.now);
	world_act(&w);
	assert_true(world_wait(&w));
	assert_int_equal(w.killed, 1);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 2000), 200);
	/* The blame was for that life. A channel that ends with its process is no fault.
	 */
	w.now += 2000;
	core_hangup(w.c, CORE_AUTH, w.now);
	assert_int_equal(wait_after_kill(&w, CORE_AUTH, 0), 10);
	/* And a death of its own counts for a minute, as after any other. */
	for (int i = 0; i < 3; i++) {
		uint64_t died = w.now += CORE_STEADY_MS - 1;
		world_die(&w, CORE_AUTH, false);
		assert_true(world_wait(&w));
		assert_int_equal(w.now - died, 100U << i);
		world_ready(&w, CORE_AUTH);
	}
	world_end(&w);
}

static void
a_front_that_dies_is_replaced_in_its_slot(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	uint64_t before = w.c->at[CORE_FRONT].incarnation;
	core_hangup(w.c, CORE_FRONT, w.now);
	world_act(&w);
	assert_int_equal(w.closed, 1);
	world_die(&w, CORE_FRONT, true); /* even in order: nobody asked for it */
	assert_int_equal(w.started_n, 0);
	assert_true(world_wait(&w));
	assert_int_equal(w.started_n, 1);
	assert_int_equal(w.started[0], CORE_FRONT);
	assert_true(w.c->at[CORE_FRONT].incarnation > before);
	world_end(&w);
}

static void
one_whose_channel_ended_is_killed_if_it_stays(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	core_hangup(w.c, CORE_AUTH, w.now);
	core_hangup(w.c, CORE_AUTH, w.now);
	world_act(&w);
	assert_int_equal(w.closed, 1);
	assert_int_equal(core_deadline(w.c) - w.now, CORE_GRACE_MS);
	assert_true(world_wait(&w));
	assert_int_equal(w.killed, 1);
	world_end(&w);
}

static void
a_renewed_front_is_drained_after_its_successor_is_ready(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.front_renew_ms = 3600000;
	world_serve(&w, &l);
	assert_true(world_wait(&w));
	assert_int_equal(w.now, 1000 + 3600000);
	assert_int_equal(w.started_n, 1);
	uint32_t next = w.started[0];
	assert_int_equal(next, CORE_FRONT + 2);
	assert_int_equal(w.drained, 0);
	world_ready(&w, next);
	assert_int_equal(w.drained, 1);
	assert_int_equal(w.c->at[CORE_FRONT].state, CORE_DRAINING);
	world_die(&w, CORE_FRONT, true);
	assert_int_equal(w.c->at[CORE_FRONT].state, CORE_FREE);
	/* Then the second one, into the place that is free now. */
	assert_true(world_wait(&w));
	assert_int_equal(w.started_n, 2);
	assert_int_equal(w.started[1], CORE_FRONT);
	/* A renewal that fails leaves the old one in service, and is tried again later.
	 */
	world_die(&w, CORE_FRONT, false);
	assert_int_equal(w.c->at[CORE_FRONT + 1].state, CORE_READY);
	assert_true(world_wait(&w));
	assert_int_equal(w.started_n, 3);
	world_end(&w);
}

static void
fronts_of_one_session_are_kept_in_stock(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.one_shot = true;
	world_serve(&w, &l);
	assert_true(core_full(w.c, CORE_FRONT, true, w.now));
	world_act(&w);
	assert_int_equal(w.started_n, 1);
	uint32_t next = w.started[0];
	world_ready(&w, next);
	/* Its end is in order: no back-off, nothing to restart. */
	world_die(&w, CORE_FRONT, true);
	assert_int_equal(w.c->at[CORE_FRONT].state, CORE_FREE);
	assert_int_equal(w.started_n, 1);
	/* Never more than there are places. */
	for (uint32_t i = 0; i < 3 * CORE_FRONTS; i++) {
		for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
			if (w.c->at[s].state == CORE_STARTING)
				world_ready(&w, s);
		for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
			if (w.c->at[s].state == CORE_READY && !w.c->at[s].full) {
				assert_true(core_full(w.c, s, true, w.now));
				break;
			}
		world_act(&w);
	}
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		assert_true(core_lives(w.c, s) && w.c->at[s].full);
	assert_int_equal(w.full, -1);
	world_end(&w);
}

static void
all_fronts_hear_when_all_are_full(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	assert_true(core_full(w.c, CORE_FRONT, true, w.now));
	world_act(&w);
	assert_int_equal(w.full, -1);
	assert_true(core_full(w.c, CORE_FRONT + 1, true, w.now));
	world_act(&w);
	assert_int_equal(w.full, 1);
	assert_true(core_full(w.c, CORE_FRONT, false, w.now));
	world_act(&w);
	assert_int_equal(w.full, 0);
	assert_false(core_full(w.c, CORE_AUTH, true, w.now));
	world_end(&w);
}

static void
a_reload_changes_the_number_of_fronts(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	l.fronts[0] = 4;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.started_n, 2);
	world_ready(&w, w.started[0]);
	world_ready(&w, w.started[1]);
	l.fronts[0] = 1;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.drained, 3);
	assert_int_equal(w.c->at[CORE_FRONT].state, CORE_READY);
	world_end(&w);
}

static void
what_is_replaced_comes_again_at_once(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	core_replace(w.c, CORE_LOG, w.now);
	world_act(&w);
	world_die(&w, CORE_LOG, true);
	assert_int_equal(core_deadline(w.c), w.now);
	assert_true(world_wait(&w));
	assert_true(core_lives(w.c, CORE_LOG));
	world_end(&w);
}

static void
drain_waits_for_fronts_or_the_deadline(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	core_drain(w.c, w.now);
	world_act(&w);
	assert_int_equal(w.drained, 2);
	world_die(&w, CORE_FRONT, true);
	assert_int_equal(w.finished, -1);
	world_die(&w, CORE_FRONT + 1, false);
	assert_int_equal(w.finished, 0);
	assert_int_equal(w.started_n, 0);
	world_end(&w);

	world_serve(&w, &l);
	core_drain(w.c, w.now);
	world_act(&w);
	assert_int_equal(core_deadline(w.c) - w.now, 30000);
	assert_true(world_wait(&w));
	assert_int_equal(w.finished, 0);
	world_end(&w);

	/* The second time is now. */
	world_serve(&w, &l);
	core_drain(w.c, w.now);
	core_drain(w.c, w.now);
	world_act(&w);
	assert_int_equal(w.finished, 0);
	world_end(&w);
}

/* ---- lmtpd ---- */

static void
lmtpd_is_there_only_where_somebody_listens_for_it(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.lmtp = true;
	world_begin(&w, &l);
	assert_int_equal(w.started_n, 6);
	for (uint32_t s = 0; s < CORE_KEEPER; s++)
		if (core_lives(w.c, s) && s != CORE_LMTPD)
			world_ready(&w, s);
	assert_int_equal(w.serving, 0);
	world_ready(&w, CORE_LMTPD);
	assert_int_equal(w.serving, 1);
	world_end(&w);
	/* Its listener comes with a reload, and goes with another. */
	l.lmtp = false;
	world_serve(&w, &l);
	assert_false(core_lives(w.c, CORE_LMTPD));
	l.lmtp = true;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.started[0], CORE_LMTPD);
	world_ready(&w, CORE_LMTPD);
	l.lmtp = false;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.drained, 1);
	world_die(&w, CORE_LMTPD, true);
	assert_int_equal(w.c->at[CORE_LMTPD].state, CORE_FREE);
	assert_int_equal(core_deadline(w.c), UINT64_MAX);
	world_end(&w);
}

static void
lmtpd_finishes_before_it_is_renewed(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.lmtp = true;
	world_serve(&w, &l);
	core_renew_lmtpd(w.c, w.now);
	core_renew_lmtpd(w.c, w.now);
	world_act(&w);
	assert_int_equal(w.drained, 1);
	/* Gone and wanted again before it ended: one goes on. */
	l.lmtp = false;
	core_reload(w.c, &l, w.now);
	l.lmtp = true;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.started_n, 0);
	world_die(&w, CORE_LMTPD, true);
	/* At once: nothing was wrong. */
	uint64_t before = w.now;
	assert_true(world_wait(&w));
	assert_int_equal(w.now, before);
	assert_int_equal(w.started[0], CORE_LMTPD);
	world_ready(&w, CORE_LMTPD);
	/* One that does not end is ended. */
	core_renew_lmtpd(w.c, w.now);
	world_act(&w);
	before = w.now;
	assert_true(world_wait(&w));
	assert_int_equal(w.now, before + l.drain_timeout_ms + CORE_GRACE_MS);
	assert_int_equal(w.killed, 1);
	world_end(&w);
}

static void
a_drain_waits_for_lmtpd_too(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.lmtp = true;
	world_serve(&w, &l);
	core_drain(w.c, w.now);
	world_act(&w);
	assert_int_equal(w.drained, 3);
	world_die(&w, CORE_FRONT, true);
	world_die(&w, CORE_FRONT + 1, true);
	assert_int_equal(w.finished, -1);
	world_die(&w, CORE_LMTPD, true);
	assert_int_equal(w.finished, 0);
	world_end(&w);
}

static void
files_for_spools_are_limited_in_rate(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	for (uint32_t i = 0; i < CORE_SPOOLS_BURST; i++)
		assert_true(core_may_spool(w.c, w.now));
	assert_false(core_may_spool(w.c, w.now));
	w.now += 1000;
	for (uint32_t i = 0; i < CORE_SPOOLS_PER_S; i++)
		assert_true(core_may_spool(w.c, w.now));
	assert_false(core_may_spool(w.c, w.now));
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lmtpd_is_there_only_where_somebody_listens_for_it),
		cmocka_unit_test(lmtpd_finishes_before_it_is_renewed),
		cmocka_unit_test(a_drain_waits_for_lmtpd_too),
		cmocka_unit_test(files_for_spools_are_limited_in_rate),
		cmocka_unit_test(serves_when_all_are_ready),
		cmocka_unit_test(a_failure_at_the_start_ends_with_1),
		cmocka_unit_test(a_start_that_lacks_something_is_tried_again),
		cmocka_unit_test(restarts_back_off_and_recover),
		cmocka_unit_test(one_killed_from_outside_is_soon_there_again),
		cmocka_unit_test(one_that_we_kill_is_not_killed_from_outside),
		cmocka_unit_test(a_front_that_dies_is_replaced_in_its_slot),
		cmocka_unit_test(one_whose_channel_ended_is_killed_if_it_stays),
		cmocka_unit_test(a_renewed_front_is_drained_after_its_successor_is_ready),
		cmocka_unit_test(fronts_of_one_session_are_kept_in_stock),
		cmocka_unit_test(all_fronts_hear_when_all_are_full),
		cmocka_unit_test(a_reload_changes_the_number_of_fronts),
		cmocka_unit_test(what_is_replaced_comes_again_at_once),
		cmocka_unit_test(drain_waits_for_fronts_or_the_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
