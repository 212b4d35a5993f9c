/*
 * Sessions of the retriever against servers of all kinds, each made of one seed: whatever
 * happens, a session ends; nothing is deleted that was not delivered; and once the server
 * behaves, every message has been delivered exactly once.
 */
#include "fetch_session_world.h"

#ifndef SEEDS
#define SEEDS 100 /* of each kind of server */
#endif

static struct world world;

static uint32_t
ills_of(struct world *w, uint32_t lasting)
{
	static const uint32_t faults[] = {ILL_ERRORS, ILL_CUTS, ILL_STAT, ILL_FATES,
		ILL_FLAP, ILL_KILLS, ILL_QUIT, ILL_UIDL_NOW, ILL_PROBES};
	uint32_t ills = 0;

	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		ills |= world_chance(w, 4) ? faults[i] : 0;
	/* What was gone for a session comes back under another name: nobody could know.
	 */
	if (lasting & (ILL_NEW_UIDS | ILL_NO_UIDL))
		ills &= ~(uint32_t)(ILL_FLAP | ILL_UIDL_NOW);
	/* Nothing tells which twin is hidden. */
	if (lasting & ILL_TWINS)
		ills &= ~(uint32_t)ILL_UIDL_NOW;
	return ills;
}

static void
settle(struct world *w)
{
	w->session_ills = 0;
	for (uint32_t i = 0, most = 3 * w->drop_n + 8; i < most; i++) {
		assert_true(world_session(w));
		if (w->outcome.kind == OUTCOME_OK)
			return;
		if (w->outcome.kind != OUTCOME_MORE)
			fail_msg("ills %x, outcome %d: %s", w->ills, w->outcome.kind,
				w->outcome.why);
	}
	fail_msg("it does not come to an end: ills %x, outcome %d, %u messages, %s",
		w->ills, w->outcome.kind, w->drop_n, w->outcome.why);
}

static void
expect_once(struct world *w, uint64_t seed, const bool *removed)
{
	for (uint32_t id = 0; id < w->ids; id++) {
		uint32_t n = w->delivered[id];

		if (n == 1 || (n == 0 && (removed[id] || w->refused[id])))
			continue;
		fail_msg("ills %x, seed %llu: message %u was delivered %u times", w->ills,
			(unsigned long long)seed, id, n);
	}
}

static void
live(uint64_t seed, uint32_t ills, bool keep, uint32_t allowed)
{
	struct world *w = &world;
	bool removed[IDS_MAX] = {0};

	world_init(w, seed, ills);
	w->account.keep = keep;
	w->account.window = 1 + (uint32_t)world_random(w, 60);
	if (world_chance(w, 3))
		w->account.commit_messages = 1 + world_random(w, 6);
	w->account.order = (enum fetch_order)world_random(w, 3);
	/* Both at once: gone under the one name, back under the other. */
	allowed &= ~(uint32_t)(world_chance(w, 2) ? ILL_FLAP : ILL_UIDL_NOW);
	for (int round = 0; round < 10; round++) {
		world_arrive(w, (uint32_t)world_random(w, 9));
		if (w->drop_n > 0 && world_chance(w, 4)) {
			uint32_t place = (uint32_t)world_random(w, w->drop_n);
			removed[w->drop[place].id] = true;
			world_remove(w, place);
		}
		w->session_ills = world_chance(w, 2) ? ills_of(w, ills) & allowed : 0;
		(void)world_session(w);
	}
	settle(w);
	settle(w);
	expect_once(w, seed, removed);
	if (!keep)
		for (uint32_t i = 0; i < w->drop_n; i++)
			assert_true(w->refused[w->drop[i].id]);
}

/* Messages of one UIDL, of which a server shows now these and now those, and TOP is
 * refused now and then: the one that comes back is the one that was there. */
static void
twins_that_hide_once(void **state)
{
	static const uint32_t ills[] = {
		0, ILL_FLAP, ILL_FLAP | ILL_ERRORS, ILL_FLAP | ILL_ERRORS | ILL_CUTS};
	static const bool removed[IDS_MAX];
	struct world *w = &world;
	(void)state;

	for (uint64_t seed = 1; seed <= 6 * SEEDS; seed++) {
		world_init(w, seed, ILL_TWINS);
		w->account.keep = true;
		w->account.window = 30;
		w->account.commit_messages = 1 + world_random(w, 8);
		for (int round = 0; round < 8; round++) {
			world_arrive(w, (uint32_t)world_random(w, 4));
			w->session_ills = ills[world_random(w, ARRAY_SIZE(ills))];
			(void)world_session(w);
		}
		settle(w);
		settle(w);
		expect_once(w, seed, removed);
	}
}

static const uint32_t kinds[] = {0, ILL_NO_CAPA, ILL_NO_PIPELINING, ILL_NO_TOP,
	ILL_NO_UIDL | ILL_NO_TOP, ILL_NO_UIDL, ILL_TWINS, ILL_NEW_UIDS, ILL_SIZES,
	ILL_UNSTUFFED, ILL_SHUFFLED, ILL_NO_PROBES, ILL_REUSED, ILL_REUSED | ILL_NO_TOP,
	ILL_TWINS | ILL_NO_TOP, ILL_NO_CAPA_AFTER,
	ILL_SHUFFLED | ILL_SIZES | ILL_NO_PIPELINING};

static void
each_kind(bool keep, uint32_t allowed)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (uint64_t seed = 1; seed <= SEEDS; seed++)
			live(seed + 1000 * k, kinds[k], keep, allowed);
	}
}

static void
sane_servers_once(void **state)
{
	(void)state;
	each_kind(true, 0);
	each_kind(false, 0);
}

static void
ill_servers_once_deleting(void **state)
{
	(void)state;
	each_kind(false, UINT32_MAX);
}

static void
ill_servers_once_keeping(void **state)
{
	(void)state;
	each_kind(true, UINT32_MAX);
}

/* What is asked for becomes an open file each: with what is not committed it is never
 * more than there is room for, and all the room is made use of. */
static void
no_more_letters_than_there_is_room_for(void **state)
{
	static const uint32_t ills[] = {0, ILL_ERRORS | ILL_CUTS | ILL_FATES};
	static const bool removed[IDS_MAX];
	struct world *w = &world;
	(void)state;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		world_init(w, seed, seed % 5 == 0 ? ILL_NO_PIPELINING : 0);
		w->account.window = 1000;
		w->room = 1 + (uint32_t)(seed % 40);
		world_arrive(w, 200);
		w->session_ills = ills[seed % ARRAY_SIZE(ills)];
		(void)world_session(w);
		assert_true(w->most_letters <= w->room);
		if (w->session_ills == 0) {
			assert_int_equal(w->outcome.kind, OUTCOME_OK);
			assert_true(w->most_letters == w->room || seed % 5 == 0);
		}
		settle(w);
		assert_true(w->most_letters <= w->room);
		expect_once(w, seed, removed);
	}
	/* Without a limit it is the window alone. */
	world_init(w, 1, 0);
	w->account.window = 1000;
	world_arrive(w, 200);
	settle(w);
	assert_int_equal(w->most_letters, 200);
}

/* ---- round trips ----------------------------------------------------------------- */

static void
three_turns_when_nothing_is_new(void **state)
{
	struct world *w = &world;
	(void)state;

	for (int plain = 0; plain < 2; plain++) {
		world_init(w, 5, 0);
		w->account.keep = true;
		w->account.auth = plain ? "PLAIN" : "USER";
		world_arrive(w, 100);
		settle(w);
		settle(w);
		assert_int_equal(w->committed, 0);
		assert_int_equal(w->turns, 3);
		/* One new: no turn more, and not one octet of the old ones. */
		world_arrive(w, 1);
		settle(w);
		assert_int_equal(w->committed, 1);
		assert_int_equal(w->turns, 3);
		assert_true(w->sent < 1500);
	}
}

static void
one_new_among_twenty_thousand(void **state)
{
	struct world *w = &world;
	struct remembered *r = &w->memory;
	(void)state;

	for (uint64_t seed = 1; seed < 50; seed++) {
		world_init(w, seed, 0);
		w->account.keep = true;
		world_arrive(w, 1);
		settle(w);
		/* As many as that were there and are remembered. */
		w->old_n = 20000;
		r->count = w->old_n;
		r->octets = w->old_n * UINT64_C(100);
		r->probes_n = PROBES_MAX;
		for (uint32_t i = 0; i < PROBES_MAX; i++) {
			struct probe *p = &r->probes[i];
			p->msgno = w->old_n - 1250 * i;
			p->uid_n = (uint8_t)snprintf(
				(char *)p->uid, sizeof(p->uid), "old%u", p->msgno);
		}
		w->drop_n = 0;
		assert_true(world_session(w));
		assert_int_equal(w->turns, 3);
		world_arrive(w, 1);
		assert_true(world_session(w));
		assert_int_equal(w->outcome.kind, OUTCOME_OK);
		assert_int_equal(w->delivered[1], 1);
		assert_int_equal(w->turns, 3);
		assert_true(w->sent < 5000);
		/* And it is remembered with the others. */
		assert_int_equal(r->count, 20001);
		assert_int_equal(r->probes[0].msgno, 20001);
		assert_int_equal(r->probes_n, PROBES_MAX);
		assert_true(world_session(w));
		assert_int_equal(w->turns, 3);
	}
}

/* Behind TLS a server that is known hears the login before it has greeted. */
static void
known_servers_are_spoken_to_first(void **state)
{
	struct world *w = &world;
	(void)state;

	for (int again = 0; again < 2; again++) {
		world_init(w, 10, 0);
		w->tls = w->account.keep = true;
		world_arrive(w, 5);
		settle(w);
		assert_false(w->session.early);
		world_arrive(w, 1);
		settle(w);
		assert_true(w->session.early);
		assert_int_equal(w->committed, 1);
		/* A login that nobody answers is said again behind the greeting; twice,
		 * and it is never tried again. */
		for (uint8_t faults = 1; again && faults <= EARLY_FAULTS_MAX; faults++) {
			w->cut_early = true;
			assert_true(world_session(w));
			assert_int_equal(w->outcome.kind, OUTCOME_CUT);
			assert_int_equal(w->memory.early_faults, faults);
			settle(w);
			assert_false(w->session.early);
			w->cut_early = false;
		}
		world_arrive(w, 1);
		settle(w);
		assert_int_equal(w->session.early, !again);
		assert_int_equal(w->committed, 1);
	}
}

static void
only_fit_servers_are_spoken_to_first(void **state)
{
	struct world *w = &world;
	(void)state;

	for (int why = 0; why < 5; why++) {
		world_init(w, 11, why == 0 ? ILL_NO_PIPELINING : 0);
		w->tls = w->account.keep = true;
		world_arrive(w, 3);
		settle(w);
		switch (why) {
		case 1: w->memory.failures = 1; break;
		case 2: w->memory.not_ahead = true; break;
		case 3: w->memory.over_tls = false; break;
		case 4: memcpy(w->memory.mechanism, "APOP", 5); break;
		default: break;
		}
		settle(w);
		assert_false(w->session.early);
	}
}

/* The answer to RETR comes for another message than the new one was to be. */
static void
wrong_guesses_are_dropped(void **state)
{
	struct world *w = &world;
	(void)state;

	for (uint64_t seed = 1; seed < 100; seed++) {
		bool removed[IDS_MAX] = {0};

		world_init(w, seed, 0);
		w->account.keep = true;
		world_arrive(w, 6);
		settle(w);
		/* Others are gone, more have come: what is number 7 is one of many. */
		removed[w->drop[1].id] = removed[w->drop[2].id] = true;
		world_remove(w, 2);
		world_remove(w, 1);
		world_arrive(w, 5);
		settle(w);
		expect_once(w, seed, removed);
		assert_int_equal(w->committed, 5);
	}
}

static void
no_guess_where_a_policy_decides(void **state)
{
	struct world *w = &world;
	(void)state;

	for (int why = 0; why < 3; why++) {
		world_init(w, 12, why == 2 ? ILL_NO_PIPELINING : 0);
		w->account.keep = true;
		if (why == 0)
			w->account.skip_larger = 1;
		if (why == 1)
			w->account.keep_newest = 50;
		world_arrive(w, 4);
		settle(w);
		settle(w);
		assert_int_equal(w->asked_retr[5], 0);
	}
	world_init(w, 12, 0);
	w->account.keep = true;
	world_arrive(w, 4);
	settle(w);
	settle(w);
	assert_int_equal(w->asked_retr[5], 1);
}

static void
empty_drops_stay_quick(void **state)
{
	struct world *w = &world;
	(void)state;

	world_init(w, 6, 0);
	world_arrive(w, 3);
	settle(w);
	settle(w);
	assert_int_equal(w->turns, 3);
	assert_int_equal(w->asked_uidl[0], 0);
}

/* ---- single faults --------------------------------------------------------------- */

static void
poison_does_not_block(void **state)
{
	struct world *w = &world;
	(void)state;

	for (int keep = 0; keep < 2; keep++) {
		world_init(w, 7, 0);
		w->account.keep = keep;
		w->account.tries = 3;
		world_arrive(w, 12);
		w->poison = 4;
		for (int i = 0; i < 5; i++)
			assert_true(world_session(w));
		assert_int_equal(w->outcome.kind, OUTCOME_OK);
		for (uint32_t id = 0; id < w->ids; id++)
			assert_int_equal(w->delivered[id], id != 4);
	}
}

static void
capabilities_that_are_no_longer_true(void **state)
{
	struct world *w = &world;
	(void)state;

	world_init(w, 8, 0);
	w->account.keep = true;
	world_arrive(w, 4);
	settle(w);
	assert_true(w->memory.has_capabilities);
	w->memory.failures = 1; /* a flight that was not understood */
	w->ills = ILL_NO_PIPELINING;
	world_arrive(w, 4);
	settle(w);
	settle(w);
	assert_int_equal(w->delivered[7], 1);
}

static void
keep_newest_holds_while_mail_arrives(void **state)
{
	struct world *w = &world;
	(void)state;

	world_init(w, 9, 0);
	w->account.keep = true;
	w->account.keep_newest = 5;
	for (int i = 0; i < 10; i++) {
		world_arrive(w, 1);
		settle(w);
	}
	assert_int_equal(w->drop_n, 5);
}

static void
a_filter_and_reused_uidls_come_to_an_end(void **state)
{
	struct world *w = &world;
	(void)state;

	for (uint64_t seed = 1; seed < 40; seed++) {
		world_init(w, seed, ILL_REUSED);
		w->account.filter = "f";
		for (int i = 0; i < 10; i++) {
			world_arrive(w, 3);
			memset(w->asked_top, 0, sizeof(w->asked_top));
			w->may_again[0] = 0;
			(void)world_session(w);
			world_remove(w, 0);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_turns_when_nothing_is_new),
		cmocka_unit_test(one_new_among_twenty_thousand),
		cmocka_unit_test(known_servers_are_spoken_to_first),
		cmocka_unit_test(only_fit_servers_are_spoken_to_first),
		cmocka_unit_test(wrong_guesses_are_dropped),
		cmocka_unit_test(no_guess_where_a_policy_decides),
		cmocka_unit_test(empty_drops_stay_quick),
		cmocka_unit_test(poison_does_not_block),
		cmocka_unit_test(capabilities_that_are_no_longer_true),
		cmocka_unit_test(keep_newest_holds_while_mail_arrives),
		cmocka_unit_test(a_filter_and_reused_uidls_come_to_an_end),
		cmocka_unit_test(sane_servers_once),
		cmocka_unit_test(ill_servers_once_deleting),
		cmocka_unit_test(ill_servers_once_keeping),
		cmocka_unit_test(twins_that_hide_once),
		cmocka_unit_test(no_more_letters_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
