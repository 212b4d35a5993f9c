/*
 * limits.h: what the wire room takes at most. Those that a user of the library needs to
 * know (lines, names, replies) are in pop3/server.h.
 */
#ifndef WIRE_LIMITS_H
#define WIRE_LIMITS_H

#include "pop3/server.h"

#include <assert.h>

/* RFC 2449 s.4: commands of 255 octets must be taken. */
static_assert(POP3_LINE_MAX >= 255);
/* Octets of one over-long line that are thrown away before the connection is given up. */
#define LINE_DISCARD_MAX (UINT64_C(1) << 20)
/* A keyword has three or four letters (RFC 1939 s.3). */
#define KEYWORD_MAX 4
/* What of IMPLEMENTATION and of the host's name is announced. */
#define IMPLEMENTATION_MAX 128
#define HOSTNAME_MAX	   255
/* What XCLIENT says of an address, decoded: "IPV6:" and 39 octets, and some more. */
#define XCLIENT_VALUE_MAX 64
/* The digest of APOP is MD5 in hexadecimal (RFC 1939 s.7). */
#define APOP_DIGEST_OCTETS 32

#endif
