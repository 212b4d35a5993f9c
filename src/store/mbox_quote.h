/*
 * mbox_quote.h: a message on its way into an mbox (mboxrd): a line that begins with "From
 * ", or with > and that, gets a >; fields that say something of a message in this mailbox
 * (mbox_from.h) do not come in from outside. Pure; octets may come in any pieces.
 */
#ifndef STORE_MBOX_QUOTE_H
#define STORE_MBOX_QUOTE_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>

#define MBOX_QUOTE_HELD 24 /* octets of a line's beginning */
/* Octets that n octets may become. */
#define MBOX_QUOTE_ROOM(n) (2 * (size_t)(n) + MBOX_QUOTE_HELD + 8)

struct mbox_quote {
	uint8_t at; /* enum mbox_quote_at; zero: the start of a message */
	bool in_body;
	bool skips; /* header: this field is left out */
	bool open;  /* the last octet was no line end */
	uint8_t held_n;
	uint8_t held[MBOX_QUOTE_HELD];
};

/* Lines end in LF. */
void mbox_quote_add(struct mbox_quote *q, struct view in, struct buf *out);
/* The end of the message: a missing line end, and the empty line behind it. */
void mbox_quote_end(struct mbox_quote *q, struct buf *out);

#endif
