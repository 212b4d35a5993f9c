#include "unit.h"

#include "monitor_world.h"

static bool
was_started(const struct world *w, uint32_t slot)
{
	for (uint32_t i = 0; i < w->started_n; i++)
		if (w->started[i] == slot)
			return true;
	return false;
}

static void
keys_and_helpers_are_there_only_where_they_are_wanted(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.keys = true;
	l.helpers[1] = 2;
	world_begin(&w, &l);
	assert_int_equal(w.started_n, 8);
	assert_true(was_started(&w, CORE_KEYS));
	assert_true(was_started(&w, CORE_HELPER + CORE_OF_BACKEND));
	assert_true(was_started(&w, CORE_HELPER + CORE_OF_BACKEND + 1));
	for (uint32_t s = 0; s < CORE_KEEPER; s++)
		if (core_lives(w.c, s) && s != CORE_KEYS)
			world_ready(&w, s);
	assert_int_equal(w.serving, 0);
	world_ready(&w, CORE_KEYS);
	assert_int_equal(w.serving, 1);
	/* A reload takes one away and brings another. */
	l.helpers[1] = 1;
	l.helpers[4] = 1;
	w.started_n = 0;
	w.closed = 0;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.started_n, 1);
	assert_int_equal(w.started[0], CORE_HELPER + 4 * CORE_OF_BACKEND);
	assert_int_equal(w.closed, 1);
	world_die(&w, CORE_HELPER + CORE_OF_BACKEND + 1, true);
	assert_int_equal(w.c->at[CORE_HELPER + CORE_OF_BACKEND + 1].state, CORE_FREE);
	world_end(&w);
}

static void
a_helper_that_fails_at_the_start_is_a_failure_and_later_it_comes_again(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.helpers[0] = 1;
	world_begin(&w, &l);
	world_ready(&w, CORE_LOG);
	world_die(&w, CORE_HELPER, false);
	assert_int_equal(w.finished, 1);
	world_end(&w);
	world_serve(&w, &l);
	world_die(&w, CORE_HELPER, false);
	assert_int_equal(w.finished, -1);
	assert_int_equal(core_deadline(w.c) - w.now, CORE_BACKOFF_MIN_MS);
	assert_true(world_wait(&w));
	assert_true(core_lives(w.c, CORE_HELPER));
	assert_true(core_lives(w.c, CORE_AUTH));
	/* One that waits and is wanted no more comes no more. */
	world_die(&w, CORE_HELPER, false);
	l.helpers[0] = 0;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.c->at[CORE_HELPER].state, CORE_FREE);
	world_end(&w);
}

static void
helpers_serve_until_others_take_their_place(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	const uint32_t old = CORE_HELPER, fresh = CORE_HELPER + CORE_INSTANCES;

	l.helpers[0] = 2;
	world_serve(&w, &l);
	assert_int_equal(w.c->at[old + 1].state, CORE_READY);
	core_renew_helpers(w.c, 0, w.now);
	world_act(&w);
	assert_int_equal(w.started_n, 2);
	assert_int_equal(w.started[0], fresh);
	world_ready(&w, fresh);
	assert_int_equal(w.closed, 0);
	/* One of them cannot start: nothing is taken away. */
	world_die(&w, fresh + 1, false);
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.closed, 0);
	assert_int_equal(w.c->at[old].state, CORE_READY);
	assert_true(world_wait(&w));
	world_ready(&w, fresh + 1);
	assert_int_equal(w.closed, 2);
	world_die(&w, old, true);
	/* Again before it was over: those that came last begin anew, in their places. */
	w.started_n = 0;
	core_renew_helpers(w.c, 0, w.now);
	world_act(&w);
	assert_int_equal(w.closed, 4);
	world_die(&w, old + 1, true);
	world_die(&w, fresh, true);
	assert_int_equal(w.c->at[old + 1].state, CORE_FREE);
	assert_true(world_wait(&w));
	assert_int_equal(w.started[0], fresh);
	world_die(&w, fresh + 1, true);
	assert_true(world_wait(&w));
	world_ready(&w, fresh);
	world_ready(&w, fresh + 1);
	assert_int_equal(w.closed, 4);
	/* And back to the first places. */
	w.started_n = 0;
	core_renew_helpers(w.c, 0, w.now);
	world_act(&w);
	assert_int_equal(w.started_n, 2);
	assert_int_equal(w.started[0], old);
	world_end(&w);
}

static uint32_t
fronts_of(const struct world *w, uint8_t asserts, uint8_t state)
{
	uint32_t n = 0;

	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		n += w->c->at[s].state == state && w->c->at[s].asserts == asserts;
	return n;
}

static void
fronts_whose_word_counts_are_others(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.fronts[1] = 1;
	world_serve(&w, &l);
	assert_int_equal(w.serving, 1);
	assert_int_equal(fronts_of(&w, 0, CORE_READY), 2);
	assert_int_equal(fronts_of(&w, 1, CORE_READY), 1);
	/* Full is said of each class for itself. */
	uint32_t one = CORE_NONE;
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (w.c->at[s].state == CORE_READY && core_class(w.c, s) == 1)
			one = s;
	assert_true(core_full(w.c, one, true, w.now));
	world_act(&w);
	assert_int_equal(w.full, 1);
	assert_true(w.c->fronts_full[1]);
	assert_false(w.c->fronts_full[0]);
	/* Another listener lets its connections claim a certificate: a front apart. */
	l.fronts[2] = 1;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(fronts_of(&w, 2, CORE_STARTING), 1);
	assert_int_equal(fronts_of(&w, 1, CORE_READY), 1);
	l.fronts[2] = 0;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(fronts_of(&w, 2, CORE_STARTING), 0);
	/* They may claim something else: others take their place, the plain ones stay. */
	l.fronts[1] = 0;
	l.fronts[3] = 1;
	w.drained = 0;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.drained, 1);
	assert_int_equal(fronts_of(&w, 3, CORE_STARTING), 1);
	assert_int_equal(fronts_of(&w, 1, CORE_DRAINING), 1);
	assert_int_equal(fronts_of(&w, 0, CORE_READY), 2);
	/* A dead one comes back as what it was. */
	uint32_t fresh = CORE_NONE;
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (w.c->at[s].state == CORE_STARTING)
			fresh = s;
	world_ready(&w, fresh);
	world_die(&w, fresh, false);
	assert_true(world_wait(&w));
	assert_int_equal(w.c->at[fresh].asserts, 3);
	assert_true(core_lives(w.c, fresh));
	/* And nobody asserts anything any more. */
	l.fronts[3] = 0;
	core_reload(w.c, &l, w.now);
	world_act(&w);
	assert_int_equal(w.c->at[fresh].state, CORE_DRAINING);
	assert_int_equal(fronts_of(&w, 0, CORE_READY), 2);
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_and_helpers_are_there_only_where_they_are_wanted),
		cmocka_unit_test(
			a_helper_that_fails_at_the_start_is_a_failure_and_later_it_comes_again),
		cmocka_unit_test(helpers_serve_until_others_take_their_place),
		cmocka_unit_test(fronts_whose_word_counts_are_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
