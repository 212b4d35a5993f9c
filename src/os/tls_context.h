/*
 * tls_context.h: what tls.c, tls_context.c, tls_warm_up.c and the client side
 * (tls_client*.c) share; nobody else includes it.
 */
#ifndef OS_TLS_CONTEXT_H
#define OS_TLS_CONTEXT_H

#include "os/tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <stdatomic.h>

#define TLS_FIRST_OCTETS 48

/* What a stream of the client side remembers; made and freed by tls_client.c. */
struct tls_peer {
	void (*free)(struct tls_peer *p);
	char host[256]; /* as shown and as compared; no zone, no last dot */
	bool is_address;
	SSL_SESSION *session; /* the newest one, or NULL */
	X509 *leaf, *culprit; /* what verification saw; culprit: what failed */
	int verify_error, verify_depth;
	bool verified;			 /* the server's certificate was looked at */
	unsigned long fault;		 /* OpenSSL's first error of a failure, or 0 */
	uint8_t first[TLS_FIRST_OCTETS]; /* what the server sent first */
	size_t first_n;
};

struct tls_context {
	SSL_CTX *ctx;
	BIO_METHOD *bio;    /* of this context's streams; lives as long as they do */
	atomic_size_t refs; /* threads may share a context */
	void *client;	    /* settings of the client side, one malloc; else NULL */
	struct tls_server *server; /* what the server's side has (tls_server_parts.h) */
};

/* How OpenSSL reads from a stream's socket and writes to its gather buffer. NULL: no
 * memory. */
BIO_METHOD *tls_bio_method(void);
/* s is TLS from now on, under c; the caller says which side it is. */
[[nodiscard]] enum stream_result tls_attach(struct stream *s, struct tls_context *c);
/* The handshake is over: room that only it needed is given back. False: OpenSSL's fault.
 */
[[nodiscard]] bool tls_server_fit(struct stream *s);
/* Settings that both sides have: versions, suites, groups, modes. NULL, or what failed.
 */
const char *tls_context_settle(SSL_CTX *ctx);
/* Certificate chain and key from PEM text. NULL, or what failed. */
const char *tls_context_load(SSL_CTX *ctx, struct view cert_pem, struct view key_pem);
/* NULL where the chain cannot be read; at most 16 certificates behind the leaf. */
X509 *tls_chain_read(struct view pem, STACK_OF(X509) * *ret_chain);
/* A context without anything; NULL: no memory. */
struct tls_context *tls_context_bare(const SSL_METHOD *method);
/* "failed: OpenSSL's first reason" into why; empties its queue. */
void tls_context_why(const char *failed, char *why, size_t why_n);
/* No password for a PEM file: pem_password_cb. */
int tls_no_password(char *to, int n, int writing, void *arg);

#endif
