/*
 * proxy_header.h: what a proxy says before a connection begins, PROXY protocol version 1
 * (a line) and 2 (octets): whose connection it is. Its claims about TLS do not count.
 *
 *     v1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 110 CRLF        at most 107 octets
 *     v2   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A | version and command | family |
 *          length u16 (big-endian) | addresses | TLVs
 */
#ifndef WIRE_PROXY_HEADER_H
#define WIRE_PROXY_HEADER_H

#include "pop3/view.h"

#include <stdint.h>

/* Of both versions together with all TLVs; a longer one is bad. */
#define PROXY_HEADER_MAX 536

enum proxy_outcome {
	PROXY_MORE, /* all octets so far belong to the header; there are more to come */
	PROXY_ADDRESS, /* whose connection it is */
	PROXY_LOCAL,   /* the proxy's own (LOCAL), or UNKNOWN: the socket's address counts
			*/
	PROXY_BAD,     /* no header, or one that breaks the rules */
};

struct proxy_header {
	uint8_t address[16]; /* PROXY_ADDRESS: of the client, IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
	uint16_t octets; /* of the header; what follows is the connection's */
};

/*
 * `in` is all that has come, from the first octet on; what follows the header in it does
 * not matter. *ret is filled with PROXY_ADDRESS, and with PROXY_LOCAL its `octets`.
 */
[[nodiscard]] enum proxy_outcome proxy_header_read(
	struct view in, struct proxy_header *ret);

#endif
