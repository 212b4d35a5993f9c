/*
 * What a login costs auth: from the LOGIN that a front sent to the GRANT for the monitor,
 * system calls left out. As a test it holds that both ways are right and that the cached
 * one computes no hash. tests/e2e/test_instructions.py runs it under callgrind:
 *
 *     auth_cost plain|cached LOGINS
 */
#include "unit.h"

#include "auth/apop.h"
#include "auth/core.h"
#include "auth/mac.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "secret", as `restante passwd` makes it, with a cheaper cost. */
#define YESCRYPT                                                                         \
	"$y$j75$Qs3HKkz1xSIM01cVYsNXW/$RIswalesl/kNBSVEn84u9JpCmeq0GJ8h79ZsC6Lepd5"

static const uint8_t key[32] = {7, 1};

struct world {
	struct core core;
	struct users *users;
	struct scheme_work *work;
	struct sasl *sasl;
	struct apop *apop;
	size_t hashes;
};

static struct users *
users_of(const char *stored)
{
	static const struct users_options options = {
		.maildrop = {(const uint8_t *)"maildir:/srv/mail/%u", 20},
		.uid = 1000,
		.gid = 1000};
	char text[32 * 200];
	size_t n = 0;

	for (int i = 0; i < 32; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
			"u%04d:%s:64999:64999::/srv/mail/u%04d::\n", i, stored, i);
	uint8_t *octets = malloc(n);
	assert_non_null(octets);
	memcpy(octets, text, n);
	struct users *u = users_new(octets, n, &options, key);
	assert_non_null(u);
	return u;
}

static void
world_make(struct world *w, const char *stored)
{
	static const struct defence_options defence = {.failure_delay_ms = 1};
	static const uint8_t databases[] = {BACKEND_FILE};

	*w = (struct world){.users = users_of(stored)};
	w->work = scheme_work_new();
	w->sasl = sasl_new(VIEW("pop.example.org"), VIEW(""), key);
	w->apop = apop_new(key, VIEW("pop.example.org"));
	assert_non_null(w->sasl);
	assert_non_null(w->apop);
	w->core = (struct core){.users = w->users,
		.cache_mac = mac_new(key),
		.cache = calloc(1, sizeof(struct cache)),
		.defence = defence_new(&defence, key)};
	assert_non_null(w->core.cache);
	w->core.cache->life_ms = 600000;
	assert_true(chain_set(&w->core.chain, (struct view){databases, 1}));
	for (size_t i = 0; i < BACKENDS_END; i++)
		census_init(&w->core.census[i],
			calloc(CENSUS_CLASSES_MAX, sizeof(struct census_class)));
	census_default(&w->core.census[BACKEND_FILE]);
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
	apop_free(&w->apop);
	mac_free(&w->core.cache_mac);
	free(w->core.cache);
}

static enum core_step
verify(struct world *w, struct attempt *a)
{
	a->answer = scheme_verify(&a->user.stored, a->secret, w->work);
	core_settle(&w->core, a, 1);
	return CORE_ANSWER;
}

/* What the process does with a step (auth_login.c), without a process. */
static enum core_step
one_step(struct world *w, struct attempt *a, enum core_step step)
{
	struct sasl_result r = {0};

	switch (step) {
	case CORE_WALK:
		assert_int_equal(core_ask_file(&w->core, a), CORE_FILE_HAS);
		return core_found(&w->core, a, mac_number(key, a->name), 1);
	case CORE_QUEUE: w->hashes++; return verify(w, a);
	case CORE_CHECK: return verify(w, a);
	case CORE_ANSWER: sasl_checked(a->talk, a->answer, &r); break;
	case CORE_USER:
	case CORE_DERIVE:
	case CORE_SAY:
	case CORE_TOKEN:
	case CORE_TICKET:
	case CORE_GRANT:
	case CORE_REFUSE:
	case CORE_WAIT: fail();
	}
	return core_act(a, &r);
}

static void
grant(struct world *w, struct attempt *a)
{
	uint8_t octets[2560];
	struct buf b = buf_over(octets, sizeof(octets));

	assert_int_equal(core_permit(&w->core, a, 1), CORE_GRANT);
	struct msg_grant g = core_grant(&w->core, a, 77);
	msg_grant_put(&g, &b);
	assert_false(b.full);
}

static void
login(struct world *w, struct view message)
{
	struct attempt *a = calloc(1, sizeof(*a));
	struct sasl_result r = {0};
	struct msg_login m;
	struct view payload;
	uint8_t octets[APOP_STAMP_MAX];
	struct buf stamp = buf_over(octets, sizeof(octets));

	assert_non_null(a);
	assert_int_equal(message_number(message, &payload), MSG_LOGIN);
	assert_true(msg_login_get(&m, payload) && core_login_is_valid(&m));
	const struct sasl_facts facts = {
		.mechanism = (enum mechanism)m.mechanism, .name = m.name};
	assert_false(apop_take(w->apop, 1, 2, &stamp));
	core_attempt_init(a, NULL, &m);
	a->talk = sasl_begin(w->sasl, &facts);
	assert_non_null(a->talk);
	sasl_start(a->talk, true, m.response, &r);
	enum core_step step = core_act(a, &r);
	while (step != CORE_GRANT && step != CORE_REFUSE)
		step = one_step(w, a, step);
	assert_int_equal(step, CORE_GRANT);
	grant(w, a);
	sasl_end(&a->talk);
	explicit_bzero(a, sizeof(*a));
	free(a);
}

static struct view
message_of(uint8_t octets[256], const char *name)
{
	static const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, [12] = 192};
	struct buf b = buf_over(octets, 256);
	struct msg_login m = {.session = 9,
		.mechanism = MECHANISM_PASS,
		.tls = 1,
		.address = {address, sizeof(address)},
		.port = 99,
		.name = {(const uint8_t *)name, strlen(name)},
		.response = VIEW("secret"),
		.has_response = 1,
		.id = 5};

	msg_login_put(&m, &b);
	assert_false(b.full);
	return buf_view(&b);
}

static size_t
logins(const char *stored, size_t n)
{
	uint8_t octets[256];
	struct world w;

	world_make(&w, stored);
	struct view message = message_of(octets, "u0017");
	for (size_t i = 0; i < n; i++)
		login(&w, message);
	size_t hashes = w.hashes;
	world_done(&w);
	return hashes;
}

static void
a_plain_password_needs_no_slow_hash(void **state)
{
	(void)state;
	assert_int_equal(logins("{PLAIN}secret", 3), 0);
}

static void
a_remembered_one_is_computed_once(void **state)
{
	(void)state;
	assert_int_equal(logins(YESCRYPT, 3), 1);
}

static int
cost(const char *which, const char *times)
{
	bool cached = strcmp(which, "cached") == 0;
	size_t n = strtoul(times, NULL, 10);
	size_t hashes = logins(cached ? YESCRYPT : "{PLAIN}secret", n);

	return hashes == (cached ? 1 : 0) ? 0 : 1;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_password_needs_no_slow_hash),
		cmocka_unit_test(a_remembered_one_is_computed_once),
	};
	if (argc == 3)
		return cost(argv[1], argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
