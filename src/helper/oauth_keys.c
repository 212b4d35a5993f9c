#include "helper/oauth_keys.h"

#include "base/check.h"
#include "helper/oauth_jws.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <string.h>

#define RSA_BITS_MIN	2048
#define RSA_BITS_MAX	8192
#define EXPONENT_OCTETS 8
#define MEMBER_MAX	1040

/* RFC 7518 s.3.1, RFC 8037 s.3.1: which keys an algorithm takes. */
static const struct {
	const char *name, *kty, *crv;
} algorithms[OAUTH_ALGORITHMS] = {
	[OAUTH_RS256] = {"RS256", "RSA", NULL},
	[OAUTH_PS256] = {"PS256", "RSA", NULL},
	[OAUTH_ES256] = {"ES256", "EC", "P-256"},
	[OAUTH_EDDSA] = {"EdDSA", "OKP", "Ed25519"},
};

bool
oauth_algorithm_read(const char *name, enum oauth_algorithm *ret)
{
	for (size_t i = 0; i < OAUTH_ALGORITHMS; i++)
		if (strcmp(name, algorithms[i].name) == 0) {
			*ret = (enum oauth_algorithm)i;
			return true;
		}
	return false;
}

/* ---- reading a set ------------------------------------------------------------------
 */

static const char *
member(const json_t *jwk, const char *name)
{
	const char *text = json_string_value(json_object_get(jwk, name));

	return text ? text : "";
}

/* The octets of a member in base64url; false where it is none or is empty. */
static bool
member_octets(const json_t *jwk, const char *name, struct buf *out)
{
	const char *text = member(jwk, name);
	struct view v = {(const uint8_t *)text, strlen(text)};

	return v.n > 0 && base64url_read(v, out);
}

static EVP_PKEY *
key_from(const char *type, OSSL_PARAM_BLD *parts)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(parts);
	EVP_PKEY *key = NULL;

	if (!ctx || !params || EVP_PKEY_fromdata_init(ctx) <= 0 ||
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		key = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* A point that is not on the curve, or a modulus that can be none. */
static bool
key_is_sound(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = key ? EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL) : NULL;
	bool sound = ctx && EVP_PKEY_public_check(ctx) > 0;

	EVP_PKEY_CTX_free(ctx);
	return sound;
}

static EVP_PKEY *
rsa_key(const json_t *jwk)
{
	uint8_t n_octets[MEMBER_MAX], e_octets[EXPONENT_OCTETS];
	struct buf nb = buf_over(n_octets, sizeof(n_octets));
	struct buf eb = buf_over(e_octets, sizeof(e_octets));
	EVP_PKEY *key = NULL;

	if (!member_octets(jwk, "n", &nb) || !member_octets(jwk, "e", &eb))
		return NULL;
	BIGNUM *n = BN_bin2bn(nb.p, (int)nb.n, NULL),
	       *e = BN_bin2bn(eb.p, (int)eb.n, NULL);
	OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
	if (n && e && parts && BN_num_bits(n) >= RSA_BITS_MIN &&
		BN_num_bits(n) <= RSA_BITS_MAX && BN_is_odd(e) && BN_num_bits(e) > 1 &&
		OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_N, n) &&
		OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_E, e))
		key = key_from("RSA", parts);
	OSSL_PARAM_BLD_free(parts);
	BN_free(n);
	BN_free(e);
	return key;
}

/* RFC 7518 s.6.2.1: both coordinates have all their 32 octets. */
static EVP_PKEY *
ec_key(const json_t *jwk)
{
	static const char group[] = "prime256v1";
	uint8_t point[65] = {0x04};
	struct buf x = buf_over(point + 1, 32), y = buf_over(point + 33, 32);
	EVP_PKEY *key = NULL;

	if (!member_octets(jwk, "x", &x) || !member_octets(jwk, "y", &y) || x.n != 32 ||
		y.n != 32)
		return NULL;
	OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
	if (parts &&
		OSSL_PARAM_BLD_push_utf8_string(
			parts, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) &&
		OSSL_PARAM_BLD_push_octet_string(
			parts, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)))
		key = key_from("EC", parts);
	OSSL_PARAM_BLD_free(parts);
	return key;
}

static EVP_PKEY *
okp_key(const json_t *jwk)
{
	uint8_t octets[32];
	struct buf x = buf_over(octets, sizeof(octets));

	if (!member_octets(jwk, "x", &x) || x.n != sizeof(octets))
		return NULL;
	return EVP_PKEY_new_raw_public_key(
		EVP_PKEY_ED25519, NULL, octets, sizeof(octets));
}

/* What the key's own words allow it for (RFC 7517 s.4.2 to 4.4). */
static unsigned
algorithms_of(const json_t *jwk)
{
	const char *kty = member(jwk, "kty"), *crv = member(jwk, "crv");
	const char *use = member(jwk, "use"), *alg = member(jwk, "alg");
	const json_t *ops = json_object_get(jwk, "key_ops"), *op;
	bool verifies = !ops;
	unsigned bits = 0;
	size_t i;

	json_array_foreach(ops, i, op) if (json_is_string(op) &&
		strcmp(json_string_value(op), "verify") == 0) verifies = true;
	if (!verifies || (*use != '\0' && strcmp(use, "sig") != 0))
		return 0;
	for (i = 0; i < OAUTH_ALGORITHMS; i++)
		if (strcmp(kty, algorithms[i].kty) == 0 &&
			(!algorithms[i].crv || strcmp(crv, algorithms[i].crv) == 0) &&
			(*alg == '\0' || strcmp(alg, algorithms[i].name) == 0))
			bits |= 1U << i;
	return bits;
}

static EVP_PKEY *
key_of(const json_t *jwk, unsigned bits)
{
	EVP_PKEY *key = NULL;

	if (bits & (1U << OAUTH_RS256 | 1U << OAUTH_PS256))
		key = rsa_key(jwk);
	else if (bits & 1U << OAUTH_ES256)
		key = ec_key(jwk);
	else if (bits & 1U << OAUTH_EDDSA)
		key = okp_key(jwk);
	if (key && (bits & 1U << OAUTH_EDDSA) == 0 && !key_is_sound(key)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

static const char *
read_key(const json_t *jwk, struct oauth_keys *keys)
{
	const char *kid = member(jwk, "kid");
	unsigned bits = json_is_object(jwk) ? algorithms_of(jwk) : 0;

	if (bits == 0 || strlen(kid) > OAUTH_KID_MAX)
		return NULL;
	if (keys->n == OAUTH_KEYS_MAX)
		return "the key set has more than 64 keys for signatures";
	EVP_PKEY *key = key_of(jwk, bits);
	if (!key)
		return "a key of the key set is broken, or an RSA key of less than 2048 "
		       "or "
		       "more than 8192 bits";
	struct oauth_key *k = &keys->of[keys->n++];
	*k = (struct oauth_key){.key = key, .algorithms = bits};
	memcpy(k->kid, kid, strlen(kid) + 1);
	return NULL;
}

const char *
oauth_keys_read(struct view json, struct oauth_keys *ret)
{
	struct oauth_keys found = {.n = 0};
	json_t *set = oauth_json_object(json);
	const json_t *list = json_object_get(set, "keys"), *jwk;
	const char *wrong = NULL;
	size_t i;

	if (!set)
		wrong = "the key set is no JSON object";
	else if (!json_is_array(list))
		wrong = "the key set has no list \"keys\"";
	else
		json_array_foreach(list, i, jwk) if (!wrong) wrong =
			read_key(jwk, &found);
	if (!wrong && found.n == 0)
		wrong = "the key set has no key for RS256, PS256, ES256 or EdDSA";
	json_decref(set);
	if (wrong)
		oauth_keys_free(&found);
	else
		*ret = found;
	return wrong;
}

void
oauth_keys_free(struct oauth_keys *keys)
{
	for (size_t i = 0; i < keys->n; i++)
		EVP_PKEY_free(keys->of[i].key);
	keys->n = 0;
}

/* ---- checking a signature ------------------------------------------------------------
 */

/* RFC 7518 s.3.4: r and s of 32 octets each become DER, which OpenSSL reads. */
static uint8_t *
ecdsa_der(struct view raw, size_t *ret_n)
{
	uint8_t *der = NULL;

	if (raw.n != 64)
		return NULL;
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw.p, 32, NULL), *s = BN_bin2bn(raw.p + 32, 32, NULL);
	if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		ECDSA_SIG_free(sig);
		return NULL;
	}
	int n = i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	*ret_n = n > 0 ? (size_t)n : 0;
	return der;
}

/* RFC 7518 s.3.5: the salt is as long as the hash. */
static bool
set_pss(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
		EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

static bool
verify(EVP_PKEY *key, enum oauth_algorithm algorithm, struct view text, struct view sig)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	const char *hash = algorithm == OAUTH_EDDSA ? NULL : "SHA256";
	EVP_PKEY_CTX *ctx = NULL; /* md's own */
	uint8_t *der = NULL;
	bool good =
		md && EVP_DigestVerifyInit_ex(md, &ctx, hash, NULL, NULL, key, NULL) > 0;

	if (algorithm == OAUTH_ES256) {
		size_t n = 0;
		der = ecdsa_der(sig, &n);
		sig = (struct view){der, n};
		good = good && der;
	}
	if (algorithm == OAUTH_PS256)
		good = good && set_pss(ctx);
	good = good && EVP_DigestVerify(md, sig.p, sig.n, text.p, text.n) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(md);
	return good;
}

enum oauth_checked
oauth_keys_check(const struct oauth_keys *keys, enum oauth_algorithm algorithm,
	const char *kid, struct view text, struct view signature)
{
	const struct oauth_key *found = NULL;
	bool is_known = false;

	CHECK(algorithm < OAUTH_ALGORITHMS);
	for (size_t i = 0; i < keys->n; i++) {
		const struct oauth_key *k = &keys->of[i];
		if (kid && strcmp(k->kid, kid) != 0)
			continue;
		is_known = is_known || kid;
		if ((k->algorithms & 1U << algorithm) == 0)
			continue;
		/* Without a kid nothing is guessed. */
		if (found && !kid)
			return OAUTH_UNKNOWN_KEY;
		found = found ? found : k;
	}
	if (!found)
		return is_known ? OAUTH_NOT_SIGNED : OAUTH_UNKNOWN_KEY;
	return verify(found->key, algorithm, text, signature) ? OAUTH_SIGNED
							      : OAUTH_NOT_SIGNED;
}
