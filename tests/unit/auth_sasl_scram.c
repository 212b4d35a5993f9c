/* SCRAM from one end to the other, GNU SASL's client being the other. */
#include "unit.h"

#include "auth_sasl_play.h"
#include "auth_sasl_scram_keys.h"

#include "base/check.h"

#include <string.h>

/* What a TLS connection might give: 32 octets, and what is another's. */
#define BINDING	      "0123456789abcdefghijklmnopqrstuv"
#define BINDING_TEXT  "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="
#define ANOTHERS_TEXT "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXc="

static const struct play_user plain = {.name = "anna", .stored = "{PLAIN}pencil"};

static const struct {
	enum mechanism mechanism, plus;
	const char *gsasl_name, *plus_gsasl_name;
	const char *keys; /* of "pencil" */
} kinds[] = {
	{MECHANISM_SCRAM_SHA_1, MECHANISM_SCRAM_SHA_1_PLUS, "SCRAM-SHA-1",
		"SCRAM-SHA-1-PLUS", KEYS_SHA_1},
	{MECHANISM_SCRAM_SHA_256, MECHANISM_SCRAM_SHA_256_PLUS, "SCRAM-SHA-256",
		"SCRAM-SHA-256-PLUS", KEYS_SHA_256},
};

static struct play_client
client_of(size_t kind, const char *name, const char *password)
{
	return (struct play_client){.mechanism = kinds[kind].mechanism,
		.gsasl_name = kinds[kind].gsasl_name,
		.name = name,
		.password = password};
}

static void
right_and_wrong(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct play_user users[] = {
			plain,
			{.name = "anna", .stored = kinds[i].keys},
		};
		for (size_t j = 0; j < ARRAY_SIZE(users); j++) {
			struct play_client c = client_of(i, "anna", "pencil");
			play(s, facts, &c, &users[j], &seen);
			assert_int_equal(seen.end, SASL_YES);
			assert_string_equal(seen.name, "anna");
			assert_true(seen.client_is_content); /* it knows the server too */
			assert_int_equal(seen.steps, 2);
			assert_memory_equal(seen.said[1], "v=", 2);
			c.authzid = "anna";
			play(s, facts, &c, &users[j], &seen);
			assert_int_equal(seen.end, SASL_YES);
			c.authzid = "boss";
			play(s, facts, &c, &users[j], &seen);
			assert_int_equal(seen.end, SASL_NO);
			assert_int_equal(seen.steps, 0);
			c = client_of(i, "anna", "pencils");
			play(s, facts, &c, &users[j], &seen);
			assert_int_equal(seen.end, SASL_NO);
			assert_int_equal(seen.steps, 1);
		}
	}
	sasl_free(&s);
}

/* Keys of the other hash, and hashes of other kinds, serve nobody, but look the same. */
static void
keys_that_do_not_serve(void **state)
{
	static const char *const stored[] = {
		KEYS_SHA_1, "$5$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0"};
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_client c = client_of(1, "anna", "pencil");
	struct play_seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		const struct play_user u = {.name = "anna", .stored = stored[i]};
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_NO);
		assert_int_equal(seen.steps, 1);
		assert_non_null(strstr(seen.said[0], ",i=4096"));
	}
	sasl_free(&s);
}

static const char *
salt_of(const struct play_seen *seen)
{
	const char *salt = strstr(seen->said[0], ",s=");

	assert_non_null(salt);
	return salt;
}

/* Unknown users: the same steps, lengths and rounds; a salt that stays the same. */
static void
unknown_users_look_the_same(void **state)
{
	static const char *const names[] = {"nobody", "b", "anna\xCC\x88", "\xFF\xFE",
		"\xF0\x9F\x98\x80", "../anna", "%u", "a\x01"};
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen known;
	struct play_seen seen;
	struct play_seen again;

	(void)state;
	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		const char *const stored[] = {"{PLAIN}pencil", kinds[kind].keys};
		for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
			const struct play_user u = {.name = "anna", .stored = stored[i]};
			struct play_client c = client_of(kind, "anna", "wrong");
			play(s, facts, &c, &u, &known);
			c = client_of(kind, names[0], "pencil");
			play(s, facts, &c, &u, &seen);
			play(s, facts, &c, &u, &again);
			assert_int_equal(seen.end, SASL_NO);
			assert_int_equal(seen.steps, known.steps);
			assert_int_equal(seen.said_n[0], known.said_n[0]);
			assert_string_equal(salt_of(&seen), salt_of(&again));
			assert_string_not_equal(salt_of(&seen), salt_of(&known));
			assert_string_equal(strstr(seen.said[0], ",i="),
				strstr(known.said[0], ",i="));
			c = client_of(kind, names[1], "pencil");
			play(s, facts, &c, &u, &again);
			assert_string_not_equal(salt_of(&seen), salt_of(&again));
		}
	}
	sasl_free(&s);
}

/* As a client that prepares nothing says them; `authcid` escaped. */
static void
say_first(struct sasl *s, const struct play_user *u, struct view name,
	struct sasl_result *ret, struct sasl_talk **ret_talk)
{
	struct sasl_facts facts = {.mechanism = MECHANISM_SCRAM_SHA_256};
	static uint8_t octets[12288];
	struct buf b = buf_over(octets, sizeof(octets));

	buf_put_str(&b, "n,,n=");
	buf_put_view(&b, name);
	buf_put_str(&b, ",r=rOprNGfwEbeRWgbNEkqO");
	assert_false(b.full);
	*ret_talk = sasl_begin(s, &facts);
	sasl_start(*ret_talk, true, buf_view(&b), ret);
	play_settle(*ret_talk, u, ret);
}

static void
names_that_cannot_be_are_just_wrong(void **state)
{
	static char longest[10001];
	memset(longest, 'a', sizeof(longest) - 1);
	const struct view names[] = {
		VIEW(""),
		VIEW("nobody"),
		VIEW("/etc/passwd"),
		VIEW(".."),
		VIEW("%s%n"),
		VIEW("an\0na"),
		VIEW("\xC3"),
		VIEW("\xC0\xAF"),
		VIEW("\xED\xA0\x80"),
		VIEW("\xF0\x9F\x98\x80"),
		VIEW("\xCD\xB8"),
		VIEW("a\x7F"),
		VIEW("=2C=3D"),
		{(const uint8_t *)longest, sizeof(longest) - 1},
	};
	struct sasl *s = play_sasl();
	size_t first_n = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct sasl_result r;
		struct sasl_talk *t;
		char final[256];
		say_first(s, &plain, names[i], &r, &t);
		assert_int_equal(r.act, SASL_SAY);
		first_n = i == 0 ? r.out.n : first_n;
		assert_int_equal(r.out.n, first_n);
		/* r=<both>,s=...: a proof that is none */
		const uint8_t *comma = memchr(r.out.p, ',', r.out.n);
		assert_non_null(comma);
		struct buf b = buf_over((uint8_t *) final, sizeof(final));
		buf_put_str(&b, "c=biws,");
		buf_put(&b, r.out.p, (size_t)(comma - r.out.p));
		buf_put_str(&b, ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
		sasl_heard(t, buf_view(&b), &r);
		assert_int_equal(r.act, SASL_NO);
		assert_string_equal(r.reason, "password");
		sasl_end(&t);
	}
	sasl_free(&s);
}

/* Two ways to write a name are one user: fullwidth letters, a soft hyphen, an escape. */
static void
names_are_prepared(void **state)
{
	static const struct {
		const char *said, *is;
	} names[] = {{"\xEF\xBC\xA1nna", "Anna"}, {"An\xC2\xADna", "Anna"},
		{"J\xC3\xBCrgen", "J\xC3\xBCrgen"}, {"Ju\xCC\x88rgen", "J\xC3\xBCrgen"},
		{"a,b=c", "a,b=c"}, {"a b", "a b"}};
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct play_user u = {.name = names[i].is, .stored = "{PLAIN}x"};
		struct play_client c = client_of(1, names[i].said, "x");
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_YES);
		assert_string_equal(seen.name, names[i].is);
	}
	sasl_free(&s);
}

static struct sasl_facts
bound(enum binding kind)
{
	return (struct sasl_facts){.mechanism = MECHANISM_PASS,
		.binding_kind = kind,
		.binding = VIEW(BINDING),
		.plus_offered = true};
}

static void
channel_binding(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_facts facts = bound(BINDING_TLS_EXPORTER);
	struct play_seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct play_user u = {.name = "anna", .stored = kinds[i].keys};
		struct play_client c = client_of(i, "anna", "pencil");
		c.mechanism = kinds[i].plus;
		c.gsasl_name = kinds[i].plus_gsasl_name;
		c.exporter = BINDING_TEXT;
		facts = bound(BINDING_TLS_EXPORTER);
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_YES);
		play(s, facts, &c, &plain, &seen);
		assert_int_equal(seen.end, SASL_YES);
		c.exporter = ANOTHERS_TEXT;
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_NO);
		assert_non_null(strstr(seen.reason, "in between"));
		assert_int_equal(seen.steps, 1);
		c.exporter = NULL;
		c.unique = BINDING_TEXT; /* the right octets under the wrong name */
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_NO);
		assert_int_equal(seen.steps, 0);
		facts = bound(BINDING_TLS_UNIQUE);
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_YES);
		facts.plus_offered = false;
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_BAD);
		facts = bound(BINDING_NONE);
		play(s, facts, &c, &u, &seen);
		assert_int_equal(seen.end, SASL_BAD);
	}
	sasl_free(&s);
}

/* The library's client does not go on in this case, so it is made to say it. */
static void
say_y(unsigned step, uint8_t *octets, size_t *n, size_t octets_max)
{
	(void)n;
	(void)octets_max;
	if (step == 0)
		octets[0] = 'y';
}

/* A client that could bind but saw no -PLUS says y: where it was offered, somebody took
 * it out. */
static void
downgrade(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_facts facts = bound(BINDING_TLS_EXPORTER);
	struct play_client c = client_of(1, "anna", "pencil");
	struct play_seen seen;

	(void)state;
	play(s, facts, &c, &plain, &seen); /* n: it cannot */
	assert_int_equal(seen.end, SASL_YES);
	c.alter = say_y;
	play(s, facts, &c, &plain, &seen);
	assert_int_equal(seen.end, SASL_NO);
	assert_int_equal(seen.steps, 0);
	assert_non_null(strstr(seen.reason, "in between"));
	/* Rightly so where it was not offered: it fails for its proof alone. */
	facts.plus_offered = false;
	play(s, facts, &c, &plain, &seen);
	assert_int_equal(seen.end, SASL_NO);
	assert_int_equal(seen.steps, 1);
	assert_string_equal(seen.reason, "password");
	sasl_free(&s);
}

static void
cut(unsigned step, uint8_t *octets, size_t *n, size_t octets_max)
{
	(void)octets;
	(void)octets_max;
	*n -= step == 1 ? 7 : 0;
}

static void
grow(unsigned step, uint8_t *octets, size_t *n, size_t octets_max)
{
	while (step == 1 && *n < octets_max)
		octets[(*n)++] = 'A';
}

static void
other_nonce(unsigned step, uint8_t *octets, size_t *n, size_t octets_max)
{
	(void)octets_max;
	const uint8_t *r = step == 1 ? memmem(octets, *n, ",r=", 3) : NULL;
	if (r)
		octets[r - octets + 5] ^= 1;
}

static void
add_at_end(unsigned step, uint8_t *octets, size_t *n, size_t octets_max)
{
	(void)octets_max;
	if (step == 2)
		octets[(*n)++] = 'x';
}

static void
empty(unsigned step, uint8_t *octets, size_t *n, size_t octets_max)
{
	(void)octets;
	(void)octets_max;
	*n = step == 1 ? 0 : *n;
}

static void
altered(void **state)
{
	static const struct {
		void (*alter)(unsigned, uint8_t *, size_t *, size_t);
		enum sasl_act end;
	} ways[] = {{cut, SASL_BAD}, {grow, SASL_BAD}, {other_nonce, SASL_NO},
		{add_at_end, SASL_BAD}, {empty, SASL_BAD}};
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct play_client c = client_of(1, "anna", "pencil");
		c.alter = ways[i].alter;
		play(s, facts, &c, &plain, &seen);
		assert_int_equal(seen.end, ways[i].end);
		c.name =
			"nobody"; /* the same end, unless it came to the very last step */
		play(s, facts, &c, &plain, &seen);
		assert_int_equal(
			seen.end, ways[i].alter == add_at_end ? SASL_NO : ways[i].end);
	}
	sasl_free(&s);
}

/* Wherever it is broken off, nothing is left (the sanitizer sees) and nobody is let in.
 */
static void
cancelled(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_SCRAM_SHA_256};
	struct sasl_result r;
	struct user user;

	(void)state;
	for (unsigned stop = 0; stop < 5; stop++) {
		struct sasl_talk *t = sasl_begin(s, &facts);
		if (stop > 0)
			sasl_start(t, stop > 1, VIEW("n,,n=anna,r=abcdef"), &r);
		if (stop > 2) {
			play_stored("{PLAIN}pencil", &user);
			sasl_user(t, true, &user, &r);
			assert_int_equal(r.act, SASL_DERIVE);
			sasl_derive(t);
		}
		if (stop > 3) {
			sasl_derived(t, &r);
			assert_int_equal(r.act, SASL_SAY);
		}
		sasl_end(&t);
		sasl_end(&t); /* of nothing: nothing */
	}
	sasl_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_and_wrong),
		cmocka_unit_test(keys_that_do_not_serve),
		cmocka_unit_test(unknown_users_look_the_same),
		cmocka_unit_test(names_that_cannot_be_are_just_wrong),
		cmocka_unit_test(names_are_prepared),
		cmocka_unit_test(channel_binding),
		cmocka_unit_test(downgrade),
		cmocka_unit_test(altered),
		cmocka_unit_test(cancelled),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
