/*
 * network.h: networks of addresses as they travel between processes: 17 octets, an
 * address (IPv4 as ::ffff:a.b.c.d) and how many bits of it count.
 */
#ifndef BASE_NETWORK_H
#define BASE_NETWORK_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define NETWORK_ADDRESS_OCTETS 16
#define NETWORK_OCTETS	       17
#define NETWORK_BITS_MAX       128

/* A network of more than 128 bits has no address. */
bool network_has(const uint8_t network[NETWORK_OCTETS],
	const uint8_t address[NETWORK_ADDRESS_OCTETS]);
/* A list of networks, one behind the other: whole ones, of 128 bits at most. */
[[nodiscard]] bool network_list_is_sound(struct view list);
bool network_list_has(struct view list, const uint8_t address[NETWORK_ADDRESS_OCTETS]);

#endif
