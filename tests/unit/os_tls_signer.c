/*
 * Handshakes whose private key is elsewhere: what signs is the core of restante-keys, so
 * that it is seen to accept exactly what libssl asks for.
 */
#include "keys/keys.h"
#include "os_tls_talk.h"

#include <errno.h>

#define GENERATION 7

static struct {
	SSL_CTX *clients;
	struct keys_key *keys[5];
	struct given given[5];
	struct tls_signer *signer;
	unsigned int asked;
	uint32_t generation;
	uint16_t scheme;
	bool legacy, refuse, garble, away;
} world;

enum { RSA_2048, P_256, P_384, ED, KINDS };

static int
sign(void *arg, uint32_t generation, uint8_t index, uint16_t scheme, struct view content,
	uint8_t *sig, size_t *n)
{
	assert_ptr_equal(arg, &world);
	world.asked++;
	world.scheme = scheme;
	if (world.away)
		return -ENOTCONN;
	if (world.refuse || generation != world.generation || index >= KINDS)
		return -EIO;
	if (keys_sign(world.keys[index], scheme, content, sig, n, &world.legacy) !=
		KEYS_SIGN)
		return -EIO;
	if (world.garble)
		sig[*n / 2] ^= 1;
	return 0;
}

static int
set_up(void **state)
{
	static const char *const names[KINDS] = {
		"DNS:rsa.test", "DNS:p256.test", "DNS:p384.test", "DNS:ed.test"};
	const char *why = NULL;

	(void)state;
	EVP_PKEY *made[KINDS] = {EVP_RSA_gen(2048U), EVP_EC_gen("P-256"),
		EVP_EC_gen("P-384"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
	for (int i = 0; i < KINDS; i++) {
		world.given[i] = given_make(made[i], names[i]);
		world.keys[i] = keys_key_read(given_text(world.given[i].key_pem), &why);
		CHECK(world.keys[i]);
	}
	world.clients = SSL_CTX_new(TLS_client_method());
	world.signer = tls_signer_new(sign, &world);
	CHECK(world.clients && world.signer);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	tls_signer_free(&world.signer);
	SSL_CTX_free(world.clients);
	for (int i = 0; i < KINDS; i++) {
		given_done(&world.given[i]);
		keys_key_free(world.keys[i]);
	}
	return 0;
}

/* All kinds, none with a key here. */
static struct tls_context *
keyless(uint32_t generation)
{
	char why[256] = "";
	struct tls_setup *s = tls_setup_new(
		generation, KINDS, nothing(), world.signer, why, sizeof(why));

	assert_non_null(s);
	world.generation = generation;
	for (uint8_t i = 0; i < KINDS; i++)
		if (tls_setup_add(s, i, given_text(world.given[i].cert_pem), nothing(),
			    nothing(), why, sizeof(why)) != TLS_ADDED)
			fail_msg("%u: %s", i, why);
	struct tls_context *c = tls_setup_finish(&s, why, sizeof(why));
	if (!c)
		fail_msg("%s", why);
	world.generation = GENERATION;
	return c;
}

static enum stream_result
meet(struct tls_context *c, const char *name, int version, const struct tls_rules *rules,
	const char *signatures)
{
	struct talk t;

	talk_begin(&t, world.clients, c, rules);
	talk_version(&t, version);
	if (signatures) {
		SSL_set_security_level(t.client, 0);
		assert_int_equal(
			SSL_set1_sigalgs_list(t.client, plain_text(signatures)), 1);
	}
	assert_int_equal(SSL_set_tlsext_host_name(t.client, plain_text(name)), 1);
	world.asked = 0;
	world.legacy = false;
	enum stream_result r = talk_shake(&t);
	if (r == STREAM_OK)
		talk_echo(&t);
	talk_end(&t);
	return r;
}

static void
every_key_signs_elsewhere(void **state)
{
	static const struct {
		const char *name;
		int version;
		const char *signatures;
		uint16_t scheme;
	} rows[] = {
		{"rsa.test", TLS1_3_VERSION, NULL, 0x0804},
		{"rsa.test", TLS1_3_VERSION, "rsa_pss_rsae_sha384", 0x0805},
		{"rsa.test", TLS1_3_VERSION, "rsa_pss_rsae_sha512", 0x0806},
		{"p256.test", TLS1_3_VERSION, NULL, 0x0403},
		{"p384.test", TLS1_3_VERSION, NULL, 0x0503},
		{"ed.test", TLS1_3_VERSION, NULL, 0x0807},
		{"rsa.test", TLS1_2_VERSION, NULL, 0x0804},
		{"rsa.test", TLS1_2_VERSION, "RSA+SHA256", 0x0401},
		{"rsa.test", TLS1_2_VERSION, "RSA+SHA384", 0x0501},
		{"rsa.test", TLS1_2_VERSION, "RSA+SHA512", 0x0601},
		{"p256.test", TLS1_2_VERSION, NULL, 0x0403},
		{"p256.test", TLS1_2_VERSION, "ECDSA+SHA384", 0x0503},
		{"p384.test", TLS1_2_VERSION, "ECDSA+SHA384", 0x0503},
		{"ed.test", TLS1_2_VERSION, NULL, 0x0807},
	};
	struct tls_context *c = keyless(GENERATION);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum stream_result r =
			meet(c, rows[i].name, rows[i].version, NULL, rows[i].signatures);
		if (r != STREAM_OK || world.asked != 1 || world.scheme != rows[i].scheme)
			fail_msg("row %zu: result %d, asked %u, scheme %04x", i, r,
				world.asked, world.scheme);
		assert_false(world.legacy);
	}
	tls_context_unref(&c);
}

static void
old_clients_are_served_where_the_rules_say_so(void **state)
{
	static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION};
	static const char *const names[] = {"rsa.test", "p256.test"};
	static const uint16_t schemes[] = {0x0001, 0x0203};
	struct tls_rules old = {.floor = TLS_FLOOR_10}, modern = {.floor = TLS_FLOOR_13};
	struct tls_context *c = keyless(GENERATION);

	(void)state;
	for (size_t v = 0; v < 2; v++)
		for (size_t i = 0; i < 2; i++) {
			assert_int_equal(
				meet(c, names[i], versions[v], NULL, NULL), STREAM_ERROR);
			if (meet(c, names[i], versions[v], &old, NULL) != STREAM_OK)
				fail_msg("version %zu, %s", v, names[i]);
			assert_int_equal(world.scheme, schemes[i]);
			assert_true(world.legacy);
		}
	/* TLS 1.2 with nothing but SHA-1. */
	assert_int_equal(
		meet(c, "rsa.test", TLS1_2_VERSION, NULL, "RSA+SHA1"), STREAM_ERROR);
	assert_int_equal(
		meet(c, "rsa.test", TLS1_2_VERSION, &old, "RSA+SHA1"), STREAM_OK);
	assert_int_equal(world.scheme, 0x0201);
	assert_int_equal(
		meet(c, "rsa.test", TLS1_2_VERSION, &modern, NULL), STREAM_ERROR);
	assert_int_equal(meet(c, "rsa.test", TLS1_3_VERSION, &modern, NULL), STREAM_OK);
	tls_context_unref(&c);
}

static void
no_signature_is_no_handshake(void **state)
{
	struct tls_context *c = keyless(GENERATION), *other = keyless(GENERATION + 1);

	(void)state;
	world.refuse = true;
	assert_int_equal(meet(c, "rsa.test", TLS1_3_VERSION, NULL, NULL), STREAM_ERROR);
	assert_int_equal(meet(c, "p256.test", TLS1_2_VERSION, NULL, NULL), STREAM_ERROR);
	assert_int_equal(world.asked, 1);
	world.refuse = false;
	/* The generation travels with the question. */
	assert_int_equal(
		meet(other, "rsa.test", TLS1_3_VERSION, NULL, NULL), STREAM_ERROR);
	world.garble = true;
	assert_int_equal(meet(c, "ed.test", TLS1_3_VERSION, NULL, NULL), STREAM_ERROR);
	world.garble = false;
	assert_int_equal(meet(c, "ed.test", TLS1_3_VERSION, NULL, NULL), STREAM_OK);
	tls_context_unref(&c);
	tls_context_unref(&other);
}

/* Told when it comes, not by the first client's handshake. */
static void
a_key_of_another_certificate_is_refused(void **state)
{
	char why[256];

	(void)state;
	for (uint8_t i = 0; i < KINDS; i++) {
		for (int how = 0; how < 4; how++) {
			struct tls_setup *s = tls_setup_new(GENERATION, KINDS, nothing(),
				world.signer, why, sizeof(why));
			assert_non_null(s);
			world.garble = how == 1;
			world.refuse = how == 2;
			world.away = how == 3;
			assert_int_equal(
				tls_setup_add(s, i, given_text(world.given[i].cert_pem),
					nothing(), nothing(), why, sizeof(why)),
				how == 0 || how == 3 ? TLS_ADDED : TLS_NOT_ADDED);
			if (how == 1)
				assert_string_equal(why,
					"the private key does not belong to the "
					"certificate");
			if (how == 2)
				assert_string_equal(
					why, "restante-keys cannot use the private key");
			tls_setup_free(&s);
		}
	}
	world.away = false;
}

static void
a_certificate_without_signer_or_key_is_refused(void **state)
{
	char why[256] = "";
	struct tls_setup *s = tls_setup_new(1, 2, nothing(), NULL, why, sizeof(why));

	(void)state;
	assert_int_equal(tls_setup_add(s, 0, given_text(world.given[0].cert_pem),
				 nothing(), nothing(), why, sizeof(why)),
		TLS_NOT_ADDED);
	assert_string_equal(why, "the private key is missing");
	assert_false(tls_setup_is_complete(s));
	tls_setup_free(&s);
}

/* Private keys of the same kinds that live here go past the signer. */
static void
keys_at_hand_do_not_ask(void **state)
{
	char why[256] = "";
	struct tls_setup *s =
		tls_setup_new(1, 2, nothing(), world.signer, why, sizeof(why));

	(void)state;
	for (uint8_t i = 0; i < 2; i++)
		assert_int_equal(tls_setup_add(s, i, given_text(world.given[i].cert_pem),
					 given_text(world.given[i].key_pem), nothing(),
					 why, sizeof(why)),
			TLS_ADDED);
	struct tls_context *c = tls_setup_finish(&s, why, sizeof(why));
	assert_non_null(c);
	assert_int_equal(meet(c, "rsa.test", TLS1_3_VERSION, NULL, NULL), STREAM_OK);
	assert_int_equal(meet(c, "p256.test", TLS1_2_VERSION, NULL, NULL), STREAM_OK);
	assert_int_equal(world.asked, 0);
	tls_context_unref(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_signs_elsewhere),
		cmocka_unit_test(old_clients_are_served_where_the_rules_say_so),
		cmocka_unit_test(no_signature_is_no_handshake),
		cmocka_unit_test(a_key_of_another_certificate_is_refused),
		cmocka_unit_test(a_certificate_without_signer_or_key_is_refused),
		cmocka_unit_test(keys_at_hand_do_not_ask),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
