/* One connection of the server's side: its rules, its name, what it proves. */
#include "base/check.h"
#include "os/tls_server_parts.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>

/* As tls_setup.c has it, and SHA-1: clients that know nothing newer do not even ask. */
static const char old_signatures[] =
	"ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519:rsa_pss_rsae_sha256:"
	"rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:"
	"rsa_pkcs1_sha512:ECDSA+SHA1:RSA+SHA1";

static const int floors[] = {
	[TLS_FLOOR_12] = TLS1_2_VERSION,
	[TLS_FLOOR_13] = TLS1_3_VERSION,
	[TLS_FLOOR_10] = TLS1_VERSION,
};

/* ---- what the client's hello decides
 * --------------------------------------------------- */

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

/* n u16 | 0 | n u16 | name (RFC 6066 s.3); n 0: none, or not of that form. */
static struct view
name_said(SSL *ssl)
{
	const uint8_t *p;
	size_t n;

	if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &n) != 1 || n < 5)
		return (struct view){NULL, 0};
	size_t list = (size_t)p[0] << 8 | p[1];
	size_t name = (size_t)p[3] << 8 | p[4];
	if (list != n - 2 || p[2] != TLSEXT_NAMETYPE_host_name || name > n - 5)
		return (struct view){NULL, 0};
	return (struct view){p + 5, name};
}

const char *
tls_server_use(SSL *ssl, const struct tls_server *s, const struct tls_set *set)
{
	SSL_certs_clear(ssl);
	for (size_t i = 0; i < TLS_KEY_TYPES; i++) {
		if (set->of[i] < 0)
			continue;
		struct tls_certificate *c = &s->certificates[set->of[i]];
		if (SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) != 1)
			return "the certificate cannot be used";
	}
	return NULL;
}

/*
 * Before anything else of the hello is looked at, and so before a ticket is opened, whose
 * key depends on the name.
 */
static int
on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_server *s = arg;
	struct tls_guest *g = SSL_get_app_data(ssl);
	struct view said = name_said(ssl);
	struct tls_set set;
	char *name = g->text + g->listener_n;

	*alert = SSL_AD_INTERNAL_ERROR;
	if (g->fitted) /* no renegotiation; its name would have no room */
		return SSL_CLIENT_HELLO_ERROR;
	/* A second hello, after a retry, says the same (RFC 8446 s.4.1.2). */
	g->name_n = 0;
	if (said.n == 0 || !tls_name_clean(said, name, &g->name_n))
		return SSL_CLIENT_HELLO_SUCCESS;
	if (!tls_names_find(s, (struct view){(const uint8_t *)name, g->name_n}, &set)) {
		g->name_n = 0;
		return SSL_CLIENT_HELLO_SUCCESS;
	}
	if (memcmp(&set, &s->others, sizeof(set)) == 0)
		return SSL_CLIENT_HELLO_SUCCESS;
	return tls_server_use(ssl, s, &set) ? SSL_CLIENT_HELLO_ERROR
					    : SSL_CLIENT_HELLO_SUCCESS;
}

static int
on_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_guest *g = SSL_get_app_data(ssl);

	(void)alert, (void)arg;
	return g->name_n > 0 ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/*
 * In the place of the verification: the handshake proves that the client has the key, and
 * who that is its fingerprint says. No chain is built from what a stranger sends.
 */
static int
take_any(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	X509_STORE_CTX_set_error(store, X509_V_OK);
	return 1;
}

void
tls_server_listen(struct tls_server *s, SSL_CTX *ctx)
{
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, s);
	(void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	(void)SSL_CTX_set_tlsext_status_cb(ctx, tls_staple_send);
	(void)SSL_CTX_set_tlsext_status_arg(ctx, s);
	SSL_CTX_set_cert_verify_callback(ctx, take_any, NULL);
}

/* ---- the rules of a listener
 * ------------------------------------------------------------ */

static bool
set_floor(SSL *ssl, uint8_t floor)
{
	if (floor == TLS_FLOOR_12)
		return true;
	if (SSL_set_min_proto_version(ssl, floors[floor]) != 1)
		return false;
	if (floor != TLS_FLOOR_10)
		return true;
	SSL_set_security_level(ssl, 0);
	return SSL_set1_sigalgs_list(ssl, (char *)(uintptr_t)old_signatures) == 1;
}

static bool
set_client_certificates(SSL *ssl, uint8_t how)
{
	if (how == 0)
		return true;
	SSL_set_verify(ssl,
		how == 1 ? SSL_VERIFY_PEER
			 : SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
		NULL);
	/* A resumed session would be a certificate without the proof of its key. */
	(void)SSL_set_options(ssl, SSL_OP_NO_TICKET);
	return SSL_set_num_tickets(ssl, 0) == 1;
}

static struct tls_guest *
guest_new(const struct tls_rules *rules)
{
	size_t n = rules->listener.n + TLS_SERVER_NAME_MAX + 1;
	struct tls_guest *g = calloc(1, sizeof(*g) + n);

	if (!g)
		return NULL;
	g->client_certificates = rules->client_certificates;
	g->listener_n = (uint8_t)rules->listener.n;
	if (rules->listener.n > 0)
		memcpy(g->text, rules->listener.p, rules->listener.n);
	return g;
}

bool
tls_server_fit(struct stream *s)
{
	struct tls_guest *g = s->guest;

	if (!g || g->fitted)
		return true;
	size_t n = (size_t)g->listener_n + g->name_n;
	struct tls_guest *fitted = realloc(g, sizeof(*g) + n);
	if (!fitted)
		return true;
	fitted->fitted = true;
	s->guest = fitted;
	return SSL_set_app_data((SSL *)s->ssl, fitted) == 1;
}

enum stream_result
stream_start_server(
	struct stream *s, struct tls_context *c, const struct tls_rules *rules)
{
	static const struct tls_rules plain = {.floor = TLS_FLOOR_12};

	CHECK(c->server);
	if (!rules)
		rules = &plain;
	CHECK(rules->floor <= TLS_FLOOR_10);
	CHECK(rules->listener.n <= TLS_LISTENER_NAME_MAX);
	enum stream_result r = tls_attach(s, c);
	if (r != STREAM_OK)
		return r;
	SSL *ssl = s->ssl;
	SSL_set_accept_state(ssl);
	s->guest = guest_new(rules);
	if (s->guest && SSL_set_app_data(ssl, s->guest) == 1 &&
		set_floor(ssl, rules->floor) &&
		set_client_certificates(ssl, rules->client_certificates))
		return STREAM_OK;
	ERR_clear_error();
	s->broken = true;
	return STREAM_ERROR;
}

enum stream_result
stream_start_tls(struct stream *s, struct tls_context *c)
{
	return stream_start_server(s, c, NULL);
}

/* ---- what it proves
 * ---------------------------------------------------------------------- */

bool
stream_may_bind(const struct stream *s)
{
	SSL *ssl = s->ssl;

	if (!ssl || s->handshaking || s->broken)
		return false;
	/* Without extended master secret two connections could be made to agree. */
	return SSL_version(ssl) >= TLS1_3_VERSION ||
		(SSL_version(ssl) == TLS1_2_VERSION && SSL_get_extms_support(ssl) == 1);
}

enum tls_binding
stream_binding(const struct stream *s, uint8_t ret[TLS_BINDING_OCTETS_MAX], size_t *ret_n)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	SSL *ssl = s->ssl;

	if (!stream_may_bind(s))
		return TLS_BINDING_NONE;
	if (SSL_version(ssl) >= TLS1_3_VERSION) {
		/* RFC 9266 s.2: 32 octets, an empty context. */
		if (SSL_export_keying_material(ssl, ret, 32, label, sizeof(label) - 1,
			    (const uint8_t *)"", 0, 1) != 1)
			return TLS_BINDING_NONE;
		*ret_n = 32;
		return TLS_BINDING_EXPORTER;
	}
	/* RFC 5929 s.3.1: the first Finished; the server's where the session is resumed.
	 */
	size_t n = SSL_session_reused(ssl)
		? SSL_get_finished(ssl, ret, TLS_BINDING_OCTETS_MAX)
		: SSL_get_peer_finished(ssl, ret, TLS_BINDING_OCTETS_MAX);
	if (n == 0 || n > TLS_BINDING_OCTETS_MAX)
		return TLS_BINDING_NONE;
	*ret_n = n;
	return TLS_BINDING_UNIQUE;
}

bool
stream_certificate(const struct stream *s, uint8_t ret[TLS_FINGERPRINT_OCTETS])
{
	SSL *ssl = s->ssl;
	unsigned int n = 0;

	if (!ssl || s->handshaking || s->broken || !s->guest ||
		s->guest->client_certificates == 0)
		return false;
	const X509 *x = SSL_get0_peer_certificate(ssl);
	return x && X509_digest(x, EVP_sha256(), ret, &n) == 1 &&
		n == TLS_FINGERPRINT_OCTETS;
}

bool
stream_is_old(const struct stream *s)
{
	return s->ssl && !s->handshaking && SSL_version(s->ssl) < TLS1_2_VERSION;
}

struct view
stream_server_name(const struct stream *s)
{
	if (!s->guest)
		return (struct view){NULL, 0};
	return (struct view){(const uint8_t *)tls_guest_name(s->guest), s->guest->name_n};
}
