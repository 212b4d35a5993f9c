/*
 * maildir_name.h: what the name of a file in a Maildir says. Pure.
 *
 *     1720000000.M1P2.host,S=4096,W=4180:2,RS
 *     |-------- unique name -----------||---| flags
 *     |----- key -------|
 *
 * The key is the unique name without its size fields: it stays the same when another
 * program adds them, and it is the UIDL where RFC 1939 s.7 allows its octets.
 */
#ifndef STORE_MAILDIR_NAME_H
#define STORE_MAILDIR_NAME_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define MAILDIR_NAME_MAX    255 /* octets in a file name, all file systems of Linux */
#define MAILDIR_UIDL_MAX    70	/* RFC 1939 s.7 */
#define MAILDIR_UIDL_HASHED 41	/* octets of a UIDL that had to be made */

struct maildir_name {
	uint64_t time; /* leading decimal; UINT64_MAX without one */
	uint64_t size; /* ,S= */
	uint64_t wire; /* ,W=, with CRLFs; a last line without an end has none */
	bool has_size, has_wire;
	bool has_info;	  /* ":2," is there */
	bool seen;	  /* flag S */
	uint8_t unique_n; /* octets of the name before the colon */
	uint8_t key_n;
	uint8_t key[MAILDIR_NAME_MAX];
};

/* False for a name that no message has: empty, hidden, too long, with a slash or NUL. */
[[nodiscard]] bool maildir_name_parse(struct view name, struct maildir_name *ret);

/* 1 to 70 octets of 0x21 to 0x7E. */
[[nodiscard]] bool maildir_uidl_legal(struct view key);

/*
 * A UIDL of our making, the same for ever: from the key alone (ino 0 and attempt 0), or
 * for another file with the same key from the key, the inode and the attempt.
 */
void maildir_uidl_hash(struct view key, uint64_t ino, uint32_t attempt,
	uint8_t ret[MAILDIR_UIDL_HASHED]);

/*
 * The name with flag S, in cur: flags sorted, nothing else changed. Octets written (with
 * a NUL behind them), 0 where the name has flags of another kind or would be too long.
 */
size_t maildir_name_with_seen(struct view name, char ret[MAILDIR_NAME_MAX + 1]);

#endif
