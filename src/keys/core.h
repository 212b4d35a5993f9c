/*
 * core.h: what restante-keys signs, and how often. Pure.
 *
 * Accepted is what a server signs in a handshake and nothing else: the content of its
 * CertificateVerify in TLS 1.3 (RFC 8446 s.4.4.3), and the randoms and ECDHE parameters
 * of its ServerKeyExchange in TLS 1.2 and older (RFC 8422 s.5.4). Both are hashed here,
 * so that nobody gets a signature over a digest of his choice.
 */
#ifndef KEYS_CORE_H
#define KEYS_CORE_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum keys_kind { KEYS_RSA, KEYS_P256, KEYS_P384, KEYS_ED25519 };

enum keys_padding { KEYS_PLAIN, KEYS_PKCS1, KEYS_PSS };

/* A row of keys_schemes.def: how a SignatureScheme is computed. */
struct keys_scheme {
	uint16_t number;
	uint8_t row;	    /* its place in the table */
	uint8_t kinds;	    /* bits 1 << enum keys_kind: keys that it takes in TLS 1.2 */
	uint8_t kinds_13;   /* and in TLS 1.3, where a curve belongs to its hash */
	uint8_t padding;    /* enum keys_padding */
	bool legacy;	    /* SHA-1: only clients of the profile old need it */
	const char *digest; /* NULL: the algorithm has its own */
};

#define KEYS_SCHEMES 13

/* The error of SIGNED. */
enum keys_verdict {
	KEYS_SIGN = 0,
	KEYS_BAD_CONTENT = 1, /* not of the form of a handshake */
	KEYS_BAD_SCHEME = 2,  /* unknown, or not for this key or this version */
	KEYS_NO_KEY = 3,
	KEYS_TOO_MANY = 4,
	KEYS_FAILED = 5, /* the library would not */
};

/* KEYS_SIGN and the scheme's row, which is static. */
[[nodiscard]] enum keys_verdict keys_judge(enum keys_kind kind, uint16_t scheme,
	struct view content, const struct keys_scheme **ret);

/* So many signatures a front gets in a second, and at once after a pause. */
#define KEYS_PER_SECOND 2000
#define KEYS_BURST	4000

struct keys_bucket {
	uint64_t at_ms;
	uint32_t tokens;
};
void keys_bucket_fill(struct keys_bucket *b, uint64_t now_ms);
/* False: none is left. */
[[nodiscard]] bool keys_bucket_take(struct keys_bucket *b, uint64_t now_ms);

#define KEYS_GENERATION_MAX 256 /* keys of one generation: the index is one octet */

/*
 * Keys of three generations; a key is the caller's, NULL: none. Beside the two newest
 * stays the last one with which a handshake was signed: where fronts refuse the newest,
 * as often as that happens, they go on with the one that they have.
 */
struct keys_shelf {
	bool used, has_signed;
	uint32_t generation;
	void *keys[KEYS_GENERATION_MAX];
};
struct keys_shelves {
	struct keys_shelf now, before, kept;
};
/*
 * Makes room for a key of this generation: a newer one than all pushes what is now to
 * before, and that is kept, or its keys are given to drop. NULL: it is older than all.
 * The place may hold a key already: then it is the caller's to drop.
 */
void **keys_place(struct keys_shelves *s, uint32_t generation, uint8_t index,
	void (*drop)(void *key));
/* A signature for a handshake was made with that generation. */
void keys_has_signed(struct keys_shelves *s, uint32_t generation);
/* Whether this is what a front asks for to see that key and certificate belong together:
 * a CertificateVerify over a hash of nothing but zeros, which no handshake has. */
[[nodiscard]] bool keys_is_trial(struct view content);
/* NULL: there is none. */
void *keys_find(const struct keys_shelves *s, uint32_t generation, uint8_t index);

#endif
