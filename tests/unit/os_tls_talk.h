/* A stream of the server's side and OpenSSL as its client, over a socket pair. */
#ifndef OS_TLS_TALK_H
#define OS_TLS_TALK_H

#include "unit.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/tls_server.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/socket.h>

/* A certificate, its key and both as PEM. */
struct given {
	X509 *x;
	EVP_PKEY *key;
	BIO *cert_pem, *key_pem;
};

static inline struct view
given_text(BIO *b)
{
	char *p = NULL;
	long n = BIO_get_mem_data(b, &p);

	return (struct view){(const uint8_t *)p, (size_t)n};
}

/* names: "DNS:a.test,DNS:*.b.test", or NULL. Takes the key. */
static inline struct given
given_make(EVP_PKEY *key, const char *names)
{
	static long serial;
	struct given g = {.x = X509_new(), .key = key};

	CHECK(key && g.x);
	CHECK(X509_set_version(g.x, 2) == 1);
	CHECK(ASN1_INTEGER_set(X509_get_serialNumber(g.x), ++serial) == 1);
	CHECK(X509_gmtime_adj(X509_getm_notBefore(g.x), -60));
	CHECK(X509_gmtime_adj(X509_getm_notAfter(g.x), 3600));
	CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(g.x), "CN", MBSTRING_ASC,
		      (const uint8_t *)"test", -1, -1, 0) == 1);
	CHECK(X509_set_issuer_name(g.x, X509_get_subject_name(g.x)) == 1);
	CHECK(X509_set_pubkey(g.x, key) == 1);
	if (names) {
		X509_EXTENSION *e =
			X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
		CHECK(e && X509_add_ext(g.x, e, -1) == 1);
		X509_EXTENSION_free(e);
	}
	bool own = EVP_PKEY_is_a(key, "ED25519");
	CHECK(X509_sign(g.x, key, own ? NULL : EVP_sha256()) > 0);
	g.cert_pem = BIO_new(BIO_s_mem());
	g.key_pem = BIO_new(BIO_s_mem());
	CHECK(PEM_write_bio_X509(g.cert_pem, g.x) == 1);
	CHECK(PEM_write_bio_PrivateKey(g.key_pem, key, NULL, NULL, 0, NULL, NULL) == 1);
	return g;
}

static inline void
given_done(struct given *g)
{
	X509_free(g->x);
	EVP_PKEY_free(g->key);
	BIO_free(g->cert_pem);
	BIO_free(g->key_pem);
}

static inline struct view
nothing(void)
{
	return (struct view){NULL, 0};
}

/* For OpenSSL's macros, which take the const away. */
static inline char *
plain_text(const char *text)
{
	return (char *)(uintptr_t)text;
}

struct talk {
	struct stream server;
	SSL *client;
	int client_fd;
};

static inline void
talk_begin(struct talk *t, SSL_CTX *clients, struct tls_context *c,
	const struct tls_rules *rules)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		0);
	stream_init(&t->server, pair[0]);
	t->client_fd = pair[1];
	t->client = SSL_new(clients);
	assert_non_null(t->client);
	assert_int_equal(SSL_set_fd(t->client, pair[1]), 1);
	SSL_set_connect_state(t->client);
	assert_int_equal(stream_start_server(&t->server, c, rules), STREAM_OK);
}

static inline void
talk_version(struct talk *t, int version)
{
	SSL_set_security_level(t->client, version < TLS1_2_VERSION ? 0 : 1);
	assert_int_equal(SSL_set_min_proto_version(t->client, version), 1);
	assert_int_equal(SSL_set_max_proto_version(t->client, version), 1);
}

static inline void
talk_end(struct talk *t)
{
	/* A session whose connection did not end in order is not resumed. */
	SSL_set_quiet_shutdown(t->client, 1);
	(void)SSL_shutdown(t->client);
	stream_done(&t->server);
	SSL_free(t->client);
	fd_close(&t->client_fd);
}

/* How the server's side of the handshake ends; OK only where the client's did, too. */
static inline enum stream_result
talk_shake(struct talk *t)
{
	enum stream_result r = STREAM_AGAIN;
	int done = 0;

	for (int i = 0; i < 50 && (r == STREAM_AGAIN || done != 1); i++) {
		ERR_clear_error();
		done = SSL_do_handshake(t->client);
		if (done != 1 && SSL_get_error(t->client, done) != SSL_ERROR_WANT_READ &&
			r == STREAM_OK)
			return STREAM_ERROR;
		if (r == STREAM_AGAIN)
			r = stream_handshake(&t->server);
		if (r == STREAM_ERROR)
			return r;
	}
	return done == 1 ? r : STREAM_ERROR;
}

/* One line each way, so that the client has its ticket, too. */
static inline void
talk_echo(struct talk *t)
{
	char got[16];
	size_t n = 0;

	assert_int_equal(SSL_write(t->client, "STAT\r\n", 6), 6);
	assert_int_equal(stream_read(&t->server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 6);
	assert_int_equal(stream_write(&t->server, "+OK\r\n", 5), STREAM_OK);
	assert_int_equal(stream_flush(&t->server), STREAM_OK);
	assert_int_equal(SSL_read(t->client, got, sizeof(got)), 5);
}

#endif
