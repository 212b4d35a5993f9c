/*
 * pop3_flight.h: what the two halves of the client share: which answers are awaited,
 * where in one we are, and how words of a server are read. Not installed.
 */
#ifndef WIRE_POP3_FLIGHT_H
#define WIRE_POP3_FLIGHT_H

#include "pop3/client.h"

/* What stands in pop3_expected.command for the greeting. */
#define POP3_GREETING POP3_COMMANDS
/* Responses ahead that became commands (see pop3_answer.c); msgno is how many. */
#define POP3_STRAY (POP3_COMMANDS + 1)

/* pop3_client.at */
enum client_at {
	CLIENT_AT_STATUS = 0,
	CLIENT_AT_ROWS,
	CLIENT_AT_MESSAGE,
	CLIENT_AT_END,	  /* the terminator was read, END is still to be told */
	CLIENT_AT_STLS,	  /* +OK of STLS: until pop3_client_secured no octet may come */
	CLIENT_AT_BROKEN, /* for ever */
};

/* The next word between blanks, empty at the end; it leaves *v. */
struct view words_take(struct view *v);
/*
 * A status line without its end: ok, code, text (all of it, where the code is unknown).
 * False where it is none.
 */
[[nodiscard]] bool answer_read_status(struct view line, struct pop3_answer *ret);
/* "<...>" of a greeting (RFC 1939 s.7), or an empty view. */
struct view answer_find_stamp(struct view text);
/* What the text behind +OK says to STAT, `LIST n` and `UIDL n`; bad_row where it does
 * not. */
void answer_read_text(struct pop3_answer *ret);
/* A row of LIST or UIDL in ret->text; of others nothing is asked. */
void answer_read_row(struct pop3_answer *ret);

#endif
