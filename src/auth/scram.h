/*
 * scram.h: the keys of SCRAM (RFC 5802 s.3), and how they are written into a users file:
 *
 *     ROUNDS,base64(salt),base64(StoredKey),base64(ServerKey)
 *
 * as in Dovecot's {SCRAM-SHA-1} and {SCRAM-SHA-256}. From them no password can be had but
 * by guessing.
 */
#ifndef AUTH_SCRAM_H
#define AUTH_SCRAM_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define SCRAM_KEY_MAX	 32
#define SCRAM_SALT_MAX	 128
#define SCRAM_SALT_N	 16 /* of those that we make */
#define SCRAM_ROUNDS_MAX 10000000
#define SCRAM_TEXT_MAX	 320 /* of scram_write */

enum scram_hash {
	SCRAM_SHA_1,
	SCRAM_SHA_256,
};

struct scram_keys {
	enum scram_hash hash;
	uint32_t rounds;
	size_t salt_n;
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX];
};

/* Octets of a key. */
size_t scram_key_n(enum scram_hash hash);
/*
 * StoredKey and ServerKey out of the password, with hash, rounds and salt as they stand
 * in *k. The password is prepared by SASLprep, or taken as it is where that cannot be.
 * About a millisecond for 4096 rounds; any thread. False: no memory.
 */
[[nodiscard]] bool scram_derive(struct view password, struct scram_keys *k);
/*
 * The text above, or PostgreSQL's form of it: [SCRAM-SHA-256$]ROUNDS:salt$stored:server.
 * False for anything else; rounds may be beyond SCRAM_ROUNDS_MAX, and are then
 * UINT32_MAX.
 */
[[nodiscard]] bool scram_read(
	struct view text, enum scram_hash hash, struct scram_keys *ret);
void scram_write(const struct scram_keys *k, struct buf *out);

#endif
