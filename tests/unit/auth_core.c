#include "unit.h"

#include "auth/core.h"
#include "auth/plain.h"
#include "auth/sessions.h"
#include "auth/watch.h"
#include "base/check.h"

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
	struct sasl *sasl;
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
	static const struct defence_options defence = {.failure_delay_ms = 1};
	static const uint8_t databases[] = {BACKEND_FILE};
	struct world w = {.users = users_of(text)};

	w.cache = calloc(1, sizeof(*w.cache));
	w.cache->life_ms = 600000;
	w.work = scheme_work_new();
	w.sasl = sasl_new(VIEW("pop.example.org"), VIEW(""), key);
	assert_non_null(w.sasl);
	w.core = (struct core){.users = w.users,
		.cache_mac = mac_new(key),
		.cache = w.cache,
		.expire_days = 30,
		.connections = 7};
	assert_true(chain_set(&w.core.chain, (struct view){databases, 1}));
	w.core.defence = defence_new(&defence, key);
	for (size_t i = 0; i < BACKENDS_END; i++)
		census_init(&w.core.census[i],
			calloc(CENSUS_CLASSES_MAX, sizeof(struct census_class)));
	census_default(&w.core.census[BACKEND_FILE]);
	return w;
}

static void
world_done(struct world *w)
{
	users_free(&w->users);
	scheme_work_free(&w->work);
	defence_free(&w->core.defence);
	for (size_t i = 0; i < BACKENDS_END; i++)
		free(w->core.census[i].classes);
	sasl_free(&w->sasl);
	mac_free(&w->core.cache_mac);
	free(w->cache);
}

static void
world_change(struct world *w, const char *text)
{
	users_free(&w->users);
	w->users = users_of(text);
	w->core.users = w->users;
}

static void
done(struct attempt *a)
{
	sasl_end(&a->talk);
	free(a);
}

/* What the process does with a step, without a process. */
static enum core_step
one_step(struct world *w, struct attempt *a, enum core_step step, uint64_t now_ms)
{
	struct sasl_result r = {0};

	switch (step) {
	case CORE_WALK:
		if (!w->core.users)
			return core_refuse(a, REFUSAL_TEMPORARY, "no_users_file");
		(void)!core_ask_file(&w->core, a);
		return core_found(&w->core, a, 17, now_ms);
	case CORE_QUEUE:
	case CORE_CHECK:
		w->hashes += step == CORE_QUEUE;
		a->answer = scheme_verify(&a->user.stored, a->secret, w->work);
		core_settle(&w->core, a, now_ms);
		return CORE_ANSWER;
	case CORE_ANSWER: sasl_checked(a->talk, a->answer, &r); break;
	case CORE_USER: sasl_user(a->talk, a->shown, &a->user, &r); break;
	case CORE_DERIVE:
		sasl_derive(a->talk);
		sasl_derived(a->talk, &r);
		break;
	case CORE_SAY:
	case CORE_TOKEN:
	case CORE_TICKET:
	case CORE_GRANT:
	case CORE_REFUSE:
	case CORE_WAIT: fail();
	}
	return core_act(a, &r);
}

/* One login from the start to the answer; the hash that a thread would compute is
 * counted. */
static enum core_step
login_over(struct world *w, uint8_t mechanism, bool tls, struct view name,
	struct view response, uint64_t now_ms, struct attempt **ret)
{
	struct msg_login m = {.session = 9,
		.mechanism = mechanism,
		.tls = tls,
		.address = {address, 16},
		.port = 99,
		.name = name,
		.response = response};
	const struct sasl_facts facts = {
		.mechanism = (enum mechanism)mechanism, .name = name};
	struct attempt *a = calloc(1, sizeof(*a));
	struct sasl_result r = {0};

	assert_true(core_login_is_valid(&m));
	core_attempt_init(a, NULL, &m);
	a->talk = sasl_begin(w->sasl, &facts);
	assert_non_null(a->talk);
	sasl_start(a->talk, true, response, &r);
	enum core_step step = core_act(a, &r);
	while (step != CORE_GRANT && step != CORE_REFUSE)
		step = one_step(w, a, step, now_ms);
	if (step == CORE_GRANT)
		step = core_permit(&w->core, a, now_ms);
	if (ret)
		*ret = a;
	else
		done(a);
	return step;
}

static enum core_step
login(struct world *w, uint8_t mechanism, struct view name, struct view response,
	uint64_t now_ms, struct attempt **ret)
{
	return login_over(w, mechanism, true, name, response, now_ms, ret);
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
	struct msg_grant g = core_grant(&w.core, a, 77);
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
	done(a);
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
	assert_int_equal(core_grant(&w.core, a, 77).rights, RIGHT_READ);
	done(a);
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
	done(a);
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
		done(a);
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
	*ret = one_step(w, a, CORE_WALK, 1);
	return a;
}

static const struct {
	const char *name;
	const char *user; /* NULL: refused with code */
	enum refusal code;
} recipients[] = {
	{"ann", "ann", 0},
	{"ann@example.org", "ann", 0},
	{"ann+lists@example.org", "ann", 0},
	{"ann+a+b", "ann", 0},
	{"ann@a@b", NULL, REFUSAL_NO_USER},
	{"Ann", NULL, REFUSAL_NO_USER},
	/* A locked password is no reason to bounce mail. */
	{"bob@example.org", "bob@example.org", 0},
	{"bob+x@example.org", "bob@example.org", 0},
	/* RFC 5321 s.2.4: a domain in any case; else another user gets it. */
	{"bob@EXAMPLE.org", "bob@example.org", 0},
	{"bob+X@Example.Org", "bob@example.org", 0},
	{"eve@EXAMPLE.ORG", "eve@example.org", 0},
	{"eve+x@Example.org", "eve@example.org", 0},
	{"eve@example.com", "eve", 0},
	{"Bob@example.org", NULL, REFUSAL_NO_USER},
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

static void
a_recipient_is_looked_up_with_its_detail_and_without_its_domain(void **state)
{
	(void)state;
	struct world w = world_of("ann:{PLAIN}x\nbob@example.org:*\n"
				  "eve@example.org:*\neve:*\nodd+one:{PLAIN}x\n"
				  "postmaster:!\n+:{PLAIN}x\nbox:x:::::"
				  ":userdb_mail=mbox:/m/%u\nbad:{PLAIN}x:::::"
				  ":userdb_mail=mh:/x\nodd:{PLAIN}x:0\n");
	enum core_step step;

	w.core.delimiter = '+';
	for (size_t i = 0; i < ARRAY_SIZE(recipients); i++) {
		struct attempt *a = lookup(&w, recipients[i].name, &step);
		if ((step == CORE_GRANT) != (recipients[i].user != NULL))
			fail_msg("%s", recipients[i].name);
		if (step == CORE_GRANT) {
			struct msg_grant g = core_grant(&w.core, a, 77);
			assert_int_equal(g.rights, RIGHT_DELIVER);
			assert_int_equal(g.user.n, strlen(recipients[i].user));
			assert_memory_equal(g.user.p, recipients[i].user, g.user.n);
			assert_int_equal(g.address.n, 16);
			assert_int_equal(g.store,
				strcmp(recipients[i].user, "box") == 0 ? STORE_MBOX
								       : STORE_MAILDIR);
		} else {
			assert_int_equal(step, CORE_REFUSE);
			assert_int_equal(a->code, recipients[i].code);
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
	done(a);
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
	done(a);
	/* It fails where the hash is computed, not where it is compared. */
	struct msg_login m = {.mechanism = MECHANISM_PASS, .address = {address, 16}};
	const struct sasl_facts facts = {
		.mechanism = MECHANISM_PASS, .name = VIEW("bob")};
	struct sasl_result r = {0};
	a = calloc(1, sizeof(*a));
	core_attempt_init(a, NULL, &m);
	a->talk = sasl_begin(w.sasl, &facts);
	sasl_start(a->talk, true, VIEW("other"), &r);
	assert_int_equal(core_act(a, &r), CORE_WALK);
	assert_int_equal(one_step(&w, a, CORE_WALK, 1), CORE_QUEUE);
	a->answer = SCHEME_FAILED;
	core_settle(&w.core, a, 1);
	assert_int_equal(one_step(&w, a, CORE_ANSWER, 1), CORE_REFUSE);
	assert_int_equal(a->code, REFUSAL_TEMPORARY);
	done(a);
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
	m.mechanism = MECHANISMS_END - 1;
	assert_true(core_login_is_valid(&m));
	m.mechanism = MECHANISMS_END;
	assert_false(core_login_is_valid(&m));
	m.mechanism = MECHANISM_PASS;
	m.certificate = (struct view){address, 16};
	assert_false(core_login_is_valid(&m));
	m.certificate.n = 0;
	m.binding_kind = BINDING_TLS_UNIQUE + 1;
	assert_false(core_login_is_valid(&m));
	m.binding_kind = 0;
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

static bool
is_even(const struct queue_item *item, void *context)
{
	return (item - (const struct queue_item *)context) % 2 == 0;
}

static void
what_is_wanted_is_taken_out_of_the_middle(void **state)
{
	(void)state;
	struct queue q;
	struct queue_lane a = {0}, b = {0};
	struct queue_item items[6];
	queue_init(&q, 16);
	/* a: 1 0 3, b: 5 2 */
	static const int of_a[] = {1, 0, 3}, of_b[] = {5, 2};
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(queue_put(&q, &a, &items[of_a[i]]), QUEUE_TAKEN);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(queue_put(&q, &b, &items[of_b[i]]), QUEUE_TAKEN);
	assert_null(queue_take_if(&q, is_even, items, 1));
	assert_ptr_equal(queue_take_if(&q, is_even, items, 9), &items[0]);
	assert_ptr_equal(queue_take_if(&q, is_even, items, 9), &items[2]);
	assert_null(queue_take_if(&q, is_even, items, 9));
	assert_int_equal(q.n, 3);
	queue_remove(&q, &b, &items[5]);
	queue_remove(&q, &a, &items[3]);
	assert_int_equal(q.n, 1);
	assert_ptr_equal(queue_take(&q), &items[1]);
	assert_null(queue_take(&q));
	assert_null(queue_take_if(&q, is_even, items, 9));
	assert_null(q.served);
}

static void
reasons_of_a_refusal(void **state)
{
	static const struct {
		enum attempt_found found;
		const char *ours, *theirs, *is;
	} rows[] = {
		{FOUND_USER, "password", "password", "password"},
		{FOUND_USER, "password", "another binding", "another binding"},
		{FOUND_USER, "password", NULL, "password"},
		{FOUND_NOBODY, "unknown_user", "password", "unknown_user"},
		{FOUND_CANNOT, "cannot_log_in", "password", "cannot_log_in"},
		{FOUND_USER, NULL, "malformed name", "malformed name"},
		{FOUND_USER, NULL, NULL, "wrong"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct attempt a = {.found = rows[i].found, .reason = rows[i].ours};
		const struct sasl_result r = {.act = SASL_NO, .reason = rows[i].theirs};

		assert_int_equal(core_act(&a, &r), CORE_REFUSE);
		assert_int_equal(a.code, REFUSAL_CREDENTIALS);
		assert_string_equal(a.reason, rows[i].is);
	}
}

static void
policy_is_looked_at_after_the_right_password_only(void **state)
{
	(void)state;
	struct world w = world_of("bob:{PLAIN}x::::::tls=yes connections=2 expire=3\n"
				  "net:{PLAIN}x::::::allow_nets=10.0.0.0/8\n"
				  "off:{PLAIN}x::::::nologin\n");
	struct attempt *a;
	static const struct {
		struct view name;
		const char *reason;
	} rows[] = {
		{VIEW("bob"), "tls=yes: the user needs TLS"},
		{VIEW("net"), "allow_nets: not from this network"},
		{VIEW("off"), "nologin: the user may not log in"},
	};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(login_over(&w, MECHANISM_PASS, false, rows[i].name,
					 VIEW("x"), 1, &a),
			CORE_REFUSE);
		assert_int_equal(a->code, REFUSAL_POLICY);
		assert_string_equal(a->reason, rows[i].reason);
		done(a);
		assert_int_equal(login_over(&w, MECHANISM_PASS, false, rows[i].name,
					 VIEW("y"), 1, &a),
			CORE_REFUSE);
		assert_int_equal(a->code, REFUSAL_CREDENTIALS);
		done(a);
	}
	assert_int_equal(
		login(&w, MECHANISM_PASS, VIEW("bob"), VIEW("x"), 1, &a), CORE_GRANT);
	struct msg_grant g = core_grant(&w.core, a, 77);
	assert_int_equal(g.connections, 2);
	assert_int_equal(g.expire_days, 3);
	done(a);
	world_done(&w);
}

static void
a_line_of_a_helper_counts_for_the_name_asked_for(void **state)
{
	(void)state;
	static const uint8_t sql[] = {BACKEND_SQL};
	static const struct users_options options = {
		.maildrop = {(const uint8_t *)"maildir:/srv/%u", 15}, .uid = 5, .gid = 6};
	struct world w = world_of("");
	struct attempt *a = calloc(1, sizeof(*a));
	assert_true(chain_set(&w.core.chain, (struct view){sql, 1}));
	a->want = WANT_CHECK;
	a->name = VIEW("bob");
	a->secret = VIEW("x");
	assert_false(core_take_line(&w.core, a, VIEW("ann:{PLAIN}x"), &options));
	assert_false(core_take_line(&w.core, a, VIEW("Bob:{PLAIN}x"), &options));
	assert_false(core_take_line(&w.core, a, VIEW(""), &options));
	assert_true(core_take_line(&w.core, a, VIEW("bob:{PLAIN}x"), &options));
	assert_int_equal(a->found, FOUND_USER);
	assert_false(a->checked_elsewhere);
	assert_true(core_take_line(&w.core, a, VIEW("bob:"), &options));
	assert_true(a->checked_elsewhere);
	/* What is wrong with it makes him one who cannot log in, password or not. */
	assert_true(core_take_line(&w.core, a, VIEW("bob::::::::tls=maybe"), &options));
	assert_int_equal(a->found, FOUND_CANNOT);
	assert_false(a->checked_elsewhere);
	assert_true(core_take_line(&w.core, a, VIEW("bob:!x"), &options));
	assert_int_equal(a->found, FOUND_CANNOT);
	free(a);
	world_done(&w);
}

static void
the_dummy_of_a_name_costs_what_its_database_costs(void **state)
{
	(void)state;
	static const uint8_t databases[] = {BACKEND_SYSTEM};
	struct world w = world_of("");
	struct attempt *a = calloc(1, sizeof(*a));
	a->want = WANT_CHECK;
	a->name = a->secret = VIEW("bob");
	/* Nothing is known yet: a file may hold hashes, PAM's are never seen. */
	assert_int_equal(core_found(&w.core, a, 3, 1), CORE_QUEUE);
	assert_true(chain_set(&w.core.chain, (struct view){databases, 1}));
	assert_int_equal(core_found(&w.core, a, 3, 1), CORE_ANSWER);
	assert_int_equal(a->answer, SCHEME_NO);
	w.core.chain.backends[0] = BACKEND_SQL;
	assert_int_equal(core_found(&w.core, a, 3, 1), CORE_QUEUE);
	struct stored plain;
	struct view name;
	assert_int_equal(scheme_read(VIEW("{PLAIN}x"), &plain, &name), SCHEME_OK);
	census_add_recent(&w.core.census[BACKEND_SQL], &plain);
	assert_int_equal(core_found(&w.core, a, 3, 1), CORE_CHECK);
	free(a);
	world_done(&w);
}

static void
an_offer_holds_what_can_work(void **state)
{
	(void)state;
	struct world w = world_of("bob:" SLOW "\n");
	struct msg_auth_offer o = core_offer(&w.core, 0, 0);
	/* Without the function that tells there is nothing of the passwords in it. */
	assert_int_equal(o.mechanisms, 0);
	assert_int_equal(o.expire_days, 30);
	assert_int_equal(o.expire_differs, 0);
	o = core_offer(&w.core, 1U << BACKEND_KRB5 | 1U << BACKEND_OAUTH, 0);
	assert_int_equal(o.mechanisms,
		1U << MECHANISM_GSSAPI | 1U << MECHANISM_KPOP |
			1U << MECHANISM_OAUTHBEARER | 1U << MECHANISM_XOAUTH2);
	/* What a database was said to store, beside what it serves anyway. */
	static const uint8_t sql[] = {BACKEND_SQL};
	const uint32_t passwords =
		1U << MECHANISM_PASS | 1U << MECHANISM_PLAIN | 1U << MECHANISM_LOGIN;
	const uint32_t scram_1 =
		1U << MECHANISM_SCRAM_SHA_1 | 1U << MECHANISM_SCRAM_SHA_1_PLUS;
	const uint32_t scram_256 =
		1U << MECHANISM_SCRAM_SHA_256 | 1U << MECHANISM_SCRAM_SHA_256_PLUS;
	const struct chain file = w.core.chain;
	assert_true(chain_set(&w.core.chain, (struct view){sql, 1}));
	assert_int_equal(core_offer(&w.core, 0, 0).mechanisms, passwords);
	w.core.stores[BACKEND_SQL] = STORED_HASH;
	assert_int_equal(core_offer(&w.core, 0, 0).mechanisms, passwords);
	w.core.stores[BACKEND_SQL] = STORED_HASH | STORED_SCRAM_SHA_256;
	assert_int_equal(core_offer(&w.core, 0, 0).mechanisms, passwords | scram_256);
	w.core.stores[BACKEND_SQL] = STORED_SCRAM_SHA_1;
	assert_int_equal(core_offer(&w.core, 0, 0).mechanisms, passwords | scram_1);
	w.core.stores[BACKEND_SQL] = STORED_PLAIN;
	assert_int_equal(core_offer(&w.core, 0, 0).mechanisms,
		passwords | scram_1 | scram_256 | 1U << MECHANISM_CRAM_MD5 |
			1U << MECHANISM_APOP);
	w.core.chain = file;
	world_change(&w,
		"bob:" SLOW "::::::expire=9 login_delay=60\n"
		"ann:{PLAIN}x::::::expire=never certificate="
		"00112233445566778899aabbccddeeff"
		"00112233445566778899aabbccddeeff\n"
		"off:{PLAIN}x::::::nologin expire=1\n");
	o = core_offer(&w.core, 0, 0);
	assert_int_equal(o.mechanisms, 1U << MECHANISM_EXTERNAL);
	assert_int_equal(core_offer_for(o.mechanisms, 0), 0);
	assert_int_equal(core_offer_for(o.mechanisms, ASSERT_CERTIFICATE), o.mechanisms);
	assert_int_equal(o.expire_days, 9);
	assert_int_equal(o.expire_differs, 1);
	assert_int_equal(o.login_delay_s, 60);
	assert_int_equal(o.login_delay_differs, 1);
	world_done(&w);
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
	/* No file, or one that cannot be read: refused for a second. */
	watch_arrived(&copy, false, 5000);
	assert_int_equal(watch_login(&copy, NULL, 0, 5001, second), WATCH_REFUSE);
	assert_int_equal(watch_login(&copy, NULL, 0, 6000, second), WATCH_ASK);
	watch_arrived(&copy, true, 6001);
	watch_loaded(&copy, false, &st, second, 6002);
	assert_int_equal(watch_login(&copy, &st, 0, 6003, second), WATCH_REFUSE);
}

/* Read so soon after its change that another one might have the same stamp: once more
 * when that is over, where it takes long for each login meanwhile, and then no more. */
static void
a_change_of_the_same_stamp_is_seen(void **state)
{
	(void)state;
	static const uint64_t second = 1000000000, tick = WATCH_TICK_NS;
	static const uint64_t whole = WATCH_TICK_NS + WATCH_WHOLE_NS;
	static const struct {
		uint64_t mtime_ns, ctime_ns, settled_ns;
	} rows[] = {
		{1 * second + 1, 5 * second + 1, 5 * second + 1 + tick},
		/* No finer than a second, or than the two of FAT. */
		{5 * second, 5 * second, 5 * second + whole},
		{1 * second, 5 * second, 5 * second + whole},
		/* Where nothing keeps ctime. */
		{5 * second, 0, 5 * second + whole},
		{5 * second + 1, 1 * second, 5 * second + 1 + tick},
		/* An mtime that somebody set says nothing. */
		{9 * second, 5 * second + 1, 5 * second + 1 + tick},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stamp st = {1, 2, 1, 100, rows[i].mtime_ns, rows[i].ctime_ns};
		const uint64_t settled = rows[i].settled_ns;
		struct watch w = {0};
		watch_loaded(&w, true, &st, settled, 1);
		assert_int_equal(watch_login(&w, &st, 0, 2, settled + 1), WATCH_GO);
		watch_loaded(&w, true, &st, settled - 2, 1);
		struct watch copy = w;
		bool is_long = settled % second == tick;
		assert_int_equal(watch_login(&copy, &st, 0, 2, settled - 1),
			is_long ? WATCH_ASK : WATCH_GO);
		watch_loaded(&copy, true, &st, settled - 1, 4);
		/* He has waited for it. */
		assert_int_equal(watch_login(&copy, &st, 1, 4, settled - 1), WATCH_GO);
		assert_int_equal(watch_login(&copy, &st, 0, 5, settled), WATCH_ASK);
		watch_arrived(&copy, true, 6);
		watch_loaded(&copy, true, &st, settled, 7);
		assert_int_equal(watch_login(&copy, &st, 0, 8, settled + 1), WATCH_GO);
		assert_int_equal(
			watch_login(&copy, &st, 0, 8, settled + second), WATCH_GO);
	}
	/* A clock that is far ahead of ours does not make each login read. */
	struct stamp ahead = {1, 2, 1, 100, 90 * second, 90 * second};
	struct watch w = {0};
	watch_loaded(&w, true, &ahead, 5 * second, 1);
	assert_int_equal(watch_login(&w, &ahead, 0, 2, 6 * second), WATCH_GO);
	assert_int_equal(watch_login(&w, &ahead, 0, 2, 100 * second), WATCH_ASK);
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
		cmocka_unit_test(a_change_of_the_same_stamp_is_seen),
		cmocka_unit_test(what_is_wanted_is_taken_out_of_the_middle),
		cmocka_unit_test(reasons_of_a_refusal),
		cmocka_unit_test(policy_is_looked_at_after_the_right_password_only),
		cmocka_unit_test(a_line_of_a_helper_counts_for_the_name_asked_for),
		cmocka_unit_test(the_dummy_of_a_name_costs_what_its_database_costs),
		cmocka_unit_test(an_offer_holds_what_can_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
