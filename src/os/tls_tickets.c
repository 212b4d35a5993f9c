/*
 * Session tickets (RFC 5077, RFC 8446 s.4.6.1). All fronts are given the same keys; what
 * seals a ticket is derived from them for each listener and server name, so that a ticket
 * opens only where it was made. The first key seals, the older ones open for a while.
 */
#include "os/tls_server_parts.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#define IV_OCTETS 16

_Static_assert(sizeof(struct tls_ticket_key) == TLS_TICKET_KEY_OCTETS, "no holes");

/* "restante ticket" | block | n | listener | n | server name, under the key handed over
 */
static bool
derive(const struct tls_guest *g, const uint8_t *key, struct tls_ticket_key *ret)
{
	static const char label[] = "restante ticket";
	uint8_t text[sizeof(label) + 2 + TLS_LISTENER_NAME_MAX + 1 + TLS_SERVER_NAME_MAX];
	uint8_t blocks[2][64];
	size_t n = sizeof(label);
	unsigned int got;
	bool ok = true;

	memcpy(text, label, sizeof(label));
	n++; /* the block's number */
	text[n++] = g->listener_n;
	memcpy(text + n, tls_guest_listener(g), g->listener_n);
	n += g->listener_n;
	text[n++] = g->name_n;
	memcpy(text + n, tls_guest_name(g), g->name_n);
	n += g->name_n;
	for (uint8_t i = 0; ok && i < 2; i++) {
		text[sizeof(label)] = i;
		ok = HMAC(EVP_sha512(), key, TLS_TICKET_KEY_OCTETS, text, n, blocks[i],
			     &got) != NULL;
	}
	memcpy(ret, blocks, sizeof(*ret));
	explicit_bzero(blocks, sizeof(blocks));
	return ok;
}

static struct tls_ticket_place *
place_of(struct tls_server *s, const struct tls_guest *g)
{
	size_t sum = g->listener_n;

	for (size_t i = 0; i < g->listener_n; i++)
		sum = sum * 31 + (uint8_t)tls_guest_listener(g)[i];
	for (size_t i = 0; i < g->name_n; i++)
		sum = sum * 31 + (uint8_t)tls_guest_name(g)[i];
	return &s->places[sum % TLS_TICKET_PLACES];
}

/* The keys of this listener and name, in the order of those handed over; NULL: no memory.
 */
static struct tls_ticket_key *
keys_for(struct tls_server *s, const struct tls_guest *g)
{
	struct tls_ticket_place *p = place_of(s, g);

	if (p->used && p->listener_n == g->listener_n && p->name_n == g->name_n &&
		memcmp(p->listener, tls_guest_listener(g), g->listener_n) == 0 &&
		memcmp(p->name, tls_guest_name(g), g->name_n) == 0)
		return p->keys;
	p->used = false;
	for (size_t i = 0; i < s->tickets_n; i++)
		if (!derive(g, s->tickets[i], &p->keys[i]))
			return NULL;
	p->listener_n = g->listener_n;
	p->name_n = g->name_n;
	memcpy(p->listener, tls_guest_listener(g), g->listener_n);
	memcpy(p->name, tls_guest_name(g), g->name_n);
	p->used = true;
	return p->keys;
}

static bool
arm(const struct tls_server *s, struct tls_ticket_key *k, uint8_t *iv,
	EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
		OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_END,
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1 &&
		EVP_CipherInit_ex(
			cipher, s->ticket_cipher, NULL, k->cipher, iv, sealing) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb: 1 ready, 2 ready and the ticket is to be renewed,
 * 0 no such key, -1 fault. */
static int
ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int sealing)
{
	const struct tls_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_server *s = c->server;
	struct tls_ticket_key *keys = keys_for(s, SSL_get_app_data(ssl));
	/* In TLS 1.3 a ticket serves once (RFC 8446 s.C.4): each use brings a new one. */
	bool once = !sealing && SSL_version(ssl) >= TLS1_3_VERSION;
	size_t i = 0;

	if (!keys)
		return -1;
	while (!sealing && i < s->tickets_n &&
		CRYPTO_memcmp(name, keys[i].name, sizeof(keys[i].name)) != 0)
		i++;
	if (i == s->tickets_n)
		return 0;
	if (sealing) {
		memcpy(name, keys[0].name, sizeof(keys[0].name));
		if (RAND_bytes(iv, IV_OCTETS) != 1)
			return -1;
	}
	if (!arm(s, &keys[i], iv, cipher, mac, sealing))
		return sealing ? -1 : 0;
	return i == 0 && !once ? 1 : 2;
}

const char *
tls_tickets_settle(struct tls_server *s, SSL_CTX *ctx, struct view keys)
{
	/* The cache is off, so that all there is of a session is in the client's ticket.
	 */
	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (keys.n % TLS_TICKET_KEY_OCTETS != 0 || keys.n > sizeof(s->tickets))
		return "the ticket keys are not one to three of 80 octets";
	s->tickets_n = keys.n / TLS_TICKET_KEY_OCTETS;
	if (s->tickets_n == 0) {
		(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		return SSL_CTX_set_num_tickets(ctx, 0) == 1 ? NULL : "no memory";
	}
	memcpy(s->tickets, keys.p, keys.n);
	s->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!s->ticket_cipher || SSL_CTX_set_num_tickets(ctx, 1) != 1)
		return "session tickets are not available";
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key);
	return NULL;
}
