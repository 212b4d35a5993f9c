/*
 * mac.h: HMAC-SHA256 under keys made at start.
 */
#ifndef AUTH_MAC_H
#define AUTH_MAC_H

#include "pop3/view.h"

#include <stdbool.h>

#define MAC_OCTETS 32

/* Over the parts, each with its length before it. False: libcrypto has no memory. */
[[nodiscard]] bool mac_of(const uint8_t key[32], const struct view *parts, size_t parts_n,
	uint8_t ret[MAC_OCTETS]);
/* Eight octets of it as a number; 0 where there is no memory. */
uint64_t mac_number(const uint8_t key[32], struct view text);

#endif
