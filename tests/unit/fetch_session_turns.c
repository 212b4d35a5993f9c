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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uidl_is_given_up_for_its_own_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
