/*
 * mbox_uidl.h: the parts of mbox_uidl.c, which gives each message of an mbox its UIDL,
 * and of mbox_uidl_log.c: what the identity log says of them, and what is said to it. The
 * store's own.
 */
#ifndef STORE_MBOX_UIDL_H
#define STORE_MBOX_UIDL_H

#include "store/mbox.h"

#include <string.h>

struct uidls {
	struct mbox *m;
	struct mbox_table *t;
	const struct mbox_table *known;
	uint32_t given;	 /* rows of both tables that are the same and have theirs */
	uint32_t *taken; /* UIDLs: row + 1 */
	uint32_t *heads, *next; /* rows of known by digest, in order: row + 1 */
	uint32_t *groups;	/* by digest: the first row of t that has it + 1 */
	uint32_t *numbers;	/* of a group: the last number tried */
	int64_t *logged[2]; /* of a group: the row of the log that was looked at last; of
			       imported ones only */
	int64_t *imported;  /* of a group: its last imported row of the log + 2; 1: none,
			       0: not yet looked for */
	uint32_t *used;	    /* UIDLs used up: row of the log + 1; NULL: not yet made */
	uint32_t used_mask;
	uint32_t *match; /* of each row of t: row of known + 1 */
	uint32_t mask;
	bool added, needed; /* rows of the log; ones that a client sees */
};

static inline uint32_t
mbox_digest_hash(const uint8_t *digest)
{
	uint32_t n;

	memcpy(&n, digest, sizeof(n));
	return n;
}

/* The slot of taken where the UIDL stands, or would. */
uint32_t mbox_taken_slot(const struct uidls *u, struct view uidl);
bool mbox_is_taken(const struct uidls *u, struct view uidl);
/* The slot of all messages with its digest. */
uint32_t mbox_group_of(struct uidls *u, uint32_t i);

/* Whether the UIDL stands in any row of the log. */
bool mbox_is_logged(const struct uidls *u, struct view uidl);
/* Whether something was imported for this message after it had got this UIDL of ours. */
bool mbox_gives_way(struct uidls *u, uint32_t i, struct view uidl);
/* What the log holds for this message and nobody has. 1: *ret, 0: nothing, or -errno. */
[[nodiscard]] int mbox_find_logged(
	struct uidls *u, uint32_t i, bool imported_only, struct view *ret);
/* Of any message, as the log was when this began. 1: yes, 0: no, or -errno. */
[[nodiscard]] int mbox_was_used_up(struct uidls *u, struct view uidl);
[[nodiscard]] int mbox_log_row(
	struct uidls *u, uint8_t source, const struct mbox_row *r, struct view uidl);
/* -EAGAIN: the log was written anew by another; all is to be done again. */
[[nodiscard]] int mbox_log_sync(struct uidls *u);

#endif
