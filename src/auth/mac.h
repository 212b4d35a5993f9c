/*
 * mac.h: HMAC-SHA256 under keys made at start, over parts, each with its length before
 * it; and numbers under a key, for what only must not be foreseen.
 */
#ifndef AUTH_MAC_H
#define AUTH_MAC_H

#include "pop3/view.h"

#include <stdbool.h>

#define MAC_OCTETS 32

struct mac;

/* Once, or seldom. False: libcrypto has no memory. */
[[nodiscard]] bool mac_of(const uint8_t key[32], const struct view *parts, size_t parts_n,
	uint8_t ret[MAC_OCTETS]);

/* A key that is used with each login: the same MACs for half the work. NULL: no memory.
 */
struct mac *mac_new(const uint8_t key[32]);
void mac_free(struct mac **m);
[[nodiscard]] bool mac_make(
	struct mac *m, const struct view *parts, size_t parts_n, uint8_t ret[MAC_OCTETS]);

/* SipHash-2-4 under the first half of the key. */
uint64_t mac_number(const uint8_t key[32], struct view text);

#endif
