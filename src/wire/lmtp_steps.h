/*
 * lmtp_steps.h: between lmtp_server.c, which takes octets, and lmtp_command.c, which
 * answers commands. Those that return bool: true, *ret is an event.
 */
#ifndef WIRE_LMTP_STEPS_H
#define WIRE_LMTP_STEPS_H

#include "wire/lmtp_parse.h"
#include "wire/lmtp_server.h"

/* What is read, or waited for, next. */
enum lmtp_phase {
	PHASE_COMMAND,
	PHASE_ASKED,	/* the caller's answer to RCPT */
	PHASE_DATA,	/* until CRLF.CRLF */
	PHASE_ENDED,	/* CRLF.CRLF was read */
	PHASE_CHUNK,	/* chunk_left octets */
	PHASE_OUTCOMES, /* the caller's, one for each recipient */
	PHASE_REFUSALS, /* ours, one for each recipient: `refusal` */
	PHASE_CLOSED,
};

/* A line without its CRLF. */
bool lmtp_take_command(
	struct lmtp_server *s, struct view line, struct buf *out, struct lmtp_event *ret);
/* A line that is none; `line` is its front at least. */
bool lmtp_bad_line(struct lmtp_server *s, struct view line, enum lmtp_reply r,
	struct buf *out, struct lmtp_event *ret);
/* Says r, or that this was one too many. */
bool lmtp_bad(struct lmtp_server *s, enum lmtp_reply r, struct buf *out,
	struct lmtp_event *ret);
bool lmtp_wrong_order(struct lmtp_server *s, enum lmtp_reply r, struct buf *out,
	struct lmtp_event *ret);
bool lmtp_give_up(struct lmtp_server *s, enum lmtp_reply r, struct buf *out,
	struct lmtp_event *ret);
void lmtp_close(struct lmtp_server *s, enum lmtp_reply r, struct buf *out);
/* The transaction. True: the caller knew of it and must hear that it is over. */
bool lmtp_forget(struct lmtp_server *s);

#endif
