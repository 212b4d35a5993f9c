#include "base/network.h"

#include <string.h>

bool
network_has(const uint8_t network[NETWORK_OCTETS],
	const uint8_t address[NETWORK_ADDRESS_OCTETS])
{
	unsigned bits = network[NETWORK_ADDRESS_OCTETS];
	unsigned whole = bits / 8;
	unsigned rest = bits % 8;

	if (bits > NETWORK_BITS_MAX || memcmp(network, address, whole) != 0)
		return false;
	return rest == 0 || (network[whole] ^ address[whole]) >> (8 - rest) == 0;
}

bool
network_list_is_sound(struct view list)
{
	if (list.n % NETWORK_OCTETS != 0)
		return false;
	for (size_t at = 0; at < list.n; at += NETWORK_OCTETS)
		if (list.p[at + NETWORK_ADDRESS_OCTETS] > NETWORK_BITS_MAX)
			return false;
	return true;
}

bool
network_list_has(struct view list, const uint8_t address[NETWORK_ADDRESS_OCTETS])
{
	for (size_t at = 0; at + NETWORK_OCTETS <= list.n; at += NETWORK_OCTETS)
		if (network_has(list.p + at, address))
			return true;
	return false;
}
