/*
 * deny.h: the networks that are not served (option deny_file), as the monitor hands them
 * over: rows of 17 octets in order, an address (IPv4 as ::ffff:a.b.c.d) and how many of
 * its bits count. Pure.
 */
#ifndef FRONT_DENY_H
#define FRONT_DENY_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define DENY_ROW	17U
#define DENY_BITS	128U
#define DENY_OCTETS_MAX (UINT64_C(17) << 20) /* about a million networks */

struct deny {
	struct view rows; /* borrowed */
	/* Which numbers of bits there are, and how many: networks may lie in networks. */
	uint8_t bits[DENY_BITS + 1];
	uint8_t bits_n;
};

/* False where a row is out of order, has too many bits, or bits set beyond those that
 * count. */
[[nodiscard]] bool deny_init(struct view rows, struct deny *ret);
[[nodiscard]] bool deny_has(const struct deny *d, const uint8_t address[16]);

#endif
