/* front_sizes.h: how much of what a front has, and works with in one turn. */
#ifndef FRONT_FRONT_SIZES_H
#define FRONT_FRONT_SIZES_H

#include "pop3/dot.h"
#include "wire/kpop.h"

#define FRONT_LISTENERS_MAX 64U
#define FRONT_SESSIONS_MAX  1000000U
#define FRONT_READ_MAX	    16384U /* octets that one read of a socket takes at most */
/* A cut line, or a cut message of KPOP, that waits for its rest. */
#define FRONT_KEPT_MAX	KPOP_INPUT_MAX
#define FRONT_IN_OCTETS (FRONT_READ_MAX + FRONT_KEPT_MAX)
/* Of a message at a time: with its CRs it still leaves as one segment of 64 KiB. */
#define FRONT_BLOCK_OCTETS 61440U
/* From here on the output is sent before more is written. */
#define FRONT_FLUSH_OCTETS 98304U
/* What a session may fill of the output. */
#define FRONT_REPLY_OCTETS (FRONT_FLUSH_OCTETS + 16384U)
#define FRONT_OUT_OCTETS   (FRONT_FLUSH_OCTETS + DOT_ENCODE_MAX(FRONT_BLOCK_OCTETS) + 1024U)
/* The same as records of TLS, with what they add. */
#define FRONT_RECORDS_OCTETS (FRONT_OUT_OCTETS + 16384U)
/* After so much, a connection lets the others have their turn. */
#define FRONT_QUANTUM_OCTETS 262144U
#define FRONT_QUANTUM_STEPS  512U
#define FRONT_CHECK_ROWS     50000U
#define FRONT_ADDRESS_OCTETS 16U

#endif
