/* A generation of certificates, built step by step. */
#include "base/check.h"
#include "os/clock.h"
#include "os/tls_server_parts.h"
#include "os/tls_signer.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS_MAX 8192 /* its signatures are TLS_SIGNATURE_MAX octets */

struct tls_setup {
	struct tls_context *context; /* not in use yet */
	struct tls_signer *signer;
};

/* ECDSA first where the client can: it is the cheaper one. */
static const char *const type_names[TLS_KEY_TYPES] = {"EC", "RSA", "ED25519"};

static const char signatures[] =
	"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519:rsa_pss_rsae_sha256:"
	"rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:"
	"rsa_pkcs1_sha512";
/* What clients may sign with: their certificates are not ours to choose. */
static const char client_signatures[] =
	"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512:ed25519:"
	"ed448:"
	"rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:rsa_pss_rsae_sha256:"
	"rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:"
	"rsa_pkcs1_sha512";

static void
certificate_done(struct tls_certificate *c)
{
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	free(c->ocsp);
}

void
tls_server_free(struct tls_server **s)
{
	struct tls_server *gone = *s;

	*s = NULL;
	if (!gone)
		return;
	for (size_t i = 0; i < gone->certificates_n; i++)
		certificate_done(&gone->certificates[i]);
	for (size_t i = 0; i < gone->names_n; i++)
		free(gone->names[i].text);
	free(gone->certificates);
	free(gone->names);
	EVP_CIPHER_free(gone->ticket_cipher);
	explicit_bzero(gone, sizeof(*gone));
	free(gone);
}

/* ---- begin --------------------------------------------------------------------------
 */

/* NULL, or what failed. */
static const char *
settle(struct tls_context *c, struct view ticket_keys)
{
	const char *failed = tls_context_settle(c->ctx);

	if (failed)
		return failed;
	(void)SSL_CTX_set_options(
		c->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* OpenSSL's macros take the const away. */
	char *ours = (char *)(uintptr_t)signatures;
	char *theirs = (char *)(uintptr_t)client_signatures;
	if (SSL_CTX_set1_sigalgs_list(c->ctx, ours) != 1 ||
		SSL_CTX_set1_client_sigalgs_list(c->ctx, theirs) != 1)
		return "the signature schemes are not available";
	if (SSL_CTX_set_app_data(c->ctx, c) != 1)
		return "no memory";
	tls_server_listen(c->server, c->ctx);
	return tls_tickets_settle(c->server, c->ctx, ticket_keys);
}

static bool
server_new(struct tls_context *c, uint32_t generation, uint8_t certificates)
{
	struct tls_server *s = calloc(1, sizeof(*s));

	c->server = s;
	if (!s)
		return false;
	s->generation = generation;
	s->certificates_n = certificates;
	s->certificates = calloc(certificates, sizeof(s->certificates[0]));
	if (!s->certificates)
		s->certificates_n = 0;
	return s->certificates;
}

struct tls_setup *
tls_setup_new(uint32_t generation, uint8_t certificates, struct view ticket_keys,
	struct tls_signer *signer, char *why, size_t why_n)
{
	struct tls_setup *s = calloc(1, sizeof(*s));
	const char *failed = "no memory";

	CHECK(certificates > 0);
	ERR_clear_error();
	if (s) {
		s->signer = signer;
		s->context = tls_context_bare(TLS_server_method());
	}
	if (s && s->context && server_new(s->context, generation, certificates))
		failed = settle(s->context, ticket_keys);
	if (!failed)
		return s;
	tls_context_why(failed, why, why_n);
	tls_setup_free(&s);
	return NULL;
}

void
tls_setup_free(struct tls_setup **s)
{
	struct tls_setup *gone = *s;

	*s = NULL;
	if (!gone)
		return;
	tls_context_unref(&gone->context);
	free(gone);
}

uint32_t
tls_setup_generation(const struct tls_setup *s)
{
	return s->context->server->generation;
}

/* ---- certificates ---------------------------------------------------------------------
 */

/* NULL, or what cannot be served. */
static const char *
type_of(EVP_PKEY *public, uint8_t *ret)
{
	char group[32] = "";

	for (uint8_t i = 0; i < TLS_KEY_TYPES; i++) {
		if (!EVP_PKEY_is_a(public, type_names[i]))
			continue;
		*ret = i;
		if (EVP_PKEY_get_bits(public) > RSA_BITS_MAX)
			return "the certificate's RSA key has more than 8192 bits";
		if (i != 0)
			return NULL;
		(void)EVP_PKEY_get_group_name(public, group, sizeof(group), NULL);
		if (strcmp(group, "prime256v1") != 0 && strcmp(group, "secp384r1") != 0)
			return "the certificate's curve is not P-256 or P-384";
		return NULL;
	}
	return "the certificate's key is not RSA, EC or Ed25519";
}

static EVP_PKEY *
read_key(struct view pem)
{
	BIO *b = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	EVP_PKEY *key =
		b ? PEM_read_bio_PrivateKey(b, NULL, tls_no_password, NULL) : NULL;

	BIO_free(b);
	return key;
}

/* NULL, or what failed. */
static const char *
take_key(struct tls_setup *s, struct tls_certificate *c, uint8_t index, struct view pem)
{
	EVP_PKEY *public = X509_get0_pubkey(c->leaf);
	const char *failed = public ? type_of(public, &c->type)
				    : "the certificate's key cannot be read";

	if (failed)
		return failed;
	if (pem.n == 0 && !s->signer)
		return "the private key is missing";
	if (pem.n == 0)
		c->key = tls_signer_key(s->signer, public, type_names[c->type],
			s->context->server->generation, index);
	else
		c->key = read_key(pem);
	if (!c->key)
		return pem.n == 0
			? "the signer cannot be used"
			: "the private key cannot be read or does not belong to the "
			  "certificate (it must be PEM without a password)";
	if (pem.n == 0)
		return tls_signer_try(s->signer, public, type_names[c->type],
			s->context->server->generation, index);
	if (X509_check_private_key(c->leaf, c->key) != 1)
		return "the private key cannot be read or does not belong to the "
		       "certificate (it must be PEM without a password)";
	return NULL;
}

/* Whether libssl takes them, told now and not by the first client's handshake. */
static const char *
try_use(struct tls_context *c, const struct tls_set *set)
{
	SSL *ssl = SSL_new(c->ctx);
	const char *failed = ssl ? tls_server_use(ssl, c->server, set) : "no memory";

	SSL_free(ssl);
	return failed;
}

static const char *
add(struct tls_setup *s, uint8_t index, struct view chain_pem, struct view key_pem)
{
	struct tls_server *server = s->context->server;

	if (index >= server->certificates_n)
		return "there is no certificate of this number";
	struct tls_certificate *c = &server->certificates[index];
	if (c->leaf)
		return "a certificate of this number has come already";
	c->leaf = tls_chain_read(chain_pem, &c->chain);
	if (!c->leaf)
		return "the certificate chain cannot be read";
	const char *failed = take_key(s, c, index, key_pem);
	if (failed)
		return failed;
	struct tls_set alone = {.of = {-1, -1, -1}};
	alone.of[c->type] = index;
	failed = try_use(s->context, &alone);
	if (!failed)
		failed = tls_names_add(server, index);
	server->come_n++;
	return failed;
}

enum tls_added
tls_setup_add(struct tls_setup *s, uint8_t index, struct view chain_pem,
	struct view key_pem, struct view ocsp_der, char *why, size_t why_n)
{
	ERR_clear_error();
	const char *failed = add(s, index, chain_pem, key_pem);
	if (failed) {
		tls_context_why(failed, why, why_n);
		return TLS_NOT_ADDED;
	}
	if (ocsp_der.n > 0)
		failed = tls_staple_take(&s->context->server->certificates[index],
			ocsp_der, clock_unix_s());
	ERR_clear_error();
	if (!failed)
		return TLS_ADDED;
	(void)snprintf(why, why_n, "%s", failed);
	return TLS_ADDED_WITHOUT_OCSP;
}

/* ---- end ------------------------------------------------------------------------------
 */

bool
tls_setup_is_complete(const struct tls_setup *s)
{
	return s->context->server->come_n == s->context->server->certificates_n;
}

/* Number 0, and beside it those of other types that serve its first name. */
static void
set_others(struct tls_server *s)
{
	struct tls_set found;

	for (size_t i = 0; i < TLS_KEY_TYPES; i++)
		s->others.of[i] = -1;
	for (size_t i = 0; i < s->names_n; i++) {
		const char *text = s->names[i].text;
		struct view name = {(const uint8_t *)text, strlen(text)};
		if (s->names[i].certificate != 0 || text[0] == '*')
			continue;
		if (tls_names_find(s, name, &found))
			s->others = found;
		break;
	}
	s->others.of[s->certificates[0].type] = 0;
}

static const char *
finish(struct tls_context *c)
{
	struct tls_server *s = c->server;
	const char *failed = NULL;

	tls_names_sort(s);
	set_others(s);
	for (size_t i = 0; !failed && i < TLS_KEY_TYPES; i++) {
		if (s->others.of[i] < 0)
			continue;
		struct tls_certificate *one = &s->certificates[s->others.of[i]];
		if (SSL_CTX_use_cert_and_key(
			    c->ctx, one->leaf, one->key, one->chain, 1) != 1)
			failed = "the certificate cannot be used";
	}
	return failed;
}

struct tls_context *
tls_setup_finish(struct tls_setup **s, char *why, size_t why_n)
{
	struct tls_setup *done = *s;
	struct tls_context *c = done->context;

	CHECK(tls_setup_is_complete(done));
	*s = NULL;
	free(done);
	ERR_clear_error();
	const char *failed = finish(c);
	if (!failed)
		return c;
	tls_context_why(failed, why, why_n);
	tls_context_unref(&c);
	return NULL;
}
