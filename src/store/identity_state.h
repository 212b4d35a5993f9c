/*
 * identity_state.h: the identity log in memory and on disk, for identity*.c only.
 */
#ifndef STORE_IDENTITY_STATE_H
#define STORE_IDENTITY_STATE_H

#include "store/identity_record.h"

#include <sys/stat.h>

/*
 * A maildrop of a million imported messages, half of which may be deleted before rows of
 * these can go. One process may hold the logs of many maildrops, so no more than that. A
 * record with a Maildir name and a UIDL of 70 octets stays below 256.
 */
#define IDENTITY_ROWS_MAX 1500000U
#define IDENTITY_FILE_MAX (UINT64_C(256) * IDENTITY_ROWS_MAX)
#define IDENTITY_NONE	  UINT32_MAX
#define IDENTITY_NAME_MAX 255 /* octets of a file name */

/* ---- identity.c: rows and their tables -------------------------------------- */

struct identity_entry {
	struct identity_row row;
	uint32_t next; /* with the same key; IDENTITY_NONE: none */
	uint32_t next_uidl;
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

/* Rows, beyond which a log is full, or is written anew. */
struct identity_bounds {
	uint32_t rows; /* in the file */
	uint32_t used; /* USED_UP */
	uint32_t kept; /* of these by a log written anew: the newest */
	uint32_t gain; /* a full log is written anew for no less */
};

struct identity {
	struct identity_entry *rows;
	uint32_t count, cap;
	uint32_t synced; /* rows before are in the file, in this order */
	struct identity_slot *by_key;
	uint32_t *by_uidl; /* the first of the rows with one UIDL plus 1 */
	uint32_t mask;	   /* of both tables */
	uint32_t used;	   /* rows that are IDENTITY_USED_UP */
	uint64_t octets;   /* of all records */
	struct identity_chunk *chunks;
	struct identity_bounds bounds;
	uint32_t compact_from; /* no attempt with fewer rows: the last one failed */
	uint64_t left_out;     /* see identity_left_out */

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
void identity_free_rows(struct identity *log);
/* Whether a row among those from `from` on is this one. */
[[nodiscard]] bool identity_holds(
	const struct identity *log, const struct identity_row *row, uint32_t from);

/* ---- identity_compact.c ----------------------------------------------------- */

/* More than a file may hold. */
[[nodiscard]] bool identity_is_full(const struct identity *log);
[[nodiscard]] bool identity_is_due(const struct identity *log);
/* Writes the log anew without what was used up long ago. *ret_done: that is what the name
 * leads to, whatever the result; else the log is as before, in memory and on disk. */
[[nodiscard]] int identity_compact(struct identity *log, bool replace, bool *ret_done);
/* Of a log that is full: its USED_UP rows that are not in the file. */
[[nodiscard]] int identity_leave_out(struct identity *log);

/* ---- identity_file.c -------------------------------------------------------- */

/* Empty, with a descriptor of its own for the directory. */
[[nodiscard]] int identity_new(int dir, const char *name, struct identity **ret);
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
