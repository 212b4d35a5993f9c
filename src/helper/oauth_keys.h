/*
 * oauth_keys.h: the public keys of an identity provider (a JSON Web Key Set, RFC 7517)
 * and the signatures that they check. No key is ever used with an algorithm of another
 * kind: what a token's header asks for only chooses among the keys that fit it.
 */
#ifndef HELPER_OAUTH_KEYS_H
#define HELPER_OAUTH_KEYS_H

#include "pop3/view.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#define OAUTH_KEYS_MAX 64
#define OAUTH_KID_MAX  256

/* Rows of the table in oauth_keys.c. none and those with a shared secret are not there.
 */
enum oauth_algorithm {
	OAUTH_RS256,
	OAUTH_PS256,
	OAUTH_ES256,
	OAUTH_EDDSA, /* Ed25519 */
	OAUTH_ALGORITHMS
};

struct oauth_key {
	EVP_PKEY *key;
	char kid[OAUTH_KID_MAX + 1]; /* "": none */
	unsigned algorithms;	     /* bits */
};

struct oauth_keys {
	struct oauth_key of[OAUTH_KEYS_MAX];
	size_t n;
};

enum oauth_checked {
	OAUTH_SIGNED,
	OAUTH_UNKNOWN_KEY, /* no key has this kid (or, without one, not exactly one fits)
			    */
	OAUTH_NOT_SIGNED,  /* the key did not make it, or is of another kind */
};

[[nodiscard]] bool oauth_algorithm_read(const char *name, enum oauth_algorithm *ret);
/*
 * Keys of kinds that we do not use are passed over (RFC 7517 s.5). NULL and *ret, to be
 * freed; or what is wrong with the set (static), with *ret untouched.
 */
const char *oauth_keys_read(struct view json, struct oauth_keys *ret);
void oauth_keys_free(struct oauth_keys *keys);
/* kid: NULL where the token names none. */
enum oauth_checked oauth_keys_check(const struct oauth_keys *keys,
	enum oauth_algorithm algorithm, const char *kid, struct view text,
	struct view signature);

#endif
