#include "os/tls_client.h"

#include "base/check.h"
#include "os/tls_client_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define EXPORTER_OCTETS 32
#define FINISHED_MAX	64

static const uint8_t alpn_pop3[] = {4, 'p', 'o', 'p', '3'};

static void
peer_free(struct tls_peer *p)
{
	SSL_SESSION_free(p->session);
	X509_free(p->leaf);
	X509_free(p->culprit);
	free(p);
}

/* The name as certificates have it: no last dot, no zone of a link-local address. */
static bool
peer_name(struct tls_peer *p, const char *host)
{
	const char *name = host[0] == '/' ? "localhost" : host;
	size_t n = strlen(name);
	struct in6_addr address;

	if (strchr(name, ':')) {
		const char *zone = strchr(name, '%');
		n = zone ? (size_t)(zone - name) : n;
	} else if (n > 1 && name[n - 1] == '.') {
		n--;
	}
	if (n == 0 || n >= sizeof(p->host))
		return false;
	memcpy(p->host, name, n);
	p->host[n] = '\0';
	p->is_address = inet_pton(AF_INET, p->host, &address) == 1 ||
		inet_pton(AF_INET6, p->host, &address) == 1;
	return true;
}

static bool
expect_name(SSL *ssl, struct tls_peer *p)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (p->is_address)
		return X509_VERIFY_PARAM_set1_ip_asc(param, p->host) == 1;
	/* RFC 6066 s.3: addresses are no server names. */
	return X509_VERIFY_PARAM_set1_host(param, p->host, 0) == 1 &&
		SSL_set_tlsext_host_name(ssl, p->host) == 1;
}

/*
 * Before the ClientHello a TLS server is silent. What is here already is the greeting of
 * a plain server, or text that somebody put behind STLS's answer: never used for anything
 * but the message.
 */
static bool
input_is_empty(struct stream *s)
{
	struct tls_peer *p = s->peer;
	ssize_t n = recv(s->fd, p->first, sizeof(p->first), MSG_PEEK | MSG_DONTWAIT);

	if (n > 0)
		p->first_n = (size_t)n;
	return n <= 0;
}

enum stream_result
stream_connect_tls(struct stream *s, struct tls_context *c, const char *host, bool alpn,
	struct view session)
{
	CHECK(c->client);
	CHECK(!s->peer);
	struct tls_peer *p = calloc(1, sizeof(*p));
	if (!p || !peer_name(p, host)) {
		free(p);
		s->error = p ? EINVAL : ENOMEM;
		s->broken = true;
		return STREAM_ERROR;
	}
	/* Plain octets that the server did not take, though it answers: not ours to send
	 * any more. */
	size_t unsent = stream_unsent(s);
	stream_discard(s);
	p->free = peer_free;
	p->verify_error = X509_V_OK;
	s->peer = p;
	if (tls_attach(s, c) != STREAM_OK) {
		s->error = ENOMEM;
		return STREAM_ERROR;
	}
	SSL *ssl = s->ssl;
	SSL_set_connect_state(ssl);
	bool ok = SSL_set_app_data(ssl, p) == 1 && expect_name(ssl, p);
	if (ok && alpn)
		ok = SSL_set_alpn_protos(ssl, alpn_pop3, sizeof(alpn_pop3)) == 0;
	if (!ok)
		p->fault = ERR_peek_error();
	ERR_clear_error();
	/* The peer's fault is told where all its faults are: by stream_handshake. */
	s->broken = !ok || unsent > 0 || !input_is_empty(s);
	if (!ok)
		return STREAM_ERROR;
	if (unsent > 0)
		s->error = EPROTO;
	tls_session_offer(ssl, p, c, session);
	return STREAM_OK;
}

bool
stream_was_cut(const struct stream *s)
{
	return s->cut;
}

/* ---- what stands --------------------------------------------------------------------
 */

bool
tls_spki_digest(const X509 *x, uint8_t ret[TLS_PIN_OCTETS])
{
	uint8_t *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);

	if (n <= 0)
		return false;
	bool ok = SHA256(der, (size_t)n, ret) != NULL;
	OPENSSL_free(der);
	return ok;
}

int
stream_peer_pin(const struct stream *s, char ret[2 * TLS_PIN_OCTETS + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t pin[TLS_PIN_OCTETS];
	const X509 *x = s->ssl ? SSL_get0_peer_certificate(s->ssl) : NULL;

	/* A certificate that was not accepted never reaches OpenSSL's session. */
	if (!x && s->peer)
		x = s->peer->leaf;
	if (!x || !tls_spki_digest(x, pin))
		return -ENOENT;
	for (size_t i = 0; i < sizeof(pin); i++) {
		ret[2 * i] = digits[pin[i] >> 4];
		ret[2 * i + 1] = digits[pin[i] & 15];
	}
	ret[2 * sizeof(pin)] = '\0';
	return 0;
}

static int
unique_of_12(SSL *ssl, uint8_t *ret, size_t cap, size_t *ret_n)
{
	uint8_t finished[FINISHED_MAX];

	/* RFC 7627 s.7: without the extended master secret two sessions can be made
	 * equal.
	 */
	if (SSL_get_extms_support(ssl) != 1)
		return -ENOTSUP;
	/* RFC 5929 s.3.1: the first Finished; the server's where a session was resumed.
	 */
	bool ours = (SSL_is_server(ssl) != 0) == (SSL_session_reused(ssl) != 0);
	size_t n = ours ? SSL_get_finished(ssl, finished, sizeof(finished))
			: SSL_get_peer_finished(ssl, finished, sizeof(finished));
	if (n == 0 || n > sizeof(finished))
		return -ENOTSUP;
	if (n > cap)
		return -ENOSPC;
	memcpy(ret, finished, n);
	*ret_n = n;
	return 0;
}

int
stream_channel_binding(const struct stream *s, const char **ret_name, uint8_t *ret,
	size_t cap, size_t *ret_n)
{
	static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 s.2 */

	if (!s->ssl || s->handshaking || s->broken)
		return -ENOTSUP;
	if (SSL_version(s->ssl) == TLS1_2_VERSION) {
		int err = unique_of_12(s->ssl, ret, cap, ret_n);
		if (err == 0)
			*ret_name = "tls-unique";
		return err;
	}
	if (SSL_version(s->ssl) < TLS1_3_VERSION)
		return -ENOTSUP;
	if (cap < EXPORTER_OCTETS)
		return -ENOSPC;
	ERR_clear_error();
	if (SSL_export_keying_material(s->ssl, ret, EXPORTER_OCTETS, label,
		    sizeof(label) - 1, (const uint8_t *)"", 0, 1) != 1) {
		ERR_clear_error();
		return -EIO;
	}
	*ret_n = EXPORTER_OCTETS;
	*ret_name = "tls-exporter";
	return 0;
}
