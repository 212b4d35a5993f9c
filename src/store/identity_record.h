/*
 * identity_record.h: the octets of the identity log, for identity*.c only. Pure.
 *
 * The file, little-endian:
 *
 *     header   magic u64, version u32, check u32 (low half of XXH3 over the 12 before)
 *     records  length u32 (of the whole record), ~length u32,
 *              before u64 (checksum of the record before; of the first: of the header),
 *              source u8, key_n u8, uidl_n u8, zero u8, place u32, seen_s u64,
 *              key, uidl, checksum u64 (XXH3 over all of the record before it)
 *
 * What is appended at once is committed by its first octets (identity_commit_octets).
 * `before` chains the records: none can be taken out of the middle unseen. Each can be
 * told by itself, so that a repair finds those behind a damage.
 */
#ifndef STORE_IDENTITY_RECORD_H
#define STORE_IDENTITY_RECORD_H

#include "base/buf.h"
#include "store/identity.h"

#define IDENTITY_HEADER	    16
#define IDENTITY_RECORD_MIN 41 /* with an empty key and a UIDL of one octet */
#define IDENTITY_RECORD_MAX (40 + IDENTITY_KEY_MAX + IDENTITY_UIDL_MAX)

void identity_put_header(struct buf *b);
/* -EBADMSG, -EPROTONOSUPPORT; *ret_sum is what the first record's `before` must be. */
[[nodiscard]] int identity_get_header(struct view octets, uint64_t *ret_sum);
void identity_put_record(struct buf *b, const struct identity_row *row, uint64_t *sum);

enum identity_got {
	IDENTITY_GOT,	  /* a record; *n octets of it */
	IDENTITY_END,	  /* nothing is left */
	IDENTITY_TORN,	  /* what is left is the beginning of a record, cut */
	IDENTITY_DAMAGED, /* it is neither */
	IDENTITY_NEWER,	  /* sound, of a source that this version does not know */
};
/* The record at the start of the octets; row's views lie in them. sum goes in and out. */
[[nodiscard]] enum identity_got identity_get_record(
	struct view octets, uint64_t *sum, struct identity_row *ret, size_t *ret_n);
/* The same without the chain: for a repair. */
[[nodiscard]] bool identity_get_alone(
	struct view octets, struct identity_row *ret, size_t *ret_n);
[[nodiscard]] bool identity_row_is_legal(const struct identity_row *row);
size_t identity_record_octets(const struct identity_row *row);

/*
 * Records that are appended across the border of a sector could lie there in parts after
 * a crash. So many octets at their beginning, all in one sector, are written only when
 * the others are synced; as long as these are zero, nothing from there on is of the log.
 */
#define IDENTITY_SECTOR 512
size_t identity_commit_octets(uint64_t at);
/* Whether what lies at that offset of the file, and is no record, was not committed. */
[[nodiscard]] bool identity_is_uncommitted(struct view octets, uint64_t at);

#endif
