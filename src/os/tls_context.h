/*
 * tls_context.h: what tls.c, tls_context.c and tls_warm_up.c share; nobody else includes
 * it.
 */
#ifndef OS_TLS_CONTEXT_H
#define OS_TLS_CONTEXT_H

#include "os/tls.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

struct tls_context {
	SSL_CTX *ctx;
	BIO_METHOD *bio; /* of this context's streams; lives as long as they do */
	size_t refs;
};

/* How OpenSSL reads from a stream's socket and writes to its gather buffer. NULL: no
 * memory. */
BIO_METHOD *tls_bio_method(void);

#endif
