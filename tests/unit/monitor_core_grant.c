#include "unit.h"

#include "ipc/permit.h"
#include "monitor_world.h"

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* As a front numbers it: the count above, its own bits below. */
static uint64_t
number(uint64_t count)
{
	return count << SESSION_COUNT_BIT | 7;
}

static struct msg_grant
grant_of(const struct world *w, uint64_t count)
{
	return (struct msg_grant){.front = w->c->at[CORE_FRONT].incarnation,
		.session = number(count),
		.uid = 1000,
		.gid = 1001,
		.rights = RIGHT_READ | RIGHT_DELETE,
		.store = STORE_MAILDIR,
		.tls = 1,
		.address = VIEW("0123456789abcdef"),
		.user = VIEW("u"),
		.maildrop = VIEW("/srv/mail/u/Maildir")};
}

/* As the monitor does: a keeper that is to be started is, and gets the session. */
static struct core_decision
decide(struct world *w, const struct msg_grant *g)
{
	struct core_decision d = core_grant(w->c, g, w->now);

	if (d.verdict != CORE_GRANT_ATTACH)
		return d;
	if (d.start) {
		core_started(w->c, d.keeper, ++w->pids, w->now);
		world_ready(w, d.keeper);
	}
	core_attached(w->c, d.keeper);
	return d;
}

static void
a_good_grant_is_attached_below_the_longest_root(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	struct msg_grant g = grant_of(&w, 1);
	struct core_decision d = decide(&w, &g);
	assert_int_equal(d.verdict, CORE_GRANT_ATTACH);
	assert_true(d.start);
	assert_int_equal(d.front, CORE_FRONT);
	assert_int_equal(d.below.n, 9);
	assert_memory_equal(d.below.p, "u/Maildir", 9);
	const struct core_process *k = &w.c->at[d.keeper];
	assert_int_equal(k->root, 1);
	assert_int_equal(k->uid, 1000);
	assert_int_equal(k->gid, 1001);
	/* The root itself, and a name that only begins like a root. */
	g = grant_of(&w, 2);
	g.maildrop = VIEW("/srv/mail");
	d = decide(&w, &g);
	assert_memory_equal(d.below.p, ".", 1);
	g = grant_of(&w, 3);
	g.maildrop = VIEW("/srv/mailx/u");
	d = decide(&w, &g);
	assert_int_equal(w.c->at[d.keeper].root, 0);
	assert_memory_equal(d.below.p, "mailx/u", 7);
	world_end(&w);
}

static void
auth_is_not_believed_blindly(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	static const struct {
		uint32_t uid, gid;
		const char *maildrop;
		uint8_t rights, store;
	} rows[] = {
		{0, 1001, "/srv/u", 3, 1},
		{1000, 0, "/srv/u", 3, 1},
		{499, 1001, "/srv/u", 3, 1},
		{60001, 1001, "/srv/u", 3, 1},
		{1000, 499, "/srv/u", 3, 1},
		{1000, 60001, "/srv/u", 3, 1},
		{50000, 1001, "/srv/u", 3, 1},
		{50063, 1001, "/srv/u", 3, 1},
		{1000, 50008, "/srv/u", 3, 1},
		{4294967295U, 4294967295U, "/srv/u", 3, 1},
		{1000, 1001, "", 3, 1},
		{1000, 1001, "srv/u", 3, 1},
		{1000, 1001, "/", 3, 1},
		{1000, 1001, "/srv/../etc", 3, 1},
		{1000, 1001, "/srv/u/..", 3, 1},
		{1000, 1001, "/srv//u", 3, 1},
		{1000, 1001, "/srv/./u", 3, 1},
		{1000, 1001, "/srv/u/", 3, 1},
		{1000, 1001, "/etc/u", 3, 1},
		{1000, 1001, "/srvx", 3, 1},
		{1000, 1001, "/gone/u", 3, 1},
		{1000, 1001, "/srv/u", 0, 1},
		{1000, 1001, "/srv/u", 7, 1},
		{1000, 1001, "/srv/u", 4, 1},
		{1000, 1001, "/srv/u", 5, 1},
		{1000, 1001, "/srv/u", 3, 0},
		{1000, 1001, "/srv/u", 3, 3},
		/* An mbox lies in a root, it is none. */
		{1000, 1001, "/srv/mail", 3, 2},
	};

	world_serve(&w, &l);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct msg_grant g = grant_of(&w, i + 1);
		g.uid = rows[i].uid;
		g.gid = rows[i].gid;
		g.maildrop = view_of(rows[i].maildrop);
		g.rights = rows[i].rights;
		g.store = rows[i].store;
		struct core_decision d = decide(&w, &g);
		assert_int_equal(d.verdict, CORE_GRANT_REFUSE);
		assert_int_equal(d.code, REFUSAL_PERMANENT);
		assert_non_null(d.why);
	}
	struct msg_grant g = grant_of(&w, 100);
	g.maildrop = (struct view){(const uint8_t *)"/srv/a\0b", 8};
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_REFUSE);
	assert_int_equal(w.c->keepers, 0);
	/* Just outside the service block is fine. */
	g = grant_of(&w, 101);
	g.uid = 50064;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	world_end(&w);
}

static void
lmtpd_may_deposit_and_nothing_else(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.lmtp = true;
	world_serve(&w, &l);
	for (uint8_t rights = 0; rights < 16; rights++) {
		struct msg_grant g = grant_of(&w, rights + 1U);
		g.front = w.c->at[CORE_LMTPD].incarnation;
		g.rights = rights;
		assert_int_equal(decide(&w, &g).verdict,
			rights == RIGHT_DELIVER ? CORE_GRANT_ATTACH : CORE_GRANT_REFUSE);
		/* What it was granted once it does not get again. */
		assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_TWICE);
	}
	/* Its deposits and the sessions of one maildrop share a keeper. */
	struct msg_grant g = grant_of(&w, 100), read = grant_of(&w, 100);
	g.front = w.c->at[CORE_LMTPD].incarnation;
	g.rights = RIGHT_DELIVER;
	g.store = read.store = STORE_MBOX;
	struct core_decision d = decide(&w, &g);
	assert_int_equal(d.front, CORE_LMTPD);
	assert_int_equal(decide(&w, &read).keeper, d.keeper);
	/* Once it is dead it gets nothing more, and numbers begin anew. */
	g.session = number(101);
	world_die(&w, CORE_LMTPD, false);
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_DEAD);
	assert_true(world_wait(&w));
	world_ready(&w, CORE_LMTPD);
	g = grant_of(&w, 100);
	g.front = w.c->at[CORE_LMTPD].incarnation;
	g.rights = RIGHT_DELIVER;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	world_end(&w);
}

static void
without_root_only_the_caller_is_served(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.privileged = false;
	l.caller_uid = 77;
	world_serve(&w, &l);
	struct msg_grant g = grant_of(&w, 1);
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_REFUSE);
	g = grant_of(&w, 2);
	g.uid = 77;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	world_end(&w);
}

static void
a_dead_incarnation_gets_nothing(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	struct msg_grant late = grant_of(&w, 1);
	world_die(&w, CORE_FRONT, false);
	assert_int_equal(decide(&w, &late).verdict, CORE_GRANT_DEAD);
	assert_true(world_wait(&w));
	world_ready(&w, CORE_FRONT);
	/* The slot serves again, as another incarnation: the old grant stays dead. */
	assert_int_equal(decide(&w, &late).verdict, CORE_GRANT_DEAD);
	late.front = 0;
	assert_int_equal(decide(&w, &late).verdict, CORE_GRANT_DEAD);
	late.front = w.c->at[CORE_AUTH].incarnation;
	assert_int_equal(decide(&w, &late).verdict, CORE_GRANT_DEAD);
	/* And the same session number of the new one is another session. */
	struct msg_grant g = grant_of(&w, 1);
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	world_end(&w);
}

/* Auth may be heard before the front's own READY is. */
static void
a_front_that_starts_may_ask(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	struct core_process *p = &w.c->at[CORE_FRONT];
	struct msg_grant g = grant_of(&w, 1);
	p->state = CORE_STARTING;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	g = grant_of(&w, 2);
	p->closing = true;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_DEAD);
	p->closing = false;
	p->state = CORE_WAITING;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_DEAD);
	p->state = CORE_READY;
	world_end(&w);
}

static void
a_session_is_granted_once(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	static const uint64_t order[] = {5, 1, 9, 2, 64, 63, 1000, 3, 4};

	world_serve(&w, &l);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct msg_grant g = grant_of(&w, order[i]);
		assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
		assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_TWICE);
	}
	/* 0 is no session. */
	struct msg_grant g = grant_of(&w, 1);
	g.session = 0;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_TWICE);
	/* A number that was made up does not shut out those that follow. */
	g.session = UINT64_MAX;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	g = grant_of(&w, 1001);
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	/* With another auth even one that it granted in advance is free again. */
	g = grant_of(&w, 1002);
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	world_die(&w, CORE_AUTH, false);
	assert_true(world_wait(&w));
	assert_true(core_lives(w.c, CORE_AUTH));
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_ATTACH);
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_TWICE);
	/* A refused grant uses its session up, too. */
	g = grant_of(&w, (UINT64_MAX >> SESSION_COUNT_BIT) - 2);
	g.uid = 0;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_REFUSE);
	g.uid = 1000;
	assert_int_equal(decide(&w, &g).verdict, CORE_GRANT_TWICE);
	world_end(&w);
}

static void
keepers_are_shared_by_owner_and_shard(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	uint32_t seen[4], seen_n = 0;

	world_serve(&w, &l);
	for (uint64_t i = 0; i < 64; i++) {
		char path[32] = "/srv/mail/";
		struct msg_grant g = grant_of(&w, i);
		path[10] = (char)('a' + i % 26);
		path[11] = (char)('a' + i / 26);
		g.maildrop = view_of(path);
		struct core_decision d = decide(&w, &g);
		assert_int_equal(d.verdict, CORE_GRANT_ATTACH);
		bool known = false;
		for (uint32_t j = 0; j < seen_n; j++)
			known |= seen[j] == d.keeper;
		if (!known)
			seen[seen_n++] = d.keeper;
		assert_true(seen_n <= 2);
		/* The same maildrop goes to the same keeper. */
		g.session = number(1000 + i);
		assert_int_equal(decide(&w, &g).keeper, d.keeper);
	}
	assert_int_equal(seen_n, 2);
	struct msg_grant g = grant_of(&w, 5000);
	g.gid = 1002;
	assert_true(decide(&w, &g).start);
	/* After a reload sessions get keepers with the new options. */
	core_reload(w.c, &l, w.now);
	g = grant_of(&w, 5001);
	assert_true(decide(&w, &g).start);
	world_end(&w);
}

static void
each_session_may_have_its_own(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.keeper_per_session = true;
	world_serve(&w, &l);
	struct msg_grant g = grant_of(&w, 1);
	uint32_t first = decide(&w, &g).keeper;
	g.session = number(2);
	assert_int_not_equal(decide(&w, &g).keeper, first);
	world_end(&w);
}

static void
an_idle_keeper_ends_unless_a_session_is_under_way(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	struct msg_grant g = grant_of(&w, 1);
	uint32_t keeper = decide(&w, &g).keeper;
	g.session = number(2);
	assert_int_equal(decide(&w, &g).keeper, keeper);
	core_keeper_idle(w.c, keeper, 1, w.now); /* has not read the second one yet */
	world_act(&w);
	assert_int_equal(w.closed, 0);
	core_keeper_idle(w.c, keeper, 2, w.now);
	world_act(&w);
	assert_int_equal(w.closed, 1);
	/* From now on another one is started, before the old one is dead. */
	g.session = number(3);
	struct core_decision d = decide(&w, &g);
	assert_true(d.start);
	assert_int_not_equal(d.keeper, keeper);
	world_die(&w, keeper, true);
	assert_int_equal(w.c->keepers, 1);
	/* Its place is used again. */
	g.session = number(4);
	g.uid = 1005;
	assert_int_equal(decide(&w, &g).keeper, keeper);
	world_end(&w);
}

static void
the_number_of_keepers_is_limited(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	l.keepers_max = 3;
	world_serve(&w, &l);
	for (uint32_t i = 0; i < 4; i++) {
		struct msg_grant g = grant_of(&w, i);
		g.uid = 1000 + i;
		struct core_decision d = decide(&w, &g);
		assert_int_equal(
			d.verdict, i < 3 ? CORE_GRANT_ATTACH : CORE_GRANT_REFUSE);
		if (i == 3)
			assert_int_equal(d.code, REFUSAL_BUSY);
	}
	world_end(&w);
}

static void
starts_of_keepers_are_limited_in_time(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	uint64_t session = 0;

	l.keepers_max = 10;
	world_serve(&w, &l);
	for (uint32_t i = 0; i < CORE_STARTS_BURST; i++) {
		struct msg_grant g = grant_of(&w, session++);
		struct core_decision d = decide(&w, &g);
		assert_true(d.start);
		world_die(&w, d.keeper, false);
	}
	struct msg_grant g = grant_of(&w, session++);
	struct core_decision d = decide(&w, &g);
	assert_int_equal(d.verdict, CORE_GRANT_REFUSE);
	assert_int_equal(d.code, REFUSAL_BUSY);
	w.now += 1000 / CORE_STARTS_PER_S;
	g.session = number(session++);
	assert_true(decide(&w, &g).start);
	world_end(&w);
}

/* A storm of mail for people who have no keeper yet does not shut out those who read. */
static void
deliveries_leave_keepers_for_logins(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();
	uint64_t session = 1;

	l.lmtp = true;
	l.keepers_max = 8;
	world_serve(&w, &l);
	struct msg_grant mail = grant_of(&w, 0), login = grant_of(&w, 0);
	mail.front = w.c->at[CORE_LMTPD].incarnation;
	mail.rights = RIGHT_DELIVER;
	for (uint32_t i = 0; i < 8; i++) {
		mail.session = number(session++);
		mail.uid = 1000 + i;
		struct core_decision d = decide(&w, &mail);
		assert_int_equal(
			d.verdict, i < 6 ? CORE_GRANT_ATTACH : CORE_GRANT_REFUSE);
		if (i >= 6)
			assert_int_equal(d.code, REFUSAL_BUSY);
	}
	/* A keeper that is there takes mail as before. */
	mail.session = number(session++);
	mail.uid = 1000;
	assert_int_equal(decide(&w, &mail).verdict, CORE_GRANT_ATTACH);
	for (uint32_t i = 0; i < 2; i++) {
		login.session = number(session++);
		login.uid = 2000 + i;
		assert_int_equal(decide(&w, &login).verdict, CORE_GRANT_ATTACH);
	}
	world_end(&w);
	/* The same for their starts. */
	world_serve(&w, &l);
	mail.front = w.c->at[CORE_LMTPD].incarnation;
	for (uint32_t i = 0; i < CORE_STARTS_BURST - CORE_STARTS_BURST / 4; i++) {
		mail.session = number(session++);
		struct core_decision d = decide(&w, &mail);
		assert_true(d.start);
		world_die(&w, d.keeper, false);
	}
	mail.session = number(session++);
	assert_int_equal(decide(&w, &mail).verdict, CORE_GRANT_REFUSE);
	login = grant_of(&w, session++);
	assert_true(decide(&w, &login).start);
	world_end(&w);
}

static void
a_keeper_that_cannot_be_started_leaves_its_place(void **state)
{
	(void)state;
	struct world w;
	struct core_limits l = world_limits();

	world_serve(&w, &l);
	struct msg_grant g = grant_of(&w, 1);
	struct core_decision d = core_grant(w.c, &g, w.now);
	assert_true(d.start);
	core_start_failed(w.c, d.keeper, w.now);
	assert_int_equal(w.c->keepers, 0);
	assert_int_equal(core_deadline(w.c), UINT64_MAX);
	/* One that does not get ready is killed. */
	g.session = number(2);
	d = core_grant(w.c, &g, w.now);
	core_started(w.c, d.keeper, ++w.pids, w.now);
	assert_int_equal(core_deadline(w.c), w.now + CORE_READY_MS);
	assert_true(world_wait(&w));
	assert_int_equal(w.killed, 1);
	world_end(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_grant_is_attached_below_the_longest_root),
		cmocka_unit_test(auth_is_not_believed_blindly),
		cmocka_unit_test(lmtpd_may_deposit_and_nothing_else),
		cmocka_unit_test(without_root_only_the_caller_is_served),
		cmocka_unit_test(a_dead_incarnation_gets_nothing),
		cmocka_unit_test(a_front_that_starts_may_ask),
		cmocka_unit_test(a_session_is_granted_once),
		cmocka_unit_test(keepers_are_shared_by_owner_and_shard),
		cmocka_unit_test(each_session_may_have_its_own),
		cmocka_unit_test(an_idle_keeper_ends_unless_a_session_is_under_way),
		cmocka_unit_test(the_number_of_keepers_is_limited),
		cmocka_unit_test(starts_of_keepers_are_limited_in_time),
		cmocka_unit_test(deliveries_leave_keepers_for_logins),
		cmocka_unit_test(a_keeper_that_cannot_be_started_leaves_its_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
