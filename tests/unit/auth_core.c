#include "unit.h"

#include "auth/core.h"
#include "auth/plain.h"
#include "auth/sessions.h"
#include "auth/watch.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t key[32] = {7};
static uint8_t address[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [15] = 1};

#define SLOW "$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c." /* "test" */

struct world {
	struct core core;
	struct users *users;
	struct cache *cache;
	struct scheme_work *work;
	size_t hashes;
};

static struct users *
users_of(const char *text)
{
	static const struct users_options options = {
		.maildrop = {(const uint8_t *)"maildir:/srv/%u", 15}, .uid = 5, .gid = 6};
	size_t n = strlen(text);
	uint8_t *octets = malloc(n + 1);
	memcpy(octets, text, n);
	struct users *u = users_new(octets, n, &options, key);
	assert_non_null(u);
	return u;
}

static struct world
world_of(const char *text)
{
	struct world w = {.users = users_of(text)};
	w.cache = calloc(1, sizeof(*w.cache));
	w.cache->life_ms = 600000;
	w.work = scheme_work_new();
	w.core = (struct core){.users = w.users, .cache_key = key, .cache = w.cache};
	return w;
}

static void
world_done(struct world *w)
{
	users_free(&w->users);
	scheme_work_free(&w->work);
	free(w->cache);
}

static void
world_change(struct world *w, const char *text)
{
	users_free(&w->users);
	w->users = users_of(text);
	w->core.users = w->users;
}

/* One login from the start to the answer; the hash that a thread would compute is
 * counted. */
static enum core_step
login(struct world *w, uint8_t mechanism, struct view name, struct view response,
	uint64_t now_ms, struct attempt **ret)
{
	struct msg_login m = {.session = 9,
		.mechanism = mechanism,
		.tls = 1,
		.address = {address, 16},
		.port = 99,
		.name = name,
		.response = response};
	size_t n = core_attempt_octets(&m);
	struct attempt *a = calloc(1, sizeof(*a) + n);
	assert_true(core_login_is_valid(&m));
	a->octets_n = n;
	core_attempt_init(a, NULL, &m);
	enum core_step step = core_start(&w->core, a, now_ms);
	if (step == CORE_QUEUE || step == CORE_CHECK) {
		w->hashes += step == CORE_QUEUE;
		a->answer = scheme_verify(&a->user.stored, a->password, w->work);
		step = core_settle(&w->core, a, now_ms);
	}
	if (ret)
		*ret = a;
	else
		free(a);
	return step;
}

#define PASS(w, name, password, now)                                                     \
	login(w, MECHANISM_PASS, VIEW(name), VIEW(password), now, NULL)

static void
the_right_password_is_granted(void **state)
{
	(void)state;
	struct world w = world_of("bob:{PLAIN}secret:1:2\n");
	struct attempt *a;
	assert_int_equal(login(&w, MECHANISM_PASS, VIEW("bob"), VIEW("secret"), 1, &a),
		CORE_GRANT);
	struct msg_grant g = core_grant(a, 77);
	assert_int_equal(g.front, 77);
	assert_int_equal(g.session, 9);
	assert_int_equal(g.uid, 1);
	assert_int_equal(g.gid, 2);
	assert_int_equal(g.rights, RIGHT_READ | RIGHT_DELETE);
	assert_int_equal(g.store, STORE_MAILDIR);
	assert_int_equal(g.port, 99);
	assert_memory_equal(g.address.p, address, 16);
	assert_int_equal(g.maildrop.n, 8);
	assert_memory_equal(g.maildrop.p, "/srv/bob", 8);
	assert_memory_equal(g.user.p, "bob", 3);
	free(a);
	world_done(&w);
}

static void
a_read_only_user_gets_no_right_to_delete(void **state)
{
	(void)state;
	struct world w = world_of("bob:{PLAIN}secret:1:2::::userdb_read_only=yes\n");
	struct attempt *a;
	assert_int_equal(login(&w, MECHANISM_PASS, VIEW("bob"), VIEW("secret"), 1, &a),
		CORE_GRANT);
	assert_int_equal(core_grant(a, 77).rights, RIGHT_READ);
	free(a);
	world_done(&w);
}

static void
without_users_it_is_temporary(void **state)
{
	(void)state;
	struct world w = world_of("");
	struct attempt *a;
	w.core.users = NULL;
	assert_int_equal(
		login(&w, MECHANISM_PASS, VIEW("bob"), VIEW("x"), 1, &a), CORE_REFUSE);
	assert_int_equal(a->code, REFUSAL_TEMPORARY);
	free(a);
	world_done(&w);
}

/* Equal in text, in code and in the number of hashes. */
static void
unknown_wrong_and_unable_are_alike(void **state)
{
	(void)state;
	struct world w = world_of("bob:" SLOW "\nlocked:*\nnomail:" SLOW ":::::"
				  ":userdb_mail=mh:/x\nbad:{NOPE}x\n");
	static const char *const names[] = {
		"bob", "nobody", "locked", "nomail", "bad", "", "a/b"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct attempt *a;
		struct view name = {(const uint8_t *)names[i], strlen(names[i])};
		/* "test" is the dummy's password too: it must not let anybody in. */
		struct view password = i == 0 ? VIEW("wrong") : VIEW("test");
		w.hashes = 0;
		assert_int_equal(
			login(&w, MECHANISM_PASS, name, password, 1, &a), CORE_REFUSE);
		assert_int_equal(a->code, REFUSAL_CREDENTIALS);
		assert_int_equal(w.hashes, 1);
		free(a);
		assert_int_equal(
			login(&w, MECHANISM_PASS, name, password, 2, NULL), CORE_REFUSE);
		assert_int_equal(w.hashes, 2);
	}
	/* Bob's own entry in the cache helps no other name. */
	assert_int_equal(PASS(&w, "bob", "test", 3), CORE_GRANT);
	assert_int_equal(PASS(&w, "nobody", "test", 3), CORE_REFUSE);
	assert_int_equal(PASS(&w, "nomail", "test", 3), CORE_REFUSE);
	world_done(&w);
}

static struct attempt *
lookup(struct world *w, const char *name, enum core_step *ret)
{
	struct msg_lookup m = {
		.session = 9, .name = {(const uint8_t *)name, strlen(name)}};
	struct attempt *a = calloc(1, sizeof(*a) + m.name.n + 1);

	assert_non_null(a);
	a->octets_n = m.name.n + 1;
	core_attempt_lookup(a, NULL, &m);
	*ret = core_lookup(&w->core, a);
	return a;
}

static void
a_recipient_is_looked_up_with_its_detail_and_without_its_domain(void **state)
{
	(void)state;
	struct world w = world_of("ann:{PLAIN}x\nbob@example.org:*\nodd+one:{PLAIN}x\n"
				  "postmaster:!\n+:{PLAIN}x\nbox:x:::::"
				  ":userdb_mail=mbox:/m/%u\nbad:{PLAIN}x:::::"
				  ":userdb_mail=mh:/x\nodd:{PLAIN}x:0\n");
	static const struct {
		const char *name;
		const char *user; /* NULL: refused with code */
		enum refusal code;
	} rows[] = {
		{"ann", "ann", 0},
		{"ann@example.org", "ann", 0},
		{"ann+lists@example.org", "ann", 0},
		{"ann+a+b", "ann", 0},
		{"ann@a@b", NULL, REFUSAL_NO_USER},
		{"Ann", NULL, REFUSAL_NO_USER},
		/* A locked password is no reason to bounce mail. */
		{"bob@example.org", "bob@example.org", 0},
		{"bob+x@example.org", "bob@example.org", 0},
		{"bob", NULL, REFUSAL_NO_USER},
		{"bob@example.com", NULL, REFUSAL_NO_USER},
		/* A name with the delimiter goes before the name without it. */
		{"odd+one@example.org", "odd+one", 0},
		{"odd+two", NULL, REFUSAL_TEMPORARY},
		{"+", "+", 0},
		{"+x", NULL, REFUSAL_NO_USER},
		{"PostMaster", "postmaster", 0},
		{"POSTMASTER+x@example.org", "postmaster", 0},
		{"box", "box", 0},
		{"bad", NULL, REFUSAL_TEMPORARY},
		{"", NULL, REFUSAL_NO_USER},
		{"@", NULL, REFUSAL_NO_USER},
		{"@example.org", NULL, REFUSAL_NO_USER},
	};
	enum core_step step;

	w.core.delimiter = '+';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct attempt *a = lookup(&w, rows[i].name, &step);
		if ((step == CORE_GRANT) != (rows[i].user != NULL))
			fail_msg("%s", rows[i].name);
		if (step == CORE_GRANT) {
			struct msg_grant g = core_grant(a, 77);
			assert_int_equal(g.rights, RIGHT_DELIVER);
			assert_int_equal(g.user.n, strlen(rows[i].user));
			assert_memory_equal(g.user.p, rows[i].user, g.user.n);
			assert_int_equal(g.address.n, 16);
			assert_int_equal(g.store,
				strcmp(rows[i].user, "box") == 0 ? STORE_MBOX
								 : STORE_MAILDIR);
		} else {
			assert_int_equal(step, CORE_REFUSE);
			assert_int_equal(a->code, rows[i].code);
		}
		free(a);
	}
	assert_int_equal(w.hashes, 0);
	/* Switched off, and without a file. */
	w.core.delimiter = 0;
	free(lookup(&w, "ann+lists", &step));
	assert_int_equal(step, CORE_REFUSE);
	w.core.users = NULL;
	struct attempt *a = lookup(&w, "ann", &step);
	assert_int_equal(step, CORE_REFUSE);
	assert_int_equal(a->code, REFUSAL_TEMPORARY);
	free(a);
	world_done(&w);
}

static void
the_cache_spares_the_hash_and_nothing_else(void **state)
{
	(void)state;
	struct world w = world_of("bob:" SLOW "\n");
	assert_int_equal(PASS(&w, "bob", "test", 1000), CORE_GRANT);
	assert_int_equal(w.hashes, 1);
	assert_int_equal(PASS(&w, "bob", "test", 2000), CORE_GRANT);
	assert_int_equal(w.hashes, 1);
	assert_int_equal(PASS(&w, "bob", "tesT", 2000), CORE_REFUSE);
	assert_int_equal(PASS(&w, "bob", "tesT", 2000), CORE_REFUSE);
	assert_int_equal(w.hashes, 3);
	/* The mechanism is part of the key. */
	assert_int_equal(
		login(&w, MECHANISM_PLAIN, VIEW(""), VIEW("\0bob\0test"), 2000, NULL),
		CORE_GRANT);
	assert_int_equal(w.hashes, 4);
	/* It ends. */
	assert_int_equal(PASS(&w, "bob", "test", 600999), CORE_GRANT);
	assert_int_equal(w.hashes, 4);
	assert_int_equal(PASS(&w, "bob", "test", 601000), CORE_GRANT);
	assert_int_equal(w.hashes, 5);
	/* A new hash of the same password is a new entry; a user taken out is out. */
	world_change(&w, "bob:$1$othersal$aaaaaaaaaaaaaaaaaaaaaa\n");
	assert_int_equal(PASS(&w, "bob", "test", 601001), CORE_REFUSE);
	assert_int_equal(w.hashes, 6);
	world_change(&w, "ann:" SLOW "\n");
	assert_int_equal(PASS(&w, "bob", "test", 601002), CORE_REFUSE);
	world_change(&w, "bob:!" SLOW "\n");
	assert_int_equal(PASS(&w, "bob", "test", 601003), CORE_REFUSE);
	world_done(&w);
}

static void
a_cache_with_no_life_keeps_nothing(void **state)
{
	(void)state;
	struct world w = world_of("bob:" SLOW "\n");
	w.cache->life_ms = 0;
	assert_int_equal(PASS(&w, "bob", "test", 1), CORE_GRANT);
	assert_int_equal(PASS(&w, "bob", "test", 1), CORE_GRANT);
	assert_int_equal(w.hashes, 2);
	world_done(&w);
}

static void
no_memory_is_not_a_wrong_password(void **state)
{
	(void)state;
	struct world w = world_of("bob:" SLOW "\n");
	struct attempt *a;
	assert_int_equal(
		login(&w, MECHANISM_PASS, VIEW("bob"), VIEW("test"), 1, &a), CORE_GRANT);
	a->answer = SCHEME_FAILED;
	assert_int_equal(core_settle(&w.core, a, 1), CORE_REFUSE);
	assert_int_equal(a->code, REFUSAL_TEMPORARY);
	free(a);
	world_done(&w);
}

static void
a_set_of_the_cache_drops_what_ends_first(void **state)
{
	(void)state;
	struct cache *c = calloc(1, sizeof(*c));
	uint8_t mac[MAC_OCTETS] = {3};
	c->life_ms = 100;
	for (uint8_t i = 0; i < CACHE_WAYS + 1; i++) {
		mac[31] = i;
		cache_put(c, mac, 10U + i);
	}
	for (uint8_t i = 0; i < CACHE_WAYS + 1; i++) {
		mac[31] = i;
		assert_int_equal(cache_has(c, mac, 20), i != 0);
	}
	/* The same one again does not take a second place. */
	mac[31] = 5;
	cache_put(c, mac, 30);
	mac[31] = 1;
	assert_true(cache_has(c, mac, 30));
	free(c);
}

static void
plain_is_read_as_it_stands(void **state)
{
	(void)state;
	static const struct {
		struct view response;
		bool ok;
	} rows[] = {
		{VIEW("\0bob\0secret"), true},
		{VIEW("bob\0bob\0secret"), true},
		{VIEW("ann\0bob\0secret"), false},
		{VIEW("bo\0bob\0secret"), false},
		{VIEW("bob\0secret"), false},
		{VIEW("\0bob\0secret\0"), false},
		{VIEW("\0bob\0sec\0ret"), false},
		{VIEW("\0\0secret"), false},
		{VIEW("\0bob\0"), false},
		{VIEW("\0bob"), false},
		{VIEW("\0\0"), false},
		{VIEW("\0"), false},
		{VIEW(""), false},
		{VIEW("bob"), false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view name = {NULL, 0};
		struct view password = {NULL, 0};
		assert_int_equal(
			plain_read(rows[i].response, &name, &password), rows[i].ok);
		assert_int_equal(name.n, rows[i].ok ? 3 : 0);
		assert_int_equal(password.n, rows[i].ok ? 6 : 0);
		if (rows[i].ok)
			assert_memory_equal(password.p, "secret", 6);
	}
}

static void
a_login_must_be_whole(void **state)
{
	(void)state;
	struct msg_login m = {.mechanism = MECHANISM_PASS, .address = {address, 16}};
	assert_true(core_login_is_valid(&m));
	m.mechanism = MECHANISM_PLAIN;
	assert_true(core_login_is_valid(&m));
	m.mechanism = 3;
	assert_false(core_login_is_valid(&m));
	m.mechanism = 0;
	assert_false(core_login_is_valid(&m));
	m.mechanism = MECHANISM_PASS;
	m.address.n = 4;
	assert_false(core_login_is_valid(&m));
}

static void
no_lane_gets_more_than_half_and_turns_are_taken(void **state)
{
	(void)state;
	struct queue q;
	struct queue_lane a = {0};
	struct queue_lane b = {0};
	struct queue_lane c = {0};
	struct queue_item items[16];
	queue_init(&q, 8);
	for (int i = 0; i < 4; i++)
		assert_int_equal(queue_put(&q, &a, &items[i]), QUEUE_TAKEN);
	assert_int_equal(queue_put(&q, &a, &items[15]), QUEUE_LANE_FULL);
	for (int i = 4; i < 6; i++)
		assert_int_equal(queue_put(&q, &b, &items[i]), QUEUE_TAKEN);
	for (int i = 6; i < 8; i++)
		assert_int_equal(queue_put(&q, &c, &items[i]), QUEUE_TAKEN);
	assert_int_equal(queue_put(&q, &c, &items[15]), QUEUE_FULL);
	static const int order[] = {0, 4, 6, 1, 5, 7, 2, 3};
	for (int i = 0; i < 8; i++)
		assert_ptr_equal(queue_take(&q), &items[order[i]]);
	assert_null(queue_take(&q));
	assert_int_equal(q.n, 0);
	/* A lane that is dropped leaves the others in order. */
	assert_int_equal(queue_put(&q, &a, &items[0]), QUEUE_TAKEN);
	assert_int_equal(queue_put(&q, &b, &items[1]), QUEUE_TAKEN);
	assert_int_equal(queue_put(&q, &b, &items[2]), QUEUE_TAKEN);
	assert_int_equal(queue_put(&q, &c, &items[3]), QUEUE_TAKEN);
	struct queue_item *dropped = queue_take_lane(&q, &b);
	assert_ptr_equal(dropped, &items[1]);
	assert_ptr_equal(dropped->next, &items[2]);
	assert_null(dropped->next->next);
	assert_null(queue_take_lane(&q, &b));
	assert_ptr_equal(queue_take(&q), &items[0]);
	assert_ptr_equal(queue_take(&q), &items[3]);
	assert_null(queue_take(&q));
	/* With one place, one lane may have it. */
	queue_init(&q, 1);
	assert_int_equal(queue_put(&q, &a, &items[0]), QUEUE_TAKEN);
	assert_int_equal(queue_put(&q, &b, &items[1]), QUEUE_FULL);
}

static uint64_t
counted(uint64_t count)
{
	return count << SESSION_COUNT_BIT | 17;
}

static void
a_session_asks_once_at_a_time_and_is_granted_once(void **state)
{
	(void)state;
	struct sessions *s = calloc(1, sizeof(*s));
	assert_true(sessions_begin(s, counted(5)));
	assert_false(sessions_begin(s, counted(5)));
	sessions_end(s, counted(5), false);
	assert_true(sessions_begin(s, counted(5)));
	sessions_end(s, counted(5), true);
	assert_false(sessions_begin(s, counted(5)));
	/* The count decides, not the place below it. */
	assert_false(sessions_begin(s, counted(5) + 1));
	/* Numbers may come in any order within the window. */
	assert_true(sessions_begin(s, counted(3)));
	assert_true(sessions_begin(s, counted(5 + SESSIONS_WINDOW - 1)));
	assert_false(sessions_begin(s, counted(5)));
	assert_true(sessions_begin(s, counted(6)));
	/* What fell out of the window is refused, and its place is clean for the next
	 * one. */
	assert_true(sessions_begin(s, counted(5 + SESSIONS_WINDOW)));
	assert_false(sessions_begin(s, counted(5)));
	assert_false(sessions_begin(s, counted(3)));
	sessions_end(s, counted(3), true);
	assert_true(sessions_begin(s, counted(3 + SESSIONS_WINDOW)));
	/* A jump over everything. */
	assert_true(sessions_begin(s, UINT64_MAX));
	assert_false(sessions_begin(s, UINT64_MAX));
	assert_false(sessions_begin(s, counted(6)));
	sessions_end(s, counted(6), true);
	sessions_end(s, UINT64_MAX, true);
	assert_false(sessions_begin(s, UINT64_MAX));
	free(s);
}

static void
a_changed_file_is_seen(void **state)
{
	(void)state;
	static const uint64_t second = 1000000000;
	struct watch w = {0};
	struct stamp st = {1, 2, 1, 100, 5 * second, 5 * second};
	/* At first there is nothing: it is asked for, once. */
	assert_int_equal(watch_login(&w, NULL, 0, 1, second), WATCH_ASK);
	assert_int_equal(watch_login(&w, NULL, 0, 1, second), WATCH_HOLD);
	assert_false(watch_gave_up(&w, WATCH_ASK_MS));
	assert_true(watch_gave_up(&w, 1 + WATCH_ASK_MS));
	assert_int_equal(watch_login(&w, NULL, 0, 2002, second), WATCH_REFUSE);
	assert_int_equal(watch_login(&w, NULL, 0, 3001, second), WATCH_ASK);
	watch_arrived(&w, true, 3002);
	assert_false(watch_gave_up(&w, 999999));
	assert_int_equal(watch_login(&w, NULL, 0, 3003, second), WATCH_HOLD);
	watch_loaded(&w, true, &st, 9 * second, 3010);
	assert_int_equal(watch_login(&w, &st, 0, 3011, 9 * second), WATCH_GO);
	/* Any of its figures, or a descriptor that says nothing. */
	for (int i = 0; i < 6; i++) {
		struct watch copy = w;
		struct stamp other = st;
		uint64_t *figures[] = {&other.device, &other.inode, &other.links,
			&other.size, &other.mtime_ns, &other.ctime_ns};
		(*figures[i])++;
		assert_int_equal(
			watch_login(&copy, &other, 0, 4000, 9 * second), WATCH_ASK);
		/* A login that was held often enough goes on. */
		copy = w;
		assert_int_equal(
			watch_login(&copy, &other, WATCH_ROUNDS_MAX, 4000, 9 * second),
			WATCH_GO);
	}
	struct watch copy = w;
	assert_int_equal(watch_login(&copy, NULL, 0, 4000, 9 * second), WATCH_ASK);
	/* Read in the tick of its change: once more when that is over, and then no more.
	 */
	copy = w;
	copy.read_ns = st.ctime_ns + 1;
	assert_int_equal(watch_login(&copy, &st, 0, 4000, st.ctime_ns + 2), WATCH_GO);
	assert_int_equal(
		watch_login(&copy, &st, 0, 4000, st.ctime_ns + WATCH_TICK_NS), WATCH_ASK);
	watch_arrived(&copy, true, 4001);
	watch_loaded(&copy, true, &st, st.ctime_ns + WATCH_TICK_NS, 4002);
	assert_int_equal(
		watch_login(&copy, &st, 0, 4003, st.ctime_ns + second), WATCH_GO);
	/* No file, or one that cannot be read: refused for a second. */
	watch_arrived(&copy, false, 5000);
	assert_int_equal(watch_login(&copy, NULL, 0, 5001, second), WATCH_REFUSE);
	assert_int_equal(watch_login(&copy, NULL, 0, 6000, second), WATCH_ASK);
	watch_arrived(&copy, true, 6001);
	watch_loaded(&copy, false, &st, second, 6002);
	assert_int_equal(watch_login(&copy, &st, 0, 6003, second), WATCH_REFUSE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_password_is_granted),
		cmocka_unit_test(a_read_only_user_gets_no_right_to_delete),
		cmocka_unit_test(without_users_it_is_temporary),
		cmocka_unit_test(unknown_wrong_and_unable_are_alike),
		cmocka_unit_test(
			a_recipient_is_looked_up_with_its_detail_and_without_its_domain),
		cmocka_unit_test(the_cache_spares_the_hash_and_nothing_else),
		cmocka_unit_test(a_cache_with_no_life_keeps_nothing),
		cmocka_unit_test(no_memory_is_not_a_wrong_password),
		cmocka_unit_test(a_set_of_the_cache_drops_what_ends_first),
		cmocka_unit_test(plain_is_read_as_it_stands),
		cmocka_unit_test(a_login_must_be_whole),
		cmocka_unit_test(no_lane_gets_more_than_half_and_turns_are_taken),
		cmocka_unit_test(a_session_asks_once_at_a_time_and_is_granted_once),
		cmocka_unit_test(a_changed_file_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
