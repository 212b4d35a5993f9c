/*
 * Private keys that are somewhere else, for OpenSSL: a provider whose keys are a public
 * part and a number, and whose one operation asks the caller's function for a signature.
 *
 * It lives in a library context of its own, so that nothing but keys that were made here
 * ever comes to it; all with public keys (peers', key shares, comparing) is left to
 * OpenSSL's default provider. Digests are never made here: the content goes out whole.
 */
#include "os/tls_signer.h"

#include "base/check.h"

#include <errno.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>

#define PROVIDER_NAME "restante-signer"
/* The parameters of a new key, for EVP_PKEY_fromdata. */
#define PARAM_SIGNER "signer"
#define PARAM_PUBLIC "public"
#define PARAM_NUMBER "number"
#define PARAM_INDEX  "index"

/* ---- keys ---------------------------------------------------------------------------
 */

static void *
key_new(void *provider)
{
	(void)provider;
	return OPENSSL_zalloc(sizeof(struct signer_key));
}

static void
key_free(void *key)
{
	struct signer_key *k = key;

	if (!k)
		return;
	EVP_PKEY_free(k->public);
	OPENSSL_free(k);
}

static int
key_has(const void *key, int selection)
{
	const struct signer_key *k = key;

	if (!k || !k->public)
		return 0;
	return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || k->signer;
}

static int
key_match(const void *one, const void *other, int selection)
{
	const struct signer_key *a = one, *b = other;

	(void)selection;
	return a->public && b->public && EVP_PKEY_eq(a->public, b->public) == 1;
}

static bool
number_of(const OSSL_PARAM params[], const char *name, uint32_t *ret)
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);

	return p && OSSL_PARAM_get_uint32(p, ret) == 1;
}

/* A key of ours: where it is, and its public part. */
static bool
import_own(struct signer_key *k, const OSSL_PARAM params[], const OSSL_PARAM *signer)
{
	const OSSL_PARAM *public = OSSL_PARAM_locate_const(params, PARAM_PUBLIC);
	const void *p, *s;
	size_t n;
	uint32_t index;

	if (!public || OSSL_PARAM_get_octet_ptr(signer, &s, &n) != 1 ||
		OSSL_PARAM_get_octet_ptr(public, &p, &n) != 1 ||
		!number_of(params, PARAM_NUMBER, &k->generation) ||
		!number_of(params, PARAM_INDEX, &index))
		return false;
	EVP_PKEY *given = (EVP_PKEY *)(uintptr_t)p;
	if (EVP_PKEY_up_ref(given) != 1)
		return false;
	k->signer = s;
	k->public = given;
	k->index = (uint8_t)index;
	return true;
}

/* Somebody's public key, so that OpenSSL can compare it with one of ours. */
static bool
import_public(
	struct signer_key *k, const char *type, int selection, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	bool ok = c && EVP_PKEY_fromdata_init(c) == 1 &&
		EVP_PKEY_fromdata(
			c, &k->public, selection, (OSSL_PARAM *)(uintptr_t)params) == 1;

	EVP_PKEY_CTX_free(c);
	return ok;
}

static int
key_import(
	struct signer_key *k, const char *type, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *signer = OSSL_PARAM_locate_const(params, PARAM_SIGNER);

	if (k->public)
		return 0;
	if (signer)
		return import_own(k, params, signer);
	selection &= ~OSSL_KEYMGMT_SELECT_PRIVATE_KEY;
	return import_public(k, type, selection, params);
}

/* No private part goes out: there is none, and OpenSSL must come to us to sign. */
static int
key_export(void *key, int selection, OSSL_CALLBACK *take, void *arg)
{
	const struct signer_key *k = key;

	if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY || !k->public)
		return 0;
	return EVP_PKEY_export(k->public, selection, take, arg);
}

static int
key_get_params(void *key, OSSL_PARAM params[])
{
	const struct signer_key *k = key;

	return k->public && EVP_PKEY_get_params(k->public, params);
}

static const OSSL_PARAM *
key_gettable_params(void *provider)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)provider;
	return list;
}

static const OSSL_PARAM *
key_import_types(int selection)
{
	static const OSSL_PARAM list[] = {
		OSSL_PARAM_octet_ptr(PARAM_SIGNER, NULL, 0),
		OSSL_PARAM_octet_ptr(PARAM_PUBLIC, NULL, 0),
		OSSL_PARAM_uint32(PARAM_NUMBER, NULL),
		OSSL_PARAM_uint32(PARAM_INDEX, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_END,
	};

	(void)selection;
	return list;
}

static const OSSL_PARAM *
key_export_types(int selection)
{
	return key_import_types(selection);
}

static int
rsa_import(void *key, int selection, const OSSL_PARAM params[])
{
	return key_import(key, "RSA", selection, params);
}

static int
ec_import(void *key, int selection, const OSSL_PARAM params[])
{
	return key_import(key, "EC", selection, params);
}

static int
ed25519_import(void *key, int selection, const OSSL_PARAM params[])
{
	return key_import(key, "ED25519", selection, params);
}

static const char *
ec_operation_name(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

/* ---- the tables that OpenSSL reads ----------------------------------------------------
 */

/* clang-format off */
#define KEYMGMT(import)                                                                  \
	ENTRY(OSSL_FUNC_KEYMGMT_NEW, key_new),                                           \
	ENTRY(OSSL_FUNC_KEYMGMT_FREE, key_free),                                         \
	ENTRY(OSSL_FUNC_KEYMGMT_HAS, key_has),                                           \
	ENTRY(OSSL_FUNC_KEYMGMT_MATCH, key_match),                                       \
	ENTRY(OSSL_FUNC_KEYMGMT_IMPORT, import),                                         \
	ENTRY(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),                         \
	ENTRY(OSSL_FUNC_KEYMGMT_EXPORT, key_export),                                     \
	ENTRY(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_export_types),                         \
	ENTRY(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                             \
	ENTRY(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params)

static const OSSL_DISPATCH rsa_keys[] = {KEYMGMT(rsa_import), {0, NULL}};
static const OSSL_DISPATCH ec_keys[] = {KEYMGMT(ec_import),
	ENTRY(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, ec_operation_name), {0, NULL}};
static const OSSL_DISPATCH ed25519_keys[] = {KEYMGMT(ed25519_import), {0, NULL}};
/* clang-format on */

#define PROPERTY "provider=" PROVIDER_NAME
static const OSSL_ALGORITHM keys[] = {
	{"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTY, rsa_keys, NULL},
	{"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTY, ec_keys, NULL},
	{"ED25519:1.3.101.112", PROPERTY, ed25519_keys, NULL},
	{NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
	{"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTY, tls_signer_rsa, NULL},
	{"ECDSA", PROPERTY, tls_signer_ec, NULL},
	{"ED25519:1.3.101.112", PROPERTY, tls_signer_ed25519, NULL},
	{NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *
query(void *provider, int operation, int *no_cache)
{
	(void)provider;
	*no_cache = 0;
	if (operation == OSSL_OP_KEYMGMT)
		return keys;
	return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static const OSSL_DISPATCH provider_functions[] = {
	ENTRY(OSSL_FUNC_PROVIDER_QUERY_OPERATION, query),
	{0, NULL},
};

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
	const OSSL_DISPATCH **out, void **context)
{
	(void)in;
	*out = provider_functions;
	/* Not used, but none would mean that the provider failed. */
	*context = (void *)(uintptr_t)handle;
	return 1;
}

/* ---- for others
 * ------------------------------------------------------------------------ */

struct tls_signer *
tls_signer_new(tls_sign_fn *sign, void *arg)
{
	struct tls_signer *s = OPENSSL_zalloc(sizeof(*s));

	if (!s)
		return NULL;
	s->sign = sign;
	s->arg = arg;
	s->library = OSSL_LIB_CTX_new();
	bool ok = s->library &&
		OSSL_PROVIDER_add_builtin(s->library, PROVIDER_NAME, provider_init) == 1;
	s->provider = ok ? OSSL_PROVIDER_load(s->library, PROVIDER_NAME) : NULL;
	if (!s->provider)
		tls_signer_free(&s);
	ERR_clear_error();
	return s;
}

void
tls_signer_free(struct tls_signer **s)
{
	struct tls_signer *gone = *s;

	*s = NULL;
	if (!gone)
		return;
	if (gone->provider)
		(void)OSSL_PROVIDER_unload(gone->provider);
	OSSL_LIB_CTX_free(gone->library);
	OPENSSL_free(gone);
}

EVP_PKEY *
tls_signer_key(struct tls_signer *s, EVP_PKEY *public, const char *type,
	uint32_t generation, uint8_t index)
{
	uint32_t number = generation, at = index;
	void *signer = s, *given = public;
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_ptr(PARAM_SIGNER, &signer, sizeof(*s)),
		OSSL_PARAM_octet_ptr(PARAM_PUBLIC, &given, sizeof(given)),
		OSSL_PARAM_uint32(PARAM_NUMBER, &number),
		OSSL_PARAM_uint32(PARAM_INDEX, &at),
		OSSL_PARAM_END,
	};
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(s->library, type, NULL);

	if (!c || EVP_PKEY_fromdata_init(c) != 1 ||
		EVP_PKEY_fromdata(c, &key, EVP_PKEY_KEYPAIR, params) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(c);
	return key;
}
