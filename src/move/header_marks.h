/*
 * header_marks.h: by what a message is known again in a copy of its maildrop.
 *
 * Digests are taken of the fields of a header as they stand, case and folding too; line
 * ends count as CRLF. Fields that deliveries and servers add for themselves (Return-Path,
 * Delivered-To, X-UIDL, Status ...) do not count. A copy that was delivered anew has more
 * Received fields on top than the original: so there are several digests, without the
 * first of these, without the first two, and so on.
 */
#ifndef MOVE_HEADER_MARKS_H
#define MOVE_HEADER_MARKS_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define MARKS_RECEIVED_MAX 6
#define MARKS_DIGEST	   16
#define MARKS_HEADER_MAX   ((size_t)1 << 20) /* longer headers are not compared */

struct header_marks {
	uint8_t n; /* digests; 0: the header is too long, or not known */
	bool has_id;
	uint8_t id[MARKS_DIGEST]; /* of the value of Message-ID */
	uint8_t digests[MARKS_RECEIVED_MAX + 1][MARKS_DIGEST]; /* the whole one first */
	uint32_t wire;	 /* octets of the header with its empty line, as CRLF */
	uint32_t stored; /* as it stands */
};

/* The header up to its empty line or to its end; what follows is not looked at. p NULL:
 * it is not known; that of an empty message is. 0, or -EIO where the library fails. */
[[nodiscard]] int header_marks_read(struct view header, struct header_marks *ret);
/* Where the header ends, behind its empty line; 0: it does not. */
size_t header_marks_end(struct view octets);

#endif
