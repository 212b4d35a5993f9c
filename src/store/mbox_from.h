/*
 * mbox_from.h: the lines by which an mbox is an mbox, and the fields in which programs
 * keep their own notes. Pure: no system call, no allocation.
 *
 * A From_ line is "From ", one word or more, and a time of day (hh:mm). Whatever else
 * begins with "From " is text of somebody's message.
 */
#ifndef STORE_MBOX_FROM_H
#define STORE_MBOX_FROM_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define MBOX_FROM_MAX  1000 /* octets of a From_ line, with its line end */
#define MBOX_FROM_ROOM 400  /* what mbox_from_line_put writes at most */
#define MBOX_UIDL_MAX  70   /* RFC 1939 s.7 */

/* The line, with or without its line end. */
[[nodiscard]] bool mbox_from_line_is(struct view line);

enum mbox_boundary {
	BOUNDARY_NO,
	BOUNDARY_YES,
	BOUNDARY_MORE, /* it cannot be told before more octets are seen */
};
/* Whether a From_ line begins at v; at_end: nothing follows v. *ret_n: its octets. */
enum mbox_boundary mbox_from_at(struct view v, bool at_end, size_t *ret_n);
/* Whether an mbox begins at v: there any line will do that begins with "From ". */
enum mbox_boundary mbox_first_at(struct view v, bool at_end, size_t *ret_n);
/*
 * Whether a message that is said to end at v does: there is the end of the file, or a
 * From_ line, with or without an empty line before it. v holds MBOX_FROM_MAX + 2 octets
 * where there are as many.
 */
[[nodiscard]] bool mbox_end_at(struct view v);

/* Fields that say something of a message in this mailbox, not of the message. */
enum mbox_field {
	FIELD_MESSAGE, /* the message's own */
	FIELD_SUBJECT, /* and so is this */
	FIELD_STATUS,
	FIELD_X_STATUS,
	FIELD_X_UID,
	FIELD_X_UIDL,
	FIELD_X_KEYWORDS,
	FIELD_X_IMAP,
	FIELD_CONTENT_LENGTH,
	FIELD_LINES,
};
/* Of a line that begins a field; *ret_value: without blanks around it, to the end of v.
 */
enum mbox_field mbox_field_of(struct view line, struct view *ret_value);
static inline bool
mbox_field_is_note(enum mbox_field f)
{
	return f > FIELD_SUBJECT;
}
/* What programs write into an mailbox's first message, which is none (RFC 3501 servers).
 */
[[nodiscard]] bool mbox_subject_is_internal(struct view value);
/* X-UIDL: 1 to 70 octets of 0x21 to 0x7E. */
[[nodiscard]] bool mbox_uidl_is_legal(struct view value);

/* "From sender Thu Jan  1 00:00:00 1970\n", UTC; an empty sender is MAILER-DAEMON. */
void mbox_from_line_put(struct view sender, uint64_t now_s, struct buf *out);

/* How many of these octets begin lines ">From ", ">>From " ... of the body. */
[[nodiscard]] uint64_t mbox_count_quoted(struct view message);
/* The message without the > of such a line; out has room for all of it. Octets written.
 */
size_t mbox_unquote(struct view message, uint8_t *out);

#endif
