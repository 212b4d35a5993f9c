#include "os/tls_context.h"

#include "base/check.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICKET_KEYS_OCTETS 80
#define CHAIN_MAX	   16

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

/* RFC 7301 s.3.2: a client that lists protocols and not ours talks to the wrong server.
 */
static int
choose_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n,
	const unsigned char *offered, unsigned int offered_n, void *arg)
{
	(void)ssl, (void)arg;
	unsigned int at = 0;

	while (at < offered_n) {
		unsigned int n = offered[at];
		if (n > offered_n - at - 1)
			break;
		if (n == 4 && memcmp(offered + at + 1, "pop3", 4) == 0) {
			*ret = offered + at + 1;
			*ret_n = 4;
			return SSL_TLSEXT_ERR_OK;
		}
		at += 1 + n;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool
use_chain(SSL_CTX *ctx, BIO *pem)
{
	X509 *leaf = PEM_read_bio_X509_AUX(pem, NULL, tls_no_password, NULL);
	bool ok = leaf && SSL_CTX_use_certificate(ctx, leaf) == 1;

	X509_free(leaf);
	for (int i = 0; ok && i < CHAIN_MAX; i++) {
		X509 *above = PEM_read_bio_X509(pem, NULL, tls_no_password, NULL);
		if (!above)
			break;
		ok = SSL_CTX_add0_chain_cert(ctx, above) == 1;
		if (!ok)
			X509_free(above);
	}
	unsigned long last = ERR_peek_last_error();
	if (ok && ERR_GET_LIB(last) == ERR_LIB_PEM &&
		ERR_GET_REASON(last) == PEM_R_NO_START_LINE)
		ERR_clear_error(); /* the end of the text */
	return ok && ERR_peek_error() == 0;
}

static bool
use_key(SSL_CTX *ctx, BIO *pem)
{
	EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, tls_no_password, NULL);
	bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	return ok;
}

static bool
use_tickets(SSL_CTX *ctx, const uint8_t *keys)
{
	uint8_t copy[TICKET_KEYS_OCTETS];

	/* The cache is off, so that all there is of a session is in the client's ticket.
	 */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (!keys) {
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		return SSL_CTX_set_num_tickets(ctx, 0) == 1;
	}
	memcpy(copy, keys, sizeof(copy));
	long ok = SSL_CTX_set_tlsext_ticket_keys(ctx, copy, (long)sizeof(copy));
	explicit_bzero(copy, sizeof(copy));
	return ok == 1 && SSL_CTX_set_num_tickets(ctx, 1) == 1;
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

/* NULL, or what failed. */
static const char *
settle_server(SSL_CTX *ctx, const uint8_t *ticket_keys)
{
	const char *failed = tls_context_settle(ctx);

	if (failed)
		return failed;
	(void)SSL_CTX_set_options(
		ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	if (!use_tickets(ctx, ticket_keys))
		return "the ticket keys are not accepted";
	return NULL;
}

const char *
tls_context_load(SSL_CTX *ctx, struct view cert_pem, struct view key_pem)
{
	if (cert_pem.n > INT_MAX || key_pem.n > INT_MAX)
		return "the certificate or its key is too large";
	BIO *cert = BIO_new_mem_buf(cert_pem.p, (int)cert_pem.n);
	BIO *key = BIO_new_mem_buf(key_pem.p, (int)key_pem.n);
	const char *failed = NULL;

	if (!cert || !key)
		failed = "no memory";
	else if (!use_chain(ctx, cert))
		failed = "the certificate chain cannot be read";
	else if (!use_key(ctx, key))
		failed = "the private key cannot be read or does not belong to the "
			 "certificate (it must be PEM without a password)";
	else if (SSL_CTX_check_private_key(ctx) != 1)
		failed = "the private key does not belong to the certificate";
	BIO_free(cert);
	BIO_free(key);
	return failed;
}

struct tls_context *
tls_context_new(struct view cert_pem, struct view key_pem, const uint8_t *ticket_keys,
	char *why, size_t why_n)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	const char *failed = "no memory";

	ERR_clear_error();
	if (c) {
		c->refs = 1;
		c->bio = tls_bio_method();
		c->ctx = SSL_CTX_new(TLS_server_method());
	}
	if (c && c->bio && c->ctx)
		failed = settle_server(c->ctx, ticket_keys);
	if (!failed)
		failed = tls_context_load(c->ctx, cert_pem, key_pem);
	if (!failed)
		return c;
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	(void)snprintf(
		why, why_n, "%s%s%s", failed, reason ? ": " : "", reason ? reason : "");
	ERR_clear_error();
	tls_context_unref(&c);
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
	free(gone->client);
	free(gone);
}
