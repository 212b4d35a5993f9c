#include "keys/keys.h"

#include "base/check.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <string.h>

/*
 * Private numbers lie apart, between guard pages, locked where the limit allows it. Room
 * for two generations of 256 large RSA keys.
 */
#define SECURE_OCTETS (4U << 20)
#define RSA_BITS_MIN  1024
#define RSA_BITS_MAX  8192 /* its signatures are KEYS_SIGNATURE_MAX octets */

/* A key in a file with a password is of no use: nobody is there to type it. */
static int
no_password(char *to, int n, int writing, void *arg)
{
	(void)to, (void)n, (void)writing, (void)arg;
	return -1;
}

/* NULL, or why it cannot be used. */
static const char *
kind_of(EVP_PKEY *p, enum keys_kind *ret)
{
	char group[32] = "";

	if (EVP_PKEY_is_a(p, "RSA")) {
		int bits = EVP_PKEY_get_bits(p);
		*ret = KEYS_RSA;
		return bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX
			? NULL
			: "an RSA key has 1024 to 8192 bits";
	}
	if (EVP_PKEY_is_a(p, "ED25519")) {
		*ret = KEYS_ED25519;
		return NULL;
	}
	if (EVP_PKEY_is_a(p, "EC"))
		(void)EVP_PKEY_get_group_name(p, group, sizeof(group), NULL);
	*ret = strcmp(group, "prime256v1") == 0 ? KEYS_P256 : KEYS_P384;
	if (*ret == KEYS_P256 || strcmp(group, "secp384r1") == 0)
		return NULL;
	return "only RSA, P-256, P-384 and Ed25519 are known";
}

struct keys_key *
keys_key_read(struct view pem, const char **ret_why)
{
	CHECK(pem.n <= KEYS_PEM_OCTETS_MAX);
	ERR_clear_error();
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *p = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
	struct keys_key *key = OPENSSL_zalloc(sizeof(*key));

	BIO_free(b);
	const char *why = p ? NULL : "no private key in PEM without a password";
	if (p && !key)
		why = "no memory";
	if (!why)
		why = kind_of(p, &key->kind);
	ERR_clear_error();
	if (why) {
		EVP_PKEY_free(p);
		OPENSSL_free(key);
		*ret_why = why;
		return NULL;
	}
	key->pkey = p;
	return key;
}

static void
ready_done(struct keys_ready *r)
{
	EVP_PKEY_CTX_free(r->context);
	EVP_MD_free(r->digest);
	*r = (struct keys_ready){0};
}

void
keys_key_free(void *key)
{
	struct keys_key *k = key;

	if (!k)
		return;
	for (size_t i = 0; i < KEYS_SCHEMES; i++)
		ready_done(&k->ready[i]);
	EVP_PKEY_free(k->pkey); /* its numbers are cleansed there */
	OPENSSL_clear_free(k, sizeof(*k));
}

/* Ed25519 has no digest of ours to begin with (RFC 8032 s.5.1). */
static bool
compute_whole(EVP_PKEY *pkey, struct view content, uint8_t *sig, size_t *n)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = c &&
		EVP_DigestSignInit_ex(c, NULL, NULL, NULL, NULL, pkey, NULL) == 1 &&
		EVP_DigestSign(c, sig, n, content.p, content.n) == 1;

	EVP_MD_CTX_free(c);
	return ok;
}

static bool
make_ready(const struct keys_key *key, const struct keys_scheme *s, struct keys_ready *r)
{
	r->digest = EVP_MD_fetch(NULL, s->digest, NULL);
	r->context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	EVP_PKEY_CTX *c = r->context;
	bool ok = r->digest && c && EVP_PKEY_sign_init(c) == 1 &&
		EVP_PKEY_CTX_set_signature_md(c, r->digest) == 1;

	if (ok && s->padding == KEYS_PSS)
		ok = EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1;
	else if (ok && s->padding == KEYS_PKCS1)
		ok = EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1;
	if (!ok)
		ready_done(r);
	return ok;
}

static bool
compute(struct keys_key *key, const struct keys_scheme *s, struct view content,
	uint8_t *sig, size_t *n)
{
	struct keys_ready *r = &key->ready[s->row];
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int digest_n;

	if (!s->digest)
		return compute_whole(key->pkey, content, sig, n);
	if (!r->context && !make_ready(key, s, r))
		return false;
	return EVP_Digest(content.p, content.n, digest, &digest_n, r->digest, NULL) ==
		1 &&
		EVP_PKEY_sign(r->context, sig, n, digest, digest_n) == 1;
}

enum keys_verdict
keys_sign(struct keys_key *key, uint16_t scheme, struct view content, uint8_t *sig,
	size_t *n, bool *ret_legacy)
{
	const struct keys_scheme *s;
	enum keys_verdict v = keys_judge(key->kind, scheme, content, &s);
	size_t room = *n;

	if (v != KEYS_SIGN)
		return v;
	/* Without memory for its DER form OpenSSL 3.0 gives success and a length of -1.
	 */
	if (!compute(key, s, content, sig, n) || *n == 0 || *n > room) {
		ERR_clear_error();
		return KEYS_FAILED;
	}
	*ret_legacy = s->legacy;
	return KEYS_SIGN;
}

/* Of every kind of key one signature, the hashes of old clients too. */
static bool
try_one(EVP_PKEY *p, enum keys_kind kind, uint16_t scheme)
{
	struct keys_key key = {.kind = kind, .pkey = p};
	uint8_t content[64 + 4 + 32] = {[64] = 3, [66] = 29, [67] = 32};
	uint8_t sig[KEYS_SIGNATURE_MAX];
	size_t n = sizeof(sig);
	bool legacy;
	bool ok = p &&
		keys_sign(&key, scheme, (struct view){content, sizeof(content)}, sig, &n,
			&legacy) == KEYS_SIGN;

	for (size_t i = 0; i < KEYS_SCHEMES; i++)
		ready_done(&key.ready[i]);
	return ok;
}

int
keys_warm_up(void)
{
	/* The settings are this program's own, not those of a file of the system's. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return -EIO;
	if (!OSSL_LIB_CTX_get0_global_default()) /* it would be used even so */
		return -ENOMEM;
	if (CRYPTO_secure_malloc_init(SECURE_OCTETS, 32) == 0)
		return -ENOMEM;
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	/* Short, and gone at once: the fronts wait for this start. */
	EVP_PKEY *rsa = EVP_RSA_gen(1024U);
	EVP_PKEY *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	bool ok = try_one(ec, KEYS_P256, 0x0403) && try_one(ec, KEYS_P256, 0x0203) &&
		try_one(rsa, KEYS_RSA, 0x0001) && try_one(rsa, KEYS_RSA, 0x0401) &&
		try_one(rsa, KEYS_RSA, 0x0601) && try_one(rsa, KEYS_RSA, 0x0805) &&
		try_one(ed, KEYS_ED25519, 0x0807);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
	/* Texts of errors are loaded with the first one; so is what reads PEM. */
	const char *why = NULL;
	keys_key_free(keys_key_read(VIEW("-----BEGIN PRIVATE KEY-----\n"), &why));
	ERR_clear_error();
	return ok ? 0 : -EPROTO;
}
