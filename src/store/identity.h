/*
 * identity.h: the identity log of a maildrop: what cannot be computed again.
 *
 * One append-only file beside a maildrop (in a Maildir: restante-identity; for an mbox
 * /dir/name: /dir/.name.restante-identity). It holds imported UIDLs with the place that
 * the old server gave the message, UIDLs that were given out and cannot be derived from
 * the message, UIDLs that are used up, and when a message was first seen. Each record has
 * its length and a checksum. A client sees nothing of a record before it was synced. A
 * file whose last record is cut (a crash while appending) loses that record only; any
 * other damage is -EBADMSG, and the maildrop is refused until `restante check --repair`:
 * UIDLs never change silently. A newer version than ours is -EPROTONOSUPPORT.
 *
 * A key names a message for its store: the name without size fields (maildir_name.h) for
 * a Maildir, a digest for an mbox. Several records with one key are several messages
 * (mbox: the same text delivered twice), told apart by their order in the log.
 *
 * Results are 0 or -errno.
 */
#ifndef STORE_IDENTITY_H
#define STORE_IDENTITY_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IDENTITY_NAME	 "restante-identity"
#define IDENTITY_KEY_MAX 255
#define IDENTITY_UIDL_MAX                                                                \
	255 /* imported ones may be longer than 70 (as SNAPSHOT_UIDL_MAX) */
#define IDENTITY_NO_PLACE UINT32_MAX

enum identity_source {
	IDENTITY_ASSIGNED = 1, /* by us, where it does not follow from the message */
	IDENTITY_IMPORTED = 2, /* from another server */
	IDENTITY_USED_UP = 3,  /* was given out; its message is gone; never again */
};

/* One record. Views borrow from the log, until its next sync or its close. */
struct identity_row {
	uint8_t source;	 /* enum identity_source */
	uint32_t place;	 /* POP order on the old server, from 0; IDENTITY_NO_PLACE */
	uint64_t seen_s; /* first seen, UNIX time; 0: unknown */
	struct view key; /* empty where only the UIDL counts (USED_UP) */
	struct view uidl;
};

struct identity; /* the log, read into memory */

/*
 * Reads the log `name` in the directory. A file that is not there is an empty log and is
 * made by the first sync. Its lock (open file description) is held only within append and
 * sync; what another process appended meanwhile is read first.
 */
[[nodiscard]] int identity_open(int dir, const char *name, struct identity **ret);
void identity_close(struct identity **log);
/* Which file, and how far: two that differ are of different logs. All zero: no file. */
struct identity_stamp {
	uint64_t dev, ino, size;
	int64_t ctime_ns;
};
/* As the log was read or written last, and as the file is now. */
struct identity_stamp identity_stamp_of(const struct identity *log);
[[nodiscard]] int identity_stamp_now(
	int dir, const char *name, struct identity_stamp *ret);
/* Whether the file is another one, or longer, than when it was read: open it again. */
[[nodiscard]] bool identity_is_stale(
	const struct identity *log, int dir, const char *name);

/* Gives its directory back (dir -1) while the log stays in memory, or lends it again. */
[[nodiscard]] int identity_lend_dir(struct identity *log, int dir);
/* Octets that it holds in memory. */
size_t identity_memory(const struct identity *log);

size_t identity_count(const struct identity *log);
struct identity_row identity_at(const struct identity *log, size_t i);
/* The rows with this key, in order of the log: begin with *at = -1. False: no more. */
[[nodiscard]] bool identity_next(const struct identity *log, struct view key, int64_t *at,
	struct identity_row *ret);
/* The rows with this UIDL, in any order. */
[[nodiscard]] bool identity_next_uidl(const struct identity *log, struct view uidl,
	int64_t *at, struct identity_row *ret);
/* Whether a row of this source, key and UIDL is there. */
[[nodiscard]] bool identity_has(
	const struct identity *log, uint8_t source, struct view key, struct view uidl);
/* Whether the UIDL stands in any row. */
[[nodiscard]] bool identity_has_uidl(const struct identity *log, struct view uidl);

/* Adds a row in memory and to what the next sync writes. -EINVAL: key or UIDL too long,
 * or the UIDL is empty or has octets outside 0x21 to 0x7E. */
[[nodiscard]] int identity_add(struct identity *log, const struct identity_row *row);
/*
 * Writes what was added and syncs file and, if it was just made, directory. Rows of other
 * processes come before ours then. After an error the rows wait for the next sync, and
 * the file is as before (cut back; where that failed, its end is torn and not read).
 * Where too much of the log is used up it is written anew without the oldest of that.
 * -EAGAIN: somebody held the lock for too long; -ESTALE: the file was removed, replaced
 * or written anew by another, open it again; -EFBIG: it is full.
 */
[[nodiscard]] int identity_sync(struct identity *log);
/* How many USED_UP rows did not go into a full log since this was asked last. */
uint64_t identity_left_out(struct identity *log);

/* Keeps every whole, sound record and writes them anew (`restante check --repair`); tells
 * how many octets were left out. The damaged file stays beside it as NAME.damaged, or
 * NAME.damaged.2 and so on where others have those names: *ret_damaged is what follows
 * NAME, static. */
[[nodiscard]] int identity_repair(int dir, const char *name, size_t *ret_kept,
	uint64_t *ret_lost, const char **ret_damaged);

/* Pure: for the fuzzer. How many sound records, and where soundness ends. */
[[nodiscard]] int identity_decode(
	struct view octets, size_t *ret_rows, size_t *ret_sound);

#endif
