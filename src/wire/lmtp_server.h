/*
 * lmtp_server.h: the server's side of LMTP (RFC 2033) with the grammar of RFC 5321, as a
 * value. No allocation, clock or system call: octets of the client go in, events come
 * out, replies are written into a buffer of the caller's.
 *
 * The commands are rows of lmtp_commands.def, the replies rows of lmtp_answers.def. The
 * caller decides about recipients and tells what became of each message; everything else
 * (syntax, order, limits, parameters) is answered here. Replies keep the order of the
 * commands, so pipelining (RFC 2920) needs nothing of the caller but to answer in order:
 *
 *     lmtp_server_init(&s, &limits);
 *     lmtp_server_greet(&s, &out);
 *     for (;;) {
 *             lmtp_server_next(&s, &in, &out, &event);
 *             ... RCPT: lmtp_server_recipient, before the next call, however late
 *             ... END: lmtp_server_outcome, lmtp_server_owed times, before the next call
 *     }
 *
 * A message comes as LMTP_EVENT_DATA pieces: with DATA the dots are undone (RFC 5321
 * s.4.5.2) and only CRLF.CRLF ends it, so that nothing can be smuggled; with BDAT (RFC
 * 3030) the octets are as they came. Then LMTP_EVENT_END. Where a CR or LF stands alone
 * (RFC 5321 s.2.3.8) it is RESET instead, but with limits.bare_ends.
 *
 * What begins with MAIL ends in exactly one of END (with its outcomes), RESET, QUIT,
 * CLOSE.
 */
#ifndef WIRE_LMTP_SERVER_H
#define WIRE_LMTP_SERVER_H

#include "base/buf.h"
#include "pop3/dot.h"
#include "pop3/view.h"
#include "wire/line_ends.h"

#include <stdbool.h>
#include <stdint.h>

/* Octets of a command with its CRLF: RFC 5321 s.4.5.3.1.4, and what extensions add. */
#define LMTP_LINE_MAX	    12288
#define LMTP_PATH_MAX	    1024 /* of a mailbox; RFC 5321 s.4.5.3.1.3 asks for 254 */
#define LMTP_RECIPIENTS_MAX 1024
#define LMTP_REFUSED_MAX    1024 /* recipients refused in one transaction; then 452 */
#define LMTP_REPLY_MAX	    1024 /* octets of one reply of ours, LHLO's as the longest */
#define LMTP_BAD_MAX	    50	 /* commands that are wrong before 421 and the end */

struct lmtp_limits {
	uint64_t message_octets; /* SIZE, RFC 1870; 0: no limit */
	uint32_t recipients;	 /* from 1 to LMTP_RECIPIENTS_MAX */
	const char *hostname; /* greeting and LHLO; borrowed for as long as the server */
	bool bare_ends; /* a CR or LF that stands alone is taken as it is; else refused */
};

enum lmtp_event_kind {
	LMTP_EVENT_NEED_INPUT, /* all of `in` was taken, what was cut is kept here */
	LMTP_EVENT_NEED_ROOM,  /* `out` has less than LMTP_REPLY_MAX left: flush, call
				  again */
	LMTP_EVENT_MAIL,       /* a transaction begins: event.path is the sender */
	LMTP_EVENT_RCPT,       /* decide: then lmtp_server_recipient */
	LMTP_EVENT_DATA,       /* event.octets belong to the message */
	LMTP_EVENT_END,	       /* it is whole: lmtp_server_outcome for each recipient */
	LMTP_EVENT_RESET, /* the transaction is over without a message (RSET, LHLO, or it
			     went beyond the limit): forget all of it */
	LMTP_EVENT_QUIT,  /* 221 is in `out`: flush and close */
	LMTP_EVENT_CLOSE, /* 421 is in `out`: flush and close */
};

struct lmtp_event {
	enum lmtp_event_kind kind;
	struct view path;   /* MAIL: the mailbox as written, quotes and all, without <>,
			       empty   for <>. RCPT: the mailbox with the quotes undone;
			       what   follows its last @ is the domain; it may have none. No
			       control octets, at most LMTP_PATH_MAX; until the next call */
	struct view octets; /* DATA: never empty; within the caller's input or the
			       server's own room; until the next call */
	uint64_t declared;  /* MAIL: SIZE=, 0 none */
	bool utf8;	    /* MAIL: SMTPUTF8 (RFC 6531) */
};

/* LMTP_RECIPIENT_ACCEPTED, _NO_USER, ... and LMTP_OUTCOME_STORED, _TEMPORARY, ... */
enum lmtp_recipient_answer {
#define RECIPIENT(NAME, code, enhanced, words) LMTP_RECIPIENT_##NAME,
#include "wire/lmtp_answers.def"
	LMTP_RECIPIENTS
};

enum lmtp_outcome {
#define OUTCOME(NAME, code, enhanced, words) LMTP_OUTCOME_##NAME,
#include "wire/lmtp_answers.def"
	LMTP_OUTCOMES
};

/* Plain, so that it can be embedded and copied; its members are lmtp_server.c's. */
struct lmtp_server {
	struct lmtp_limits limits;
	uint64_t message_n;  /* octets of the message so far, dots undone */
	uint64_t chunk_left; /* of the BDAT under way */
	uint64_t discarded;  /* of an over-long line */
	uint32_t accepted;   /* recipients of this transaction */
	uint32_t refused;    /* and those that the caller did not take */
	uint32_t owed;	     /* outcomes that the caller owes, or we */
	uint32_t bad, line_n;
	struct dot_decode_state dots;
	uint8_t state, phase; /* enum lmtp_state, enum lmtp_phase: lmtp_steps.h */
	uint8_t chunk_reply;  /* to a chunk that is thrown away */
	uint8_t refusal;      /* enum lmtp_reply */
	struct line_ends ends;
	bool chunk_last, open; /* open: the caller knows of a transaction */
	bool refused_all;      /* the message is not taken, by `refusal` */
	bool discarding;       /* the rest of an over-long line */
	bool utf8;	       /* the transaction's */
	uint8_t path[LMTP_PATH_MAX];
	uint8_t line[LMTP_LINE_MAX]; /* a line that came in parts; room for undone dots */
};

void lmtp_server_init(struct lmtp_server *s, const struct lmtp_limits *limits);
/*
 * These write one reply. False: `out` has less than LMTP_REPLY_MAX left, nothing was
 * written and nothing changed; flush and call again.
 */
[[nodiscard]] bool lmtp_server_greet(struct lmtp_server *s, struct buf *out);
/* The answer to RCPT; only after LMTP_EVENT_RCPT, once. */
[[nodiscard]] bool lmtp_server_recipient(
	struct lmtp_server *s, enum lmtp_recipient_answer answer, struct buf *out);
/*
 * For the accepted recipients in their order (RFC 2033 s.4.2); only after LMTP_EVENT_END.
 * `recipient` is what the reply names, where it is printable and short; may be empty.
 */
[[nodiscard]] bool lmtp_server_outcome(struct lmtp_server *s, enum lmtp_outcome outcome,
	struct view recipient, struct buf *out);
/* 421 4.3.2, or 421 4.4.2 to one who was silent: at any moment, also before the greeting
 * and within a message. After it comes nothing but LMTP_EVENT_CLOSE, and an answer that
 * was still owed goes nowhere (true). */
[[nodiscard]] bool lmtp_server_shutdown(struct lmtp_server *s, struct buf *out);
[[nodiscard]] bool lmtp_server_timeout(struct lmtp_server *s, struct buf *out);

/*
 * The next event; takes octets from the front of `in`, which may hold any part of what
 * the client sent. Not while an answer is owed. `out` has at least LMTP_REPLY_MAX of
 * capacity.
 */
void lmtp_server_next(
	struct lmtp_server *s, struct view *in, struct buf *out, struct lmtp_event *ret);

uint32_t lmtp_server_owed(const struct lmtp_server *s); /* outcomes that are due yet */
bool lmtp_server_asks(const struct lmtp_server *s);	/* RCPT waits for its answer */
/* A message is being received, or a transaction is open: for time limits and draining. */
bool lmtp_server_in_message(const struct lmtp_server *s);
bool lmtp_server_in_transaction(const struct lmtp_server *s);

#endif
