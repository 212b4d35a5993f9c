/*
 * The signatures of the provider of tls_signer.c: which scheme is wanted, who is asked.
 */
#include "os/tls_signer.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>

enum kind { KIND_RSA, KIND_EC, KIND_ED25519 };

struct signing {
	const struct signer_key *key;
	enum kind kind;
	char digest[16];
	bool is_pss;
};

/* RFC 8446 s.4.2.3; digests by the names that libssl says. */
static const struct {
	const char *digest;
	uint16_t rsa, pss, ecdsa;
} schemes[] = {
	{"SHA256", 0x0401, 0x0804, 0x0403},
	{"SHA2-256", 0x0401, 0x0804, 0x0403},
	{"SHA384", 0x0501, 0x0805, 0x0503},
	{"SHA2-384", 0x0501, 0x0805, 0x0503},
	{"SHA512", 0x0601, 0x0806, 0x0603},
	{"SHA2-512", 0x0601, 0x0806, 0x0603},
	{"SHA1", 0x0201, 0, 0x0203},
	{"MD5-SHA1", 0x0001, 0, 0},
};

/* 0: none fits. */
static uint16_t
scheme_of(const struct signing *s)
{
	if (s->kind == KIND_ED25519)
		return 0x0807;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (OPENSSL_strcasecmp(schemes[i].digest, s->digest) != 0)
			continue;
		if (s->kind == KIND_EC)
			return schemes[i].ecdsa;
		return s->is_pss ? schemes[i].pss : schemes[i].rsa;
	}
	return 0;
}

static void *
signing_new(enum kind kind)
{
	struct signing *s = OPENSSL_zalloc(sizeof(*s));

	if (s)
		s->kind = kind;
	return s;
}

static void *
rsa_signing(void *provider, const char *query)
{
	(void)provider, (void)query;
	return signing_new(KIND_RSA);
}

static void *
ec_signing(void *provider, const char *query)
{
	(void)provider, (void)query;
	return signing_new(KIND_EC);
}

static void *
ed25519_signing(void *provider, const char *query)
{
	(void)provider, (void)query;
	return signing_new(KIND_ED25519);
}

static void
signing_free(void *signing)
{
	OPENSSL_free(signing);
}

static int
signing_set_params(void *signing, const OSSL_PARAM params[])
{
	struct signing *s = signing;
	const OSSL_PARAM *p = params
		? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)
		: NULL;
	const char *text = NULL;
	int mode = 0;

	if (!p || s->kind != KIND_RSA)
		return 1;
	if (OSSL_PARAM_get_int(p, &mode) == 1)
		s->is_pss = mode == RSA_PKCS1_PSS_PADDING;
	else if (OSSL_PARAM_get_utf8_string_ptr(p, &text) == 1 && text)
		s->is_pss = strcmp(text, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
	else
		return 0;
	/* The salt is as long as the digest, always: other lengths have no scheme. */
	return s->is_pss || mode == RSA_PKCS1_PADDING || text;
}

static const OSSL_PARAM *
signing_settable(void *signing, void *provider)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)signing, (void)provider;
	return list;
}

static int
signing_begin(void *signing, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *s = signing;
	size_t n = digest ? strlen(digest) : 0;

	if (!key || n >= sizeof(s->digest))
		return 0;
	s->key = key;
	s->is_pss = false;
	memcpy(s->digest, digest ? digest : "", n);
	s->digest[n] = 0;
	return s->key->signer && signing_set_params(s, params);
}

/* The whole content at once, which is how libssl asks for what a handshake has signed. */
static int
signing_sign(void *signing, unsigned char *sig, size_t *n, size_t room,
	const unsigned char *content, size_t content_n)
{
	const struct signing *s = signing;
	uint8_t got[TLS_SIGNATURE_MAX];
	size_t got_n = sizeof(got);
	int most = s->key ? EVP_PKEY_get_size(s->key->public) : 0;

	if (most <= 0)
		return 0;
	if (!sig) {
		*n = (size_t)most;
		return 1;
	}
	uint16_t scheme = scheme_of(s);
	if (scheme == 0 || content_n > TLS_SIGNED_CONTENT_MAX)
		return 0;
	const struct signer_key *k = s->key;
	int e = k->signer->sign(k->signer->arg, k->generation, k->index, scheme,
		(struct view){content, content_n}, got, &got_n);
	if (e < 0 || got_n > room || got_n > (size_t)most)
		return 0;
	memcpy(sig, got, got_n);
	*n = got_n;
	return 1;
}

/* clang-format off */
#define SIGNATURE(new)                                                                   \
	ENTRY(OSSL_FUNC_SIGNATURE_NEWCTX, new),                                          \
	ENTRY(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),                                \
	ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_begin),                      \
	ENTRY(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),                            \
	ENTRY(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set_params),                   \
	ENTRY(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable)

const OSSL_DISPATCH tls_signer_rsa[] = {SIGNATURE(rsa_signing), {0, NULL}};
const OSSL_DISPATCH tls_signer_ec[] = {SIGNATURE(ec_signing), {0, NULL}};
const OSSL_DISPATCH tls_signer_ed25519[] = {SIGNATURE(ed25519_signing), {0, NULL}};
/* clang-format on */

/* ---- whether key and certificate belong together --------------------------------------
 */

#define BLANKS 64
#define HASH   32

static bool
verify(EVP_PKEY *public, const char *digest, bool is_pss, struct view sig,
	struct view content)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	bool ok = c &&
		EVP_DigestVerifyInit_ex(c, &p, digest, NULL, NULL, public, NULL) == 1;

	if (ok && is_pss)
		ok = EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestVerify(c, sig.p, sig.n, content.p, content.n) == 1;
	EVP_MD_CTX_free(c);
	ERR_clear_error();
	return ok;
}

const char *
tls_signer_try(const struct tls_signer *s, EVP_PKEY *public, const char *type,
	uint32_t generation, uint8_t index)
{
	static const char text[] = "TLS 1.3, server CertificateVerify";
	/* RFC 8446 s.4.4.3, over a hash that no handshake has. */
	uint8_t content[BLANKS + sizeof(text) + HASH] = {0}, sig[TLS_SIGNATURE_MAX];
	bool is_rsa = strcmp(type, "RSA") == 0, is_ec = strcmp(type, "EC") == 0;
	bool is_384 = is_ec && EVP_PKEY_get_bits(public) == 384;
	const char *digest = is_384 ? "SHA384" : is_rsa || is_ec ? "SHA256" : NULL;
	uint16_t scheme = is_384 ? 0x0503 : is_ec ? 0x0403 : is_rsa ? 0x0804 : 0x0807;
	size_t n = sizeof(sig);

	memset(content, ' ', BLANKS);
	memcpy(content + BLANKS, text, sizeof(text));
	struct view whole = {content, sizeof(content)};
	int e = s->sign(s->arg, generation, index, scheme, whole, sig, &n);
	if (e == -EIO)
		return "restante-keys cannot use the private key";
	if (e < 0)
		return NULL;
	if (!verify(public, digest, is_rsa, (struct view){sig, n}, whole))
		return "the private key does not belong to the certificate";
	return NULL;
}
