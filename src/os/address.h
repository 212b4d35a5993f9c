/*
 * address.h: the one form in which addresses travel in the house, 16 octets (IPv4 as
 * ::ffff:a.b.c.d), and the kernel's.
 */
#ifndef OS_ADDRESS_H
#define OS_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_OCTETS 16

union socket_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage storage;
};

/* v4: the last four octets as an AF_INET address. The length for bind and connect. */
socklen_t address_to_kernel(const uint8_t ip[ADDRESS_OCTETS], bool v4, uint16_t port,
	union socket_address *ret);
/* False for what is neither IPv4 nor IPv6; *ret_v4 tells the family of the socket. */
[[nodiscard]] bool address_from_kernel(const union socket_address *a,
	uint8_t ret_ip[ADDRESS_OCTETS], bool *ret_v4, uint16_t *ret_port);

#endif
