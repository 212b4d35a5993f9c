/*
 * identity_state.h: the identity log in memory and on disk, for identity*.c only.
 *
 * The file, little-endian:
 *
 *     header   magic u64, version u32, check u32 (low half of XXH3 over the 12 before)
 *     records  length u32 (of the whole record), ~length u32,
 *              before u64 (checksum of the record before; of the first: of the header),
 *              source u8, key_n u8, uidl_n u8, zero u8, place u32, seen_s u64,
 *              key, uidl, checksum u64 (XXH3 over all of the record before it)
 *
 * `before` chains the records: none can be taken out of the middle unseen. Each can be
 * told by itself, so that a repair finds those behind a damage.
 */
#ifndef STORE_IDENTITY_STATE_H
#define STORE_IDENTITY_STATE_H

#include "base/buf.h"
#include "store/identity.h"

#include <sys/stat.h>

#define IDENTITY_HEADER	    16
#define IDENTITY_RECORD_MIN 41 /* with an empty key and a UIDL of one octet */
#define IDENTITY_RECORD_MAX (40 + IDENTITY_KEY_MAX + IDENTITY_UIDL_MAX)
#define IDENTITY_ROWS_MAX   4000000U
#define IDENTITY_FILE_MAX   (UINT64_C(1) << 30)
#define IDENTITY_NONE	    UINT32_MAX
#define IDENTITY_NAME_MAX   255 /* octets of a file name */

/* ---- identity_record.c: octets, pure ---------------------------------------- */

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

/* ---- identity.c: rows and their tables -------------------------------------- */

struct identity_entry {
	struct identity_row row;
	uint32_t next; /* with the same key; IDENTITY_NONE: none */
};

/* Octets that rows lie in; none moves while the log is open. */
struct identity_chunk {
	struct identity_chunk *next;
	size_t n, cap;
	uint8_t octets[];
};

struct identity_slot {
	uint32_t first, last; /* of the rows with one key; first is a row plus 1 */
};

struct identity {
	struct identity_entry *rows;
	uint32_t count, cap;
	uint32_t synced; /* rows before are in the file, in this order */
	struct identity_slot *by_key;
	uint32_t *by_uidl; /* row plus 1 */
	uint32_t mask;	   /* of both tables */
	struct identity_chunk *chunks;

	char *name;
	int dir;    /* of the log's own; -1: given back */
	bool there; /* the file, with that stamp */
	bool anew;  /* a sync of that file failed: nothing is written into it again */
	struct identity_stamp stamp; /* when it was read or written last */
	uint64_t sound;		     /* octets of whole records */
	uint64_t sum;		     /* of the last record */
};

/* A row whose octets lie in a chunk, or live as long. */
[[nodiscard]] int identity_take(struct identity *log, const struct identity_row *row);
/* n octets that stay where they are. */
[[nodiscard]] uint8_t *identity_room(struct identity *log, size_t n);
/* Leaves the first count rows. */
[[nodiscard]] int identity_cut(struct identity *log, uint32_t count);
/* Whether a row among those from `from` on is this one. */
[[nodiscard]] bool identity_holds(
	const struct identity *log, const struct identity_row *row, uint32_t from);

/* ---- identity_file.c -------------------------------------------------------- */

/* Opened, locked, and still what the name leads to; ret as it is then. */
[[nodiscard]] int identity_open_locked(
	int dir, const char *name, int flags, struct stat *ret);
[[nodiscard]] int identity_sync_dir(int dir);
[[nodiscard]] int identity_name_with(
	const char *name, const char *more, char ret[IDENTITY_NAME_MAX + 1]);
struct identity_stamp identity_stamp_from(const struct stat *st);
/* What the file holds behind the records that are known. */
[[nodiscard]] int identity_read_on(struct identity *log, int fd, uint64_t size);

/* ---- identity_write.c ------------------------------------------------------- */

/* All rows into a file of their own, which then gets the name. replace: under the lock of
 * the file replaced; else -EEXIST where there is one. */
[[nodiscard]] int identity_write_anew(struct identity *log, bool replace);

#endif
