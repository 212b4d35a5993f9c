/*
 * A session between its turns: what one answer says of the server, and what goes on while
 * others are waited for.
 */
#include "fetch_session_world.h"

static struct world world;

static void
one_session(struct world *w, enum session_outcome_kind want)
{
	assert_true(world_session(w));
	if (w->outcome.kind != want)
		fail_msg("outcome %d: %s", w->outcome.kind, w->outcome.why);
}

/* ---- UIDL ------------------------------------------------------------------------ */

/* Whatever else went wrong before: that a server has no UIDL it must say itself, and so
 * often in a row. */
static void
uidl_is_given_up_for_its_own_refusals(void **state)
{
	struct world *w = &world;
	(void)state;

	world_init(w, 13, 0);
	world_arrive(w, 3);
	one_session(w, OUTCOME_OK);
	for (int round = 0; round < 3; round++) {
		w->memory.failures = 50; /* the line was down */
		world_arrive(w, 1);
		w->session_ills = ILL_UIDL_NOW;
		one_session(w, OUTCOME_TEMPORARY);
		one_session(w, OUTCOME_TEMPORARY);
		assert_false(w->memory.has_no_uidl);
		w->session_ills = 0;
		one_session(w, OUTCOME_OK);
	}
	world_arrive(w, 1);
	w->session_ills = ILL_UIDL_NOW;
	for (int n = 0; n < 3; n++)
		one_session(w, OUTCOME_TEMPORARY);
	one_session(w, OUTCOME_OK);
	assert_true(w->memory.has_no_uidl);
}

/* ---- filters --------------------------------------------------------------------- */

/* Each takes longer than a server waits; it is spoken to meanwhile, and what it may not
 * get two of at a time it does not. */
static void
a_server_is_kept_awake_while_filters_run(void **state)
{
	struct world *w = &world;
	(void)state;

	for (uint64_t seed = 1; seed < 60; seed++) {
		world_init(w, seed, seed % 2 ? ILL_NO_PIPELINING : 0);
		w->account.filter = "f";
		w->account.dry_run = seed % 3 == 0;
		w->filter_ms = 31000;
		world_arrive(w, 12);
		one_session(w, OUTCOME_OK);
		assert_in_range(w->noops, 1, 12);
	}
}

/* Each holds a header. */
static void
few_headers_wait_for_a_filter(void **state)
{
	struct world *w = &world;
	(void)state;

	world_init(w, 14, 0);
	w->account.filter = "f";
	w->account.window = 1000;
	world_arrive(w, 200);
	one_session(w, OUTCOME_OK);
	assert_in_range(w->most_filters, 10, 64);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uidl_is_given_up_for_its_own_refusals),
		cmocka_unit_test(a_server_is_kept_awake_while_filters_run),
		cmocka_unit_test(few_headers_wait_for_a_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
