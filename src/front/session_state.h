/*
 * session_state.h: what a session is made of, so that its owner can embed it. Nothing but
 * session*.c looks inside.
 */
#ifndef FRONT_SESSION_STATE_H
#define FRONT_SESSION_STATE_H

#include "front/session.h"

#include <assert.h>

enum session_phase {
	PHASE_GREETING,
	PHASE_READING,
	PHASE_LISTING, /* LIST or UIDL, as `out` has room */
	PHASE_TLS,
	PHASE_LOGIN,
	PHASE_DELAY,  /* a failed login is not answered yet */
	PHASE_ANSWER, /* the outside has answered: `reply` is to be written */
	PHASE_SLICE,
	PHASE_BODY_FIRST, /* the slice is here: +OK is to be written */
	PHASE_BODY,
	PHASE_COMMIT,
	PHASE_CLOSED,
};

/* Login: before PHASE_READING of TRANSACTION. */
struct session_trial {
	uint64_t delay_until;
	uint64_t since;
	uint8_t holder[16];
	uint16_t response_n; /* octets in the scratch */
	uint8_t mechanism;   /* enum mechanism */
	uint8_t holder_n;
	bool by_name; /* USER and PASS: the name is the server's */
};

/* The maildrop of this session. */
struct session_drop {
	const struct snapshot *snap;
	uint8_t *marks;
	uint64_t marked_octets;
	uint32_t marked;
	uint32_t next;		      /* PHASE_LISTING: the row that comes next */
	uint32_t last, last_at_start; /* LAST: highest message sent by RETR */
	uint32_t msgno;
	uint64_t lines, wire;
	uint32_t removed, remain;
	uint8_t rights;
	bool top;
	bool uidl; /* PHASE_LISTING: UIDL, not LIST */
};

struct session {
	const struct session_options *options;
	struct session_peer peer;
	uint8_t phase;	/* enum session_phase */
	uint8_t reason; /* enum session_reason, once closed */
	uint8_t reply;	/* enum pop3_reply: PHASE_DELAY and PHASE_ANSWER */
	bool closes;	/* after `reply` */
	uint64_t started_ms, active_ms;
	struct session_trial trial;
	struct session_drop drop;
	struct session_counts counts;
	struct pop3_server wire;
};
/* Ten thousand of them sit idle. */
static_assert(sizeof(struct session) <= 640);

/* ---- session_login.c ---- */
enum session_want session_answer_login(struct session *s, const struct pop3_request *r,
	uint64_t now_ms, struct buf *out);
/* A response that was cancelled or is no base64: it counts against the connection only.
 */
void session_login_broken(struct session *s, enum pop3_reply why, struct buf *out);
/* A login failed without a question to auth. */
void session_login_wrong(struct session *s, uint64_t now_ms);

/* ---- session_mail.c ---- */
enum session_want session_answer_mail(
	struct session *s, const struct pop3_request *r, struct buf *out);
enum session_want session_go_on_listing(
	struct session *s, uint64_t now_ms, struct buf *out);
void session_put_body_first(struct session *s, struct buf *out);

/* ---- session_text.c ---- */
/* The line for `reply` with what the session knows: counts, holder and so on. */
void session_put_answer(struct session *s, enum pop3_reply reply, struct buf *out);
/* RFC 5952; a mapped IPv4 address as such. Appends nothing unless there are 16 octets. */
void session_line_address(struct pop3_line *l, struct view address);
/* 2026-11-22T03:40:11Z */
void session_line_time(struct pop3_line *l, uint64_t unix_s);
/* "1 message", "2 messages" */
void session_line_messages(struct pop3_line *l, uint64_t n);

/* ---- session.c ---- */
void session_close(struct session *s, enum session_reason why);
/* It has ended, or ends with the answer that is ready: what the outside still says is
 * late. */
bool session_is_over(const struct session *s);

#endif
