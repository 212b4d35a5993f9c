/*
 * mboxrd.h: a message as it stands in an mbox: LF line ends, lines of the form ">*From "
 * with one more ">", a line end at the end and a blank line behind. Pure.
 */
#ifndef FETCH_MBOXRD_H
#define FETCH_MBOXRD_H

#include "pop3/view.h"
#include "wire/line_ends.h"

#include <stdbool.h>

/* Told what is to be written, in pieces. */
struct mboxrd_sink {
	void (*take)(struct mboxrd_sink *s, struct view octets);
};

/* Zero-initialised: at the start of a message. */
struct mboxrd {
	struct line_ends ends;
	bool in_line;	 /* it is known whether this line gets another ">" */
	bool met;	 /* the last octet was not a line end */
	uint8_t from_at; /* octets of "From " met at its start, behind the quotes */
	uint64_t quotes; /* ">" at its start; not yet written */
};

void mboxrd_take(struct mboxrd *m, struct view in, struct mboxrd_sink *sink);
void mboxrd_finish(struct mboxrd *m, struct mboxrd_sink *sink);

#define MBOXRD_FROM_MAX 400
/*
 * The line before a message, with its LF: "From sender Sun Nov 22 07:00:00 2026". The
 * sender: of a Return-Path in `head` (the beginning of the message), else MAILER-DAEMON.
 * The length.
 */
size_t mboxrd_from_line(struct view head, uint64_t now_s, char ret[MBOXRD_FROM_MAX]);

#endif
