/*
 * keys_link.h: the front's channel to restante-keys. A signature is asked for and waited
 * for in the middle of a handshake, for two seconds at most. Until a late answer has come
 * nothing is asked and nobody waits again, for ten seconds: then it was lost. After one
 * that is no answer the channel is dead until FRONT_KEYS brings another.
 */
#ifndef FRONT_KEYS_LINK_H
#define FRONT_KEYS_LINK_H

#include "ipc/channel.h"

#include <stddef.h>
#include <stdint.h>

#define KEYS_LINK_OCTETS 1280 /* a SIGNED with its longest signature, and more */

struct keys_link {
	int fd; /* -1: none, or dead */
	uint32_t question;
	bool late;	   /* the answer to `question` did not come in time */
	uint64_t asked_ms; /* when that was */
	uint8_t octets[KEYS_LINK_OCTETS]; /* the last answer */
};

void keys_link_init(struct keys_link *k);
/* Takes the descriptor, whose receives end after two seconds (SO_RCVTIMEO) or do not wait
 * at all; what was there before is closed. */
void keys_link_set(struct keys_link *k, int fd);
void keys_link_close(struct keys_link *k);
/* A tls_sign_fn (os/tls_server.h) whose argument is the link. -EIO: refused;
 * -ETIMEDOUT: not in time, now or before; -EPIPE and others: dead, and closed. */
[[nodiscard]] int keys_link_sign(void *link, uint32_t generation, uint8_t index,
	uint16_t scheme, struct view content, uint8_t *sig, size_t *n);

#endif
