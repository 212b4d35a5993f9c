#include "os/address.h"

#include <arpa/inet.h>
#include <string.h>

socklen_t
address_to_kernel(const uint8_t ip[ADDRESS_OCTETS], bool v4, uint16_t port,
	union socket_address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (v4) {
		ret->v4.sin_family = AF_INET;
		ret->v4.sin_port = htons(port);
		memcpy(&ret->v4.sin_addr, ip + 12, 4);
		return sizeof(ret->v4);
	}
	ret->v6.sin6_family = AF_INET6;
	ret->v6.sin6_port = htons(port);
	memcpy(&ret->v6.sin6_addr, ip, ADDRESS_OCTETS);
	return sizeof(ret->v6);
}

bool
address_from_kernel(const union socket_address *a, uint8_t ret_ip[ADDRESS_OCTETS],
	bool *ret_v4, uint16_t *ret_port)
{
	memset(ret_ip, 0, ADDRESS_OCTETS);
	*ret_v4 = a->any.sa_family == AF_INET;
	if (*ret_v4) {
		ret_ip[10] = ret_ip[11] = 0xff;
		memcpy(ret_ip + 12, &a->v4.sin_addr, 4);
		*ret_port = ntohs(a->v4.sin_port);
		return true;
	}
	if (a->any.sa_family != AF_INET6)
		return false;
	memcpy(ret_ip, &a->v6.sin6_addr, ADDRESS_OCTETS);
	*ret_port = ntohs(a->v6.sin6_port);
	return true;
}
