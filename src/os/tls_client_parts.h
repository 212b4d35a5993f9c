/*
 * tls_client_parts.h: what the files of the client side of TLS share; nobody else
 * includes it.
 */
#ifndef OS_TLS_CLIENT_PARTS_H
#define OS_TLS_CLIENT_PARTS_H

#include "os/tls_client.h"
#include "os/tls_context.h"

#include <openssl/sha.h>

/* Behind tls_context.client. */
struct tls_client_rules {
	uint8_t pins[TLS_PINS_MAX][TLS_PIN_OCTETS];
	size_t pins_n;
	bool own_ca;	   /* a ca_file was given */
	bool has_identity; /* a client certificate was given */
	/* Of ca_file's octets, pins and the client certificate: sessions are bound to it.
	 */
	uint8_t digest[SHA256_DIGEST_LENGTH];
};

/* SHA-256 of the certificate's SubjectPublicKeyInfo. */
[[nodiscard]] bool tls_spki_digest(const X509 *x, uint8_t ret[TLS_PIN_OCTETS]);
/* Offers the session to ssl if it is whole, fresh and made under the same rules. */
void tls_session_offer(
	SSL *ssl, const struct tls_peer *p, struct tls_context *c, struct view octets);
/* SSL_CTX_sess_set_new_cb: keeps the newest one in the stream's tls_peer. */
int tls_session_keep(SSL *ssl, SSL_SESSION *session);

#endif
