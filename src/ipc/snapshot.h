/*
 * snapshot.h: contract 2, the table of messages of one session.
 *
 * A sealed memfd, or the message itself where it is small; all integers little-endian
 * (the only byte order we run on):
 *
 *     header   magic u64, version u32, count u32, octets u64, strings u64   32 octets
 *     rows     count times: wire u64, uidl u32 (offset), uidl_n u16, flags u16   16
 *     strings  the UIDLs, one after another, no separators
 *
 * The keeper builds it once and hands the same one out again while nothing changed. The
 * front checks it once, whole, and then reads it without further checks; the seals keep
 * it as it was checked.
 */
#ifndef IPC_SNAPSHOT_H
#define IPC_SNAPSHOT_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define SNAPSHOT_MAGIC	      UINT64_C(0x31304e5354534552) /* "RESTSN01" */
#define SNAPSHOT_VERSION      1
#define SNAPSHOT_HEADER	      32
#define SNAPSHOT_ROW	      16
#define SNAPSHOT_MESSAGES_MAX 4000000U
#define SNAPSHOT_SMALL_MAX    4096U /* one up to here goes in the message itself */
#define SNAPSHOT_UIDL_MAX     255   /* 70 by RFC 1939 s.7; imported ones may be longer */

enum snapshot_flag {
	SNAPSHOT_SEEN = 1,
	/*
	 * Its header holds raw octets beyond ASCII (RFC 6532). `wire` is what a client
	 * gets that did not say UTF8: the message down-converted, where the operator
	 * wants that, else the message as it is; snapshot_wire_utf8 what one gets that
	 * did.
	 */
	SNAPSHOT_UTF8 = 2,
};

struct snapshot {
	const uint8_t *p; /* the map; borrowed */
	size_t n;
	uint32_t count;
	uint64_t octets; /* sum of all wire sizes */
};

/*
 * Whether the map is a snapshot in every row: sizes add up to octets without overflow,
 * each UIDL lies within the strings, has 1 to SNAPSHOT_UIDL_MAX octets of 0x21 to 0x7E.
 * Uniqueness is the keeper's duty and not checked. *ret is filled only on success.
 */
[[nodiscard]] bool snapshot_check(struct view map, struct snapshot *ret);

/* The same in steps, for a front that has others to serve: begin, then rows until it
 * ends. */
struct snapshot_checking {
	struct snapshot
		snapshot; /* as the header says; of use only after SNAPSHOT_SOUND */
	uint32_t next;	  /* the row to look at */
	uint64_t total;
};
enum snapshot_step {
	SNAPSHOT_MORE,
	SNAPSHOT_SOUND,
	SNAPSHOT_BAD,
};
/* The header; false where it alone is wrong. */
[[nodiscard]] bool snapshot_check_begin(struct view map, struct snapshot_checking *ret);
/* Looks at up to `rows` rows more. */
[[nodiscard]] enum snapshot_step snapshot_check_rows(
	struct snapshot_checking *c, uint32_t rows);

/*
 * idx counts from 0: msgno - 1. CHECKs that it is below count. The second size of a row
 * with SNAPSHOT_UTF8 stands as u64 behind its UIDL within the strings.
 */
uint64_t snapshot_wire_utf8(const struct snapshot *s, uint32_t idx);
uint64_t snapshot_wire(const struct snapshot *s, uint32_t idx);
struct view snapshot_uidl(const struct snapshot *s, uint32_t idx);
uint16_t snapshot_flags(const struct snapshot *s, uint32_t idx);

#endif
