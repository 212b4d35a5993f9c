/*
 * Logins against GNU SASL's own server side, and against the examples of the RFCs.
 *
 * The library's nonce and channel binding come from here, so that examples can be played
 * and -PLUS needs no connection.
 */
#include "unit.h"

#include "base/ascii.h"
#include "base/check.h"
#include "fetch/login.h"
#include "fetch/login_rows.h"

#include <errno.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- seams ---- */

static const char *fixed_nonce; /* in base64 already */
static bool nonce_was_made;
static const char *binding_name;
static uint8_t binding[64];
static size_t binding_n;

int
gsasl_nonce(char *data, size_t n)
{
	nonce_was_made = fixed_nonce != NULL;
	return getrandom(data, n, 0) == (ssize_t)n ? GSASL_OK : GSASL_CRYPTO_ERROR;
}

int
gsasl_base64_to(const char *in, size_t n, char **out, size_t *out_n)
{
	size_t cap = 4 * (n / 3 + 1) + 1;

	*out = nonce_was_made ? strdup(fixed_nonce) : malloc(cap);
	if (!*out)
		return GSASL_MALLOC_ERROR;
	if (!nonce_was_made)
		(void)EVP_EncodeBlock((uint8_t *)*out, (const uint8_t *)in, (int)n);
	nonce_was_made = false;
	if (out_n)
		*out_n = strlen(*out);
	return GSASL_OK;
}

int
stream_channel_binding(const struct stream *s, const char **ret_name, uint8_t *ret,
	size_t cap, size_t *ret_n)
{
	if (!s || !binding_name)
		return -ENOTSUP;
	assert_true(binding_n <= cap);
	*ret_name = binding_name;
	memcpy(ret, binding, binding_n);
	*ret_n = binding_n;
	return 0;
}

static void
bind_with(const char *name, size_t n)
{
	binding_name = name;
	binding_n = n;
	for (size_t i = 0; i < n; i++)
		binding[i] = (uint8_t)(i * 37 + 1);
}

/* ---- the client ---- */

static int some_ssl;
static struct stream over_tls = {.fd = -1, .ssl = &some_ssl};
static char why[400];

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static struct login *
begin(const char *mechanism, const char *user, const char *password)
{
	struct fetch_account a = {
		.host = "server.example.com", .port = 143, .user = user};
	uint8_t octets[8192];
	struct secret secret = {password ? strlen(password) : 0, octets};
	struct login *l = NULL;
	int rc;

	if (password)
		memcpy(octets, password, secret.n + 1);
	rc = login_start(mechanism, &a, password ? &secret : NULL, &over_tls,
		text("<1896.697170952@dbc.mtview.ca.us>"), &l, why, sizeof(why));
	assert_int_equal(rc == 0, l != NULL);
	assert_int_equal(rc == 0, why[0] == '\0');
	return l;
}

/* One call; what is given must be `want` (NULL: nothing, LOGIN_EMPTY). */
static void
gives(struct login *l, const char *challenge, const char *want)
{
	struct view c = challenge ? text(challenge) : (struct view){NULL, 0}, got;
	bool two_lines = true;
	enum login_step step =
		login_next(l, challenge ? &c : NULL, &got, &two_lines, why, sizeof(why));

	assert_int_equal(step, want ? LOGIN_SEND : LOGIN_EMPTY);
	assert_false(two_lines);
	if (!want)
		return;
	assert_int_equal(got.n, strlen(want));
	assert_memory_equal(got.p, want, got.n);
}

static void
fails(struct login *l, const char *challenge, const char *part)
{
	struct view c = text(challenge), got;
	bool two_lines;

	why[0] = '\0';
	assert_int_equal(
		login_next(l, &c, &got, &two_lines, why, sizeof(why)), LOGIN_FAILED);
	if (!strstr(why, part))
		fail_msg("\"%s\" lacks \"%s\"", why, part);
	assert_false(login_complete(l, why, sizeof(why)));
}

static void
ends(struct login *l, bool good)
{
	assert_int_equal(login_complete(l, why, sizeof(why)), good);
	login_free(&l);
	assert_null(l);
}

/* ---- the server ---- */

struct post {
	const char *password;
	bool has_binding;
	bool skips_proof; /* says +OK instead of SCRAM's server-final-message */
	bool external_ok;
};

static int
answer(Gsasl *g, Gsasl_session *s, Gsasl_property p)
{
	const struct post *post = gsasl_callback_hook_get(g);
	const char *id, *password;

	if (p == GSASL_PASSWORD)
		return gsasl_property_set(s, p, post->password);
	if (p == GSASL_VALIDATE_EXTERNAL)
		return post->external_ok ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
	if (p == GSASL_SCRAM_ITER)
		return gsasl_property_set(s, p, "4096");
	if (p != GSASL_VALIDATE_SIMPLE)
		return GSASL_NO_CALLBACK;
	id = gsasl_property_fast(s, GSASL_AUTHID);
	password = gsasl_property_fast(s, GSASL_PASSWORD);
	return strcmp(id, "anna") == 0 && strcmp(password, post->password) == 0
		? GSASL_OK
		: GSASL_AUTHENTICATION_ERROR;
}

static void
open_post(struct post *post, const char *mechanism, Gsasl **g, Gsasl_session **s)
{
	char *b64 = NULL;

	assert_int_equal(gsasl_init(g), GSASL_OK);
	gsasl_callback_set(*g, answer);
	gsasl_callback_hook_set(*g, post);
	assert_int_equal(gsasl_server_start(*g, mechanism, s), GSASL_OK);
	if (!post->has_binding)
		return;
	assert_int_equal(
		gsasl_base64_to((const char *)binding, binding_n, &b64, NULL), GSASL_OK);
	assert_int_equal(
		gsasl_property_set(*s,
			strcmp(binding_name, "tls-unique") == 0 ? GSASL_CB_TLS_UNIQUE
								: GSASL_CB_TLS_EXPORTER,
			b64),
		GSASL_OK);
	free(b64);
}

enum outcome { LOGGED_IN, CLIENT_FAILS, SERVER_REFUSES, CLIENT_DISTRUSTS };

/* The talk as RFC 5034 has it: the server's last message goes as a challenge, the client
 * answers with an empty line, then comes +OK. */
static enum outcome
talk(struct login *l, Gsasl_session *s, bool skips_proof)
{
	struct view out, challenge;
	bool two_lines;
	enum login_step step = login_next(l, NULL, &out, &two_lines, why, sizeof(why));

	for (int turn = 0; turn < 10; turn++) {
		char *said = NULL;
		size_t n = 0;
		int rc;

		if (step == LOGIN_FAILED)
			return CLIENT_FAILS;
		rc = gsasl_step(s, (const char *)out.p, out.n, &said, &n);
		if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
			gsasl_free(said);
			return SERVER_REFUSES;
		}
		if (rc == GSASL_OK && (n == 0 || skips_proof)) {
			gsasl_free(said);
			return login_complete(l, why, sizeof(why)) ? LOGGED_IN
								   : CLIENT_DISTRUSTS;
		}
		challenge = (struct view){(const uint8_t *)said, n};
		step = login_next(l, &challenge, &out, &two_lines, why, sizeof(why));
		gsasl_free(said);
		if (rc == GSASL_OK && step == LOGIN_EMPTY)
			return login_complete(l, why, sizeof(why)) ? LOGGED_IN
								   : CLIENT_DISTRUSTS;
	}
	fail_msg("the talk does not end");
	return SERVER_REFUSES;
}

static enum outcome
login_at(const char *mechanism, const char *password, struct post post)
{
	struct login *l = begin(mechanism, "anna", password);
	Gsasl_session *s;
	Gsasl *g;
	enum outcome o;

	assert_non_null(l);
	open_post(&post, mechanism, &g, &s);
	o = talk(l, s, post.skips_proof);
	gsasl_finish(s);
	gsasl_done(g);
	login_free(&l);
	return o;
}

static const char *const by_password[] = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS",
	"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"};

static bool
is_scram_name(const char *name)
{
	return strncmp(name, "SCRAM", 5) == 0;
}

static bool
is_plus_name(const char *name)
{
	return strstr(name, "-PLUS") != NULL;
}

/* ---- tests ---- */

static void
every_mechanism_logs_in(void **state)
{
	(void)state;
	bind_with("tls-exporter", 32);
	for (size_t i = 0; i < ARRAY_SIZE(by_password); i++) {
		struct post post = {.password = "se cr\xC3\xA9t,=",
			.has_binding = is_plus_name(by_password[i])};

		if (login_at(by_password[i], post.password, post) != LOGGED_IN)
			fail_msg("%s: %s", by_password[i], why);
	}
	assert_int_equal(login_at("EXTERNAL", NULL, (struct post){.external_ok = true}),
		LOGGED_IN);
	assert_int_equal(login_at("EXTERNAL", NULL, (struct post){.external_ok = false}),
		SERVER_REFUSES);
}

static void
wrong_password(void **state)
{
	(void)state;
	bind_with("tls-exporter", 32);
	for (size_t i = 0; i < ARRAY_SIZE(by_password); i++) {
		struct post post = {
			.password = "right", .has_binding = is_plus_name(by_password[i])};

		assert_int_equal(login_at(by_password[i], "wrong", post), SERVER_REFUSES);
	}
}

static void
bindings_of_any_length(void **state)
{
	static const char *const names[] = {"tls-exporter", "tls-unique"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t n = 1; n <= 33; n++) {
			struct post post = {.password = "p", .has_binding = true};

			bind_with(names[i], n);
			assert_int_equal(
				login_at("SCRAM-SHA-1-PLUS", "p", post), LOGGED_IN);
		}
}

/* A man in the middle: his TLS with the server is not ours. */
static void
another_binding_is_refused(void **state)
{
	struct post post = {.password = "p", .has_binding = true};
	struct login *l;
	Gsasl_session *s;
	Gsasl *g;

	(void)state;
	bind_with("tls-exporter", 32);
	l = begin("SCRAM-SHA-256-PLUS", "anna", "p");
	binding[31] ^= 1;
	open_post(&post, "SCRAM-SHA-256-PLUS", &g, &s);
	assert_int_equal(talk(l, s, false), SERVER_REFUSES);
	gsasl_finish(s);
	gsasl_done(g);
	login_free(&l);
}

static void
no_binding_no_plus(void **state)
{
	struct login *l;

	(void)state;
	bind_with(NULL, 0);
	l = begin("SCRAM-SHA-256-PLUS", "anna", "p");
	assert_null(l);
	assert_non_null(strstr(why, "no channel binding"));
}

/* +OK without the server's signature is no login (RFC 5802 s.5). */
static void
server_skips_its_proof(void **state)
{
	(void)state;
	bind_with("tls-exporter", 32);
	for (size_t i = 0; i < ARRAY_SIZE(by_password); i++) {
		struct post post = {.password = "p",
			.has_binding = is_plus_name(by_password[i]),
			.skips_proof = true};
		enum outcome o = login_at(by_password[i], "p", post);

		assert_int_equal(
			o, is_scram_name(by_password[i]) ? CLIENT_DISTRUSTS : LOGGED_IN);
		if (o == CLIENT_DISTRUSTS)
			assert_non_null(strstr(why, "did not prove"));
	}
}

/* +OK before the mechanism had its say. */
static void
server_lets_in_early(void **state)
{
	static const char *const names[] = {"SCRAM-SHA-256", "CRAM-MD5", "LOGIN"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct login *l = begin(names[i], "anna", "p");
		struct view out;
		bool two_lines;

		assert_false(login_complete(l, why, sizeof(why)));
		(void)login_next(l, NULL, &out, &two_lines, why, sizeof(why));
		ends(l, false);
	}
}

#define R5802 "fyko+d2lbbFgONRv9qkxdawL"
#define R7677 "rOprNGfwEbeRWgbNEkqO"
static const struct example {
	const char *mechanism, *nonce, *first, *challenge, *final, *proof;
} examples[] = {
	{"SCRAM-SHA-1", R5802, "n,,n=user,r=" R5802,
		"r=" R5802 "3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
		"c=biws,r=" R5802 "3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
		"v=rmF9pqV8S7suAoZWja4dJRkFsKQ="},
	{"SCRAM-SHA-256", R7677, "n,,n=user,r=" R7677,
		"r=" R7677 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i="
		"4096",
		"c=biws,r=" R7677 "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p="
		"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static struct login *
begin_example(const struct example *e)
{
	struct login *l;

	fixed_nonce = e->nonce;
	l = begin(e->mechanism, "user", "pencil");
	fixed_nonce = NULL;
	gives(l, NULL, e->first);
	return l;
}

static void
scram_examples(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		const struct example *e = &examples[i];
		struct login *l = begin_example(e);

		gives(l, e->challenge, e->final);
		assert_false(login_complete(l, why, sizeof(why)));
		gives(l, e->proof, NULL);
		ends(l, true);

		l = begin_example(e);
		gives(l, e->challenge, e->final);
		fails(l, "v=rmF9pqV8S7suAoZWja4dJRkFsKR=", e->mechanism);
		ends(l, false);
	}
}

static void
scram_challenges_that_are_none(void **state)
{
	static const struct {
		const char *challenge, *why;
	} bad[] = {
		{"", "SCRAM-SHA-1: "},
		{"r=" R5802 ",s=,i=4096", "SCRAM-SHA-1: "},
		{"r=" R5802 "abc,s=QSXCR+Q6sek8bf92,i=2000001", "rounds of SCRAM"},
		{"r=" R5802 "abc,s=QSXCR+Q6sek8bf92,i=99999999999999999999",
			"rounds of SCRAM"},
		{"r=" R5802 "abc,s=QSXCR+Q6sek8bf92,i=-1", "rounds of SCRAM"},
		{"r=" R5802 "abc,s=QSXCR+Q6sek8bf92,i=", "rounds of SCRAM"},
		{"r=" R5802 "abc,s=%%%%,i=4096", "SCRAM-SHA-1: "},
		{"r=other,s=QSXCR+Q6sek8bf92,i=4096", "SCRAM-SHA-1: "},
		{"m=ext,r=" R5802 "abc,s=QSXCR+Q6sek8bf92,i=4096", "SCRAM-SHA-1: "},
		{"e=unknown-user\033[2J", "the server refuses: unknown-user?[2J"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct login *l = begin_example(&examples[0]);

		fails(l, bad[i].challenge, bad[i].why);
		login_free(&l);
	}
}

/* A server that wants few rounds collects passwords to guess, unless TLS says who it is.
 */
static void
few_rounds_only_with_tls(void **state)
{
	static const char few[] = "r=" R5802 "abc,s=QSXCR+Q6sek8bf92,i=100";
	struct login *l = begin_example(&examples[0]);
	struct view c = text(few), out;
	bool two_lines;

	(void)state;
	assert_int_equal(
		login_next(l, &c, &out, &two_lines, why, sizeof(why)), LOGIN_SEND);
	login_free(&l);

	over_tls.ssl = NULL;
	l = begin_example(&examples[0]);
	over_tls.ssl = &some_ssl;
	fails(l, few, "only 100 rounds of SCRAM without TLS");
	login_free(&l);
}

static void
other_examples(void **state)
{
	static const char plain[] = "\0tim\0tanstaaftanstaaf"; /* RFC 2595 s.6 */
	struct login *l = begin("CRAM-MD5", "tim", "tanstaaftanstaaf");
	struct view out;
	bool two_lines;

	(void)state;
	gives(l, NULL, NULL); /* RFC 2195 s.2 */
	gives(l, "<1896.697170952@postoffice.reston.mci.net>",
		"tim b913a602c7eda7a495b4e6e7334d3890");
	ends(l, true);

	l = begin("PLAIN", "tim", "tanstaaftanstaaf");
	assert_int_equal(
		login_next(l, NULL, &out, &two_lines, why, sizeof(why)), LOGIN_SEND);
	assert_int_equal(out.n, sizeof(plain) - 1);
	assert_memory_equal(out.p, plain, out.n);
	ends(l, true);

	l = begin("LOGIN", "tim", "tanstaaf");
	gives(l, NULL, NULL);
	gives(l, "User Name", "tim");
	gives(l, "Password", "tanstaaf");
	ends(l, true);

	l = begin("APOP", "mrose", "tanstaaf"); /* RFC 1939 s.7 */
	gives(l, NULL, "c4c9334bac560ecc979e58001b3e22fb");
	ends(l, true);
	l = begin("USER", "mrose", "tan staaf ");
	gives(l, NULL, "tan staaf ");
	ends(l, true);
	l = begin("EXTERNAL", "", NULL);
	gives(l, NULL, "");
	ends(l, true);
}

static void
challenges_after_the_end(void **state)
{
	static const char *const names[] = {"PLAIN", "EXTERNAL", "USER", "APOP"};
	struct login *l;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct view out;
		bool two_lines;

		l = begin(names[i], "anna", "p");
		(void)login_next(l, NULL, &out, &two_lines, why, sizeof(why));
		fails(l, "more", "asks on after the end");
		fails(l, "more", names[i]);
		login_free(&l);
	}
	l = begin("CRAM-MD5", "anna", "p");
	gives(l, NULL, NULL);
	fails(l, "", "empty");
	login_free(&l);
}

/* RFC 7628 s.4.1, 4.3; and Google's example of XOAUTH2. */
static void
oauth_talks(void **state)
{
	static const char token[] = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
	struct login *l = begin("OAUTHBEARER", "user@example.com", token);

	(void)state;
	gives(l, NULL,
		"n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer "
		"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1");
	assert_string_equal(login_words(l), "");
	ends(l, true);

	l = begin("OAUTHBEARER", "a,b=c", token);
	gives(l, NULL,
		"n,a=a=2Cb=3Dc,\1host=server.example.com\1port=143\1auth=Bearer "
		"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\1\1");
	gives(l,
		"{\"status\":\"invalid_token\",\"scope\":\"example_scope\",\"openid-"
		"configuration\""
		":\"https://example.com/.well-known/openid-configuration\"}",
		"\1");
	assert_non_null(strstr(login_words(l),
		"has run out or was revoked (invalid_token); it "
		"must have the scope example_scope"));
	assert_false(login_complete(l, why, sizeof(why)));
	assert_non_null(strstr(why, "refused the token"));
	fails(l, "", "asks on");
	ends(l, false);

	l = begin("XOAUTH2", "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdA");
	gives(l, NULL,
		"user=someuser@example.com\1auth=Bearer "
		"ya29.vF9dft4qmTc2Nvb3RlckBhdA\1\1");
	gives(l,
		"{\"status\":\"401\",\"schemes\":\"bearer "
		"mac\",\"scope\":\"https://mail/\"}",
		NULL);
	assert_non_null(strstr(login_words(l),
		"(401); it must have the scope https://mail/; "
		"the server takes the schemes bearer mac; get"));
	ends(l, false);
}

static void
oauth_documents(void **state)
{
	static const struct {
		const char *json, *part;
	} docs[] = {
		{"{}", "refused the access token; get"},
		{" { } ", "refused the access token; get"},
		{"", "cannot be read"},
		{"[]", "cannot be read"},
		{"{", "cannot be read"},
		{"{\"status\":\"401\"", "cannot be read"},
		{"{\"status\":\"401", "cannot be read"},
		{"{\"status\"}", "cannot be read"},
		{"{\"status\":\"\\x\"}", "cannot be read"},
		{"{\"status\":\"\\u12g4\"}", "cannot be read"},
		{"{\"status\":\"a\nb\"}", "cannot be read"},
		{"{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]", "cannot be read"},
		{"{\"status\":401}", "refused the access token; get"},
		{"{\"x\":{\"status\":\"1\",\"y\":[1,\"}\",{}]},\"status\":\"2\"}", "(2)"},
		{"{\"x\":null,\"y\":-1.5e3,\"status\":\"insufficient_scope\"}",
			"does not allow this (insufficient_scope)"},
		{"{\"status\":\"a\\u0042\\\"\\\\\\/\\n\\u001b\\u20ac\xC3\xA9\"}",
			"(aB\"\\/ "
			"?"
			"?"
			"?"
			"?)"},
		{"{ \"status\" : \"invalid_request\" , \"scope\" : \"\" }",
			"did not understand"},
	};
	char words[512];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(docs); i++) {
		oauth_error_words(text(docs[i].json), words, sizeof(words));
		if (!strstr(words, docs[i].part))
			fail_msg("%s: \"%s\" lacks \"%s\"", docs[i].json, words,
				docs[i].part);
	}
	oauth_error_words(text(docs[15].json), words, 10);
	assert_int_equal(strlen(words), 9);
}

static void
secrets_that_cannot_be_used(void **state)
{
	struct fetch_account a = {.host = "h", .port = 1, .user = "anna"};
	uint8_t with_nul[] = {'a', 0, 'b', 0};
	struct secret s = {3, with_nul};
	struct login *l = NULL;

	(void)state;
	assert_null(begin("XOAUTH2", "anna", "to ken"));
	assert_non_null(strstr(why, "token_command"));
	assert_null(begin("OAUTHBEARER", "anna", "tok\1en"));
	assert_null(begin("OAUTHBEARER", "anna", ""));
	assert_null(begin("XOAUTH2", "an\1na", "token"));
	assert_non_null(strstr(why, "correct user"));
	assert_null(begin("XOAUTH2", "", "token"));
	assert_null(begin("PLAIN", "anna", NULL));
	assert_non_null(strstr(why, "PLAIN needs a password"));
	assert_null(begin("PLAIN", "anna", ""));
	assert_null(begin("NTLM", "anna", "p"));
	assert_non_null(strstr(why, "NTLM is no known mechanism"));
	assert_int_equal(login_start("PLAIN", &a, &s, NULL, (struct view){NULL, 0}, &l,
				 why, sizeof(why)),
		-EINVAL);
	assert_non_null(strstr(why, "NUL"));
	s.n = 1;
	assert_int_equal(login_start("APOP", &a, &s, NULL, (struct view){NULL, 0}, &l,
				 why, sizeof(why)),
		-EINVAL);
	assert_null(l);
}

/* What RFC 4013 forbids is said before anything is sent; PLAIN carries it as it is. */
static void
saslprep_refuses(void **state)
{
	static const char *const names[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"};
	static const char *const odd[] = {
		"bell\x07", "\xFF\xFE", "unassigned \xF0\x9F\x98\x80"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		for (size_t k = 0; k < ARRAY_SIZE(odd); k++) {
			assert_null(begin(names[i], "anna", odd[k]));
			assert_non_null(strstr(why, "RFC 4013"));
			assert_null(begin(names[i], odd[k], "p"));
			assert_non_null(strstr(why, "RFC 4013"));
			assert_int_equal(login_at("LOGIN", odd[k],
						 (struct post){.password = odd[k]}),
				LOGGED_IN);
		}
	/* U+00AD vanishes, U+2168 becomes IX (RFC 4013 s.3). */
	assert_int_equal(login_at("SCRAM-SHA-256", "I\xC2\xADX",
				 (struct post){.password = "\xE2\x85\xA8"}),
		LOGGED_IN);
}

/* AUTH PLAIN and a response so long that its line is just 255 octets, and one more. */
static void
lines_that_are_too_long(void **state)
{
	/* 255 - "AUTH PLAIN " - CRLF = 242 characters, so 240 of base64: 180 octets. */
	char password[200];
	struct fetch_account a = {.host = "h", .port = 1, .user = "anna"};
	struct login_party smtp = {"smtp", "h", 25, "anna", LOGIN_LINE_SMTP};
	struct secret s = {0, (uint8_t *)password};
	struct view out, stamp = {NULL, 0};
	struct login *l;
	bool two_lines;

	(void)state;
	memset(password, 'x', sizeof(password));
	for (size_t n = 173; n <= 176; n++) {
		s.n = n;
		assert_int_equal(
			login_start("PLAIN", &a, &s, NULL, stamp, &l, why, sizeof(why)),
			0);
		assert_int_equal(login_next(l, NULL, &out, &two_lines, why, sizeof(why)),
			LOGIN_SEND);
		assert_int_equal(out.n, n + 6);
		assert_int_equal(two_lines, n > 174);
		login_free(&l);
		assert_int_equal(login_start_for("PLAIN", &smtp, &s, NULL, stamp, &l, why,
					 sizeof(why)),
			0);
		assert_int_equal(login_next(l, NULL, &out, &two_lines, why, sizeof(why)),
			LOGIN_SEND);
		assert_false(two_lines);
		login_free(&l);
	}
	l = begin("XOAUTH2", "anna", "short"); /* Exchange */
	login_two_lines(l);
	assert_int_equal(
		login_next(l, NULL, &out, &two_lines, why, sizeof(why)), LOGIN_SEND);
	assert_true(two_lines);
	assert_false(login_complete(l, why, sizeof(why)));
	gives(l, "", "user=anna\1auth=Bearer short\1\1");
	ends(l, true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mechanism_logs_in),
		cmocka_unit_test(wrong_password),
		cmocka_unit_test(bindings_of_any_length),
		cmocka_unit_test(another_binding_is_refused),
		cmocka_unit_test(no_binding_no_plus),
		cmocka_unit_test(server_skips_its_proof),
		cmocka_unit_test(server_lets_in_early),
		cmocka_unit_test(scram_examples),
		cmocka_unit_test(scram_challenges_that_are_none),
		cmocka_unit_test(few_rounds_only_with_tls),
		cmocka_unit_test(other_examples),
		cmocka_unit_test(challenges_after_the_end),
		cmocka_unit_test(oauth_talks),
		cmocka_unit_test(oauth_documents),
		cmocka_unit_test(secrets_that_cannot_be_used),
		cmocka_unit_test(saslprep_refuses),
		cmocka_unit_test(lines_that_are_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
