#include "os/tls_context.h"

#include "base/check.h"
#include "os/tls_server_parts.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 16

/* Authenticated encryption first; the rest is for devices that know no better in TLS 1.2.
 */
static const char ciphers_12[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL";
static const char ciphers_13[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
				 "TLS_CHACHA20_POLY1305_SHA256";

int
tls_no_password(char *to, int n, int writing, void *arg)
{
	(void)to, (void)n, (void)writing, (void)arg;
	return -1;
}

X509 *
tls_chain_read(struct view pem, STACK_OF(X509) * *ret_chain)
{
	BIO *b = pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
	STACK_OF(X509) *chain = sk_X509_new_null();
	X509 *leaf = b ? PEM_read_bio_X509_AUX(b, NULL, tls_no_password, NULL) : NULL;
	bool ok = leaf && chain;

	for (int i = 0; ok && i < CHAIN_MAX; i++) {
		X509 *above = PEM_read_bio_X509(b, NULL, tls_no_password, NULL);
		if (!above)
			break;
		ok = sk_X509_push(chain, above) > 0;
		if (!ok)
			X509_free(above);
	}
	BIO_free(b);
	unsigned long last = ERR_peek_last_error();
	if (ok && ERR_GET_LIB(last) == ERR_LIB_PEM &&
		ERR_GET_REASON(last) == PEM_R_NO_START_LINE)
		ERR_clear_error(); /* the end of the text */
	if (ok && ERR_peek_error() == 0) {
		*ret_chain = chain;
		return leaf;
	}
	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return NULL;
}

static bool
use_chain(SSL_CTX *ctx, struct view pem)
{
	STACK_OF(X509) *chain = NULL;
	X509 *leaf = tls_chain_read(pem, &chain);
	bool ok = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1 &&
		SSL_CTX_set1_chain(ctx, chain) == 1;

	X509_free(leaf);
	sk_X509_pop_free(chain, X509_free);
	return ok;
}

static bool
use_key(SSL_CTX *ctx, BIO *pem)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, tls_no_password, NULL);
	bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	return ok;
}

const char *
tls_context_settle(SSL_CTX *ctx)
{
	char groups[] = "X25519:P-256:P-384";

	SSL_CTX_set_security_level(ctx, 2);
	/* Cleanse: what clients send are names and passwords. */
	(void)SSL_CTX_set_options(ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			SSL_OP_CLEANSE_PLAINTEXT);
	(void)SSL_CTX_set_mode(ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_AUTO_RETRY);
	/* One recv a record, not one for its header and one for the rest. */
	SSL_CTX_set_read_ahead(ctx, 1);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		return "TLS 1.2 is not available";
	if (SSL_CTX_set_cipher_list(ctx, ciphers_12) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, ciphers_13) != 1)
		return "the cipher suites are not available";
	if (SSL_CTX_set1_groups_list(ctx, groups) != 1)
		return "the key exchange groups are not available";
	if (SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"pop3", 4) != 1)
		return "no memory";
	/* 0-RTT can be replayed: never. */
	if (SSL_CTX_set_max_early_data(ctx, 0) != 1 ||
		SSL_CTX_set_recv_max_early_data(ctx, 0) != 1)
		return "no memory";
	return NULL;
}

const char *
tls_context_load(SSL_CTX *ctx, struct view cert_pem, struct view key_pem)
{
	if (cert_pem.n > INT_MAX || key_pem.n > INT_MAX)
		return "the certificate or its key is too large";
	BIO *key = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
	const char *failed = NULL;

	if (!key)
		failed = "no memory";
	else if (!use_chain(ctx, cert_pem))
		failed = "the certificate chain cannot be read";
	else if (!use_key(ctx, key))
		failed = "the private key cannot be read or does not belong to the "
			 "certificate (it must be PEM without a password)";
	else if (SSL_CTX_check_private_key(ctx) != 1)
		failed = "the private key does not belong to the certificate";
	BIO_free(key);
	return failed;
}

struct tls_context *
tls_context_bare(const SSL_METHOD *method)
{
	struct tls_context *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->refs = 1;
	c->bio = tls_bio_method();
	c->ctx = SSL_CTX_new(method);
	if (!c->bio || !c->ctx)
		tls_context_unref(&c);
	return c;
}

void
tls_context_why(const char *failed, char *why, size_t why_n)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	(void)snprintf(
		why, why_n, "%s%s%s", failed, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
}

struct tls_context *
tls_context_new(struct view cert_pem, struct view key_pem, const uint8_t *ticket_keys,
	char *why, size_t why_n)
{
	struct view tickets = {ticket_keys, ticket_keys ? TLS_TICKET_KEY_OCTETS : 0};
	struct tls_setup *s = tls_setup_new(0, 1, tickets, NULL, why, why_n);

	if (!s)
		return NULL;
	if (tls_setup_add(s, 0, cert_pem, key_pem, (struct view){NULL, 0}, why, why_n) ==
		TLS_ADDED)
		return tls_setup_finish(&s, why, why_n);
	tls_setup_free(&s);
	return NULL;
}

struct tls_context *
tls_context_ref(struct tls_context *c)
{
	CHECK(c->refs > 0);
	atomic_fetch_add(&c->refs, 1);
	return c;
}

void
tls_context_unref(struct tls_context **c)
{
	struct tls_context *gone = *c;

	*c = NULL;
	if (!gone || atomic_fetch_sub(&gone->refs, 1) > 1)
		return;
	SSL_CTX_free(gone->ctx);
	BIO_meth_free(gone->bio);
	tls_server_free(&gone->server);
	free(gone->client);
	free(gone);
}
