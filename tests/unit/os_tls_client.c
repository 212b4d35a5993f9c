/*
 * Both sides are our streams over a socket pair; certificates are made on the spot.
 */
#include "unit.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/tls_client.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DAY 86400

static const uint8_t ticket_keys[80] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456";

static struct {
	EVP_PKEY *ca_key;
	X509 *ca;
	char directory[64], ca_file[96], mine[96], mine_key[96], plain[96];
	struct tls_context *good, *old, *early, *self, *odd;
	char good_pin[2 * TLS_PIN_OCTETS + 1];
	uint8_t good_pin_octets[TLS_PIN_OCTETS];
} given;

struct talk {
	struct stream server, client;
};

/* ---- certificates --------------------------------------------------------------------
 */

struct wish {
	const char *name; /* common name */
	const char *alt;  /* subjectAltName, or NULL */
	long from_s, to_s;
	bool self;
};

static void
extend(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, given.ca ? given.ca : x, x, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	CHECK(e && X509_add_ext(x, e, -1) == 1);
	X509_EXTENSION_free(e);
}

static X509 *
certify(EVP_PKEY *key, const struct wish *w)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	static long serial = 1;
	bool by_ca = given.ca && !w->self;

	CHECK(X509_set_version(x, 2) == 1);
	CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), serial++) == 1);
	CHECK(X509_gmtime_adj(X509_getm_notBefore(x), w->from_s));
	CHECK(X509_gmtime_adj(X509_getm_notAfter(x), w->to_s));
	CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		      (const uint8_t *)w->name, -1, -1, 0) == 1);
	CHECK(X509_set_issuer_name(x, by_ca ? X509_get_subject_name(given.ca) : name) ==
		1);
	CHECK(X509_set_pubkey(x, key) == 1);
	if (!given.ca)
		extend(x, NID_basic_constraints, "critical,CA:TRUE");
	if (w->alt)
		extend(x, NID_subject_alt_name, w->alt);
	CHECK(X509_sign(x, by_ca ? given.ca_key : key, EVP_sha256()) > 0);
	return x;
}

static struct view
text_of(BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	return (struct view){(const uint8_t *)p, (size_t)n};
}

static struct tls_context *
server_of(const struct wish *w, uint8_t *ret_pin)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certify(key, w);
	BIO *cert = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
	char why[256] = "";
	uint8_t *der = NULL;

	CHECK(PEM_write_bio_X509(cert, x) == 1);
	CHECK(PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1);
	struct tls_context *c = tls_context_new(
		text_of(cert), text_of(secret), ticket_keys, why, sizeof(why));
	CHECK(c);
	int n = i2d_PUBKEY(key, &der);
	CHECK(n > 0);
	if (ret_pin)
		SHA256(der, (size_t)n, ret_pin);
	OPENSSL_free(der);
	BIO_free(cert), BIO_free(secret);
	X509_free(x);
	EVP_PKEY_free(key);
	return c;
}

static struct tls_context *
client_of(const struct tls_client_options *o)
{
	char why[512] = "";
	struct tls_context *c;

	if (tls_client_context_new(o, &c, why, sizeof(why)) < 0)
		fail_msg("%s", why);
	return c;
}

static struct tls_context *
client(void)
{
	return client_of(&(struct tls_client_options){.ca_file = given.ca_file});
}

/* ---- conversations -------------------------------------------------------------------
 */

static void
talk_begin(struct talk *t)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		0);
	stream_init(&t->server, pair[0]);
	stream_init(&t->client, pair[1]);
}

static void
talk_end(struct talk *t)
{
	stream_done(&t->client);
	stream_done(&t->server);
}

static enum stream_result
shake(struct talk *t)
{
	enum stream_result c = STREAM_AGAIN, s = STREAM_AGAIN;

	for (int i = 0; i < 20 && c == STREAM_AGAIN; i++) {
		c = stream_handshake(&t->client);
		if (s == STREAM_AGAIN)
			s = stream_handshake(&t->server);
	}
	if (s == STREAM_AGAIN && c == STREAM_OK)
		s = stream_handshake(&t->server);
	return s == STREAM_ERROR && c == STREAM_OK ? STREAM_AGAIN : c;
}

/* The server speaks first, as POP3 does. */
static void
greet(struct talk *t)
{
	char got[16];
	size_t n = 0;

	assert_int_equal(stream_send(&t->server, "+OK\r\n", 5), STREAM_OK);
	assert_int_equal(stream_read(&t->client, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 5);
	assert_memory_equal(got, "+OK\r\n", 5);
	assert_int_equal(stream_send(&t->client, "QUIT\r\n", 6), STREAM_OK);
	assert_int_equal(stream_read(&t->server, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(n, 6);
}

static enum stream_result
meet(struct talk *t, struct tls_context *server, struct tls_context *c, const char *host,
	struct view session)
{
	talk_begin(t);
	assert_int_equal(stream_start_tls(&t->server, server), STREAM_OK);
	enum stream_result r = stream_connect_tls(&t->client, c, host, true, session);
	return r == STREAM_OK ? shake(t) : r;
}

static const struct view none = {NULL, 0};

/* The handshake fails because of the certificate, and the reason says `text`. */
static void
refuses(struct tls_context *server, struct tls_context *c, const char *host,
	const char *text)
{
	struct talk t;
	char why[1024] = "";
	bool certificate = false;

	assert_int_equal(meet(&t, server, c, host, none), STREAM_ERROR);
	stream_why(&t.client, why, sizeof(why), &certificate);
	print_message("# %s\n", why);
	assert_true(certificate);
	if (!strstr(why, text))
		fail_msg("\"%s\" is not in: %s", text, why);
	for (const char *p = why; *p; p++)
		assert_true(*p >= ' ' && *p <= '~');
	talk_end(&t);
}

static void
good_certificates(void **state)
{
	(void)state;
	static const char *const hosts[] = {"mail.example.org", "mail.example.org.",
		"MAIL.example.org", "a.wild.example.org", "192.0.2.7", "2001:db8::7",
		"2001:0db8:0::7%lo"};
	struct tls_context *c = client();

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct talk t;
		char pin[2 * TLS_PIN_OCTETS + 1];
		assert_int_equal(meet(&t, given.good, c, hosts[i], none), STREAM_OK);
		greet(&t);
		assert_string_equal(stream_version(&t.client), "TLSv1.3");
		assert_int_equal(stream_peer_pin(&t.client, pin), 0);
		assert_string_equal(pin, given.good_pin);
		const char *sni =
			SSL_get_servername(t.server.ssl, TLSEXT_NAMETYPE_host_name);
		assert_int_equal(sni != NULL, i < 4);
		talk_end(&t);
	}
	tls_context_unref(&c);
}

static void
wrong_names(void **state)
{
	(void)state;
	struct tls_context *c = client();

	refuses(given.good, c, "mail.example.com",
		"not for mail.example.com but for mail.example.org, *.wild.example.org, "
		"192.0.2.7, 2001:db8::7 and 2 more");
	refuses(given.good, c, "mail.example.com", given.good_pin);
	refuses(given.good, c, "192.0.2.8", "not for 192.0.2.8 but");
	refuses(given.good, c, "b.a.wild.example.org", "but for");
	/* What a certificate holds does not reach a terminal. */
	refuses(given.odd, c, "mail.example.org", "\"evil?[31m??");
	tls_context_unref(&c);
}

static void
bad_dates(void **state)
{
	(void)state;
	struct tls_context *c = client();
	char date[16], text[64];
	time_t at = time(NULL) - DAY;
	struct tm tm;

	CHECK(gmtime_r(&at, &tm));
	CHECK(strftime(date, sizeof(date), "%Y-%m-%d", &tm) > 0);
	(void)snprintf(text, sizeof(text), "mail.example.org expired on %s", date);
	refuses(given.old, c, "mail.example.org", text);
	refuses(given.early, c, "mail.example.org", "is not valid before");
	tls_context_unref(&c);
}

static void
unknown_issuers(void **state)
{
	(void)state;
	struct tls_context *c = client();
	struct tls_context *system = client_of(&(struct tls_client_options){0});

	refuses(given.self, c, "mail.example.org", "is signed by itself alone");
	refuses(given.good, system, "mail.example.org",
		"was issued by \"Test Authority\", whom this system does not know");
	refuses(given.good, system, "mail.example.org",
		"with --ca FILE, or trust this key alone with --pin sha256:");
	refuses(given.good, system, "mail.example.org", given.good_pin);
	tls_context_unref(&c);
	tls_context_unref(&system);
}

static void
pins_alone_decide(void **state)
{
	(void)state;
	struct tls_client_options o = {.ca_file = given.ca_file, .pins_n = 2};
	struct talk t;

	memcpy(o.pins[1], given.good_pin_octets, TLS_PIN_OCTETS);
	struct tls_context *c = client_of(&o);
	/* Another name: the pin is enough. */
	assert_int_equal(meet(&t, given.good, c, "elsewhere.example", none), STREAM_OK);
	greet(&t);
	talk_end(&t);
	/* And nothing else is. */
	refuses(given.self, c, "mail.example.org", "is not the one that is pinned");
	tls_context_unref(&c);
	o.pins_n = 1;
	c = client_of(&o);
	refuses(given.good, c, "mail.example.org", given.good_pin);
	tls_context_unref(&c);
}

/* ---- sessions ------------------------------------------------------------------------
 */

static void
versions_to(struct stream *s, int v)
{
	assert_int_equal(SSL_set_min_proto_version(s->ssl, v), 1);
	assert_int_equal(SSL_set_max_proto_version(s->ssl, v), 1);
}

/* Connects and keeps the ticket. Whether it was a resumption. */
static bool
resume(struct tls_context *c, const char *host, int version, uint8_t **io, size_t *io_n)
{
	struct talk t;
	uint8_t *next = NULL;
	size_t next_n = 0;

	talk_begin(&t);
	assert_int_equal(stream_start_tls(&t.server, given.good), STREAM_OK);
	versions_to(&t.server, version);
	assert_int_equal(
		stream_connect_tls(&t.client, c, host, true, (struct view){*io, *io_n}),
		STREAM_OK);
	assert_int_equal(shake(&t), STREAM_OK);
	greet(&t);
	bool resumed = stream_resumed(&t.client);
	assert_int_equal(resumed, stream_resumed(&t.server));
	assert_int_equal(stream_session_save(&t.client, &next, &next_n), 0);
	talk_end(&t);
	free(*io);
	*io = next;
	*io_n = next_n;
	return resumed;
}

static void
sessions_resume(void **state)
{
	(void)state;
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct tls_context *c = client();

	for (size_t i = 0; i < 2; i++) {
		uint8_t *session = NULL;
		size_t n = 0;
		assert_false(resume(c, "mail.example.org", versions[i], &session, &n));
		assert_true(resume(c, "mail.example.org", versions[i], &session, &n));
		/* In another process: a context made anew from the same files. */
		struct tls_context *again = client();
		assert_true(resume(again, "mail.example.org", versions[i], &session, &n));
		tls_context_unref(&again);
		/* Not for another name, though the certificate has it too. */
		assert_false(resume(c, "a.wild.example.org", versions[i], &session, &n));
		assert_false(resume(c, "mail.example.org", versions[i], &session, &n));
		/* Damaged, each way: a whole handshake. */
		session[n - 1] ^= 1;
		n--;
		assert_false(resume(c, "mail.example.org", versions[i], &session, &n));
		session[10] ^= 1;
		assert_false(resume(c, "mail.example.org", versions[i], &session, &n));
		n = 36;
		assert_false(resume(c, "mail.example.org", versions[i], &session, &n));
		free(session);
	}
	tls_context_unref(&c);
}

static void
sessions_are_bound_to_their_rules(void **state)
{
	(void)state;
	struct tls_client_options o = {.pins_n = 1};
	uint8_t *session = NULL;
	size_t n = 0;

	memcpy(o.pins[0], given.good_pin_octets, TLS_PIN_OCTETS);
	struct tls_context *pinned = client_of(&o);
	assert_false(resume(pinned, "mail.example.org", TLS1_3_VERSION, &session, &n));
	assert_true(resume(pinned, "mail.example.org", TLS1_3_VERSION, &session, &n));
	tls_context_unref(&pinned);
	/* Trusted through the pin only; now the pin is gone. */
	struct tls_context *c = client();
	assert_false(resume(c, "mail.example.org", TLS1_3_VERSION, &session, &n));
	tls_context_unref(&c);
	free(session);
}

static void
nothing_to_save(void **state)
{
	(void)state;
	struct talk t;
	uint8_t *p;
	size_t n;

	talk_begin(&t);
	assert_int_equal(stream_session_save(&t.client, &p, &n), -ENOENT);
	talk_end(&t);
}

/* ---- bindings ------------------------------------------------------------------------
 */

static void
bindings_are_equal(void **state)
{
	(void)state;
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	static const char *const names[] = {"tls-unique", "tls-exporter"};
	static const size_t octets[] = {12, 32};
	struct tls_context *c = client();
	uint8_t a[64], b[64], before[64] = {0};
	size_t a_n, b_n;
	const char *name;

	for (size_t i = 0; i < 4; i++) {
		struct talk t;
		talk_begin(&t);
		assert_int_equal(
			stream_channel_binding(&t.client, &name, a, sizeof(a), &a_n),
			-ENOTSUP);
		assert_int_equal(stream_start_tls(&t.server, given.good), STREAM_OK);
		versions_to(&t.server, versions[i % 2]);
		assert_int_equal(
			stream_connect_tls(&t.client, c, "mail.example.org", false, none),
			STREAM_OK);
		assert_int_equal(shake(&t), STREAM_OK);
		assert_int_equal(
			stream_channel_binding(&t.client, &name, a, sizeof(a), &a_n), 0);
		assert_string_equal(name, names[i % 2]);
		assert_int_equal(
			stream_channel_binding(&t.server, &name, b, sizeof(b), &b_n), 0);
		assert_int_equal(a_n, octets[i % 2]);
		assert_int_equal(a_n, b_n);
		assert_memory_equal(a, b, a_n);
		assert_memory_not_equal(a, before, a_n);
		memcpy(before, a, a_n);
		assert_int_equal(
			stream_channel_binding(&t.client, &name, a, 8, &a_n), -ENOSPC);
		talk_end(&t);
	}
	tls_context_unref(&c);
}

/* RFC 5929 s.3.1: in a resumption the first Finished is the server's. */
static void
bindings_of_a_resumption(void **state)
{
	(void)state;
	struct tls_context *c = client();
	uint8_t *session = NULL, a[64], b[64];
	size_t n = 0, a_n, b_n;
	const char *name;
	struct talk t;

	assert_false(resume(c, "mail.example.org", TLS1_2_VERSION, &session, &n));
	talk_begin(&t);
	assert_int_equal(stream_start_tls(&t.server, given.good), STREAM_OK);
	versions_to(&t.server, TLS1_2_VERSION);
	assert_int_equal(stream_connect_tls(&t.client, c, "mail.example.org", true,
				 (struct view){session, n}),
		STREAM_OK);
	assert_int_equal(shake(&t), STREAM_OK);
	assert_true(stream_resumed(&t.client));
	assert_int_equal(stream_channel_binding(&t.client, &name, a, sizeof(a), &a_n), 0);
	assert_int_equal(stream_channel_binding(&t.server, &name, b, sizeof(b), &b_n), 0);
	assert_int_equal(a_n, b_n);
	assert_memory_equal(a, b, a_n);
	assert_int_equal(SSL_get_finished(t.server.ssl, b, sizeof(b)), a_n);
	assert_memory_equal(a, b, a_n);
	talk_end(&t);
	free(session);
	tls_context_unref(&c);
}

/* ---- client certificates -------------------------------------------------------------
 */

static int
take_any(int ok, X509_STORE_CTX *ctx)
{
	(void)ok, (void)ctx;
	return 1;
}

static void
client_certificates(void **state)
{
	(void)state;
	struct tls_client_options o = {.ca_file = given.ca_file,
		.certificate = given.mine,
		.key = given.mine_key};
	char name[64], why[512];
	bool certificate = true;
	size_t n;
	struct talk t;

	for (int with = 1; with >= 0; with--) {
		struct tls_context *c = with ? client_of(&o) : client();
		talk_begin(&t);
		assert_int_equal(stream_start_tls(&t.server, given.good), STREAM_OK);
		SSL_set_verify(t.server.ssl,
			SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
		assert_int_equal(
			stream_connect_tls(&t.client, c, "mail.example.org", true, none),
			STREAM_OK);
		assert_int_equal(shake(&t), with ? STREAM_OK : STREAM_AGAIN);
		tls_context_unref(&c);
		if (with) {
			X509 *x = SSL_get0_peer_certificate(t.server.ssl);
			assert_non_null(x);
			assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(x),
					    NID_commonName, name, sizeof(name)) > 0);
			assert_string_equal(name, "anna");
		} else {
			/* TLS 1.3: the server's refusal comes after our handshake. */
			assert_int_equal(
				stream_read(&t.client, name, 1, &n), STREAM_ERROR);
			stream_why(&t.client, why, sizeof(why), &certificate);
			assert_false(certificate);
			assert_non_null(strstr(why, "it wants a client certificate"));
		}
		talk_end(&t);
	}
}

static void
bad_files_are_explained(void **state)
{
	(void)state;
	static const struct {
		const char *ca, *cert, *key;
		int error;
		const char *says;
	} rows[] = {
		{"/nonexistent/ca.pem", NULL, NULL, -ENOENT,
			"--ca /nonexistent/ca.pem cannot be read: No such file"},
		{given.plain, NULL, NULL, -EINVAL,
			"is no list of certificates in PEM form"},
		{"/", NULL, NULL, -EISDIR, "--ca / cannot be read"},
		{NULL, given.mine, given.plain, -EINVAL,
			"the private key cannot be read"},
		{NULL, given.mine, "/nonexistent/key", -ENOENT,
			"--key /nonexistent/key cannot be read"},
		{NULL, "/nonexistent/both", NULL, -ENOENT,
			"--certificate /nonexistent/both cannot be read"},
		{NULL, given.plain, given.mine_key, -EINVAL,
			"the certificate chain cannot be"},
		{NULL, given.ca_file, given.mine_key, -EINVAL, "private key"},
		{NULL, NULL, given.mine_key, -EINVAL, "but no certificate"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char why[512] = "";
		struct tls_client_options o = {.ca_file = rows[i].ca,
			.certificate = rows[i].cert,
			.key = rows[i].key};
		struct tls_context *c;
		assert_int_equal(
			tls_client_context_new(&o, &c, why, sizeof(why)), rows[i].error);
		assert_null(c);
		if (!strstr(why, rows[i].says))
			fail_msg("\"%s\" is not in: %s", rows[i].says, why);
	}
}

/* ---- what else goes wrong ------------------------------------------------------------
 */

static void
why_is(const struct stream *s, const char *text)
{
	char why[512] = "", little[8];
	bool certificate = true;

	stream_why(s, why, sizeof(why), &certificate);
	print_message("# %s\n", why);
	assert_false(certificate);
	if (!strstr(why, text))
		fail_msg("\"%s\" is not in: %s", text, why);
	stream_why(s, little, sizeof(little), &certificate);
	assert_int_equal(strlen(little), sizeof(little) - 1);
}

/* ret: plain octets that wait before TLS begins, or come into its handshake. */
static void
plain_server(const char *greeting, bool late, const char *says)
{
	struct tls_context *c = client();
	struct talk t;

	talk_begin(&t);
	ssize_t n = (ssize_t)strlen(greeting);
	if (!late)
		assert_int_equal(send(t.server.fd, greeting, (size_t)n, 0), n);
	enum stream_result r =
		stream_connect_tls(&t.client, c, "mail.example.org", true, none);
	assert_int_equal(r, STREAM_OK);
	if (late) {
		assert_int_equal(stream_handshake(&t.client), STREAM_AGAIN);
		assert_int_equal(send(t.server.fd, greeting, (size_t)n, 0), n);
	}
	assert_int_equal(stream_handshake(&t.client), STREAM_ERROR);
	why_is(&t.client, says);
	talk_end(&t);
	tls_context_unref(&c);
}

static void
plain_servers_are_recognised(void **state)
{
	(void)state;
	for (int late = 0; late < 2; late++) {
		plain_server("+OK Dovecot \033[1m ready.\r\n", late != 0,
			"says \"+OK Dovecot ?[1m ready.\"; this looks like plain POP3: "
			"use --tls stls");
		plain_server("220 smtp.example.org ESMTP\r\n", late != 0,
			"is the port right?");
	}
}

/* Text behind STLS's answer is neither TLS nor anything later. */
static void
text_after_stls_is_refused(void **state)
{
	(void)state;
	struct tls_context *c = client();
	struct talk t;
	char got[16];
	size_t n;

	talk_begin(&t);
	assert_int_equal(send(t.server.fd, "+OK\r\n", 5, 0), 5);
	assert_int_equal(stream_read(&t.client, got, sizeof(got), &n), STREAM_OK);
	assert_int_equal(send(t.server.fd, "+OK injected\r\n", 14, 0), 14);
	assert_int_equal(stream_connect_tls(&t.client, c, "mail.example.org", true, none),
		STREAM_OK);
	assert_int_equal(stream_handshake(&t.client), STREAM_ERROR);
	why_is(&t.client, "nothing of it was used");
	talk_end(&t);
	/* An answer to a question that was never sent. */
	talk_begin(&t);
	assert_int_equal(stream_write(&t.client, "STLS\r\n", 6), STREAM_OK);
	assert_int_equal(stream_connect_tls(&t.client, c, "mail.example.org", true, none),
		STREAM_OK);
	assert_int_equal(stream_handshake(&t.client), STREAM_ERROR);
	assert_int_equal(recv(t.server.fd, got, sizeof(got), MSG_DONTWAIT), -1);
	talk_end(&t);
	tls_context_unref(&c);
}

static void
old_servers_and_broken_ones(void **state)
{
	(void)state;
	struct tls_context *c = client();
	struct talk t;
	/* A ServerHello of TLS 1.0: alert protocol_version is what such servers send. */
	static const uint8_t alert[] = {21, 3, 1, 0, 2, 2, 70};
	static const uint8_t no_alpn[] = {21, 3, 3, 0, 2, 2, 120};
	static const uint8_t no_room[] = {21, 3, 3, 0, 2, 2, 80};
	static const struct {
		const uint8_t *sends; /* or NULL: it closes */
		const char *why;
		bool later;
	} servers[] = {
		{alert, "it has no TLS 1.2 or newer", false},
		{no_alpn, "it is no POP3 server", false},
		{no_room, "it may be full", true},
		{NULL, "closed the connection in the TLS handshake", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(servers); i++) {
		talk_begin(&t);
		assert_int_equal(
			stream_connect_tls(&t.client, c, "mail.example.org", true, none),
			STREAM_OK);
		assert_int_equal(stream_handshake(&t.client), STREAM_AGAIN);
		if (servers[i].sends)
			assert_int_equal(
				send(t.server.fd, servers[i].sends, sizeof(alert), 0),
				sizeof(alert));
		else
			assert_int_equal(shutdown(t.server.fd, SHUT_WR), 0);
		assert_int_equal(stream_handshake(&t.client), STREAM_ERROR);
		why_is(&t.client, servers[i].why);
		assert_int_equal(stream_may_do_later(&t.client), servers[i].later);
		talk_end(&t);
	}
	tls_context_unref(&c);
}

static void
servers_without_alpn_are_fine(void **state)
{
	(void)state;
	struct tls_context *c = client();
	struct talk t;
	const unsigned char *chosen;
	unsigned int n;

	for (int alpn = 0; alpn < 2; alpn++) {
		talk_begin(&t);
		assert_int_equal(stream_start_tls(&t.server, given.good), STREAM_OK);
		assert_int_equal(stream_connect_tls(&t.client, c, "mail.example.org",
					 alpn != 0, none),
			STREAM_OK);
		assert_int_equal(shake(&t), STREAM_OK);
		SSL_get0_alpn_selected(t.client.ssl, &chosen, &n);
		assert_int_equal(n, alpn ? 4 : 0);
		greet(&t);
		talk_end(&t);
	}
	tls_context_unref(&c);
}

static void
endings_can_be_told_apart(void **state)
{
	(void)state;
	struct tls_context *c = client();
	struct talk t;
	char got[8];
	size_t n;

	for (int polite = 0; polite < 2; polite++) {
		assert_int_equal(
			meet(&t, given.good, c, "mail.example.org", none), STREAM_OK);
		greet(&t);
		assert_int_equal(stream_send(&t.server, "+OK", 3), STREAM_OK);
		if (polite)
			assert_int_equal(stream_shutdown(&t.server), STREAM_OK);
		else
			assert_int_equal(shutdown(t.server.fd, SHUT_WR), 0);
		assert_int_equal(stream_read(&t.client, got, sizeof(got), &n), STREAM_OK);
		assert_int_equal(stream_read(&t.client, got, sizeof(got), &n),
			polite ? STREAM_END : STREAM_ERROR);
		assert_int_equal(stream_was_cut(&t.client), !polite);
		if (!polite)
			why_is(&t.client, "without ending TLS");
		talk_end(&t);
	}
	tls_context_unref(&c);
}

/* ---- the frame -----------------------------------------------------------------------
 */

static void
write_file(char path[96], const char *name, X509 *x, EVP_PKEY *key)
{
	(void)snprintf(path, 96, "%s/%s", given.directory, name);
	BIO *b = BIO_new_file(path, "w");
	CHECK(b);
	CHECK(BIO_puts(b, "words before\n") > 0);
	if (x)
		CHECK(PEM_write_bio_X509(b, x) == 1);
	if (key)
		CHECK(PEM_write_bio_PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1);
	BIO_free(b);
}

static int
set_up(void **state)
{
	(void)state;
	const char *alt = "DNS:mail.example.org,DNS:*.wild.example.org,IP:192.0.2.7,"
			  "IP:2001:db8::7,DNS:e.example,DNS:f.example";

	(void)snprintf(
		given.directory, sizeof(given.directory), "/tmp/restante-tls-XXXXXX");
	CHECK(mkdtemp(given.directory));
	given.ca_key = EVP_EC_gen("P-256");
	given.ca = certify(given.ca_key,
		&(struct wish){"Test Authority", NULL, -2 * DAY, 9 * DAY, true});
	given.good = server_of(
		&(struct wish){"mail", alt, -3600, DAY, false}, given.good_pin_octets);
	for (size_t i = 0; i < TLS_PIN_OCTETS; i++)
		(void)snprintf(
			given.good_pin + 2 * i, 3, "%02x", given.good_pin_octets[i]);
	given.old = server_of(&(struct wish){"mail", alt, -2 * DAY, -DAY, false}, NULL);
	given.early = server_of(&(struct wish){"mail", alt, DAY, 2 * DAY, false}, NULL);
	given.self = server_of(&(struct wish){"mail", alt, -3600, DAY, true}, NULL);
	given.odd = server_of(
		&(struct wish){"evil\033[31m\n\a", NULL, -3600, DAY, false}, NULL);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = certify(key, &(struct wish){"anna", NULL, -3600, DAY, false});
	write_file(given.ca_file, "ca.pem", given.ca, NULL);
	write_file(given.mine, "anna.pem", x, NULL);
	write_file(given.mine_key, "anna.key", NULL, key);
	write_file(given.plain, "plain.txt", NULL, NULL);
	X509_free(x);
	EVP_PKEY_free(key);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	tls_context_unref(&given.good), tls_context_unref(&given.old);
	tls_context_unref(&given.early), tls_context_unref(&given.self);
	tls_context_unref(&given.odd);
	X509_free(given.ca);
	EVP_PKEY_free(given.ca_key);
	(void)unlink(given.ca_file), (void)unlink(given.mine);
	(void)unlink(given.mine_key), (void)unlink(given.plain);
	return rmdir(given.directory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_certificates),
		cmocka_unit_test(wrong_names),
		cmocka_unit_test(bad_dates),
		cmocka_unit_test(unknown_issuers),
		cmocka_unit_test(pins_alone_decide),
		cmocka_unit_test(sessions_resume),
		cmocka_unit_test(sessions_are_bound_to_their_rules),
		cmocka_unit_test(nothing_to_save),
		cmocka_unit_test(bindings_are_equal),
		cmocka_unit_test(bindings_of_a_resumption),
		cmocka_unit_test(client_certificates),
		cmocka_unit_test(bad_files_are_explained),
		cmocka_unit_test(plain_servers_are_recognised),
		cmocka_unit_test(text_after_stls_is_refused),
		cmocka_unit_test(old_servers_and_broken_ones),
		cmocka_unit_test(servers_without_alpn_are_fine),
		cmocka_unit_test(endings_can_be_told_apart),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
