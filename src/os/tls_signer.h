/*
 * tls_signer.h: what tls_signer.c lends to tls_setup.c, and shares with
 * tls_signer_sign.c; nobody else includes it.
 */
#ifndef OS_TLS_SIGNER_H
#define OS_TLS_SIGNER_H

#include "os/tls_server.h"

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

/* A private key for libssl that the signer's function stands for. type: "RSA", "EC" or
 * "ED25519", that of the public part. NULL: no memory. */
EVP_PKEY *tls_signer_key(struct tls_signer *s, EVP_PKEY *public, const char *type,
	uint32_t generation, uint8_t index);

/* Whether what the function signs is of this public key. NULL: it is, or there is nobody
 * to ask now; else what is wrong. */
const char *tls_signer_try(const struct tls_signer *s, EVP_PKEY *public, const char *type,
	uint32_t generation, uint8_t index);

struct tls_signer {
	OSSL_LIB_CTX *library;
	OSSL_PROVIDER *provider;
	tls_sign_fn *sign;
	void *arg;
};

struct signer_key {
	const struct tls_signer *signer; /* NULL: a public key, to compare with */
	EVP_PKEY *public;		 /* of the default provider */
	uint32_t generation;
	uint8_t index;
};

#define ENTRY(number, function)                                                          \
	{                                                                                \
		number, (void (*)(void))(function)                                       \
	}

/* Tables of tls_signer_sign.c. */
extern const OSSL_DISPATCH tls_signer_rsa[], tls_signer_ec[], tls_signer_ed25519[];

#endif
