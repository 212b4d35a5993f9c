/*
 * A handshake of every kind with ourselves, before the cage is shut: OpenSSL fetches its
 * algorithms and seeds its generator at first use, and in the cage it could open nothing.
 */
#include "os/fd.h"
#include "os/tls_context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/socket.h>

#define TICKET_KEYS_OCTETS 80
#define ROUNDS_MAX	   64

/* Text of PEM in memory of OpenSSL's. */
struct pem {
	BIO *cert, *key;
};

static X509 *
self_signed(EVP_PKEY *key)
{
	X509 *x = X509_new();
	bool ok = x && X509_set_version(x, 2) == 1;
	X509_NAME *name = ok ? X509_get_subject_name(x) : NULL;

	ok = ok && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1;
	ok = ok && X509_gmtime_adj(X509_getm_notBefore(x), 0);
	ok = ok && X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	ok = ok &&
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			(const uint8_t *)"localhost", -1, -1, 0) == 1;
	ok = ok && X509_set_issuer_name(x, name) == 1;
	ok = ok && X509_set_pubkey(x, key) == 1;
	ok = ok && X509_sign(x, key, EVP_sha256()) > 0;
	if (ok)
		return x;
	X509_free(x);
	return NULL;
}

static void
pem_done(struct pem *p)
{
	BIO_free(p->cert);
	BIO_free(p->key);
}

static bool
pem_make(struct pem *p, EVP_PKEY *key)
{
	X509 *x = key ? self_signed(key) : NULL;

	p->cert = BIO_new(BIO_s_mem());
	p->key = BIO_new(BIO_s_secmem());
	bool ok = x && p->cert && p->key && PEM_write_bio_X509(p->cert, x) == 1 &&
		PEM_write_bio_PrivateKey(p->key, key, NULL, NULL, 0, NULL, NULL) == 1;
	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}

static struct view
pem_text(BIO *b)
{
	char *p = NULL;
	long n = BIO_get_mem_data(b, &p);

	return (struct view){(const uint8_t *)p, n > 0 ? (size_t)n : 0};
}

static struct tls_context *
context_of(EVP_PKEY *key)
{
	uint8_t ticket_keys[TICKET_KEYS_OCTETS];
	struct pem p = {0};
	struct tls_context *c = NULL;
	char why[128];

	if (RAND_bytes(ticket_keys, sizeof(ticket_keys)) == 1 && pem_make(&p, key))
		c = tls_context_new(
			pem_text(p.cert), pem_text(p.key), ticket_keys, why, sizeof(why));
	pem_done(&p);
	return c;
}

/* One octet each way after the handshake, so that the client has read its ticket. */
static bool
converse(struct stream *server, SSL *client)
{
	uint8_t octet = 'x';
	size_t n;
	bool met = false, answered = false;

	for (int i = 0; i < ROUNDS_MAX; i++) {
		int rc = SSL_do_handshake(client);
		if (rc != 1 && SSL_get_error(client, rc) != SSL_ERROR_WANT_READ)
			return false;
		if (!met) {
			enum stream_result r = stream_handshake(server);
			if (r == STREAM_ERROR || r == STREAM_END)
				return false;
			met = r == STREAM_OK;
			continue;
		}
		if (rc != 1)
			continue;
		if (!answered) {
			if (SSL_write(client, &octet, 1) != 1 ||
				stream_read(server, &octet, 1, &n) != STREAM_OK ||
				stream_write(server, &octet, 1) != STREAM_OK ||
				stream_flush(server) != STREAM_OK)
				return false;
			answered = true;
		}
		if (SSL_read(client, &octet, 1) == 1)
			return true;
	}
	return false;
}

/* A connection; *session is offered if there is one, and replaced by its ticket. */
static bool
connect_once(struct tls_context *c, SSL_CTX *clients, int version, SSL_SESSION **session)
{
	int pair[2];
	struct stream server;
	SSL *client = SSL_new(clients);

	if (!client ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) <
			0) {
		SSL_free(client);
		return false;
	}
	stream_init(&server, pair[0]);
	AUTO_FD other = pair[1];
	bool resume = *session != NULL;
	bool ok = stream_start_tls(&server, c) == STREAM_OK &&
		SSL_set_min_proto_version(client, version) == 1 &&
		SSL_set_max_proto_version(client, version) == 1 &&
		SSL_set_fd(client, other) == 1 &&
		SSL_set_alpn_protos(client, (const uint8_t *)"\4pop3", 5) == 0 &&
		(!resume || SSL_set_session(client, *session) == 1);
	if (ok)
		SSL_set_connect_state(client);
	ok = ok && converse(&server, client) && stream_resumed(&server) == resume;
	SSL_SESSION_free(*session);
	*session = ok ? SSL_get1_session(client) : NULL;
	if (ok)
		(void)SSL_shutdown(client);
	stream_done(&server);
	SSL_free(client);
	return ok;
}

static bool
try_versions(struct tls_context *c, SSL_CTX *clients)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
	bool ok = true;

	for (size_t i = 0; ok && i < 2; i++) {
		SSL_SESSION *session = NULL;
		ok = connect_once(c, clients, versions[i], &session) &&
			connect_once(c, clients, versions[i], &session);
		SSL_SESSION_free(session);
	}
	return ok;
}

int
tls_warm_up(void)
{
	/* The settings are this program's own, not those of a file of the system's. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
		return -EIO;
	if (!OSSL_LIB_CTX_get0_global_default()) /* it would be used even so */
		return -ENOMEM;
	struct tls_context *ec = context_of(EVP_EC_gen("P-256"));
	SSL_CTX *clients = SSL_CTX_new(TLS_client_method());
	bool ok = ec && clients && try_versions(ec, clients);

	SSL_CTX_free(clients);
	tls_context_unref(&ec);
	/* Texts of errors are loaded with the first one. */
	(void)ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, SSL_R_NO_SHARED_CIPHER));
	ERR_clear_error();
	return ok ? 0 : -EPROTO;
}
