/*
 * A POP3 client that binds SCRAM to its TLS connection, for tests/e2e/test_bindings.py.
 *
 *     bound_client PORT CA USER MECHANISM [WORD ...]     the password on standard input
 *
 * Words: stls (else TLS from the first octet); tls1.2; no-ems (without extended master
 * secret); resume (a second connection that takes up the session of a first); wrong (one
 * bit of the binding is another); kind (the binding of another kind). It prints what it
 * is bound to, the server's lines after AUTH, and the first message. Exit status: 0
 * logged in, 1 refused, 2 the server could not prove itself or the library gave up, 3
 * anything else.
 */
#include <arpa/inet.h>
#include <gsasl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_MAX_OCTETS 16384
#define BINDING_MAX	64
#define ROUNDS_MAX	8

enum { IN = 0, REFUSED = 1, GAVE_UP = 2, BROKEN = 3 };

static int words_n;
static char **words;

struct client {
	int fd;
	SSL *ssl;
	uint8_t got[LINE_MAX_OCTETS];
	size_t got_n;
};

[[gnu::noreturn, gnu::format(printf, 1, 2)]] static void
die(const char *form, ...)
{
	va_list list;

	va_start(list, form);
	(void)vprintf(form, list);
	va_end(list);
	(void)printf("\n");
	(void)fflush(stdout);
	ERR_print_errors_fp(stdout);
	exit(BROKEN);
}

static bool
has(const char *word)
{
	for (int i = 0; i < words_n; i++)
		if (strcmp(words[i], word) == 0)
			return true;
	return false;
}

static void
put(struct client *c, const char *octets, size_t n)
{
	ssize_t sent = c->ssl ? SSL_write(c->ssl, octets, (int)n)
			      : send(c->fd, octets, n, MSG_NOSIGNAL);

	if (sent != (ssize_t)n)
		die("cannot send");
}

static void
say(struct client *c, const char *line)
{
	char out[LINE_MAX_OCTETS];
	int n = snprintf(out, sizeof(out), "%s\r\n", line);

	if (n < 0 || (size_t)n >= sizeof(out))
		die("a line too long");
	put(c, out, (size_t)n);
}

/* One line without its CRLF, as a string; false at the end of the connection. */
static bool
hear(struct client *c, char *ret)
{
	uint8_t *end = NULL;

	while (!(end = memchr(c->got, '\n', c->got_n))) {
		size_t room = sizeof(c->got) - c->got_n;
		void *to = c->got + c->got_n;
		ssize_t n = c->ssl ? SSL_read(c->ssl, to, (int)room)
				   : recv(c->fd, to, room, 0);

		if (n <= 0) {
			ret[0] = 0;
			return false;
		}
		c->got_n += (size_t)n;
	}
	size_t n = (size_t)(end - c->got) + 1;

	memcpy(ret, c->got, n);
	ret[n >= 2 && ret[n - 2] == '\r' ? n - 2 : n - 1] = 0;
	memmove(c->got, c->got + n, c->got_n - n);
	c->got_n -= n;
	return true;
}

static void
expect_ok(struct client *c)
{
	char line[LINE_MAX_OCTETS];

	if (!hear(c, line) || strncmp(line, "+OK", 3) != 0)
		die("no +OK: %s", line);
}

static SSL_CTX *
make_context(const char *ca)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context || SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
		die("cannot read %s", ca);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	(void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
	if (has("tls1.2"))
		(void)SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
	if (has("no-ems"))
		(void)SSL_CTX_set_options(context, SSL_OP_NO_EXTENDED_MASTER_SECRET);
	return context;
}

static void
begin_tls(struct client *c, SSL_CTX *context, SSL_SESSION *session)
{
	c->ssl = SSL_new(context);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 ||
		SSL_set1_host(c->ssl, "localhost") != 1 ||
		SSL_set_tlsext_host_name(c->ssl, "localhost") != 1)
		die("no TLS");
	if (session && SSL_set_session(c->ssl, session) != 1)
		die("the session cannot be set");
	if (SSL_connect(c->ssl) != 1)
		die("no handshake");
}

static void
open_connection(struct client *c, int port, SSL_CTX *context, SSL_SESSION *session)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	*c = (struct client){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("no connection");
	if (!has("stls"))
		begin_tls(c, context, session);
	expect_ok(c);
	if (has("stls")) {
		say(c, "STLS");
		expect_ok(c);
		begin_tls(c, context, session);
	}
}

static void
close_connection(struct client *c)
{
	say(c, "QUIT");
	expect_ok(c);
	(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	(void)close(c->fd);
}

/* RFC 9266 s.2; RFC 5929 s.3.1: the first Finished, which is the server's on resumption.
 */
static size_t
binding_of(SSL *ssl, bool exporter, uint8_t ret[BINDING_MAX])
{
	static const char label[] = "EXPORTER-Channel-Binding";

	if (!exporter)
		return SSL_session_reused(ssl)
			? SSL_get_peer_finished(ssl, ret, BINDING_MAX)
			: SSL_get_finished(ssl, ret, BINDING_MAX);
	if (SSL_export_keying_material(ssl, ret, 32, label, sizeof(label) - 1,
		    (const uint8_t *)"", 0, 1) != 1)
		die("no exporter");
	return 32;
}

static void
set_binding(Gsasl_session *session, SSL *ssl)
{
	bool exporter = (SSL_version(ssl) >= TLS1_3_VERSION) != has("kind");
	uint8_t octets[BINDING_MAX] = {0};
	size_t n = binding_of(ssl, exporter, octets);
	char *text = NULL;

	if (n == 0)
		die("no binding");
	if (has("wrong"))
		octets[n - 1] ^= 1;
	(void)printf("binding %s, %s, %s\n", exporter ? "tls-exporter" : "tls-unique",
		SSL_get_version(ssl), SSL_session_reused(ssl) ? "resumed" : "new");
	if (gsasl_base64_to((const char *)octets, n, &text, NULL) != GSASL_OK ||
		gsasl_property_set(session,
			exporter ? GSASL_CB_TLS_EXPORTER : GSASL_CB_TLS_UNIQUE,
			text) != GSASL_OK)
		die("no memory");
	gsasl_free(text);
}

static int
log_in(struct client *c, Gsasl_session *session, const char *mechanism)
{
	char line[LINE_MAX_OCTETS], *out = NULL;
	const char *given = "";
	int rc = gsasl_step64(session, "", &out);

	if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
		(void)printf("library: %s\n", gsasl_strerror_name(rc));
		return GAVE_UP;
	}
	(void)snprintf(line, sizeof(line), "AUTH %s %s", mechanism, *out ? out : "=");
	for (int round = 0; round < ROUNDS_MAX; round++) {
		gsasl_free(out);
		out = NULL;
		say(c, line);
		if (!hear(c, line))
			die("the server has gone");
		(void)printf("%s\n", line);
		if (strncmp(line, "+ ", 2) != 0)
			break;
		given = line + 2;
		rc = gsasl_step64(session, given, &out);
		if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE) {
			(void)printf("library: %s\n", gsasl_strerror_name(rc));
			return GAVE_UP;
		}
		(void)snprintf(line, sizeof(line), "%s", out);
	}
	gsasl_free(out);
	if (strncmp(line, "+OK", 3) != 0)
		return REFUSED;
	return rc == GSASL_OK ? IN : GAVE_UP; /* a server that skips its proof */
}

static void
print_message(struct client *c)
{
	char line[LINE_MAX_OCTETS];

	say(c, "RETR 1");
	expect_ok(c);
	while (hear(c, line) && strcmp(line, ".") != 0)
		(void)printf("%s\n", line);
}

/* Tickets of TLS 1.3 come with the first octets after the handshake. */
static SSL_SESSION *
session_of_another(int port, SSL_CTX *context)
{
	struct client first;

	open_connection(&first, port, context, NULL);
	SSL_SESSION *session = SSL_get1_session(first.ssl);
	close_connection(&first);
	return session;
}

int
main(int argc, char **argv)
{
	struct client c;
	Gsasl *library = NULL;
	Gsasl_session *session = NULL;
	char password[256] = "";

	if (argc < 5)
		die("usage: bound_client PORT CA USER MECHANISM [WORD ...]");
	words = argv + 5;
	words_n = argc - 5;
	int port = (int)strtol(argv[1], NULL, 10);
	const char *mechanism = argv[4];
	if (!fgets(password, sizeof(password), stdin))
		die("no password");
	password[strcspn(password, "\n")] = 0;

	SSL_CTX *context = make_context(argv[2]);
	SSL_SESSION *old = has("resume") ? session_of_another(port, context) : NULL;
	open_connection(&c, port, context, old);
	if (gsasl_init(&library) != GSASL_OK ||
		gsasl_client_start(library, mechanism, &session) != GSASL_OK ||
		gsasl_property_set(session, GSASL_AUTHID, argv[3]) != GSASL_OK ||
		gsasl_property_set(session, GSASL_PASSWORD, password) != GSASL_OK)
		die("no %s", mechanism);
	if (strstr(mechanism, "-PLUS"))
		set_binding(session, c.ssl);
	int status = log_in(&c, session, mechanism);
	if (status == IN)
		print_message(&c);
	if (status != GAVE_UP)
		close_connection(&c);
	gsasl_finish(session);
	gsasl_done(library);
	SSL_SESSION_free(old);
	SSL_CTX_free(context);
	return status;
}
