/*
 * The server's side is a stream, the client's is OpenSSL, with a socket pair between
 * them.
 */
#include "unit.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "os/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static const uint8_t ticket_keys[80] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456";

static struct {
	BIO *ec_cert, *ec_key, *rsa_cert, *rsa_key, *locked_key;
	SSL_CTX *clients;
} given;

struct talk {
	struct stream server;
	SSL *client;
	int client_fd;
};

/* ---- helpers
 * ---------------------------------------------------------------------------- */

static struct view
text_of(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	return (struct view){(const uint8_t *)p, (size_t)n};
}

static void
certify(EVP_PKEY *key, BIO **ret_cert, BIO **ret_key)
{
	X509 *x = X509_new();

	CHECK(key && x);
	CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1);
	CHECK(X509_gmtime_adj(X509_getm_notBefore(x), 0));
	CHECK(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
	CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
		      (const uint8_t *)"localhost", -1, -1, 0) == 1);
	CHECK(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
	CHECK(X509_set_pubkey(x, key) == 1);
	CHECK(X509_sign(x, key, EVP_sha256()) > 0);
	*ret_cert = BIO_new(BIO_s_mem());
	*ret_key = BIO_new(BIO_s_mem());
	CHECK(PEM_write_bio_X509(*ret_cert, x) == 1);
	CHECK(PEM_write_bio_PrivateKey(*ret_key, key, NULL, NULL, 0, NULL, NULL) == 1);
	X509_free(x);
}

static struct tls_context *
context(BIO *cert, BIO *key, const uint8_t *tickets)
{
	char why[256] = "";
	struct tls_context *c =
		tls_context_new(text_of(cert), text_of(key), tickets, why, sizeof(why));

	if (!c)
		fail_msg("%s", why);
	return c;
}

static void
talk_begin(struct talk *t, struct tls_context *c)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		0);
	stream_init(&t->server, pair[0]);
	t->client_fd = pair[1];
	t->client = SSL_new(given.clients);
	assert_non_null(t->client);
	assert_int_equal(SSL_set_fd(t->client, pair[1]), 1);
	SSL_set_connect_state(t->client);
	assert_int_equal(stream_start_tls(&t->server, c), STREAM_OK);
}

static void
talk_end(struct talk *t)
{
	stream_done(&t->server);
	SSL_free(t->client);
	fd_close(&t->client_fd);
}

/* How the server's side of the handshake ends. */
static enum stream_result
shake(struct talk *t)
{
	enum stream_result r = STREAM_AGAIN;
	int done = 0;

	for (int i = 0; i < 50 && (r == STREAM_AGAIN || done != 1); i++) {
		ERR_clear_error();
		done = SSL_do_handshake(t->client);
		if (r == STREAM_AGAIN)
			r = stream_handshake(&t->server);
		if (r == STREAM_ERROR)
			return r;
	}
	return r;
}

static void
version(struct talk *t, int v)
{
	assert_int_equal(SSL_set_min_proto_version(t->client, v), 1);
	assert_int_equal(SSL_set_max_proto_version(t->client, v), 1);
}

static void
echo(struct talk *t)
{
	char got[16];
	size_t n = 0;

	assert_int_equal(SSL_write(t->client, "STAT\r\n", 6), 6);
	assert_int_equal(stream_read(&t->server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 6);
	assert_memory_equal(got, "STAT\r\n", 6);
	assert_int_equal(stream_write(&t->server, "+OK\r\n", 5), STREAM_OK);
	assert_int_equal(stream_flush(&t->server), STREAM_OK);
	assert_int_equal(SSL_read(t->client, got, sizeof(got)), 5);
	assert_memory_equal(got, "+OK\r\n", 5);
}

/* ---- plain
 * --------------------------------------------------------------------------------- */

static void
plain_pair(struct stream *s, int *ret_peer)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		0);
	stream_init(s, pair[0]);
	*ret_peer = pair[1];
}

static void
plain_output_is_gathered(void **state)
{
	(void)state;
	struct stream s;
	int peer;
	char got[64];

	plain_pair(&s, &peer);
	assert_int_equal(stream_write(&s, "+OK ", 4), STREAM_OK);
	assert_int_equal(stream_write(&s, "", 0), STREAM_OK);
	uint8_t *room = stream_reserve(&s, 100);
	assert_non_null(room);
	memcpy(room, "hello\r\n", 7);
	stream_commit(&s, 7);
	assert_int_equal(stream_unsent(&s), 11);
	assert_int_equal(recv(peer, got, sizeof(got), MSG_DONTWAIT), -1);
	assert_int_equal(stream_flush(&s), STREAM_OK);
	assert_int_equal(recv(peer, got, sizeof(got), MSG_DONTWAIT), 11);
	assert_memory_equal(got, "+OK hello\r\n", 11);
	/* Idle: nothing is held. */
	assert_null(s.out);
	assert_int_equal(stream_unsent(&s), 0);
	stream_done(&s);
	assert_int_equal(s.fd, -1);
	fd_close(&peer);
}

/* What goes at once is never held; what does not go stays, in order. */
static void
plain_octets_go_at_once(void **state)
{
	(void)state;
	static uint8_t much[1 << 20], got[1 << 16];
	struct stream s;
	size_t taken = 0;
	int peer;

	for (size_t i = 0; i < sizeof(much); i++)
		much[i] = (uint8_t)(i % 251);
	plain_pair(&s, &peer);
	assert_int_equal(stream_send(&s, "+OK\r\n", 5), STREAM_OK);
	assert_null(s.out);
	assert_int_equal(read(peer, got, sizeof(got)), 5);
	assert_memory_equal(got, "+OK\r\n", 5);
	/* What was gathered before goes first. */
	assert_int_equal(stream_write(&s, "one", 3), STREAM_OK);
	assert_int_equal(stream_send(&s, "two", 3), STREAM_OK);
	assert_int_equal(read(peer, got, sizeof(got)), 6);
	assert_memory_equal(got, "onetwo", 6);
	assert_int_equal(stream_send(&s, much, sizeof(much)), STREAM_AGAIN);
	assert_true(s.want_write);
	assert_true(stream_unsent(&s) > 0 && stream_unsent(&s) < sizeof(much));
	while (taken < sizeof(much)) {
		ssize_t n = read(peer, got, sizeof(got));
		assert_true(n > 0);
		assert_memory_equal(got, much + taken, (size_t)n);
		taken += (size_t)n;
		assert_int_not_equal(stream_flush(&s), STREAM_ERROR);
	}
	assert_int_equal(stream_unsent(&s), 0);
	fd_close(&peer);
	assert_int_equal(stream_send(&s, "late", 4), STREAM_ERROR);
	stream_done(&s);
}

static void
plain_input_and_its_ends(void **state)
{
	(void)state;
	struct stream s;
	int peer;
	char got[4];
	size_t n;

	plain_pair(&s, &peer);
	assert_int_equal(stream_read(&s, got, sizeof(got), &n), STREAM_AGAIN);
	assert_int_equal(send(peer, "QUIT\r\n", 6, 0), 6);
	assert_int_equal(stream_read(&s, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 4);
	assert_false(stream_has_pending(&s));
	assert_int_equal(stream_read(&s, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 2);
	assert_int_equal(stream_write(&s, "bye", 3), STREAM_OK);
	assert_int_equal(stream_shutdown(&s), STREAM_OK);
	assert_int_equal(recv(peer, got, sizeof(got), 0), 3);
	assert_int_equal(recv(peer, got, sizeof(got), 0), 0);
	fd_close(&peer);
	assert_int_equal(stream_read(&s, got, sizeof(got), &n), STREAM_END);
	assert_int_equal(stream_write(&s, "x", 1), STREAM_OK);
	/* No SIGPIPE, and after an error nothing but errors. */
	assert_int_equal(stream_flush(&s), STREAM_ERROR);
	assert_int_equal(stream_write(&s, "x", 1), STREAM_ERROR);
	assert_int_equal(stream_read(&s, got, sizeof(got), &n), STREAM_ERROR);
	assert_int_equal(stream_shutdown(&s), STREAM_ERROR);
	stream_done(&s);
}

static void
a_full_socket_keeps_the_rest(void **state)
{
	(void)state;
	struct stream s;
	int peer;
	size_t total = 1 << 20, got = 0;
	uint8_t *all = malloc(total), *back = malloc(total);

	for (size_t i = 0; i < total; i++)
		all[i] = (uint8_t)(i * 31 >> 3);
	plain_pair(&s, &peer);
	assert_int_equal(stream_write(&s, all, total), STREAM_OK);
	enum stream_result r = stream_flush(&s);
	assert_int_equal(r, STREAM_AGAIN);
	assert_true(s.want_write);
	assert_true(stream_unsent(&s) < total);
	while (got < total) {
		ssize_t n = recv(peer, back + got, total - got, MSG_DONTWAIT);
		if (n > 0)
			got += (size_t)n;
		else
			r = stream_flush(&s);
		assert_int_not_equal(r, STREAM_ERROR);
	}
	assert_memory_equal(all, back, total);
	assert_int_equal(stream_flush(&s), STREAM_OK);
	stream_done(&s);
	fd_close(&peer);
	free(all);
	free(back);
}

static void
output_has_an_end(void **state)
{
	(void)state;
	struct stream s;
	int peer;
	size_t n = 1 << 20;
	void *much = calloc(1, n);
	enum stream_result r = STREAM_OK;

	plain_pair(&s, &peer);
	for (int i = 0; i < 5 && r == STREAM_OK; i++)
		r = stream_write(&s, much, n);
	assert_int_equal(r, STREAM_ERROR);
	stream_done(&s);
	fd_close(&peer);
	free(much);
}

/* ---- TLS
 * -------------------------------------------------------------------------------------
 */

static void
both_versions_and_both_kinds_of_key(void **state)
{
	(void)state;
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct tls_context *ec = context(given.ec_cert, given.ec_key, ticket_keys);
	struct tls_context *rsa = context(given.rsa_cert, given.rsa_key, NULL);

	for (size_t i = 0; i < 4; i++) {
		struct talk t;
		talk_begin(&t, i & 1 ? ec : rsa);
		version(&t, versions[i / 2]);
		assert_int_equal(shake(&t), STREAM_OK);
		assert_string_equal(
			stream_version(&t.server), i < 2 ? "TLSv1.2" : "TLSv1.3");
		assert_false(stream_resumed(&t.server));
		echo(&t);
		assert_null(t.server.out);
		talk_end(&t);
	}
	tls_context_unref(&ec);
	tls_context_unref(&rsa);
	assert_null(ec);
}

/* The context may go before its streams do. */
static void
contexts_live_as_long_as_their_streams(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;

	talk_begin(&t, c);
	tls_context_unref(&c);
	assert_int_equal(shake(&t), STREAM_OK);
	echo(&t);
	talk_end(&t);
}

static bool
resumes(struct tls_context *c, int v)
{
	struct talk t;
	bool resumed;

	talk_begin(&t, c);
	version(&t, v);
	assert_int_equal(shake(&t), STREAM_OK);
	echo(&t);
	SSL_SESSION *session = SSL_get1_session(t.client);
	assert_int_equal(SSL_shutdown(t.client) >= 0, 1);
	talk_end(&t);
	talk_begin(&t, c);
	version(&t, v);
	assert_int_equal(SSL_set_session(t.client, session), 1);
	assert_int_equal(shake(&t), STREAM_OK);
	echo(&t);
	resumed = stream_resumed(&t.server);
	assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
	SSL_SESSION_free(session);
	talk_end(&t);
	return resumed;
}

static void
tickets_resume_where_there_are_keys(void **state)
{
	(void)state;
	struct tls_context *with = context(given.ec_cert, given.ec_key, ticket_keys);
	struct tls_context *without = context(given.ec_cert, given.ec_key, NULL);

	assert_true(resumes(with, TLS1_3_VERSION));
	assert_true(resumes(with, TLS1_2_VERSION));
	assert_false(resumes(without, TLS1_3_VERSION));
	assert_false(resumes(without, TLS1_2_VERSION));
	tls_context_unref(&with);
	tls_context_unref(&without);
}

static enum stream_result
shake_with(struct tls_context *c, int v, const char *ciphers, const char *alpn)
{
	struct talk t;

	talk_begin(&t, c);
	if (v)
		version(&t, v);
	if (ciphers)
		assert_int_equal(SSL_set_cipher_list(t.client, ciphers), 1);
	if (alpn)
		assert_int_equal(SSL_set_alpn_protos(t.client, (const uint8_t *)alpn,
					 (unsigned int)strlen(alpn)),
			0);
	enum stream_result r = shake(&t);
	if (r == STREAM_OK && alpn) {
		const uint8_t *chosen;
		unsigned int n;
		SSL_get0_alpn_selected(t.client, &chosen, &n);
		assert_int_equal(n, 4);
		assert_memory_equal(chosen, "pop3", 4);
	}
	if (r == STREAM_ERROR) {
		/* The client was told: it reads an alert. */
		ERR_clear_error();
		assert_int_equal(SSL_do_handshake(t.client), -1);
		assert_int_equal(SSL_get_error(t.client, -1), SSL_ERROR_SSL);
	}
	talk_end(&t);
	return r;
}

static void
old_and_weak_is_refused(void **state)
{
	(void)state;
	struct tls_context *c = context(given.rsa_cert, given.rsa_key, ticket_keys);
	const int v12 = TLS1_2_VERSION;

	assert_int_equal(
		shake_with(c, TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL), STREAM_ERROR);
	assert_int_equal(shake_with(c, v12, "AES128-GCM-SHA256", NULL), STREAM_ERROR);
	assert_int_equal(
		shake_with(c, v12, "DHE-RSA-AES128-GCM-SHA256", NULL), STREAM_ERROR);
	assert_int_equal(
		shake_with(c, v12, "ECDHE-RSA-AES128-GCM-SHA256", NULL), STREAM_OK);
	assert_int_equal(
		shake_with(c, v12, "ECDHE-RSA-CHACHA20-POLY1305", NULL), STREAM_OK);
	tls_context_unref(&c);
}

static void
alpn_is_pop3_or_nothing(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);

	assert_int_equal(shake_with(c, 0, NULL, "\4pop3"), STREAM_OK);
	assert_int_equal(shake_with(c, 0, NULL, "\4imap\4pop3"), STREAM_OK);
	assert_int_equal(shake_with(c, 0, NULL, NULL), STREAM_OK);
	assert_int_equal(shake_with(c, 0, NULL, "\10http/1.1"), STREAM_ERROR);
	tls_context_unref(&c);
}

static void
pending_says_what_poll_does_not(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;
	char got[32];
	size_t n;

	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_int_equal(SSL_write(t.client, "one", 3), 3);
	assert_int_equal(SSL_write(t.client, "two", 3), 3);
	assert_int_equal(stream_read(&t.server, got, 1, &n), STREAM_OK);
	assert_true(stream_has_pending(&t.server));
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 2);
	/* The second record may be here or still in the socket; reading on finds it. */
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 3);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_AGAIN);
	assert_false(stream_has_pending(&t.server));
	talk_end(&t);
	tls_context_unref(&c);
}

/* A record of which only a part has come is nothing to read yet, and no reason to spin.
 */
static void
half_a_record_is_not_pending(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;
	char got[64];
	uint8_t record[256];
	size_t n;

	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	BIO *aside = BIO_new(BIO_s_mem());
	SSL_set0_wbio(t.client, aside);
	assert_int_equal(SSL_write(t.client, "hello", 5), 5);
	int all = BIO_read(aside, record, sizeof(record));
	assert_true(all > 10);
	assert_int_equal(send(t.client_fd, record, (size_t)all - 1, 0), all - 1);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_AGAIN);
	assert_false(stream_has_pending(&t.server));
	assert_int_equal(send(t.client_fd, record + all - 1, 1, 0), 1);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 5);
	talk_end(&t);
	tls_context_unref(&c);
}

static void
much_goes_through_a_small_socket(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;
	size_t total = 3 << 20, got = 0;
	uint8_t *all = malloc(total), *back = malloc(total);

	for (size_t i = 0; i < total; i++)
		all[i] = (uint8_t)(i * 31 >> 3);
	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_int_equal(stream_write(&t.server, all, total), STREAM_OK);
	enum stream_result r = stream_flush(&t.server);
	assert_int_equal(r, STREAM_AGAIN);
	assert_true(t.server.want_write);
	while (got < total) {
		int n = SSL_read(t.client, back + got, (int)(total - got));
		if (n > 0)
			got += (size_t)n;
		else
			r = stream_flush(&t.server);
		assert_int_not_equal(r, STREAM_ERROR);
	}
	assert_memory_equal(all, back, total);
	talk_end(&t);
	tls_context_unref(&c);
	free(all);
	free(back);
}

/* What the client reads must be n octets of this. */
static void
hear(struct talk *t, uint8_t octet, size_t n)
{
	uint8_t got[4096];

	while (n > 0) {
		int r = SSL_read(
			t->client, got, (int)(n < sizeof(got) ? n : sizeof(got)));
		assert_true(r > 0);
		for (int i = 0; i < r; i++)
			assert_int_equal(got[i], octet);
		n -= (size_t)r;
	}
}

static void
room_is_shared_and_given_back(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, NULL);
	uint8_t octets[3000], storage[8192], more[8192];
	struct stream_room room = {.p = storage, .n = sizeof(storage)};
	struct talk t[2];

	for (int i = 0; i < 2; i++) {
		talk_begin(&t[i], c);
		t[i].server.room = &room;
		assert_int_equal(shake(&t[i]), STREAM_OK);
		assert_int_equal(stream_flush(&t[i].server), STREAM_OK);
		assert_false(room.taken);
	}
	/* The second finds it taken; what the first leaves there moves out, sent or not.
	 */
	memset(octets, 'a', sizeof(octets));
	assert_int_equal(stream_write(&t[0].server, octets, sizeof(octets)), STREAM_OK);
	assert_ptr_equal(t[0].server.out, storage);
	memset(octets, 'b', sizeof(octets));
	assert_int_equal(stream_write(&t[1].server, octets, sizeof(octets)), STREAM_OK);
	assert_ptr_not_equal(t[1].server.out, storage);
	assert_int_equal(stream_keep(&t[0].server), STREAM_OK);
	assert_false(room.taken);
	memset(storage, 0, sizeof(storage));
	assert_int_equal(stream_flush(&t[0].server), STREAM_OK);
	assert_int_equal(stream_flush(&t[1].server), STREAM_OK);
	hear(&t[0], 'a', sizeof(octets));
	hear(&t[1], 'b', sizeof(octets));
	/* More than it holds. */
	memset(more, 'c', sizeof(more));
	assert_int_equal(stream_write(&t[0].server, octets, sizeof(octets)), STREAM_OK);
	assert_int_equal(stream_write(&t[0].server, more, sizeof(more)), STREAM_OK);
	assert_ptr_not_equal(t[0].server.out, storage);
	assert_false(room.taken);
	assert_int_equal(stream_flush(&t[0].server), STREAM_OK);
	hear(&t[0], 'b', sizeof(octets));
	hear(&t[0], 'c', sizeof(more));
	/* One that ends with it gives it back. */
	assert_int_equal(stream_write(&t[1].server, octets, sizeof(octets)), STREAM_OK);
	assert_true(room.taken);
	talk_end(&t[1]);
	assert_false(room.taken);
	talk_end(&t[0]);
	tls_context_unref(&c);
}

static void
close_notify_comes_last(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;
	char got[64];
	size_t n;

	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_int_equal(stream_write(&t.server, "+OK bye\r\n", 9), STREAM_OK);
	assert_int_equal(stream_shutdown(&t.server), STREAM_OK);
	assert_int_equal(SSL_read(t.client, got, sizeof(got)), 9);
	int rc = SSL_read(t.client, got, sizeof(got));
	assert_int_equal(SSL_get_error(t.client, rc), SSL_ERROR_ZERO_RETURN);
	assert_int_equal(recv(t.client_fd, got, sizeof(got), 0), 0);
	/* And the client's own. */
	assert_int_equal(SSL_shutdown(t.client), 1);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_END);
	talk_end(&t);
	/* stream_done alone says goodbye, too. */
	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_int_equal(stream_write(&t.server, "tail", 4), STREAM_OK);
	stream_done(&t.server);
	assert_int_equal(SSL_read(t.client, got, sizeof(got)), 4);
	rc = SSL_read(t.client, got, sizeof(got));
	assert_int_equal(SSL_get_error(t.client, rc), SSL_ERROR_ZERO_RETURN);
	SSL_free(t.client);
	fd_close(&t.client_fd);
	tls_context_unref(&c);
}

static void
faults_end_the_stream(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;
	char got[64];
	size_t n;

	/* Cut without close_notify. */
	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	fd_close(&t.client_fd);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_ERROR);
	assert_int_equal(stream_write(&t.server, "x", 1), STREAM_ERROR);
	talk_end(&t);
	/* Octets that are no TLS, in the handshake and behind it. */
	talk_begin(&t, c);
	assert_int_equal(send(t.client_fd, "USER bob\r\n", 10, 0), 10);
	assert_int_equal(stream_handshake(&t.server), STREAM_ERROR);
	talk_end(&t);
	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_int_equal(send(t.client_fd, "USER bob\r\n", 10, 0), 10);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_ERROR);
	talk_end(&t);
	/* An error of one stream does not touch the next. */
	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	echo(&t);
	talk_end(&t);
	tls_context_unref(&c);
}

static void
no_renegotiation(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t;
	char got[64];
	size_t n;

	talk_begin(&t, c);
	version(&t, TLS1_2_VERSION);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_int_equal(SSL_renegotiate(t.client), 1);
	(void)SSL_do_handshake(t.client);
	assert_int_equal(stream_read(&t.server, got, sizeof(got), &n), STREAM_AGAIN);
	assert_int_equal(stream_flush(&t.server), STREAM_OK);
	ERR_clear_error();
	assert_int_equal(SSL_do_handshake(t.client), -1);
	assert_int_equal(SSL_get_error(t.client, -1), SSL_ERROR_SSL);
	talk_end(&t);
	tls_context_unref(&c);
}

static void
streams_may_move(void **state)
{
	(void)state;
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	struct talk t, moved;

	talk_begin(&t, c);
	assert_int_equal(shake(&t), STREAM_OK);
	moved = t;
	memset(&t, 0xFF, sizeof(t));
	echo(&moved);
	talk_end(&moved);
	tls_context_unref(&c);
}

/* ---- memory, mistakes, the cage
 * ----------------------------------------------------------------- */

#ifndef RESTANTE_SANITIZED
static void
idle_streams_are_small(void **state)
{
	(void)state;
	enum { N = 64, OCTETS_MAX = 16 * 1024 };
	struct tls_context *c = context(given.ec_cert, given.ec_key, ticket_keys);
	static struct talk t[N];
	size_t before = mallinfo2().uordblks;

	for (size_t i = 0; i < N; i++) {
		talk_begin(&t[i], c);
		assert_int_equal(shake(&t[i]), STREAM_OK);
		echo(&t[i]);
		SSL_free(t[i].client);
		t[i].client = NULL;
	}
	size_t each = (mallinfo2().uordblks - before) / N;
	print_message("# %zu octets for an idle TLS stream\n", each);
	assert_true(each < OCTETS_MAX);
	for (size_t i = 0; i < N; i++)
		talk_end(&t[i]);
	tls_context_unref(&c);
}
#endif

static void
assert_refused(struct view cert, struct view key, const char *reason)
{
	char why[256] = "";
	struct tls_context *c = tls_context_new(cert, key, NULL, why, sizeof(why));

	assert_null(c);
	if (!strstr(why, reason))
		fail_msg("\"%s\" does not say \"%s\"", why, reason);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
bad_certificates_are_explained(void **state)
{
	(void)state;
	struct view ec = text_of(given.ec_cert), key = text_of(given.ec_key);
	uint8_t broken[4096];

	assert_refused(VIEW(""), key, "certificate chain");
	assert_refused(VIEW("no pem"), key, "certificate chain");
	assert_refused(ec, VIEW(""), "private key");
	assert_refused(ec, text_of(given.rsa_key), "does not belong");
	assert_refused(ec, text_of(given.locked_key), "without a password");
	/* A chain with a damaged second certificate. */
	size_t n = ec.n;
	assert_true(2 * n < sizeof(broken));
	memcpy(broken, ec.p, n);
	memcpy(broken + n, ec.p, n);
	broken[n + n / 2] = '!';
	assert_refused((struct view){broken, 2 * n}, key, "certificate chain");
}

/* All of it once more where nothing can be opened any more. */
static void
works_in_the_cage(void **state)
{
	(void)state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		uint32_t parts;
		const char *step;
		bool root = geteuid() == 0;
		sandbox_first();
		CHECK(tls_warm_up() == 0);
		struct sandbox_plan plan = {.profile = SANDBOX_FRONT,
			.uid = root ? NOBODY : 0,
			.gid = root ? NOBODY : 0,
			.empty_dir = -1,
			.fsize_max = UINT64_MAX};
		/* The tests make socket pairs, which a front may not: have them before.
		 */
		static struct talk t[4];
		struct tls_context *first =
			context(given.ec_cert, given.ec_key, ticket_keys);
		for (size_t i = 0; i < 4; i++)
			talk_begin(&t[i], first);
		CHECK(sandbox_enter(&plan, &parts, &step) == 0);
		struct tls_context *rsa =
			context(given.rsa_cert, given.rsa_key, ticket_keys);
		tls_context_unref(&rsa);
		version(&t[0], TLS1_2_VERSION);
		for (size_t i = 0; i < 2; i++) {
			CHECK(shake(&t[i]) == STREAM_OK);
			echo(&t[i]);
		}
		CHECK(send(t[2].client_fd, "garbage garbage", 15, MSG_NOSIGNAL) == 15);
		CHECK(stream_handshake(&t[2].server) == STREAM_ERROR);
		for (size_t i = 0; i < 4; i++)
			talk_end(&t[i]);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
warm_up_can_be_repeated(void **state)
{
	(void)state;
	assert_int_equal(tls_warm_up(), 0);
	assert_int_equal(tls_warm_up(), 0);
	assert_int_equal(ERR_peek_error(), 0);
}

static int
set_up(void **state)
{
	(void)state;
	char password[] = "password";
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *rsa = EVP_RSA_gen(2048);

	(void)signal(SIGPIPE, SIG_IGN); /* the client's own writes */
	certify(ec, &given.ec_cert, &given.ec_key);
	certify(rsa, &given.rsa_cert, &given.rsa_key);
	given.locked_key = BIO_new(BIO_s_mem());
	CHECK(PEM_write_bio_PrivateKey(given.locked_key, ec, EVP_aes_128_cbc(),
		      (uint8_t *)password, 8, NULL, NULL) == 1);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	given.clients = SSL_CTX_new(TLS_client_method());
	return given.clients ? 0 : 1;
}

static int
tear_down(void **state)
{
	(void)state;
	BIO_free(given.ec_cert), BIO_free(given.ec_key);
	BIO_free(given.rsa_cert), BIO_free(given.rsa_key);
	BIO_free(given.locked_key);
	SSL_CTX_free(given.clients);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_output_is_gathered),
		cmocka_unit_test(plain_octets_go_at_once),
		cmocka_unit_test(plain_input_and_its_ends),
		cmocka_unit_test(a_full_socket_keeps_the_rest),
		cmocka_unit_test(output_has_an_end),
		cmocka_unit_test(both_versions_and_both_kinds_of_key),
		cmocka_unit_test(contexts_live_as_long_as_their_streams),
		cmocka_unit_test(tickets_resume_where_there_are_keys),
		cmocka_unit_test(old_and_weak_is_refused),
		cmocka_unit_test(alpn_is_pop3_or_nothing),
		cmocka_unit_test(pending_says_what_poll_does_not),
		cmocka_unit_test(half_a_record_is_not_pending),
		cmocka_unit_test(much_goes_through_a_small_socket),
		cmocka_unit_test(room_is_shared_and_given_back),
		cmocka_unit_test(close_notify_comes_last),
		cmocka_unit_test(faults_end_the_stream),
		cmocka_unit_test(no_renegotiation),
		cmocka_unit_test(streams_may_move),
#ifndef RESTANTE_SANITIZED
		cmocka_unit_test(idle_streams_are_small),
#endif
		cmocka_unit_test(bad_certificates_are_explained),
		cmocka_unit_test(works_in_the_cage),
		cmocka_unit_test(warm_up_can_be_repeated),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
