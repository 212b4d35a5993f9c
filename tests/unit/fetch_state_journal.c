/* The journal of deliveries, and marks on messages. */
#include "base/check.h"
#include "fetch_state_help.h"

/* ---- the journal ---- */

static struct letter *
intended(const struct home *h, struct view uid, uint8_t seed, uint32_t wanted)
{
	struct letter *l = calloc(1, sizeof(*l));
	char names[FETCH_TARGETS_MAX][LETTER_NAME_MAX] = {"name-a", ""};

	assert_non_null(l);
	make_letter(l, uid, seed);
	l->wanted = wanted;
	l->names = names;
	assert_int_equal(state_intend(h->s, h->r.row, &l, 1, &h->account), 0);
	l->names = NULL;
	return l;
}

static void
settle(const struct home *h, struct letter *l, size_t target, bool delivered)
{
	struct settled done = {l, target, delivered};

	assert_int_equal(state_settle(h->s, h->r.row, &done, 1, NOW), 0);
}

static bool
has(const struct home *h, struct view uid, const char *target)
{
	struct fetch_account one = h->account;
	struct letter l = {.uid = uid}, *only = &l;

	one.targets_n = 1;
	one.targets[0].text = target;
	assert_int_equal(state_want(h->s, h->r.row, &only, 1, &one), 0);
	return l.wanted == 0;
}

static size_t
unsettled_n(const struct home *h)
{
	struct unsettled *u;
	size_t n;

	assert_int_equal(state_unsettled(h->s, h->r.row, &u, &n), 0);
	free(u);
	return n;
}

static void
reopen(struct home *h)
{
	close_state(h);
	open_state(h);
}

static void
one_message_through_the_journal(void **state)
{
	struct home *h = *state;
	struct view uid = VIEW("u1");
	struct unsettled *u;
	size_t n;

	see(h, uid, 100);
	struct letter *l = intended(h, uid, 9, 3);
	assert_int_equal(known(h, uid).stage, KNOWN_INTENDED);
	assert_true(known(h, uid).has_header);
	reopen(h);
	assert_int_equal(state_unsettled(h->s, h->r.row, &u, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(u[0].target, "lmtp:h:24");
	assert_string_equal(u[1].target, "maildir:/a");
	assert_string_equal(u[1].name, "name-a");
	assert_string_equal(u[1].tmp, "tmp-9");
	assert_int_equal(u[1].stored, 111);
	assert_memory_equal(u[1].digest, l->digest, DIGEST_OCTETS);
	free(u);
	/* Others have none. */
	assert_int_equal(state_unsettled(h->s, h->r.row + 1, &u, &n), 0);
	assert_int_equal(n, 0);
	free(u);
	settle(h, l, 0, true);
	assert_int_equal(known(h, uid).stage, KNOWN_INTENDED);
	assert_int_equal(known(h, uid).delivered_s, 0);
	assert_true(has(h, uid, "maildir:/a"));
	assert_false(has(h, uid, "lmtp:h:24"));
	settle(h, l, 1, true);
	reopen(h);
	struct known k = known(h, uid);
	assert_int_equal(k.stage, KNOWN_SYNCED);
	assert_int_equal(k.delivered_s, NOW);
	assert_int_equal(k.first_seen_s, NOW);
	assert_int_equal(k.tries, 0);
	assert_int_equal(k.size, 100);
	assert_int_equal(unsettled_n(h), 0);
	free(l);
}

static void
a_target_that_failed_gets_it_later(void **state)
{
	struct home *h = *state;
	struct view uid = VIEW("u1");
	struct letter *l = intended(h, uid, 9, 3);
	struct settled done[] = {{l, 0, true}, {l, 1, false}};

	assert_int_equal(state_settle(h->s, h->r.row, done, 2, NOW), 0);
	assert_int_equal(known(h, uid).stage, KNOWN_SEEN);
	/* Of a target's failure the message is not guilty. */
	assert_int_equal(known(h, uid).tries, 0);
	assert_true(has(h, uid, "maildir:/a"));
	assert_int_equal(unsettled_n(h), 0);
	free(l);
	/* What one has stays synced while it comes again for the other. */
	l = intended(h, uid, 9, 2);
	assert_true(has(h, uid, "maildir:/a"));
	assert_int_equal(unsettled_n(h), 1);
	settle(h, l, 1, true);
	assert_int_equal(known(h, uid).stage, KNOWN_SYNCED);
	free(l);
	/* Both fail. */
	l = intended(h, VIEW("u2"), 8, 3);
	struct settled both[] = {{l, 0, false}, {l, 1, false}};
	assert_int_equal(state_settle(h->s, h->r.row, both, 2, NOW), 0);
	assert_int_equal(known(h, VIEW("u2")).tries, 0);
	assert_int_equal(known(h, VIEW("u2")).stage, KNOWN_SEEN);
	free(l);
}

static void
a_target_no_longer_wanted_is_not_waited_for(void **state)
{
	struct home *h = *state;
	struct view uid = VIEW("u1");
	struct letter *l = intended(h, uid, 9, 3);

	settle(h, l, 0, true);
	settle(h, l, 1, false);
	free(l);
	h->account.targets_n = 1;
	l = intended(h, uid, 9, 0);
	assert_int_equal(known(h, uid).stage, KNOWN_SYNCED);
	assert_true(known(h, uid).delivered_s > 0);
	free(l);
	/* The places of targets may change too. */
	h->account.targets_n = 2;
	h->account.targets[0].text = "lmtp:h:24";
	h->account.targets[1].text = "maildir:/a";
	l = intended(h, uid, 9, 1);
	settle(h, l, 0, true);
	assert_true(has(h, uid, "lmtp:h:24"));
	assert_true(has(h, uid, "maildir:/a"));
	free(l);
}

static void
the_replay_settles(void **state)
{
	struct home *h = *state;
	struct unsettled *u;
	size_t n;

	free(intended(h, VIEW("both"), 1, 3));
	free(intended(h, VIEW("none"), 2, 3));
	free(intended(h, VIEW("one"), 3, 3));
	assert_int_equal(state_unsettled(h->s, h->r.row, &u, &n), 0);
	assert_int_equal(n, 6);
	const bool found[] = {true, true, false, false, true, false};
	for (size_t i = 0; i < n; i++)
		assert_int_equal(state_replayed(h->s, &u[i], found[i], NOW + 1), 0);
	free(u);
	reopen(h);
	assert_int_equal(unsettled_n(h), 0);
	assert_int_equal(known(h, VIEW("both")).stage, KNOWN_SYNCED);
	assert_int_equal(known(h, VIEW("both")).delivered_s, NOW + 1);
	assert_int_equal(known(h, VIEW("none")).stage, KNOWN_SEEN);
	assert_int_equal(known(h, VIEW("none")).tries, 0);
	assert_int_equal(known(h, VIEW("one")).stage, KNOWN_SEEN);
	assert_true(has(h, VIEW("one"), "lmtp:h:24"));
	assert_false(has(h, VIEW("one"), "maildir:/a"));
}

/* The uid came back for another message while one target waited for the first. */
static void
another_message_is_not_taken_for_delivered(void **state)
{
	struct home *h = *state;
	struct view uid = VIEW("u1");
	struct letter *l = intended(h, uid, 9, 3);

	settle(h, l, 0, true);
	settle(h, l, 1, false);
	free(l);
	/* deliver.c asked before, so it wants it at the second target only. */
	l = intended(h, uid, 10, 2);
	settle(h, l, 1, true);
	assert_int_equal(known(h, uid).stage, KNOWN_SEEN);
	assert_false(has(h, uid, "maildir:/a"));
	assert_int_equal(rows(h), 2);
	free(l);
	l = intended(h, uid, 10, 1);
	settle(h, l, 0, true);
	assert_int_equal(known(h, uid).stage, KNOWN_SYNCED);
	free(l);
	/* The same header: a server that changes bodies does not make a new message. */
	l = calloc(1, sizeof(*l));
	make_letter(l, uid, 10);
	l->digest[0] ^= 1;
	assert_int_equal(state_intend(h->s, h->r.row, &l, 1, &h->account), 0);
	assert_true(has(h, uid, "maildir:/a"));
	assert_int_equal(rows(h), 2);
	free(l);
}

/* As of one batch: their rows follow one another. */
static void
intend_all(const struct home *h, struct letter *l, size_t n, uint32_t wanted)
{
	static const char uids[][3] = {"b0", "b1", "b2", "b3", "b4"};
	struct letter *each[ARRAY_SIZE(uids)];

	assert_true(n <= ARRAY_SIZE(uids));
	for (size_t i = 0; i < n; i++) {
		make_letter(&l[i], (struct view){(const uint8_t *)uids[i], 2},
			(uint8_t)(i + 1));
		l[i].wanted = wanted;
		each[i] = &l[i];
	}
	assert_int_equal(state_intend(h->s, h->r.row, each, n, &h->account), 0);
	for (size_t i = 1; i < n; i++)
		assert_int_equal(l[i].row, l[0].row + (int64_t)i);
}

static void
a_batch_is_settled_together(void **state)
{
	struct home *h = *state;
	struct letter *l = calloc(5, sizeof(*l));

	h->account.targets_n = 1;
	intend_all(h, l, 5, 1);
	struct settled done[] = {{&l[0], 0, true}, {&l[1], 0, true}, {&l[2], 0, false},
		{&l[3], 0, true}, {&l[4], 0, true}};
	assert_int_equal(state_settle(h->s, h->r.row, done, 5, NOW), 0);
	for (size_t i = 0; i < 5; i++) {
		struct known k = known(h, l[i].uid);

		assert_int_equal(k.stage, i == 2 ? KNOWN_SEEN : KNOWN_SYNCED);
		assert_int_equal(k.delivered_s, i == 2 ? 0 : NOW);
		assert_int_equal(k.tries, 0);
	}
	assert_int_equal(unsettled_n(h), 0);
	h->account.targets_n = 2;
	free(l);
}

static void
a_batch_is_settled_target_by_target(void **state)
{
	struct home *h = *state;
	struct letter *l = calloc(4, sizeof(*l));

	intend_all(h, l, 4, 3);
	struct settled done[] = {{&l[0], 0, true}, {&l[1], 0, true}, {&l[2], 0, true},
		{&l[0], 1, true}, {&l[2], 1, true}};
	assert_int_equal(state_settle(h->s, h->r.row, done, 5, NOW), 0);
	assert_int_equal(known(h, l[0].uid).stage, KNOWN_SYNCED);
	assert_int_equal(known(h, l[1].uid).stage, KNOWN_INTENDED);
	assert_int_equal(known(h, l[2].uid).stage, KNOWN_SYNCED);
	assert_int_equal(known(h, l[3].uid).stage, KNOWN_INTENDED);
	assert_int_equal(unsettled_n(h), 3);
	/* One of two that follow one another was not journalled: neither is settled. */
	l[0].row = l[3].row + 1;
	struct settled rest[] = {{&l[3], 0, true}, {&l[0], 0, true}};
	assert_int_equal(state_settle(h->s, h->r.row, rest, 2, NOW), -ENOENT);
	assert_int_equal(unsettled_n(h), 3);
	free(l);
}

static void
what_was_not_intended_is_not_settled(void **state)
{
	struct home *h = *state;
	struct letter *l = calloc(1, sizeof(*l)), *m = intended(h, VIEW("good"), 1, 3);

	make_letter(l, VIEW("stranger"), 1);
	struct settled done[] = {{m, 0, true}, {l, 0, true}};
	assert_int_equal(state_settle(h->s, h->r.row, done, 2, NOW), -ENOENT);
	/* One transaction: the first is not settled either. */
	assert_false(has(h, VIEW("good"), "maildir:/a"));
	done[1] = (struct settled){m, 7, true};
	assert_int_equal(state_settle(h->s, h->r.row, done, 2, NOW), -ENOENT);
	assert_false(has(h, VIEW("good"), "maildir:/a"));
	l->uid.n = 0;
	assert_int_equal(state_intend(h->s, h->r.row, &l, 1, &h->account), -EINVAL);
	free(l);
	free(m);
}

/* Killed after it was told that the letters are intended, and in the next transaction. */
static void
a_kill_keeps_what_was_intended(void **state)
{
	struct home *h = *state;
	int status;

	close_state(h);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		open_state(h);
		struct letter *l = intended(h, VIEW("u1"), 1, 3);
		struct settled done = {l, 0, true};
		if (state_settle(h->s, h->r.row, &done, 1, NOW) < 0 ||
			state_enter(h->s, "dying") < 0 ||
			sqlite3_exec(h->s->db, "UPDATE delivery SET stage = 2", NULL,
				NULL, NULL) != SQLITE_OK)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_state(h);
	assert_int_equal(known(h, VIEW("u1")).stage, KNOWN_INTENDED);
	assert_true(has(h, VIEW("u1"), "maildir:/a"));
	assert_int_equal(unsettled_n(h), 1);
}

/* ---- marks ---- */

static void
mark(const struct home *h, struct mark m, uint64_t now_s)
{
	assert_int_equal(state_mark(h->s, h->r.row, &m, 1, now_s), 0);
}

static void
uids_are_any_octets(void **state)
{
	struct home *h = *state;
	uint8_t big[LETTER_UID_MAX];

	memset(big, 0xFF, sizeof(big));
	const struct view uids[] = {VIEW("a\0b"), VIEW("a"), VIEW("a\0"),
		VIEW("../../etc/x"), VIEW("\x80\xff\xfe"), VIEW("\0"),
		VIEW("'; DROP TABLE message; --"), VIEW("A"), {big, sizeof(big)},
		{big, sizeof(big) - 1}};
	for (size_t i = 0; i < sizeof(uids) / sizeof(uids[0]); i++)
		see(h, uids[i], i);
	reopen(h);
	assert_int_equal(rows(h), sizeof(uids) / sizeof(uids[0]));
	for (size_t i = 0; i < sizeof(uids) / sizeof(uids[0]); i++) {
		struct known k = known(h, uids[i]);
		assert_true(k.row > 0);
		assert_int_equal(k.size, i);
	}
	free(intended(h, (struct view){big, sizeof(big)}, 1, 3));
	assert_int_equal(known(h, (struct view){big, sizeof(big)}).stage, KNOWN_INTENDED);
	mark(h, (struct mark){.kind = MARK_REUSED, .uid = {big, sizeof(big)}}, NOW);
	assert_int_equal(known(h, (struct view){big, sizeof(big)}).row, 0);
	assert_int_equal(rows(h), sizeof(uids) / sizeof(uids[0]));
	struct mark m = {.kind = MARK_SEEN, .uid = {big, LETTER_UID_MAX + 100}};
	assert_int_equal(state_mark(h->s, h->r.row, &m, 1, NOW), -EINVAL);
}

static void
every_mark_does_what_it_says(void **state)
{
	struct home *h = *state;
	struct view u = VIEW("u");
	struct mark m = {.uid = u, .size = 7};

	for (m.kind = MARK_GONE; m.kind <= MARK_DELETED; m.kind++)
		mark(h, m, NOW);
	m.kind = MARK_SIZE;
	mark(h, m, NOW);
	assert_int_equal(rows(h), 0);
	m.kind = MARK_SEEN;
	m.size = UINT64_MAX;
	mark(h, m, NOW);
	assert_int_equal(known(h, u).size, UINT64_MAX);
	assert_false(known(h, u).has_header);
	m.size = 7;
	mark(h, m, NOW + 5);
	assert_int_equal(known(h, u).size, 7);
	assert_int_equal(known(h, u).first_seen_s, NOW);
	m.kind = MARK_SIZE;
	m.size = UINT64_MAX - 1;
	mark(h, m, NOW);
	assert_int_equal(known(h, u).size, UINT64_MAX - 1);
	m.kind = MARK_HEADER;
	memset(m.header, 5, sizeof(m.header));
	mark(h, m, NOW);
	assert_true(known(h, u).has_header);
	assert_memory_equal(known(h, u).header, m.header, HEADER_DIGEST);
	m.kind = MARK_GONE;
	mark(h, m, NOW + 1);
	mark(h, m, NOW + 2);
	assert_int_equal(known(h, u).gone_s, NOW + 1);
	m.kind = MARK_SEEN;
	mark(h, m, NOW + 3);
	assert_int_equal(known(h, u).gone_s, 0);
	m.kind = MARK_DELE_SENT;
	mark(h, m, NOW);
	assert_true(known(h, u).dele_sent);
	m.kind = MARK_DELETED;
	mark(h, m, NOW + 4);
	assert_false(known(h, u).dele_sent);
	assert_int_equal(known(h, u).gone_s, NOW + 4);
	m.kind = MARK_BACK;
	mark(h, m, NOW);
	assert_int_equal(known(h, u).gone_s, 0);
	m.kind = MARK_TRY;
	for (unsigned int i = 0; i < 300; i++)
		mark(h, m, NOW);
	assert_int_equal(known(h, u).tries, 255);
	m.uid = VIEW("new");
	mark(h, m, NOW);
	assert_int_equal(known(h, m.uid).tries, 1);
}

static void
stages_by_mark(void **state)
{
	struct home *h = *state;
	const struct {
		enum mark_kind kind;
		enum known_stage stage;
	} rows_of[] = {{MARK_QUARANTINED, KNOWN_QUARANTINED},
		{MARK_ADOPTED, KNOWN_ADOPTED}, {MARK_SKIPPED, KNOWN_SKIPPED}};

	deliver(h, VIEW("delivered"), 1);
	for (size_t i = 0; i < 3; i++) {
		uint8_t uid = (uint8_t)('a' + i);
		struct mark m = {
			.kind = rows_of[i].kind, .uid = {&uid, 1}, .size = UINT64_MAX};
		mark(h, m, NOW);
		assert_int_equal(known(h, m.uid).stage, rows_of[i].stage);
		see(h, VIEW("known"), 1);
		m.uid = VIEW("known");
		mark(h, m, NOW);
		assert_int_equal(known(h, m.uid).stage, rows_of[i].stage);
		/* What was delivered stays so. */
		m.uid = VIEW("delivered");
		mark(h, m, NOW);
		assert_int_equal(known(h, m.uid).stage, KNOWN_SYNCED);
	}
}

/* Only what is there yet; the listing is asked for anew. */
static void
what_was_put_aside_is_taken_back(void **state)
{
	struct home *h = *state;
	const struct view uids[] = {VIEW("here"), VIEW("gone")};
	struct remembered r = h->r;

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		struct mark tried = {
			.kind = MARK_TRY, .uid = uids[i], .size = UINT64_MAX};
		struct mark aside = {
			.kind = MARK_QUARANTINED, .uid = uids[i], .size = UINT64_MAX};

		mark(h, tried, NOW);
		mark(h, aside, NOW);
	}
	mark(h, (struct mark){.kind = MARK_GONE, .uid = uids[1]}, NOW);
	deliver(h, VIEW("delivered"), 1);
	mark(h,
		(struct mark){
			.kind = MARK_SKIPPED, .uid = VIEW("skipped"), .size = UINT64_MAX},
		NOW);
	assert_int_equal(state_account(h->s, &h->account, &r), 0);
	r.count = 7;
	assert_int_equal(state_remember(h->s, &r), 0);

	assert_int_equal(state_retry_aside(h->s, &r), 0);
	assert_int_equal(known(h, uids[0]).stage, KNOWN_SEEN);
	assert_int_equal(known(h, uids[0]).tries, 0);
	assert_int_equal(known(h, uids[1]).stage, KNOWN_QUARANTINED);
	assert_int_equal(known(h, VIEW("delivered")).stage, KNOWN_SYNCED);
	assert_int_equal(known(h, VIEW("skipped")).stage, KNOWN_SKIPPED);
	assert_int_equal(r.count, UINT32_MAX);
	r.count = 7;
	assert_int_equal(state_account(h->s, &h->account, &r), 0);
	assert_int_equal(r.count, UINT32_MAX);

	/* Nothing to take back: the listing stays known. */
	r.count = 7;
	assert_int_equal(state_remember(h->s, &r), 0);
	assert_int_equal(state_retry_aside(h->s, &r), 0);
	assert_int_equal(r.count, 7);
	assert_int_equal(state_account(h->s, &h->account, &r), 0);
	assert_int_equal(r.count, 7);
}

static struct mark
renamed(struct view from, struct view to)
{
	return (struct mark){.kind = MARK_RENAMED, .uid = from, .new_uid = to};
}

static void
renaming(void **state)
{
	struct home *h = *state;

	deliver(h, VIEW("old"), 1);
	int64_t row = known(h, VIEW("old")).row;
	mark(h, (struct mark){.kind = MARK_GONE, .uid = VIEW("old")}, NOW);
	mark(h, renamed(VIEW("old"), VIEW("new")), NOW);
	assert_int_equal(known(h, VIEW("old")).row, 0);
	assert_int_equal(known(h, VIEW("new")).row, row);
	assert_int_equal(known(h, VIEW("new")).gone_s, 0);
	assert_int_equal(known(h, VIEW("new")).stage, KNOWN_SYNCED);
	/* Into a row that was only seen: the delivered one takes the uid. */
	see(h, VIEW("newer"), 100);
	mark(h, renamed(VIEW("new"), VIEW("newer")), NOW);
	assert_int_equal(known(h, VIEW("newer")).row, row);
	assert_int_equal(rows(h), 2);
	/* From a row that was only seen into a delivered one: that one stays. */
	see(h, VIEW("seen"), 100);
	mark(h, renamed(VIEW("seen"), VIEW("newer")), NOW + 1);
	assert_int_equal(known(h, VIEW("newer")).row, row);
	assert_int_equal(known(h, VIEW("newer")).stage, KNOWN_SYNCED);
	assert_int_equal(known(h, VIEW("newer")).gone_s, 0);
	assert_int_equal(known(h, VIEW("seen")).row, 0);
	assert_int_equal(rows(h), 3);
	/* Nothing under the old uid: nothing happens. */
	mark(h, renamed(VIEW("nobody"), VIEW("x")), NOW);
	assert_int_equal(rows(h), 3);
}

/* What came under another uid is the message only if its octets are the same. */
static void
the_same_octets(void **state)
{
	struct home *h = *state;
	struct letter *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	deliver(h, VIEW("old"), 1);
	int64_t row = known(h, VIEW("old")).row;
	mark(h, (struct mark){.kind = MARK_GONE, .uid = VIEW("old")}, NOW);
	see(h, VIEW("new"), 100);
	make_letter(l, VIEW("new"), 1);
	l->same = row;
	l->digest[DIGEST_OCTETS - 1] ^= 1;
	assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
	assert_int_equal(known(h, VIEW("old")).row, row);
	l->digest[DIGEST_OCTETS - 1] ^= 1;
	l->octets++;
	assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
	assert_int_equal(known(h, VIEW("old")).row, row);
	l->octets--;
	/* Another account's row, and one that is none. */
	assert_int_equal(state_same(h->s, h->r.row + 1, l, NOW), 0);
	l->same = row + 1000;
	assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
	assert_int_equal(known(h, VIEW("old")).row, row);
	l->same = row;
	assert_false(has(h, VIEW("new"), h->account.targets[0].text));
	for (int again = 0; again < 2; again++) {
		assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
		assert_int_equal(known(h, VIEW("new")).row, row);
		assert_int_equal(known(h, VIEW("new")).stage, KNOWN_SYNCED);
		assert_int_equal(known(h, VIEW("new")).gone_s, 0);
		assert_int_equal(rows(h), 2);
	}
	assert_true(has(h, VIEW("new"), h->account.targets[0].text));
	/* Another message has its uid now. */
	l->digest[0] ^= 1;
	assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
	assert_int_equal(known(h, VIEW("new")).row, 0);
	l->digest[0] ^= 1;
	assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
	assert_int_equal(known(h, VIEW("new")).row, row);
	/* One that is on its way was not delivered. */
	struct letter *other = intended(h, VIEW("coming"), 9, 3);
	make_letter(l, VIEW("x"), 9);
	l->same = known(h, VIEW("coming")).row;
	assert_int_equal(state_same(h->s, h->r.row, l, NOW), 0);
	assert_int_equal(known(h, VIEW("x")).row, 0);
	free(other);
	free(l);
}

/* The better stage of a message that is surely another one does not count. */
static void
renaming_onto_another_message(void **state)
{
	struct home *h = *state;

	deliver(h, VIEW("1"), 1);
	mark(h, (struct mark){.kind = MARK_DELETED, .uid = VIEW("1")}, NOW);
	see(h, VIEW("2"), 50);
	int64_t row = known(h, VIEW("2")).row;
	mark(h, renamed(VIEW("2"), VIEW("1")), NOW);
	assert_int_equal(known(h, VIEW("1")).row, row);
	assert_int_equal(known(h, VIEW("1")).stage, KNOWN_SEEN);
	/* The same size: the header tells. */
	deliver(h, VIEW("3"), 3);
	struct mark m = {.kind = MARK_SEEN, .uid = VIEW("4"), .size = 100, .header = {4}};
	mark(h, m, NOW);
	row = known(h, VIEW("4")).row;
	mark(h, renamed(VIEW("4"), VIEW("3")), NOW);
	assert_int_equal(known(h, VIEW("3")).row, row);
	assert_int_equal(known(h, VIEW("3")).stage, KNOWN_SEEN);
}

/* A server whose uids are numbers: after a deletion each gets that of its neighbour. */
static void
renaming_in_a_row(void **state)
{
	struct home *h = *state;
	struct view uids[] = {VIEW("1"), VIEW("2"), VIEW("3"), VIEW("4")};
	int64_t ids[4];
	struct mark marks[3];

	for (size_t i = 0; i < 4; i++) {
		deliver(h, uids[i], (uint8_t)(i + 1));
		ids[i] = known(h, uids[i]).row;
	}
	for (size_t i = 0; i < 3; i++)
		marks[i] = renamed(uids[2 - i + 1], uids[2 - i]);
	assert_int_equal(state_mark(h->s, h->r.row, marks, 3, NOW), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(known(h, uids[i]).row, ids[i + 1]);
	assert_int_equal(known(h, uids[3]).row, 0);
	/* Two change places. */
	marks[0] = renamed(uids[0], uids[1]);
	marks[1] = renamed(uids[1], uids[0]);
	assert_int_equal(state_mark(h->s, h->r.row, marks, 2, NOW), 0);
	assert_int_equal(known(h, uids[0]).row, ids[2]);
	assert_int_equal(known(h, uids[1]).row, ids[1]);
	assert_int_equal(known(h, uids[0]).gone_s, 0);
	assert_int_equal(rows(h), 4);
}

static void
a_reused_uid_gets_a_new_row(void **state)
{
	struct home *h = *state;
	struct mark both[] = {{.kind = MARK_REUSED, .uid = VIEW("u")},
		{.kind = MARK_SEEN, .uid = VIEW("u"), .size = 3}};
	uint8_t aside[32];

	deliver(h, VIEW("u"), 1);
	int64_t row = known(h, VIEW("u")).row;
	int n = snprintf((char *)aside, sizeof(aside), "u%cold%lld", 0, (long long)row);
	/* A server that lists such a uid itself is in nobody's way. */
	see(h, (struct view){aside, (size_t)n}, 1);
	assert_int_equal(state_mark(h->s, h->r.row, both, 2, NOW + 1), 0);
	assert_int_equal(known(h, VIEW("u")).stage, KNOWN_SEEN);
	assert_int_equal(known(h, VIEW("u")).size, 3);
	assert_int_not_equal(known(h, VIEW("u")).row, row);
	assert_int_equal(rows(h), 3);
	n = snprintf((char *)aside, sizeof(aside), "u%cold%lld.1", 0, (long long)row);
	struct known k = known(h, (struct view){aside, (size_t)n});
	assert_int_equal(k.row, row);
	assert_int_equal(k.stage, KNOWN_SYNCED);
	assert_int_equal(k.gone_s, NOW + 1);
	assert_false(has(h, VIEW("u"), "maildir:/a"));
}

static void
tombstones_are_swept(void **state)
{
	struct home *h = *state;

	deliver(h, VIEW("old"), 1);
	deliver(h, VIEW("young"), 2);
	deliver(h, VIEW("there"), 3);
	free(intended(h, VIEW("on its way"), 4, 3));
	mark(h, (struct mark){.kind = MARK_GONE, .uid = VIEW("old")}, NOW - 10);
	mark(h, (struct mark){.kind = MARK_GONE, .uid = VIEW("on its way")}, NOW - 10);
	mark(h, (struct mark){.kind = MARK_GONE, .uid = VIEW("young")}, NOW);
	assert_int_equal(state_sweep(h->s, h->r.row + 1, FETCH_NEVER), 0);
	assert_int_equal(rows(h), 4);
	assert_int_equal(state_sweep(h->s, h->r.row, NOW), 0);
	assert_int_equal(rows(h), 3);
	assert_int_equal(known(h, VIEW("old")).row, 0);
	assert_int_equal(pragma(h->s->db, "SELECT count(*) FROM delivery"), 6);
	assert_int_equal(state_sweep(h->s, h->r.row, FETCH_NEVER), 0);
	assert_int_equal(rows(h), 2);
	assert_int_equal(unsettled_n(h), 2);
	assert_int_equal(state_check(h->s), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(one_message_through_the_journal),
		ROW(a_target_that_failed_gets_it_later),
		ROW(a_target_no_longer_wanted_is_not_waited_for),
		ROW(the_replay_settles),
		ROW(another_message_is_not_taken_for_delivered),
		ROW(a_batch_is_settled_together),
		ROW(a_batch_is_settled_target_by_target),
		ROW(what_was_not_intended_is_not_settled),
		ROW(a_kill_keeps_what_was_intended),
		ROW(uids_are_any_octets),
		ROW(every_mark_does_what_it_says),
		ROW(stages_by_mark),
		ROW(what_was_put_aside_is_taken_back),
		ROW(renaming),
		ROW(renaming_onto_another_message),
		ROW(the_same_octets),
		ROW(renaming_in_a_row),
		ROW(a_reused_uid_gets_a_new_row),
		ROW(tombstones_are_swept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
