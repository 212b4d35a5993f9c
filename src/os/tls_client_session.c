/*
 * Sessions that are resumed: kept from OpenSSL, given out and taken back as octets:
 *
 *   "RTS1" | SHA-256 over rules and host (32) | session in DER
 *
 * No certificate is looked at in a resumption. So a session is only offered to the same
 * host under the same rules, and while its certificate is in date (or pinned).
 */
#include "os/clock.h"
#include "os/tls_client_parts.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC	     "RTS1"
#define MAGIC_OCTETS 4
#define HEAD_OCTETS  (MAGIC_OCTETS + SHA256_DIGEST_LENGTH)
#define SESSION_MAX  (64 << 10)
/* RFC 8446 s.4.6.1: seven days at most. Where a server says nothing: two hours. */
#define LASTS_MAX_S	(7 * 86400UL + 1)
#define LASTS_DEFAULT_S 7200L

static bool
head_of(const struct tls_context *c, const struct tls_peer *p, uint8_t ret[HEAD_OCTETS])
{
	const struct tls_client_rules *rules = c->client;
	uint8_t text[SHA256_DIGEST_LENGTH + sizeof(p->host)];
	size_t n = strlen(p->host);

	memcpy(ret, MAGIC, MAGIC_OCTETS);
	memcpy(text, rules->digest, sizeof(rules->digest));
	memcpy(text + sizeof(rules->digest), p->host, n);
	return SHA256(text, sizeof(rules->digest) + n, ret + MAGIC_OCTETS) != NULL;
}

static bool
in_date(const SSL_SESSION *session, bool pinned)
{
	/* Older headers take it without const. */
	union {
		const SSL_SESSION *in;
		SSL_SESSION *out;
	} u = {session};
	const X509 *x = SSL_SESSION_get0_peer(u.out);
	/* Not time(), which is behind the clock that stamps them for up to a tick. */
	long made = SSL_SESSION_get_time(session), now = (long)clock_unix_s();
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);
	long lasts = hint > 0 && hint < LASTS_MAX_S ? (long)hint : LASTS_DEFAULT_S;
	time_t moment = now;

	if (!x || SSL_SESSION_is_resumable(session) != 1 ||
		SSL_SESSION_get_protocol_version(session) < TLS1_2_VERSION)
		return false;
	if (made > now || now - made >= lasts)
		return false;
	return pinned || X509_cmp_time(X509_get0_notAfter(x), &moment) > 0;
}

void
tls_session_offer(
	SSL *ssl, const struct tls_peer *p, struct tls_context *c, struct view octets)
{
	const struct tls_client_rules *rules = c->client;
	uint8_t head[HEAD_OCTETS];

	if (octets.n <= HEAD_OCTETS || octets.n > SESSION_MAX || !head_of(c, p, head) ||
		memcmp(head, octets.p, HEAD_OCTETS) != 0)
		return;
	const uint8_t *at = octets.p + HEAD_OCTETS;
	const uint8_t *end = octets.p + octets.n;
	SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, end - at);
	if (session && at == end && in_date(session, rules->pins_n > 0))
		(void)SSL_set_session(ssl, session);
	SSL_SESSION_free(session);
	ERR_clear_error();
}

int
tls_session_keep(SSL *ssl, SSL_SESSION *session)
{
	struct tls_peer *p = SSL_get_app_data(ssl);

	if (!p)
		return 0;
	SSL_SESSION_free(p->session);
	p->session = session;
	return 1;
}

/* The session to give out, with a reference, or NULL. */
static SSL_SESSION *
newest(const struct stream *s)
{
	SSL_SESSION *session = s->peer->session;

	/* A ticket of TLS 1.2 may be used again (RFC 5077 s.3.3), one of 1.3 should not
	 * (RFC 8446 C.4). */
	if (!session && SSL_version(s->ssl) == TLS1_2_VERSION)
		return SSL_get1_session(s->ssl);
	if (session && SSL_SESSION_up_ref(session) == 1)
		return session;
	return NULL;
}

int
stream_session_save(const struct stream *s, uint8_t **ret, size_t *ret_n)
{
	int err = -ENOENT;
	uint8_t *all = NULL, *at;

	if (!s->ssl || !s->peer || s->handshaking)
		return -ENOENT;
	SSL_SESSION *session = newest(s);
	if (!session)
		return -ENOENT;
	int n = SSL_SESSION_is_resumable(session) == 1 ? i2d_SSL_SESSION(session, NULL)
						       : 0;
	if (n <= 0 || (size_t)n > SESSION_MAX - HEAD_OCTETS)
		goto out;
	err = -ENOMEM;
	all = malloc(HEAD_OCTETS + (size_t)n);
	if (!all || !head_of(s->context, s->peer, all))
		goto out;
	at = all + HEAD_OCTETS;
	if (i2d_SSL_SESSION(session, &at) != n)
		goto out;
	*ret = all;
	*ret_n = HEAD_OCTETS + (size_t)n;
	all = NULL;
	err = 0;
out:
	free(all);
	SSL_SESSION_free(session);
	ERR_clear_error();
	return err;
}
