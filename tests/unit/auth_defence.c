#include "unit.h"

#include "auth/defence.h"
#include "auth/policy.h"
#include "auth/refusals.h"
#include "auth/unseen.h"
#include "ipc/mechanism.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t key[16] = {1, 2, 3};
static const uint8_t here[16] = {[10] = 0xFF, 0xFF, 192, 0, 2, 1};
static const uint8_t there[16] = {[10] = 0xFF, 0xFF, 198, 51, 100, 1};
static const uint8_t v6_a[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
static const uint8_t v6_b[16] = {0x20, 1, 0xd, 0xb8, [8] = 9, [15] = 2};
static const uint8_t v6_other[16] = {0x20, 1, 0xd, 0xb8, [7] = 1, [15] = 1};

#define BOB VIEW("bob")
#define DAY ((uint64_t)24 * 3600 * 1000)

static struct defence *
defence(uint32_t delay_ms, bool growing, struct view trusted)
{
	const struct defence_options o = {.failure_delay_ms = delay_ms,
		.growing = growing,
		.logins_burst = 3,
		.trusted = trusted};
	struct defence *d = defence_new(&o, key);

	assert_non_null(d);
	return d;
}

static void
address_of(uint32_t i, uint8_t ret[16])
{
	memcpy(ret, here, 16);
	for (int at = 0; at < 4; at++)
		ret[12 + at] = (uint8_t)(i >> (24 - 8 * at));
}

static void
a_network_waits_longer_with_each_failure_and_others_do_not(void **state)
{
	(void)state;
	struct defence *d = defence(1000, true, VIEW(""));
	assert_int_equal(defence_failed(d, here, BOB, 1000), 1000);
	assert_int_equal(defence_failed(d, here, VIEW("x"), 1000), 2000);
	assert_int_equal(defence_failed(d, here, BOB, 1000), 4000);
	for (int i = 0; i < 100; i++)
		assert_true(defence_failed(d, here, VIEW("y"), 1000) <= 30000);
	assert_int_equal(defence_failed(d, here, BOB, 1000), 30000);
	assert_int_equal(defence_failed(d, there, BOB, 1000), 1000);
	/* It is forgotten. */
	assert_int_equal(defence_failed(d, here, BOB, 1000 + DAY), 1000);
	defence_free(&d);
	assert_null(d);
	d = defence(500, false, VIEW(""));
	for (int i = 0; i < 20; i++)
		assert_int_equal(defence_failed(d, here, VIEW("y"), 1000), 500);
	defence_free(&d);
	d = defence(0, true, VIEW(""));
	for (int i = 0; i < 20; i++)
		assert_int_equal(defence_failed(d, here, VIEW("y"), 1000), 0);
	defence_free(&d);
}

static void
a_network_is_an_address_or_64_bits(void **state)
{
	(void)state;
	struct defence *d = defence(1000, true, VIEW(""));
	assert_int_equal(defence_failed(d, v6_a, BOB, 1), 1000);
	assert_int_equal(defence_failed(d, v6_b, BOB, 1), 2000);
	assert_int_equal(defence_failed(d, v6_other, BOB, 1), 1000);
	defence_free(&d);
}

static void
an_account_slows_strangers_only(void **state)
{
	(void)state;
	struct defence *d = defence(1000, true, VIEW(""));
	uint8_t from[16];
	uint32_t network, account;
	bool known;

	assert_true(defence_succeeded(d, there, BOB, 0, 1));
	for (uint32_t i = 0; i < 40; i++) {
		address_of(0x0A000000 + i, from);
		uint32_t delay = defence_failed(d, from, BOB, 100);
		assert_int_equal(delay, i < 11 ? 1000 : delay);
		assert_true(i < 20 || delay == 30000);
	}
	/* From where he logs in he is known, and waits for his own slips alone. */
	assert_int_equal(defence_failed(d, there, BOB, 100), 1000);
	assert_int_equal(defence_lane(d, there, BOB, 100), DEFENCE_KNOWN);
	address_of(0x0B000000, from);
	/* Elsewhere he comes before those who guess. */
	assert_int_equal(defence_lane(d, from, BOB, 100), DEFENCE_STRANGE);
	assert_int_equal(defence_lane(d, from, VIEW("ann"), 100), DEFENCE_UNKNOWN);
	for (int i = 0; i < 3; i++)
		(void)defence_failed(d, from, VIEW("ann"), 100);
	assert_int_equal(defence_lane(d, from, BOB, 100), DEFENCE_SUSPECT);
	address_of(0x0C000000, from);
	defence_look(d, from, BOB, 100, &network, &account, &known);
	assert_int_equal(network, 0);
	assert_int_equal(account, 40);
	assert_false(known);
	defence_look(d, there, BOB, 100, &network, &account, &known);
	assert_true(known);
	defence_free(&d);
}

static void
known_is_known_for_thirty_days(void **state)
{
	(void)state;
	struct defence *d = defence(1, true, VIEW(""));
	assert_int_equal(defence_lane(d, here, BOB, 5), DEFENCE_UNKNOWN);
	assert_true(defence_succeeded(d, here, BOB, 0, 5));
	assert_int_equal(defence_lane(d, here, BOB, 29 * DAY), DEFENCE_KNOWN);
	assert_int_equal(defence_lane(d, here, VIEW("ann"), 29 * DAY), DEFENCE_UNKNOWN);
	assert_int_equal(defence_lane(d, there, BOB, 29 * DAY), DEFENCE_UNKNOWN);
	assert_int_equal(defence_lane(d, here, BOB, 31 * DAY), DEFENCE_UNKNOWN);
	defence_free(&d);
}

static void
who_guesses_is_hashed_last(void **state)
{
	(void)state;
	struct defence *d = defence(1, true, VIEW(""));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(defence_lane(d, here, VIEW("x"), 1), DEFENCE_UNKNOWN);
		(void)defence_failed(d, here, VIEW("y"), 1);
	}
	assert_int_equal(defence_lane(d, here, VIEW("x"), 1), DEFENCE_SUSPECT);
	/* One right password there makes no other guess better, but that user known. */
	assert_true(defence_succeeded(d, here, BOB, 0, 1));
	assert_int_equal(defence_lane(d, here, BOB, 1), DEFENCE_KNOWN);
	assert_int_equal(defence_lane(d, here, VIEW("x"), 1), DEFENCE_SUSPECT);
	defence_free(&d);
}

static void
what_was_not_checked_waits_as_long_and_does_not_count(void **state)
{
	(void)state;
	struct defence *d = defence(1000, true, VIEW(""));
	uint8_t from[16];

	for (int i = 0; i < 5; i++)
		assert_int_equal(defence_unchecked(d, here, BOB, 1), 1000);
	for (int i = 0; i < 3; i++)
		(void)defence_failed(d, here, BOB, 1);
	assert_int_equal(defence_unchecked(d, here, BOB, 1), 4000);
	assert_int_equal(defence_unchecked(d, there, BOB, 1), 1000);
	assert_int_equal(defence_failed(d, here, BOB, 1), 8000);
	for (uint32_t i = 0; i < 40; i++) {
		address_of(i, from);
		(void)defence_failed(d, from, BOB, 1);
	}
	/* What others guess is not his fault. */
	assert_int_equal(defence_unchecked(d, there, BOB, 1), 1000);
	assert_true(defence_succeeded(d, here, BOB, 0, 1));
	assert_int_equal(defence_unchecked(d, here, BOB, 1), 1000);
	defence_free(&d);
}

static void
what_was_begun_and_left_counts_for_the_network_alone(void **state)
{
	(void)state;
	struct defence *d = defence(1000, true, VIEW(""));
	uint32_t network;
	uint32_t account;
	bool known;

	for (int i = 0; i < 3; i++)
		defence_abandoned(d, here, 1);
	defence_look(d, here, BOB, 1, &network, &account, &known);
	assert_int_equal(network, 3);
	assert_int_equal(account, 0);
	assert_int_equal(defence_lane(d, here, BOB, 1), DEFENCE_SUSPECT);
	assert_int_equal(defence_lane(d, there, BOB, 1), DEFENCE_UNKNOWN);
	/* Who is known there is not held up by it. */
	assert_true(defence_succeeded(d, here, BOB, 0, 1));
	assert_int_equal(defence_lane(d, here, BOB, 1), DEFENCE_KNOWN);
	defence_free(&d);
}

static void
failures_from_trusted_networks_do_not_count(void **state)
{
	(void)state;
	uint8_t network[17] = {[10] = 0xFF, 0xFF, 192, 0, 2, 0, 120};
	struct defence *d = defence(1000, true, (struct view){network, 17});
	for (int i = 0; i < 50; i++)
		assert_int_equal(defence_failed(d, here, BOB, 1), 1000);
	assert_int_equal(defence_lane(d, here, VIEW("x"), 1), DEFENCE_UNKNOWN);
	assert_int_equal(defence_failed(d, there, BOB, 1), 1000);
	assert_int_equal(defence_failed(d, there, BOB, 1), 2000);
	defence_free(&d);
}

static void
a_bucket_lets_a_burst_through_and_then_so_many_a_minute(void **state)
{
	(void)state;
	struct defence *d = defence(1, true, VIEW(""));
	for (int i = 0; i < 3; i++)
		assert_true(defence_succeeded(d, here, BOB, 6, 1000));
	assert_false(defence_succeeded(d, here, BOB, 6, 1000));
	/* From wherever, for it is of the user; and of no other user. */
	assert_false(defence_succeeded(d, there, BOB, 6, 1001));
	assert_true(defence_succeeded(d, here, VIEW("ann"), 6, 1001));
	assert_true(defence_succeeded(d, here, BOB, 0, 1001));
	/* Six a minute: one in ten seconds. */
	assert_false(defence_succeeded(d, here, BOB, 6, 10500));
	assert_true(defence_succeeded(d, here, BOB, 6, 11100));
	assert_false(defence_succeeded(d, here, BOB, 6, 11200));
	for (int i = 0; i < 3; i++)
		assert_true(defence_succeeded(d, here, BOB, 6, 100 * DAY));
	assert_false(defence_succeeded(d, here, BOB, 6, 100 * DAY));
	defence_free(&d);
}

static void
a_flood_of_networks_takes_no_more_room(void **state)
{
	(void)state;
	struct defence *d = defence(1, true, VIEW(""));
	uint8_t from[16];

	assert_true(defence_succeeded(d, there, BOB, 0, 1000000));
	for (uint32_t i = 0; i < 200000; i++) {
		uint8_t name[4];
		address_of(i, from);
		memcpy(name, from + 12, 4);
		(void)defence_failed(d, from, (struct view){name, 4}, 1000001 + i);
	}
	/* Guesses do not push out who is known, and the latest networks still count. */
	assert_int_equal(defence_lane(d, there, BOB, 2000000), DEFENCE_KNOWN);
	assert_int_equal(defence_failed(d, from, VIEW("z"), 1200001), 2);
	defence_free(&d);
}

static void
many_users_are_known_at_once(void **state)
{
	(void)state;
	struct defence *d = defence(1, true, VIEW(""));
	const uint32_t users = 20000;
	uint8_t from[16], name[4];
	uint32_t forgotten = 0;

	for (uint32_t i = 0; i < 2 * users; i++) {
		uint32_t user = i % users;
		address_of(user, from);
		memcpy(name, from + 12, 4);
		if (i < users)
			assert_true(defence_succeeded(
				d, from, (struct view){name, 4}, 0, 1000 + i));
		else if (defence_lane(d, from, (struct view){name, 4}, 50000) !=
			DEFENCE_KNOWN)
			forgotten++;
	}
	assert_int_equal(forgotten, 0);
	address_of(users, from);
	memcpy(name, from + 12, 4);
	assert_int_equal(
		defence_lane(d, from, (struct view){name, 4}, 50000), DEFENCE_UNKNOWN);
	defence_free(&d);
}

static void
a_refusal_is_found_by_its_id_and_its_name(void **state)
{
	(void)state;
	struct refusals *r = refusals_new();
	struct refusal_record one = {.id = 7, .code = 1, .reason = "a", .name_n = 3};

	assert_non_null(r);
	assert_null(refusals_find(r, 0));
	assert_null(refusals_find(r, 7));
	assert_null(refusals_of(r, BOB, 0));
	memcpy(one.name, "bob", 3);
	refusals_put(r, &one);
	one.reason = "b";
	refusals_put(r, &one);
	assert_string_equal(refusals_find(r, 7)->reason, "b");
	assert_string_equal(refusals_of(r, BOB, 0)->reason, "b");
	assert_string_equal(refusals_of(r, BOB, 1)->reason, "a");
	assert_null(refusals_of(r, BOB, 2));
	assert_null(refusals_of(r, VIEW("bo"), 0));
	assert_null(refusals_of(r, VIEW(""), 0));
	for (uint32_t i = 0; i < REFUSALS_MAX; i++) {
		struct refusal_record other = {.id = 1000 + i, .reason = "c"};
		refusals_put(r, &other);
	}
	assert_null(refusals_find(r, 7));
	assert_non_null(refusals_find(r, 1000));
	assert_non_null(refusals_find(r, 1000 + REFUSALS_MAX - 1));
	free(r);
}

static void
what_only_a_helper_knows_is_remembered_for_a_while(void **state)
{
	(void)state;
	struct unseen *u = unseen_new(60000);
	uint8_t mac[MAC_OCTETS] = {5};
	struct view text = {NULL, 0};

	assert_non_null(u);
	assert_false(unseen_has(u, mac, 1, &text));
	unseen_put(u, mac, VIEW("bob:"), 0, 1);
	assert_false(unseen_has(u, mac, 1, &text));
	unseen_put(u, mac, VIEW("bob:"), 10, 1);
	assert_true(unseen_has(u, mac, 10000, &text));
	assert_memory_equal(text.p, "bob:", 4);
	assert_false(unseen_has(u, mac, 10001, &text));
	unseen_put(u, mac, VIEW("ann:"), 3600, 1);
	assert_true(unseen_has(u, mac, 60000, &text));
	assert_memory_equal(text.p, "ann:", 4);
	assert_false(unseen_has(u, mac, 60001, &text));
	mac[31] = 1;
	assert_false(unseen_has(u, mac, 2, &text));
	/* Five of one set: the one that ends first makes room. */
	for (uint8_t i = 0; i < UNSEEN_WAYS; i++) {
		mac[31] = (uint8_t)(10 + i);
		unseen_put(u, mac, VIEW("x"), 50, 100U + i);
	}
	mac[31] = 10 + UNSEEN_WAYS - 1;
	assert_true(unseen_has(u, mac, 200, &text));
	unseen_clear(u);
	assert_false(unseen_has(u, mac, 200, &text));
	free(u);
}

static void
a_network_of_policy_counts_its_bits(void **state)
{
	(void)state;
	struct user_policy p = {0};
	assert_int_equal(policy_put(&p, VIEW("allow_nets"), true,
				 VIEW("192.0.2.0/31,2001:db8::/61")),
		POLICY_READ);
	assert_int_equal(p.networks_n, 2);
	assert_true(network_has(p.networks[0], here));
	uint8_t next[16];
	memcpy(next, here, 16);
	next[15] = 2;
	assert_false(network_has(p.networks[0], next));
	assert_true(network_has(p.networks[1], v6_a));
	assert_true(network_has(p.networks[1], v6_other));
	memcpy(next, v6_other, 16);
	next[7] = 8;
	assert_false(network_has(p.networks[1], next));
	assert_int_equal(
		policy_put(&p, VIEW("allow_nets"), true, VIEW("::/0")), POLICY_READ);
	assert_true(network_has(p.networks[0], here));
}

static void
each_row_of_policy_forbids_what_it_says(void **state)
{
	(void)state;
	static const struct {
		struct view key, value;
		enum mechanism mechanism;
		bool tls, allowed;
	} rows[] = {
		{VIEW("nologin"), VIEW("yes"), MECHANISM_PLAIN, true, false},
		{VIEW("nologin"), VIEW("no"), MECHANISM_PLAIN, true, true},
		{VIEW("pop3"), VIEW("no"), MECHANISM_PLAIN, true, false},
		{VIEW("pop3"), VIEW("yes"), MECHANISM_PLAIN, true, true},
		{VIEW("tls"), VIEW("yes"), MECHANISM_PLAIN, false, false},
		{VIEW("tls"), VIEW("yes"), MECHANISM_PLAIN, true, true},
		{VIEW("tls"), VIEW("no"), MECHANISM_PLAIN, false, true},
		{VIEW("allow_nets"), VIEW("192.0.2.1"), MECHANISM_PLAIN, true, true},
		{VIEW("allow_nets"), VIEW("192.0.2.2"), MECHANISM_PLAIN, true, false},
		{VIEW("mechanisms"), VIEW("user,plain"), MECHANISM_PLAIN, true, true},
		{VIEW("mechanisms"), VIEW("user,plain"), MECHANISM_LOGIN, true, false},
		{VIEW("apop"), VIEW("yes"), MECHANISM_PLAIN, true, false},
		{VIEW("apop"), VIEW("yes"), MECHANISM_PASS, true, false},
		{VIEW("apop"), VIEW("yes"), MECHANISM_LOGIN, true, false},
		{VIEW("apop"), VIEW("yes"), MECHANISM_APOP, true, true},
		{VIEW("apop"), VIEW("yes"), MECHANISM_SCRAM_SHA_256, true, true},
		{VIEW("apop"), VIEW("no"), MECHANISM_APOP, true, false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct user_policy p = {0};
		const struct policy_login l = {.mechanism = rows[i].mechanism,
			.tls = rows[i].tls,
			.address = here};
		assert_int_equal(
			policy_put(&p, rows[i].key, true, rows[i].value), POLICY_READ);
		const char *why = policy_check(&p, &l);
		if ((why == NULL) != rows[i].allowed)
			fail_msg("row %zu: %s", i, why ? why : "allowed");
	}
	for (unsigned m = 1; m < MECHANISMS_END; m++) {
		const char *name = mechanism_name(m);
		assert_int_equal(policy_mechanism_of((struct view){
					 (const uint8_t *)name, strlen(name)}),
			m);
	}
	assert_string_equal(mechanism_name(0), "?");
	assert_string_equal(mechanism_name(MECHANISMS_END), "?");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_network_waits_longer_with_each_failure_and_others_do_not),
		cmocka_unit_test(a_network_is_an_address_or_64_bits),
		cmocka_unit_test(an_account_slows_strangers_only),
		cmocka_unit_test(known_is_known_for_thirty_days),
		cmocka_unit_test(many_users_are_known_at_once),
		cmocka_unit_test(who_guesses_is_hashed_last),
		cmocka_unit_test(what_was_not_checked_waits_as_long_and_does_not_count),
		cmocka_unit_test(what_was_begun_and_left_counts_for_the_network_alone),
		cmocka_unit_test(failures_from_trusted_networks_do_not_count),
		cmocka_unit_test(a_bucket_lets_a_burst_through_and_then_so_many_a_minute),
		cmocka_unit_test(a_flood_of_networks_takes_no_more_room),
		cmocka_unit_test(a_refusal_is_found_by_its_id_and_its_name),
		cmocka_unit_test(what_only_a_helper_knows_is_remembered_for_a_while),
		cmocka_unit_test(a_network_of_policy_counts_its_bits),
		cmocka_unit_test(each_row_of_policy_forbids_what_it_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
