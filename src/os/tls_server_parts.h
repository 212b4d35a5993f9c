/*
 * tls_server_parts.h: what the files of the server's side share (tls_setup.c,
 * tls_server.c, tls_names.c, tls_staple.c, tls_tickets.c); nobody else includes it.
 */
#ifndef OS_TLS_SERVER_PARTS_H
#define OS_TLS_SERVER_PARTS_H

#include "os/tls_context.h"
#include "os/tls_server.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#define TLS_KEY_TYPES 3

struct tls_certificate {
	X509 *leaf; /* NULL: has not come */
	STACK_OF(X509) * chain;
	EVP_PKEY *key;
	uint8_t type; /* below TLS_KEY_TYPES */
	uint8_t *ocsp;
	size_t ocsp_n;
	uint64_t ocsp_until; /* seconds; not sent from then on */
};

/* A name of a certificate: small letters, "*.rest" for a wildcard. */
struct tls_name {
	char *text;
	uint8_t certificate;
};

/* Of each type of key one certificate, or -1. */
struct tls_set {
	int of[TLS_KEY_TYPES];
};

/* What seals tickets at one listener under one server name. */
struct tls_ticket_key {
	uint8_t name[16];
	uint8_t mac[32];
	uint8_t cipher[32];
};
#define TLS_TICKET_PLACES 16
struct tls_ticket_place {
	bool used;
	uint8_t listener_n, name_n;
	char listener[TLS_LISTENER_NAME_MAX];
	char name[TLS_SERVER_NAME_MAX];
	struct tls_ticket_key keys[TLS_TICKET_KEYS_MAX];
};

struct tls_server {
	uint32_t generation;
	size_t certificates_n, come_n;
	struct tls_certificate *certificates;
	struct tls_name *names; /* sorted by text, then by certificate */
	size_t names_n, names_cap;
	struct tls_set others; /* for names that are not there */
	uint8_t tickets[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY_OCTETS];
	size_t tickets_n;
	EVP_CIPHER *ticket_cipher;
	/* Derived before: twice HMAC costs more than all else that a ticket takes. */
	struct tls_ticket_place places[TLS_TICKET_PLACES];
};
void tls_server_free(struct tls_server **s);

/* What a connection of the server's side remembers; one malloc. */
struct tls_guest {
	uint8_t client_certificates;
	bool fitted; /* no room for another name: the handshake is over */
	uint8_t name_n, listener_n;
	char text[]; /* listener, then name */
};

static inline const char *
tls_guest_listener(const struct tls_guest *g)
{
	return g->text;
}

static inline const char *
tls_guest_name(const struct tls_guest *g)
{
	return g->text + g->listener_n;
}

/* ---- tls_names.c ------------------------------------------------------------------- */

/* The DNS names of certificate i, from its SAN. NULL, or what failed. */
const char *tls_names_add(struct tls_server *s, size_t i);
void tls_names_sort(struct tls_server *s);
/* Certificates for this name, exact ones before wildcards; false: none. */
bool tls_names_find(const struct tls_server *s, struct view name, struct tls_set *ret);
/* A name as a client says it in its hello, in small letters; false: it is no name. */
bool tls_name_clean(struct view said, char ret[TLS_SERVER_NAME_MAX + 1], uint8_t *ret_n);

/* ---- tls_staple.c ------------------------------------------------------------------ */

/* Takes a response for this certificate. NULL, or why it is not stapled. */
const char *tls_staple_take(struct tls_certificate *c, struct view der, uint64_t now_s);
/* SSL_CTX_set_tlsext_status_cb; arg: the struct tls_server. */
int tls_staple_send(SSL *ssl, void *arg);

/* ---- tls_tickets.c ----------------------------------------------------------------- */

/* NULL, or what failed. */
const char *tls_tickets_settle(struct tls_server *s, SSL_CTX *ctx, struct view keys);

/* ---- tls_server.c ------------------------------------------------------------------ */

/* The callbacks of a server's context. */
void tls_server_listen(struct tls_server *s, SSL_CTX *ctx);
/* NULL, or what failed. */
const char *tls_server_use(
	SSL *ssl, const struct tls_server *s, const struct tls_set *set);

#endif
