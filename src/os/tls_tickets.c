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

#define NAME_OCTETS 16
#define MAC_OCTETS  32
#define KEY_OCTETS  32
#define IV_OCTETS   16

struct ticket_key {
	uint8_t name[NAME_OCTETS];
	uint8_t mac[MAC_OCTETS];
	uint8_t cipher[KEY_OCTETS];
};
_Static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY_OCTETS, "no holes");

/* "restante ticket" | block | n | listener | n | server name, under the key handed over
 */
static bool
derive(const struct tls_guest *g, const uint8_t *key, struct ticket_key *ret)
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
	memcpy(text + n, g->listener, g->listener_n);
	n += g->listener_n;
	text[n++] = g->name_n;
	memcpy(text + n, g->name, g->name_n);
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

static bool
arm(const struct tls_server *s, struct ticket_key *k, uint8_t *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int sealing)
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
	const struct tls_server *s = c->server;
	const struct tls_guest *g = SSL_get_app_data(ssl);
	struct ticket_key k;
	/* In TLS 1.3 a ticket serves once (RFC 8446 s.C.4): each use brings a new one. */
	bool once = !sealing && SSL_version(ssl) >= TLS1_3_VERSION;
	int result = sealing ? -1 : 0;
	size_t keys_n = sealing && s->tickets_n > 1 ? 1 : s->tickets_n;

	for (size_t i = 0; i < keys_n; i++) {
		if (!derive(g, s->tickets[i], &k)) {
			result = -1;
			break;
		}
		if (!sealing && CRYPTO_memcmp(name, k.name, sizeof(k.name)) != 0)
			continue;
		if (sealing) {
			memcpy(name, k.name, sizeof(k.name));
			if (RAND_bytes(iv, IV_OCTETS) != 1)
				break;
		}
		if (arm(s, &k, iv, cipher, mac, sealing))
			result = i == 0 && !once ? 1 : 2;
		break;
	}
	explicit_bzero(&k, sizeof(k));
	return result;
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
