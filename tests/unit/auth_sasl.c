/* Every mechanism but SCRAM, from one end to the other. */
#include "unit.h"

#include "auth_sasl_play.h"

#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

static const struct play_user plain = {.name = "anna", .stored = "{PLAIN}pencil"};
static const struct play_user hashed = {.name = "anna",
	.stored = "$5$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0"}; /* test */

static struct sasl_talk *
begin(struct sasl *s, enum mechanism m)
{
	const struct sasl_facts facts = {.mechanism = m};
	struct sasl_talk *t = sasl_begin(s, &facts);

	assert_non_null(t);
	return t;
}

/* One response, and who asks for whom then. */
static void
start(struct sasl *s, enum mechanism m, struct view response, const struct play_user *u,
	struct sasl_result *ret, struct sasl_talk **ret_talk)
{
	*ret_talk = begin(s, m);
	sasl_start(*ret_talk, true, response, ret);
	if (u)
		play_settle(*ret_talk, u, ret);
}

static void
with_the_library(void **state)
{
	static const struct {
		enum mechanism mechanism;
		const char *gsasl_name;
		unsigned steps;
	} kinds[] = {{MECHANISM_PLAIN, "PLAIN", 0}, {MECHANISM_LOGIN, "LOGIN", 2},
		{MECHANISM_CRAM_MD5, "CRAM-MD5", 1}};
	static const struct {
		const char *name, *password;
		enum sasl_act end;
	} tries[] = {{"anna", "pencil", SASL_YES}, {"anna", "pencils", SASL_NO},
		{"anna", "Pencil", SASL_NO}, {"nobody", "pencil", SASL_NO},
		{"anna ", "pencil", SASL_NO}, {"an/na", "pencil", SASL_NO}};
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen seen;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(tries); j++) {
			const struct play_client c = {.mechanism = kinds[i].mechanism,
				.gsasl_name = kinds[i].gsasl_name,
				.name = tries[j].name,
				.password = tries[j].password};
			play(s, facts, &c, &plain, &seen);
			assert_int_equal(seen.end, tries[j].end);
			assert_int_equal(seen.steps, kinds[i].steps);
			assert_string_equal(seen.asked, tries[j].name);
		}
		const struct play_client c = {.mechanism = kinds[i].mechanism,
			.gsasl_name = kinds[i].gsasl_name,
			.name = "anna",
			.password = "test"};
		play(s, facts, &c, &hashed, &seen);
		assert_int_equal(seen.end,
			kinds[i].mechanism == MECHANISM_CRAM_MD5 ? SASL_NO : SASL_YES);
	}
	sasl_free(&s);
}

static const struct {
	const char *said, *is; /* NULL: it cannot be anybody's */
} prepared[] = {
	{"anna", "anna"},
	{"\xEF\xBC\xA1nna", "Anna"},
	{"An\xC2\xADna", "Anna"},
	{"Ju\xCC\x88rgen", "J\xC3\xBCrgen"},
	{"a@b.example", "a@b.example"},
	{"../a", "../a"},
	{"%u", "%u"},
	{"\xF0\x9F\x98\x80", NULL},
	{"\xCD\xB8", NULL},
	{"\xFF", NULL},
	{"\xC0\xAF", NULL},
	{"\xED\xA0\x80", NULL},
	{"a\x01", NULL},
	{"a\x7F", NULL},
	{"\xC2\x80", NULL},
	{"\xD7\x90"
	 "1a",
		NULL},
};

/* The same name out of each mechanism, whatever it looks like. */
static void
names_are_the_same_everywhere(void **state)
{
	struct sasl *s = play_sasl();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prepared); i++) {
		const char *said = prepared[i].said;
		const char *is = prepared[i].is ? prepared[i].is : "";
		struct view name = {(const uint8_t *)said, strlen(said)};
		for (enum mechanism m = 1; m < MECHANISMS_END; m++) {
			static const uint8_t certificate[32];
			uint8_t octets[256];
			struct buf b = buf_over(octets, sizeof(octets));
			struct sasl_result r;
			const struct sasl_facts facts = {.mechanism = m,
				.name = name,
				.certificate = {certificate, 32},
				.stamp = VIEW("<1.2@x>")};
			struct sasl_talk *t = sasl_begin(s, &facts);
			switch (m) {
			case MECHANISM_PASS: buf_put_str(&b, "x"); break;
			case MECHANISM_APOP:
				buf_put_str(&b, "00112233445566778899aabbccddeeff");
				break;
			case MECHANISM_PLAIN:
				buf_put_u8(&b, 0);
				buf_put_view(&b, name);
				buf_put(&b, "\0x", 2);
				break;
			case MECHANISM_EXTERNAL:
			case MECHANISM_LOGIN: buf_put_view(&b, name); break;
			case MECHANISM_SCRAM_SHA_1:
			case MECHANISM_SCRAM_SHA_256:
				buf_put_str(&b, "n,,n=");
				buf_put_view(&b, name);
				buf_put_str(&b, ",r=a");
				break;
			case MECHANISM_CRAM_MD5:
				buf_put_view(&b, name);
				buf_put_str(&b, " 00112233445566778899aabbccddeeff");
				break;
			case MECHANISM_SCRAM_SHA_1_PLUS:
			case MECHANISM_SCRAM_SHA_256_PLUS:
			case MECHANISM_GSSAPI:
			case MECHANISM_OAUTHBEARER:
			case MECHANISM_XOAUTH2:
			case MECHANISM_KPOP:
			case MECHANISMS_END: sasl_end(&t); continue;
			}
			if (m == MECHANISM_CRAM_MD5) {
				sasl_start(t, false, VIEW(""), &r);
				sasl_heard(t, buf_view(&b), &r);
			} else {
				sasl_start(t, true, buf_view(&b), &r);
			}
			if (m == MECHANISM_LOGIN)
				sasl_heard(t, VIEW("x"), &r);
			assert_true(r.act == SASL_CHECK || r.act == SASL_USER);
			assert_true(view_equal(
				r.name, (struct view){(const uint8_t *)is, strlen(is)}));
			sasl_end(&t);
		}
	}
	sasl_free(&s);
}

/* Ten thousand octets, a NUL: nobody, and a password is checked all the same. */
static void
names_that_are_too_much(void **state)
{
	static uint8_t octets[10100];
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t;

	(void)state;
	for (size_t n = 255; n <= 10000; n += n < 257 ? 1 : 9743) {
		memset(octets + 1, 'a', sizeof(octets) - 1);
		octets[n + 1] = 0;
		start(s, MECHANISM_PLAIN, (struct view){octets, n + 5}, NULL, &r, &t);
		assert_int_equal(r.act, SASL_CHECK);
		assert_int_equal(r.name.n, n > 255 ? 0 : n);
		assert_int_equal(r.secret.n, 3);
		/* Even a check that went well lets nobody in who is nobody. */
		sasl_checked(t, SCHEME_YES, &r);
		assert_int_equal(r.act, n > 255 ? SASL_NO : SASL_YES);
		sasl_end(&t);
	}
	start(s, MECHANISM_LOGIN, VIEW("an\0na"), NULL, &r, &t);
	assert_int_equal(r.act, SASL_SAY);
	sasl_heard(t, VIEW("pencil"), &r);
	assert_int_equal(r.act, SASL_CHECK);
	assert_int_equal(r.name.n, 0);
	sasl_end(&t);
	sasl_free(&s);
}

static void
pass_as_such(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS, .name = VIEW("anna")};
	struct sasl_result r;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct sasl_talk *t = sasl_begin(s, &facts);
		sasl_start(t, false, VIEW("pass\0word"), &r);
		assert_int_equal(r.act, SASL_CHECK);
		assert_true(view_equal(r.secret, VIEW("pass\0word")));
		sasl_checked(t, (enum scheme_answer)i, &r);
		assert_int_equal(r.act,
			i == SCHEME_YES		 ? SASL_YES
				: i == SCHEME_NO ? SASL_NO
						 : SASL_LATER);
		sasl_end(&t);
	}
	sasl_free(&s);
}

static void
plain_that_is_none(void **state)
{
	const struct view wrong[] = {VIEW(""), VIEW("anna"), VIEW("\0anna"),
		VIEW("\0anna\0"), VIEW("\0\0pencil"), VIEW("boss\0anna\0pencil"),
		VIEW("\0an\0na\0pencil")};
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t;
	static const uint8_t longest[12289];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		start(s, MECHANISM_PLAIN, wrong[i], &plain, &r, &t);
		assert_int_equal(r.act, SASL_BAD);
		sasl_end(&t);
	}
	start(s, MECHANISM_PLAIN, VIEW("anna\0anna\0pencil"), &plain, &r, &t);
	assert_int_equal(r.act, SASL_YES);
	sasl_end(&t);
	start(s, MECHANISM_PLAIN, (struct view){longest, sizeof(longest)}, &plain, &r,
		&t);
	assert_int_equal(r.act, SASL_BAD);
	sasl_end(&t);
	/* The two-line form: an empty challenge first. */
	t = begin(s, MECHANISM_PLAIN);
	sasl_start(t, false, VIEW(""), &r);
	assert_int_equal(r.act, SASL_SAY);
	assert_int_equal(r.out.n, 0);
	sasl_heard(t, VIEW("\0anna\0pencil"), &r);
	play_settle(t, &plain, &r);
	assert_int_equal(r.act, SASL_YES);
	sasl_end(&t);
	sasl_free(&s);
}

static void
login_with_a_name_at_once(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t = begin(s, MECHANISM_LOGIN);

	(void)state;
	sasl_start(t, false, VIEW(""), &r);
	assert_true(view_equal(r.out, VIEW("Username:")));
	sasl_end(&t);
	start(s, MECHANISM_LOGIN, VIEW("anna"), NULL, &r, &t);
	assert_true(view_equal(r.out, VIEW("Password:")));
	sasl_heard(t, VIEW("pencil"), &r);
	play_settle(t, &plain, &r);
	assert_int_equal(r.act, SASL_YES);
	assert_true(view_equal(r.name, VIEW("anna")));
	sasl_end(&t);
	sasl_free(&s);
}

static void
cram(void **state)
{
	const struct view wrong[] = {VIEW(""), VIEW("anna"),
		VIEW("00112233445566778899aabbccddeeff"),
		VIEW(" 00112233445566778899aabbccddeeff"),
		VIEW("anna_00112233445566778899aabbccddeeff")};
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t;
	char first[64] = "";

	(void)state;
	start(s, MECHANISM_CRAM_MD5, VIEW(""), &plain, &r, &t);
	assert_int_equal(r.act, SASL_BAD);
	sasl_end(&t);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		t = begin(s, MECHANISM_CRAM_MD5);
		sasl_start(t, false, VIEW(""), &r);
		assert_int_equal(r.act, SASL_SAY);
		assert_true(r.out.n > 20 && r.out.n < sizeof(first));
		assert_memory_not_equal(r.out.p, first, r.out.n); /* never twice */
		memcpy(first, r.out.p, r.out.n);
		sasl_heard(t, wrong[i], &r);
		assert_int_equal(r.act, SASL_BAD);
		sasl_end(&t);
	}
	/* The library takes a password for a string: what is behind a NUL counts too. */
	const struct play_user nul = {.name = "anna", .stored = "{PLAIN.hex}610062"};
	const struct play_client c = {.mechanism = MECHANISM_CRAM_MD5,
		.gsasl_name = "CRAM-MD5",
		.name = "anna",
		.password = "a"};
	const struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen seen;
	play(s, facts, &c, &nul, &seen);
	assert_int_equal(seen.end, SASL_NO);
	sasl_free(&s);
}

static void
external(void **state)
{
	static const uint8_t his[32] = {1, 2, 3};
	static const uint8_t anothers[32] = {1, 2, 4};
	const struct play_user u = {
		.name = "anna", .stored = "{PLAIN}x", .certificate = his};
	struct sasl *s = play_sasl();
	struct sasl_result r;
	const struct {
		const uint8_t *certificate;
		size_t n;
		struct view name;
		enum sasl_act end;
	} tries[] = {{his, 32, VIEW("anna"), SASL_YES},
		{anothers, 32, VIEW("anna"), SASL_NO}, {his, 31, VIEW("anna"), SASL_NO},
		{his, 0, VIEW("anna"), SASL_NO}, {his, 32, VIEW(""), SASL_NO},
		{his, 32, VIEW("bert"), SASL_NO}, {his, 32, VIEW("\xFF"), SASL_NO}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		const struct sasl_facts facts = {.mechanism = MECHANISM_EXTERNAL,
			.certificate = {tries[i].certificate, tries[i].n}};
		struct sasl_talk *t = sasl_begin(s, &facts);
		sasl_start(t, true, tries[i].name, &r);
		play_settle(t, &u, &r);
		assert_int_equal(r.act, tries[i].end);
		sasl_end(&t);
	}
	sasl_free(&s);
}

static void
apop(void **state)
{
	const struct play_user u = {
		.name = "mrose", .stored = "{PLAIN}tanstaaf", .apop = true};
	const struct play_user without = {.name = "mrose", .stored = "{PLAIN}tanstaaf"};
	const struct play_user crypted = {
		.name = "mrose", .stored = hashed.stored, .apop = true};
	struct view stamp = VIEW("<1896.697170952@dbc.mtview.ca.us>");
	struct view digest = VIEW("c4c9334bac560ecc979e58001b3e22fb");
	struct sasl *s = play_sasl();
	struct sasl_result r;
	const struct {
		struct view name, stamp, digest;
		const struct play_user *user;
		enum sasl_act end;
	} tries[] = {{VIEW("mrose"), stamp, digest, &u, SASL_YES},
		{VIEW("mrose"), VIEW(""), digest, &u, SASL_NO},
		{VIEW("mrose"), VIEW("<1.2@x>"), digest, &u, SASL_NO},
		{VIEW("mrose"), stamp, VIEW("c4c9"), &u, SASL_NO},
		{VIEW("mrose"), stamp, VIEW("tanstaaf"), &u, SASL_NO},
		{VIEW("rose"), stamp, digest, &u, SASL_NO},
		{VIEW("\xFF"), stamp, digest, &u, SASL_NO},
		{VIEW("mrose"), stamp, digest, &without, SASL_NO},
		{VIEW("mrose"), stamp, digest, &crypted, SASL_NO}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		const struct sasl_facts facts = {.mechanism = MECHANISM_APOP,
			.name = tries[i].name,
			.stamp = tries[i].stamp};
		struct sasl_talk *t = sasl_begin(s, &facts);
		sasl_start(t, false, tries[i].digest, &r);
		play_settle(t, tries[i].user, &r);
		assert_int_equal(r.act, tries[i].end);
		sasl_end(&t);
	}
	sasl_free(&s);
}

#define BEARER(name) "n," name ",\001host=x\001auth=Bearer tok.en=\001\001"

static void
tokens(void **state)
{
	const struct {
		enum mechanism mechanism;
		struct view message, claimed;
		bool yes;
		struct view is; /* whose the identity provider says that it is */
		bool granted;
	} tries[] = {
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("a=anna")), VIEW("anna"), true,
			VIEW("anna"), true},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("a=a=2Cb")), VIEW("a,b"), true,
			VIEW("a,b"), true},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("")), VIEW(""), true, VIEW("anna"),
			true},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("a=anna")), VIEW("anna"), true,
			VIEW("bert"), false},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("a=anna")), VIEW("anna"), false,
			VIEW(""), false},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("")), VIEW(""), true, VIEW(""),
			false},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("")), VIEW(""), true, VIEW("\xFF"),
			false},
		/* a fullwidth a and a soft hyphen: users of their own to the provider,
		 * and anna to SASLprep */
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("")), VIEW(""), true,
			VIEW("\xEF\xBD\x81nna"), false},
		{MECHANISM_OAUTHBEARER, VIEW(BEARER("a=anna")), VIEW("anna"), true,
			VIEW("an\xC2\xADna"), false},
		{MECHANISM_XOAUTH2, VIEW("user=anna\001auth=Bearer tok.en=\001\001"),
			VIEW("anna"), true, VIEW("\xEF\xBD\x81nna"), false},
		{MECHANISM_XOAUTH2, VIEW("user=anna\001auth=Bearer tok.en=\001\001"),
			VIEW("anna"), true, VIEW("anna"), true},
		{MECHANISM_XOAUTH2, VIEW("user=anna\001auth=Bearer tok.en=\001\001"),
			VIEW("anna"), true, VIEW("bert"), false},
		{MECHANISM_XOAUTH2, VIEW("user=anna\001auth=Bearer tok.en=\001\001"),
			VIEW("anna"), false, VIEW("anna"), false},
	};
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		start(s, tries[i].mechanism, tries[i].message, NULL, &r, &t);
		assert_int_equal(r.act, SASL_TOKEN);
		assert_true(view_equal(r.name, tries[i].claimed));
		assert_true(view_equal(r.secret, VIEW("tok.en=")));
		sasl_named(t, tries[i].yes, tries[i].is, &r);
		if (tries[i].granted) {
			assert_int_equal(r.act, SASL_YES);
			assert_true(view_equal(r.name, tries[i].is));
		} else {
			assert_int_equal(r.act, SASL_SAY);
			assert_memory_equal(r.out.p, "{\"status\":\"", 11);
			assert_int_equal(r.out.p[r.out.n - 1], '}');
			/* whatever is said now */
			sasl_heard(t, i % 2 ? VIEW("\001") : tries[i].message, &r);
			assert_int_equal(r.act, SASL_NO);
		}
		sasl_end(&t);
	}
	start(s, MECHANISM_OAUTHBEARER, VIEW("n,,\001auth=Basic x\001\001"), NULL, &r,
		&t);
	assert_int_equal(r.act, SASL_BAD);
	sasl_end(&t);
	start(s, MECHANISM_OAUTHBEARER, VIEW(BEARER("a=\xFF")), NULL, &r, &t);
	assert_int_equal(r.act, SASL_SAY); /* the refusal: it was nobody's name */
	assert_memory_equal(r.out.p, "{\"status\":\"invalid_token\"", 25);
	sasl_end(&t);
	sasl_free(&s);
}

static void
tickets(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t;
	static const struct {
		enum ask_outcome outcome;
		enum sasl_act end;
	} ends[] = {{ANSWER_WRONG, SASL_NO}, {ANSWER_NO_USER, SASL_NO},
		{ANSWER_TEMPORARY, SASL_LATER}, {ANSWER_FOUND, SASL_LATER}};

	(void)state;
	start(s, MECHANISM_GSSAPI, VIEW("token"), NULL, &r, &t);
	assert_int_equal(r.act, SASL_TICKET);
	assert_true(view_equal(r.secret, VIEW("token")));
	sasl_ticket(t, ANSWER_CHALLENGE, VIEW("reply"), VIEW(""), &r);
	assert_int_equal(r.act, SASL_SAY);
	assert_true(view_equal(r.out, VIEW("reply")));
	sasl_heard(t, VIEW(""), &r);
	assert_int_equal(r.act, SASL_TICKET);
	sasl_ticket(t, ANSWER_CHALLENGE, VIEW("layers"), VIEW(""), &r);
	sasl_heard(t, VIEW("none"), &r);
	sasl_ticket(t, ANSWER_NAME, VIEW(""), VIEW("anna"), &r);
	assert_int_equal(r.act, SASL_YES);
	assert_true(view_equal(r.name, VIEW("anna")));
	sasl_end(&t);
	start(s, MECHANISM_GSSAPI, VIEW("token"), NULL, &r, &t);
	sasl_ticket(t, ANSWER_NAME, VIEW("last"), VIEW("anna"), &r);
	assert_int_equal(r.act, SASL_SAY);
	sasl_heard(t, VIEW(""), &r);
	assert_int_equal(r.act, SASL_YES);
	sasl_end(&t);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		start(s, i % 2 ? MECHANISM_GSSAPI : MECHANISM_KPOP, VIEW("x"), NULL, &r,
			&t);
		sasl_ticket(t, ends[i].outcome, VIEW("y"), VIEW("anna"), &r);
		assert_int_equal(r.act, ends[i].end);
		sasl_end(&t);
	}
	start(s, MECHANISM_GSSAPI, VIEW("x"), NULL, &r, &t);
	sasl_ticket(t, ANSWER_NAME, VIEW("y"), VIEW("\xFF"), &r);
	assert_int_equal(r.act, SASL_NO);
	sasl_end(&t);
	/* another principal than anna, whom SASLprep would make of it */
	start(s, MECHANISM_GSSAPI, VIEW("x"), NULL, &r, &t);
	sasl_ticket(t, ANSWER_NAME, VIEW(""), VIEW("\xEF\xBD\x81nna"), &r);
	assert_int_equal(r.act, SASL_NO);
	sasl_end(&t);
	sasl_free(&s);
}

static void
kpop(void **state)
{
	struct sasl *s = play_sasl();
	struct sasl_result r;
	struct sasl_talk *t;
	const struct {
		struct view ticket, user;
		enum sasl_act end;
	} tries[] = {{VIEW("anna"), VIEW("anna"), SASL_YES},
		{VIEW("anna"), VIEW("bert"), SASL_NO}, {VIEW("anna"), VIEW(""), SASL_NO},
		{VIEW(""), VIEW(""), SASL_NO}, {VIEW("\xFF"), VIEW("\xFF"), SASL_NO},
		{VIEW("\xEF\xBD\x81nna"), VIEW("anna"), SASL_NO},
		{VIEW("anna"), VIEW("\xEF\xBD\x81nna"), SASL_YES}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		start(s, MECHANISM_KPOP, VIEW("ap-req"), NULL, &r, &t);
		assert_int_equal(r.act, SASL_TICKET);
		sasl_ticket(t, ANSWER_NAME, VIEW("ap-rep"), tries[i].ticket, &r);
		assert_int_equal(r.act, SASL_SAY);
		assert_true(view_equal(r.out, VIEW("ap-rep")));
		sasl_heard(t, tries[i].user, &r);
		assert_int_equal(r.act, tries[i].end);
		sasl_end(&t);
		/* Or the helper keeps the name until it is said. */
		if (tries[i].ticket.n == 0)
			continue;
		start(s, MECHANISM_KPOP, VIEW("ap-req"), NULL, &r, &t);
		sasl_ticket(t, ANSWER_CHALLENGE, VIEW("ap-rep"), VIEW(""), &r);
		sasl_heard(t, tries[i].user, &r);
		if (r.act == SASL_TICKET)
			sasl_ticket(t, ANSWER_NAME, VIEW(""), tries[i].ticket, &r);
		assert_int_equal(r.act, tries[i].end);
		sasl_end(&t);
	}
	sasl_free(&s);
}

/* Unknown or not to be let in: the same steps, the same lengths, the same words. */
static void
unknown_users_look_the_same(void **state)
{
	static const char *const names[] = {"anna", "bert"};
	static const char *const libraries[] = {"CRAM-MD5", "LOGIN"};
	static const enum mechanism mechanisms[] = {MECHANISM_CRAM_MD5, MECHANISM_LOGIN};
	struct sasl *s = play_sasl();
	struct sasl_facts facts = {.mechanism = MECHANISM_PASS};
	struct play_seen seen;
	struct play_seen known = {.steps = 0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(libraries); i++)
		for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
			const struct play_client c = {.mechanism = mechanisms[i],
				.gsasl_name = libraries[i],
				.name = names[j],
				.password = "wrong"};
			play(s, facts, &c, &plain, &seen);
			known = j == 0 ? seen : known;
			assert_int_equal(seen.end, SASL_NO);
			assert_int_equal(seen.steps, known.steps);
			assert_string_equal(seen.reason, known.reason);
			assert_memory_equal(
				seen.said_n, known.said_n, sizeof(seen.said_n));
		}
	sasl_free(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_the_library),
		cmocka_unit_test(names_are_the_same_everywhere),
		cmocka_unit_test(names_that_are_too_much),
		cmocka_unit_test(pass_as_such),
		cmocka_unit_test(plain_that_is_none),
		cmocka_unit_test(login_with_a_name_at_once),
		cmocka_unit_test(cram),
		cmocka_unit_test(external),
		cmocka_unit_test(apop),
		cmocka_unit_test(tokens),
		cmocka_unit_test(tickets),
		cmocka_unit_test(kpop),
		cmocka_unit_test(unknown_users_look_the_same),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
