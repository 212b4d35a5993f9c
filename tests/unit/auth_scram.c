#include "unit.h"

#include "auth_sasl_scram_keys.h"

#include "auth/sasl.h"
#include "auth/scheme.h"
#include "auth/scram.h"
#include "base/ascii.h"
#include "base/check.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static size_t
from_base64(const char *text, uint8_t *octets)
{
	size_t n = strlen(text);
	int got = EVP_DecodeBlock(octets, (const uint8_t *)text, (int)n);

	assert_true(got > 0);
	return (size_t)got - (text[n - 1] == '=') - (text[n - 2] == '=');
}

/* The examples of RFC 5802 s.5 and RFC 7677 s.3: messages and both signatures. */
static const struct {
	enum scram_hash hash;
	const char *salt, *auth_message, *proof, *signature;
} examples[] = {
	{SCRAM_SHA_1, "QSXCR+Q6sek8bf92",
		"n=user,r=fyko+d2lbbFgONRv9qkxdawL,"
		"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,"
		"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
		"v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ="},
	{SCRAM_SHA_256, "W22ZaJ0SNY7soEsUEjb6gQ==",
		"n=user,r=rOprNGfwEbeRWgbNEkqO,"
		"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		"dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
		"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
};

static void
examples_of_the_rfcs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct scram_keys k = {.hash = examples[i].hash, .rounds = 4096};
		const EVP_MD *md = k.hash == SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
		size_t n = scram_key_n(k.hash);
		struct view message = view_of(examples[i].auth_message);
		uint8_t made[32];
		uint8_t want[48];
		k.salt_n = from_base64(examples[i].salt, k.salt);
		assert_true(scram_derive(VIEW("pencil"), &k));
		assert_non_null(
			HMAC(md, k.server, (int)n, message.p, message.n, made, NULL));
		assert_int_equal(from_base64(examples[i].signature, want), n);
		assert_memory_equal(made, want, n);
		/* H(proof xor ClientSignature) is StoredKey */
		assert_non_null(
			HMAC(md, k.stored, (int)n, message.p, message.n, made, NULL));
		assert_int_equal(from_base64(examples[i].proof, want), n);
		for (size_t j = 0; j < n; j++)
			made[j] ^= want[j];
		assert_int_equal(EVP_Digest(made, n, want, NULL, md, NULL), 1);
		assert_memory_equal(want, k.stored, n);
	}
}

static enum scheme_answer
verify(const char *stored, struct view password)
{
	struct stored s;
	struct view name;
	struct scheme_work *w = scheme_work_new();

	assert_int_equal(scheme_read(view_of(stored), &s, &name), SCHEME_OK);
	assert_true(scheme_is_slow(&s));
	enum scheme_answer a = scheme_verify(&s, password, w);
	scheme_work_free(&w);
	return a;
}

static void
passwords(void **state)
{
	static const char *const stored[] = {KEYS_SHA_1, KEYS_SHA_256, KEYS_POSTGRESQL,
		"{CRYPT}" KEYS_POSTGRESQL, "{SCRAM-SHA-256}" KEYS_POSTGRESQL,
		"{scram-sha-256}4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
		"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
		"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		assert_int_equal(verify(stored[i], VIEW("pencil")), SCHEME_YES);
		assert_int_equal(verify(stored[i],
					 VIEW("pen\xC2\xAD"
					      "cil")),
			SCHEME_YES); /* a soft hyphen is nothing (RFC 4013 s.2.1) */
		assert_int_equal(verify(stored[i], VIEW("pencils")), SCHEME_NO);
		assert_int_equal(verify(stored[i], VIEW("")), SCHEME_NO);
		assert_int_equal(verify(stored[i], VIEW("pencil\0x")), SCHEME_NO);
		assert_int_equal(verify(stored[i], VIEW("\xFF")), SCHEME_NO);
	}
}

/* What is written is read again, and good for its password alone. */
static void
round_trip(void **state)
{
	static const char *const texts[] = {"x", "\xFF\xFE", "\xF0\x9F\x98\x80", "a b"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct scram_keys k = {.hash = SCRAM_SHA_256, .rounds = 3, .salt_n = 16};
		struct scram_keys again;
		uint8_t octets[SCRAM_TEXT_MAX] = "{SCRAM-SHA-256}";
		struct buf b = buf_over(octets, sizeof(octets));
		b.n = strlen((const char *)octets);
		assert_true(scram_derive(view_of(texts[i]), &k));
		scram_write(&k, &b);
		assert_false(b.full);
		octets[b.n] = 0;
		assert_true(scram_read(
			(struct view){octets + 15, b.n - 15}, SCRAM_SHA_256, &again));
		assert_memory_equal(again.stored, k.stored, 32);
		assert_memory_equal(again.server, k.server, 32);
		assert_int_equal(again.rounds, 3);
		assert_int_equal(
			verify((const char *)octets, view_of(texts[i])), SCHEME_YES);
		assert_int_equal(verify((const char *)octets, VIEW("y")), SCHEME_NO);
	}
}

#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static void
forms_that_are_none(void **state)
{
	static const struct {
		const char *text;
		enum scheme_fault fault;
	} wrong[] = {
		{"{SCRAM-SHA-256}", SCHEME_EMPTY},
		{"{SCRAM-SHA-256}!", SCHEME_LOCKED},
		{"{SCRAM-SHA-256}4096", SCHEME_BAD},
		{"{SCRAM-SHA-256}4096,c2FsdA==," STORED, SCHEME_BAD},
		{"{SCRAM-SHA-256}4096,c2FsdA==," STORED "," SERVER ",", SCHEME_BAD},
		{"{SCRAM-SHA-256}0,c2FsdA==," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256},c2FsdA==," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256}-1,c2FsdA==," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256}4096,," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256}4096,c2FsdA=," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256}4096,c2FsdA==,c2FsdA==," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256}4096,c2FsdA==," STORED ",c2FsdA==", SCHEME_BAD},
		{"{SCRAM-SHA-256}4096:c2FsdA==," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-256}SCRAM-SHA-256$4096,c2FsdA==," STORED "," SERVER,
			SCHEME_BAD},
		{"{SCRAM-SHA-1}4096,c2FsdA==," STORED "," SERVER, SCHEME_BAD},
		{"{SCRAM-SHA-1}" KEYS_POSTGRESQL, SCHEME_BAD},
		{"{SCRAM-SHA-512}4096,c2FsdA==," STORED "," SERVER, SCHEME_UNKNOWN},
		{"SCRAM-SHA-256$4096:c2FsdA==$" STORED, SCHEME_BAD},
		{"{SCRAM-SHA-256}10000000,c2FsdA==," STORED "," SERVER, SCHEME_OK},
		{"{SCRAM-SHA-256}10000001,c2FsdA==," STORED "," SERVER, SCHEME_COSTLY},
		{"{SCRAM-SHA-256}18446744073709551615,c2FsdA==," STORED "," SERVER,
			SCHEME_COSTLY},
	};
	struct stored s;
	struct view name;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_int_equal(
			scheme_read(view_of(wrong[i].text), &s, &name), wrong[i].fault);
}

static void
stored_of(const char *text, struct stored *ret)
{
	struct view name;

	assert_int_equal(scheme_read(view_of(text), ret, &name), SCHEME_OK);
}

static void
costs(void **state)
{
	struct stored a;
	struct stored b;

	(void)state;
	stored_of(KEYS_SHA_256, &a);
	stored_of(KEYS_POSTGRESQL, &b);
	assert_true(scheme_same_cost(&a, &b));
	assert_int_equal(a.n, b.n); /* kept in one form */
	assert_memory_equal(a.octets, b.octets, a.n);
	stored_of(KEYS_SHA_1, &b);
	assert_false(scheme_same_cost(&a, &b));
	stored_of("{SCRAM-SHA-256}4097,c2FsdA==," STORED "," SERVER, &b);
	assert_false(scheme_same_cost(&a, &b));
}

#define BIT(m) (UINT32_C(1) << (m))

static void
what_a_password_can_serve(void **state)
{
	const uint32_t words =
		BIT(MECHANISM_PASS) | BIT(MECHANISM_PLAIN) | BIT(MECHANISM_LOGIN);
	const uint32_t sha1 =
		BIT(MECHANISM_SCRAM_SHA_1) | BIT(MECHANISM_SCRAM_SHA_1_PLUS);
	const uint32_t sha256 =
		BIT(MECHANISM_SCRAM_SHA_256) | BIT(MECHANISM_SCRAM_SHA_256_PLUS);
	struct stored s;

	(void)state;
	stored_of("{PLAIN}x", &s);
	assert_int_equal(sasl_mechanisms_of(&s),
		words | sha1 | sha256 | BIT(MECHANISM_CRAM_MD5) | BIT(MECHANISM_APOP));
	stored_of(KEYS_SHA_1, &s);
	assert_int_equal(sasl_mechanisms_of(&s), words | sha1);
	stored_of(KEYS_POSTGRESQL, &s);
	assert_int_equal(sasl_mechanisms_of(&s), words | sha256);
	stored_of("{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=", &s);
	assert_int_equal(sasl_mechanisms_of(&s), words);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_of_the_rfcs),
		cmocka_unit_test(passwords),
		cmocka_unit_test(round_trip),
		cmocka_unit_test(forms_that_are_none),
		cmocka_unit_test(costs),
		cmocka_unit_test(what_a_password_can_serve),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
