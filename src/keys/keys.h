/*
 * keys.h: what the files of restante-keys share.
 */
#ifndef KEYS_KEYS_H
#define KEYS_KEYS_H

#include "ipc/channel.h"
#include "keys/core.h"
#include "os/loop.h"

#include <openssl/evp.h>
#include <stdbool.h>

#define KEYS_PEM_OCTETS_MAX   65536U
#define KEYS_FRONTS_MAX	      256
#define KEYS_SIGNATURE_MAX    1024
#define KEYS_MESSAGES_A_ROUND 64

struct keys_front;

struct keys {
	struct loop *loop;
	struct source monitor;
	struct keys_shelves shelves; /* of struct keys_key */
	struct keys_front *fronts;
	size_t fronts_n;
	bool failed;
	struct received received; /* from the monitor */
	struct received question; /* from a front */
};

/* ---- sign.c: the only part that knows OpenSSL ----------------------------------------
 */

struct keys_key {
	enum keys_kind kind;
	EVP_PKEY *pkey;
	/* By the scheme's row, each made at its first use: to set one up costs a fourth
	 * of an ECDSA signature. */
	struct keys_ready {
		EVP_PKEY_CTX *context;
		EVP_MD *digest;
	} ready[KEYS_SCHEMES];
};
/* From PEM; NULL and a reason (static, or of OpenSSL's). */
struct keys_key *keys_key_read(struct view pem, const char **ret_why);
/* Wipes. */
void keys_key_free(void *key);
/* KEYS_SIGN and *n octets, or what is wrong. *n: the room at sig. */
[[nodiscard]] enum keys_verdict keys_sign(struct keys_key *key, uint16_t scheme,
	struct view content, uint8_t *sig, size_t *n, bool *ret_legacy);
/* All that OpenSSL loads at first use, before the cage is shut. 0 or -errno. */
[[nodiscard]] int keys_warm_up(void);

/* ---- main.c --------------------------------------------------------------------------
 */

/* Reads what the monitor has said by now. */
void keys_hear_monitor(struct keys *k);

/* ---- fronts.c ------------------------------------------------------------------------
 */

/* Takes the channel of a front; one of the same incarnation is replaced. 0 or -errno. */
[[nodiscard]] int keys_front_add(struct keys *k, uint64_t incarnation, int fd);
void keys_front_gone(struct keys *k, uint64_t incarnation);
void keys_fault(const char *who, uint64_t incarnation, const char *what);

#endif
