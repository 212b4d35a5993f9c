/* Tokens: their form, the key set, and the claims, without a provider. */
#include "unit.h"

#include "helper/oauth.h"
#include "helper/oauth_jws.h"

#include <stdio.h>
#include <string.h>

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
test_base64url(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {{"", ""}, {"Zg", "f"}, {"Zm8", "fo"}, {"Zm9v", "foo"},
		{"-_-_", "\xFB\xFF\xBF"}};
	static const char *const bad[] = {"Z", "Zg==", "Zh", "Zm9", "Z g", "Zm9v\n",
		"+/+/", "Zg.", "\xC3\xA4zzz", "Zm9vZ"};
	uint8_t storage[16];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct buf b = buf_over(storage, sizeof(storage));
		assert_true(base64url_read(text(good[i].in), &b));
		assert_int_equal(b.n, strlen(good[i].out));
		assert_memory_equal(storage, good[i].out, b.n);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf b = buf_over(storage, sizeof(storage));
		assert_false(base64url_read(text(bad[i]), &b));
	}
	/* A NUL is no character of it, although memchr would find one behind the list. */
	struct buf b = buf_over(storage, sizeof(storage));
	assert_false(base64url_read((struct view){(const uint8_t *)"AA\0A", 4}, &b));
	b = buf_over(storage, 2);
	assert_false(base64url_read(text("Zm9v"), &b));
}

/* The token of RFC 8037 A.4: EdDSA over a text that is no JSON. */
static void
test_header(void **state)
{
	static const struct {
		const char *token, *words;
	} bad[] = {
		{"", "three parts"},
		{"e30.e30", "three parts"},
		{"e30.e30.", "signature"},
		{"e30.e30.AA", "algorithm"},
		{"eyJhbGciOiJub25lIn0.e30.AA", "algorithm"},
		{"eyJhbGciOiJFZERTQSJ9.W10.AA", "claims"},
		/* typ: logout+jwt, and the number 7. */
		{"eyJhbGciOiJFZERTQSIsInR5cCI6ImxvZ291dCtqd3QifQ.e30.AA", "another kind"},
		{"eyJhbGciOiJFZERTQSIsInR5cCI6N30.e30.AA", "another kind"},
		{"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZQ.AA", "claims"},
	};
	struct jws j;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *wrong = jws_read(text(bad[i].token), &j);
		assert_non_null(wrong);
		assert_non_null(strstr(wrong, bad[i].words));
	}
	assert_null(jws_read(text("eyJhbGciOiJFZERTQSJ9.e30.AA"), &j));
	assert_int_equal(j.algorithm, OAUTH_EDDSA);
	assert_false(j.has_kid);
	assert_int_equal(j.text.n, strlen("eyJhbGciOiJFZERTQSJ9.e30"));
	jws_free(&j);
}

/* RFC 8037 A.2 and A.4: the public key, and what its private half signed. */
static void
test_known_signature(void **state)
{
	static const char set[] =
		"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
		"{\"kty\":\"oct\",\"k\":\"AAAA\"},{\"kty\":\"EC\",\"crv\":\"P-521\"}]}";
	static const char signature[] = "hgyY0il_MGCjP0JzlnLWG1PPOt7-"
					"09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvp"
					"Ar_MuM0KAg";
	const struct view signed_text =
		text("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct oauth_keys keys = {.n = 0};

	(void)state;
	assert_true(base64url_read(text(signature), &b));
	assert_null(oauth_keys_read(text(set), &keys));
	assert_int_equal(keys.n, 1);
	const struct view sig = buf_view(&b);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_EDDSA, "a", signed_text, sig),
		OAUTH_SIGNED);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_EDDSA, NULL, signed_text, sig),
		OAUTH_SIGNED);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_EDDSA, "b", signed_text, sig),
		OAUTH_UNKNOWN_KEY);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_ES256, "a", signed_text, sig),
		OAUTH_NOT_SIGNED);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_ES256, NULL, signed_text, sig),
		OAUTH_UNKNOWN_KEY);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_EDDSA, "a", text("another"), sig),
		OAUTH_NOT_SIGNED);
	storage[0] ^= 1;
	assert_int_equal(oauth_keys_check(&keys, OAUTH_EDDSA, "a", signed_text, sig),
		OAUTH_NOT_SIGNED);
	oauth_keys_free(&keys);
}

/* Two keys fit, and the token names none: nothing is guessed. */
static void
test_two_keys(void **state)
{
	static const char key[] =
		"{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
		"\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
	char set[512];
	struct oauth_keys keys = {.n = 0};

	(void)state;
	(void)snprintf(set, sizeof(set), "{\"keys\":[%s,%s]}", key, key);
	assert_null(oauth_keys_read(text(set), &keys));
	assert_int_equal(keys.n, 2);
	assert_int_equal(oauth_keys_check(&keys, OAUTH_EDDSA, NULL, text("x"), text("y")),
		OAUTH_UNKNOWN_KEY);
	oauth_keys_free(&keys);
}

/* ---- claims --------------------------------------------------------------------------
 */

static const char *
check(const char *json, struct buf *name, uint32_t *valid_s)
{
	struct oauth_rules rules = {.issuer = VIEW("i")};
	json_t *claims = oauth_json_object(text(json));
	const char *wrong;

	assert_non_null(claims);
	assert_true(oauth_words_read(" a, b ,c", &rules.audiences));
	assert_true(oauth_words_read("s", &rules.scopes));
	assert_true(oauth_words_read("email sub", &rules.user_claims));
	assert_int_equal(rules.audiences.n, 3);
	wrong = oauth_claims_check(claims, &rules, true, 1000, name, valid_s);
	json_decref(claims);
	return wrong;
}

static void
test_claims(void **state)
{
	static const struct {
		const char *json, *words, *name;
	} rows[] = {
		{"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":1100,\"scope\":\"r "
		 "s\",\"sub\":\"x\"}",
			NULL, "x"},
		{"{\"iss\":\"i\",\"aud\":[\"z\",\"c\"],\"exp\":941,\"scope\":\"s\","
		 "\"email\":\"e\",\"sub\":\"x\"}",
			NULL, "e"},
		{"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":940,\"scope\":\"s\",\"sub\":"
		 "\"x\"}",
			"run out", ""},
		{"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":1100,\"nbf\":1060,\"scope\":\"s\","
		 "\"sub\":\"x\"}",
			NULL, "x"},
		{"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":1100,\"nbf\":1061,\"scope\":\"s\","
		 "\"sub\":\"x\"}",
			"yet", ""},
		{"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":1100,\"scope\":\"ss\",\"sub\":"
		 "\"x\"}",
			"scope", ""},
		{"{\"iss\":\"i\",\"aud\":\"ab\",\"exp\":1100,\"scope\":\"s\",\"sub\":"
		 "\"x\"}",
			"audience", ""},
		{"{\"iss\":\"i\",\"aud\":\"\",\"exp\":1100,\"scope\":\"s\",\"sub\":"
		 "\"x\"}",
			"audience", ""},
		{"{\"iss\":\"ii\",\"aud\":\"b\",\"exp\":1100,\"scope\":\"s\",\"sub\":"
		 "\"x\"}",
			"issuer", ""},
		/* A claim that is there and no name does not make way for the next one.
		 */
		{"{\"iss\":\"i\",\"aud\":\"b\",\"exp\":1100,\"scope\":\"s\",\"email\":1,"
		 "\"sub\":\"x\"}",
			"claim", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t storage[64];
		struct buf name = buf_over(storage, sizeof(storage));
		uint32_t valid_s = 0;
		const char *wrong = check(rows[i].json, &name, &valid_s);
		if (!rows[i].words) {
			assert_null(wrong);
			assert_int_equal(name.n, strlen(rows[i].name));
			assert_memory_equal(storage, rows[i].name, name.n);
		} else {
			assert_non_null(wrong);
			assert_non_null(strstr(wrong, rows[i].words));
		}
	}
}

static void
test_words(void **state)
{
	struct oauth_words w;

	(void)state;
	assert_true(oauth_words_read("", &w));
	assert_int_equal(w.n, 0);
	assert_true(oauth_words_read("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", &w));
	assert_int_equal(w.n, 16);
	assert_false(oauth_words_read("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", &w));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64url),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_known_signature),
		cmocka_unit_test(test_two_keys),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
