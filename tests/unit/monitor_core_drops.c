/* Which keeper a maildrop goes to: the budget of descriptors (core_drops.c,
 * core_grant.c).
 */
#include "unit.h"

#include "ipc/permit.h"
#include "keeper/keeper_places.h"
#include "monitor_world.h"

#include <stdio.h>

#define PLACES	    16
#define SOME_KEEPER 9

struct drops_world {
	struct world w;
	uint64_t sessions;
};

static void
begin(struct drops_world *d, uint32_t places)
{
	struct core_limits l = world_limits();

	l.keeper_places = places;
	d->sessions = 0;
	world_serve(&d->w, &l);
}

/* A login (or a delivery) at the maildrop of this number. */
static struct core_decision
come(struct drops_world *d, unsigned maildrop, bool delivers)
{
	struct world *w = &d->w;
	char path[40];
	(void)snprintf(path, sizeof(path), "/srv/mail/%u", maildrop);
	struct msg_grant g = {
		.front = w->c->at[delivers ? CORE_LMTPD : CORE_FRONT].incarnation,
		.session = ++d->sessions << SESSION_COUNT_BIT,
		.uid = 1000,
		.gid = 1000,
		.rights = delivers ? RIGHT_DELIVER : RIGHT_READ | RIGHT_DELETE,
		.store = STORE_MAILDIR,
		.tls = !delivers,
		.address = VIEW("0123456789abcdef"),
		.user = VIEW("u"),
		.maildrop = {(const uint8_t *)path, strlen(path)}};
	struct core_decision got = core_grant(w->c, &g, w->now);

	if (got.verdict != CORE_GRANT_ATTACH)
		return got;
	if (got.start) {
		core_started(w->c, got.keeper, ++w->pids, w->now);
		world_ready(w, got.keeper);
	}
	core_attached(w->c, got.keeper);
	return got;
}

/* Ends all that come() began: `at` of them. */
static void
leave_all(struct drops_world *d, const struct core_decision *at, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(core_left(d->w.c, at[i].keeper, at[i].place));
}

static void
a_full_keeper_is_passed_over(void **state)
{
	struct drops_world d;
	struct core_decision at[200];
	uint32_t most = PLACES - PLACES / 8;
	(void)state;

	begin(&d, PLACES);
	/* Two hold what they can, then others are started, each only for what is new. */
	for (unsigned i = 0; i < 200; i++) {
		at[i] = come(&d, i, false);
		assert_int_equal(at[i].verdict, CORE_GRANT_ATTACH);
		assert_true(d.w.c->at[at[i].keeper].live <= most);
	}
	assert_int_equal(d.w.c->keepers, (200 + most - 1) / most);
	/* Who is at work stays where it is: session or delivery. */
	for (unsigned i = 0; i < 200; i += 14)
		assert_int_equal(come(&d, i, false).keeper, at[i].keeper);
	leave_all(&d, at, 200);
	world_end(&d.w);
}

static void
what_ends_makes_room(void **state)
{
	struct drops_world d;
	struct core_decision at[2 * PLACES];
	(void)state;

	begin(&d, PLACES);
	for (int round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 20; i++)
			at[i] = come(&d, 100 * (unsigned)round + i, false);
		leave_all(&d, at, 20);
	}
	assert_int_equal(d.w.c->keepers, 2);
	/* Rows were used again. */
	assert_int_equal(d.w.c->drops.top, 20);
	for (uint32_t s = CORE_KEEPER; s < CORE_KEEPER + 2; s++)
		assert_int_equal(d.w.c->at[s].live, 0);
	world_end(&d.w);
}

/* One maildrop that uses up a whole keeper is refused there, and nobody else is. */
static void
a_maildrop_stays_with_its_keeper(void **state)
{
	struct drops_world d;
	(void)state;

	begin(&d, PLACES);
	struct core_decision first = come(&d, 7, false);
	for (unsigned i = 1; i < PLACES; i++)
		assert_int_equal(come(&d, 7, false).keeper, first.keeper);
	struct core_decision more = come(&d, 7, false);
	assert_int_equal(more.verdict, CORE_GRANT_REFUSE);
	assert_int_equal(more.code, REFUSAL_BUSY);
	for (unsigned i = 8; i < 20; i++) {
		struct core_decision other = come(&d, i, false);
		assert_int_equal(other.verdict, CORE_GRANT_ATTACH);
		assert_int_not_equal(other.keeper, first.keeper);
	}
	assert_true(core_left(d.w.c, first.keeper, first.place));
	assert_int_equal(come(&d, 7, false).keeper, first.keeper);
	world_end(&d.w);
}

static void
deliveries_leave_room_in_each(void **state)
{
	struct drops_world d;
	struct core_limits l = world_limits();
	(void)state;

	l.keeper_places = PLACES;
	l.lmtp = true;
	d.sessions = 0;
	world_serve(&d.w, &l);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(come(&d, i, true).verdict, CORE_GRANT_ATTACH);
	for (uint32_t s = CORE_KEEPER; s < CORE_KEEPER + d.w.c->keepers; s++)
		assert_true(d.w.c->at[s].live <= PLACES - PLACES / 8 - PLACES / 4);
	/* Who reads his mail finds it where it comes in. */
	uint32_t keepers = d.w.c->keepers;
	for (unsigned i = 0; i < 8; i++) {
		struct core_decision reads = come(&d, i, false);
		assert_int_equal(reads.keeper, come(&d, i, true).keeper);
	}
	assert_int_equal(d.w.c->keepers, keepers);
	world_end(&d.w);
}

static void
a_keeper_that_dies_takes_its_own(void **state)
{
	struct drops_world d;
	struct core_decision at[10];
	(void)state;

	begin(&d, PLACES);
	for (unsigned i = 0; i < 10; i++)
		at[i] = come(&d, i, false);
	uint32_t gone = at[0].keeper;
	core_hangup(d.w.c, gone, d.w.now);
	world_act(&d.w);
	/* While it ends, another one has the maildrop; what it still says counts. */
	struct core_decision next = come(&d, 0, false);
	assert_int_not_equal(next.keeper, gone);
	assert_true(core_left(d.w.c, gone, at[0].place));
	world_die(&d.w, gone, false);
	for (unsigned i = 1; i < 10; i++)
		assert_int_equal(core_left(d.w.c, at[i].keeper, at[i].place),
			at[i].keeper != gone);
	assert_true(core_left(d.w.c, next.keeper, next.place));
	world_end(&d.w);
}

/* A keeper is not believed about others, nor more often than it was told. */
static void
what_cannot_have_ended_is_a_fault(void **state)
{
	struct drops_world d;
	struct core_decision a, b;
	unsigned i = 1;
	(void)state;

	begin(&d, PLACES);
	a = come(&d, 0, false);
	do
		b = come(&d, i++, false);
	while (b.keeper == a.keeper);
	assert_false(core_left(d.w.c, a.keeper, b.place));
	assert_false(core_left(d.w.c, a.keeper, 0));
	assert_false(core_left(d.w.c, a.keeper, d.w.c->drops.top + 1));
	assert_false(core_left(d.w.c, a.keeper, UINT32_MAX));
	assert_false(core_left(d.w.c, CORE_FRONT, a.place));
	assert_true(core_left(d.w.c, a.keeper, a.place));
	assert_false(core_left(d.w.c, a.keeper, a.place));
	world_end(&d.w);
}

static void
after_a_reload_new_keepers_serve(void **state)
{
	struct drops_world d;
	struct core_limits l = world_limits();
	(void)state;

	begin(&d, PLACES);
	struct core_decision old = come(&d, 3, false);
	l.keeper_places = PLACES;
	core_reload(d.w.c, &l, d.w.now);
	struct core_decision new = come(&d, 3, false);
	assert_int_not_equal(old.keeper, new.keeper);
	assert_int_equal(come(&d, 3, false).keeper, new.keeper);
	/* It is told to end when its session does; others are not. */
	assert_true(core_is_retired(d.w.c, old.keeper));
	assert_false(core_is_retired(d.w.c, new.keeper));
	assert_false(core_is_retired(d.w.c, CORE_FRONT));
	assert_false(core_is_retired(d.w.c, new.keeper + 1));
	assert_true(core_left(d.w.c, old.keeper, old.place));
	assert_true(core_left(d.w.c, new.keeper, new.place));
	/* Once it ends there is nobody to tell, nor when it is dead. */
	core_keeper_idle(d.w.c, old.keeper, 1, d.w.now);
	assert_false(core_is_retired(d.w.c, old.keeper));
	world_act(&d.w);
	world_die(&d.w, old.keeper, true);
	assert_false(core_is_retired(d.w.c, old.keeper));
	world_end(&d.w);
}

static void
the_table_has_an_end(void **state)
{
	struct core_drops *d = calloc(1, sizeof(*d));
	(void)state;

	assert_non_null(d);
	for (uint32_t i = 0; i < CORE_DROPS; i++)
		assert_int_equal(core_drops_take(d, i, SOME_KEEPER), i + 1);
	assert_int_equal(core_drops_take(d, CORE_DROPS, SOME_KEEPER), 0);
	assert_int_equal(core_drops_take(d, 5, SOME_KEEPER), 6);
	assert_true(core_drops_leave(d, 7, SOME_KEEPER));
	assert_int_equal(core_drops_take(d, CORE_DROPS, SOME_KEEPER), 7);
	core_drops_forget(d, SOME_KEEPER);
	assert_int_equal(core_drops_first(d, 5), 0);
	free(d);
}

/* Then nobody new comes in, and no keeper is started in vain. */
static void
a_full_table_refuses(void **state)
{
	struct drops_world d;
	(void)state;

	begin(&d, 0);
	struct core_decision known = come(&d, 0, false);
	for (uint64_t i = 1; core_drops_room(&d.w.c->drops); i++)
		(void)core_drops_take(&d.w.c->drops, i, CORE_KEEPER + 9);
	uint32_t keepers = d.w.c->keepers;
	for (unsigned i = 1; i < 9; i++) {
		struct core_decision got = come(&d, i, false);
		assert_int_equal(got.verdict, CORE_GRANT_REFUSE);
		assert_int_equal(got.code, REFUSAL_BUSY);
	}
	assert_int_equal(d.w.c->keepers, keepers);
	assert_int_equal(come(&d, 0, false).keeper, known.keeper);
	world_end(&d.w);
}

static void
places_are_what_descriptors_allow(void **state)
{
	(void)state;

	assert_int_equal(keeper_places(0, 0), 1);
	assert_int_equal(keeper_places(128, 0), 1);
	assert_int_equal(keeper_places(1024, 0), 130);
	assert_int_equal(keeper_places(1024, 3), 65);
	assert_int_equal(keeper_places(20000, 0), 2898);
	assert_int_equal(keeper_places(UINT64_MAX, 0), KEEPER_SESSIONS_MAX);
	for (uint64_t files = 200; files < 30000; files += 77)
		assert_true(keeper_places(files, 2) * (KEEPER_DESCRIPTORS_EACH + 4) <
			files - KEEPER_DESCRIPTORS_KEPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_keeper_is_passed_over),
		cmocka_unit_test(what_ends_makes_room),
		cmocka_unit_test(a_maildrop_stays_with_its_keeper),
		cmocka_unit_test(deliveries_leave_room_in_each),
		cmocka_unit_test(a_keeper_that_dies_takes_its_own),
		cmocka_unit_test(what_cannot_have_ended_is_a_fault),
		cmocka_unit_test(after_a_reload_new_keepers_serve),
		cmocka_unit_test(the_table_has_an_end),
		cmocka_unit_test(a_full_table_refuses),
		cmocka_unit_test(places_are_what_descriptors_allow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
