/*
 * mbox_scan.h: where the messages of an mbox are, found in one pass over its octets. No
 * system call, no allocation: the octets are fed in, in pieces of any size.
 *
 * mboxo and mboxrd: a message ends before an empty line that a From_ line follows. mboxcl
 * and mboxcl2: it ends where Content-Length says, if a From_ line or the end of the file
 * is there; a figure that does not fit is as if it were not there.
 *
 * The digest is over the message without the fields of mbox_field_is_note and without
 * its last line ends: it stays when other programs write their notes.
 */
#ifndef STORE_MBOX_SCAN_H
#define STORE_MBOX_SCAN_H

#include "pop3/dot.h"
#include "pop3/view.h"
#include "store/mbox_from.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#define MBOX_DIGEST 16
#define MBOX_UNQUOTE_MAX                                                                 \
	(UINT64_C(64) << 20) /* larger messages go out as they lie there */
#define MBOX_WINDOW_MIN 8192 /* octets that a caller can hold at once */

struct mbox_found {
	uint64_t start;	 /* of the From_ line */
	uint64_t at;	 /* of the message */
	uint64_t length; /* its octets in the file */
	uint64_t wire;	 /* as RETR sends them */
	uint64_t quoted; /* lines of it that lose a >; counted where that was asked for */
	uint8_t digest[MBOX_DIGEST];
	bool as_is, seen;
	bool internal; /* a mail program's own notes, not a message */
	uint8_t uidl_n;
	uint8_t uidl[MBOX_UIDL_MAX]; /* X-UIDL, if it is legal */
};

enum mbox_step {
	MBOX_MORE,    /* feed on: from what was taken, and more behind it */
	MBOX_MESSAGE, /* *ret is one; go on */
	MBOX_LOOK,    /* look at offset look_at of the file, then call mbox_scan_looked */
	MBOX_END,     /* all was taken */
	MBOX_BAD,     /* it does not begin with a From_ line */
};

enum mbox_how {
	MBOX_HOW_UNQUOTE = 1, /* count without the > before From */
	MBOX_HOW_LENGTHS = 2, /* Content-Length counts where it fits */
};

enum mbox_scan_at { SCAN_FROM, SCAN_HEADER, SCAN_LOOKING, SCAN_BODY };

struct mbox_scan {
	/* set by mbox_scan_begin */
	const struct dot_kernel *kernel;
	XXH3_state_t *hash; /* borrowed */
	uint32_t how;
	/* its own */
	enum mbox_scan_at state;
	uint64_t offset; /* in the file, of the next octet to be fed */
	uint64_t look_at;
	struct mbox_found now;
	struct dot_state dot;
	bool broken;  /* it does not travel as it is */
	bool in_line; /* header: the line's beginning was taken already */
	bool skips;   /* header: the field does not count in the digest */
	bool imap, internal_subject;
	bool has_length, fits;
	uint64_t body_length, until; /* Content-Length; where the message ends by it */
	bool line_start;	     /* body: the octet before was LF */
	bool quotes;		     /* body: nothing but > since the line's start */
	size_t held_n;
	uint8_t held[64]; /* line ends that may be the last ones */
};

/* A scan from an offset at which a From_ line begins, or from 0; how: enum mbox_how. */
void mbox_scan_begin(
	struct mbox_scan *s, XXH3_state_t *hash, uint32_t how, uint64_t offset);
/*
 * Takes octets of the window, which begins at s->offset; at_end: the file ends with it.
 * MBOX_MORE leaves less than MBOX_WINDOW_MIN octets.
 */
[[nodiscard]] enum mbox_step mbox_scan_step(struct mbox_scan *s, struct view window,
	bool at_end, size_t *ret_taken, struct mbox_found *ret);
/*
 * The answer to MBOX_LOOK: up to MBOX_FROM_MAX + 3 octets from look_at - 1 on (fewer
 * where the file ends); none where that lies beyond it.
 */
void mbox_scan_looked(struct mbox_scan *s, struct view octets);

#endif
