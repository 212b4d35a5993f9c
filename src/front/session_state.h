/*
 * session_state.h: what a session is made of, so that its owner can embed it. Nothing but
 * session*.c looks inside.
 */
#ifndef FRONT_SESSION_STATE_H
#define FRONT_SESSION_STATE_H

#include "front/session.h"

#include <assert.h>

enum session_phase {
	PHASE_STAMP, /* of APOP, for the greeting */
	PHASE_GREETING,
	PHASE_READING,
	PHASE_LISTING, /* LIST or UIDL, as `out` has room */
	PHASE_TLS,
	PHASE_PEER, /* XCLIENT */
	PHASE_LOGIN,
	PHASE_CHALLENGE, /* auth's question is to be written, as `out` has room */
	PHASE_DELAY,	 /* a refused login is not answered yet */
	PHASE_ANSWER,	 /* the outside has answered: `reply` is to be written */
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
	struct pop3_challenge say; /* borrowed: auth's question; before it, the stamp */
	struct pop3_peer peer;	   /* PHASE_PEER; of a holder only the address */
	uint32_t id;		   /* of the LOGIN; 0: none */
	uint16_t response_n;	   /* octets in the scratch */
	uint8_t mechanism;	   /* enum mechanism */
	uint8_t sasl;		   /* enum pop3_mechanism, where is_sasl */
	bool is_sasl;
	bool has_response;
	bool continues; /* PHASE_LOGIN: a RESPONSE */
	bool open;	/* auth waits for a RESPONSE */
	bool current;	/* ... to what the client is asked now, in PHASE_READING */
};

/* The maildrop of this session. */
struct session_drop {
	const struct snapshot *snap;
	uint8_t *marks;
	uint64_t octets; /* of all messages, as this client gets them */
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
	bool stamped;	/* the greeting has a stamp */
	uint64_t started_ms, active_ms;
	struct session_trial trial;
	struct session_drop drop;
	struct session_counts counts;
	struct pop3_server wire;
};
/* Ten thousand of them sit idle. */
static_assert(sizeof(struct session) <= 640);

static inline enum pop3_language
session_language(const struct session *s)
{
	return (enum pop3_language)s->wire.language;
}

static inline void
session_put_reply(const struct session *s, enum pop3_reply r, struct buf *out)
{
	pop3_put_reply(r, session_language(s), out);
}

/* ---- session_offer.c ---- */
/* What may be offered, given the peer, its listener and what auth can do. */
struct pop3_link session_link(const struct session *s);
/* enum mechanism of permit.h */
uint8_t session_mechanism(enum pop3_mechanism m);

/* ---- session_login.c ---- */
enum session_want session_answer_login(
	struct session *s, const struct pop3_request *r, struct buf *out);
/* A response that was cancelled or is no base64: it counts against the connection only.
 */
void session_login_broken(struct session *s, enum pop3_reply why, struct buf *out);

/* ---- session_mail.c ---- */
enum session_want session_answer_mail(
	struct session *s, const struct pop3_request *r, struct buf *out);
enum session_want session_go_on_listing(
	struct session *s, uint64_t now_ms, struct buf *out);
void session_put_body_first(struct session *s, struct buf *out);
/* The sizes that count from now on: attached, or UTF8 was said behind the login. */
void session_count_octets(struct session *s);

/* ---- session_text.c ---- */
/* The line for `reply` with what the session knows: counts, holder and so on. */
void session_put_answer(struct session *s, enum pop3_reply reply, struct buf *out);
/* RFC 5952; a mapped IPv4 address as such. Appends nothing unless there are 16 octets. */
void session_line_address(struct pop3_line *l, struct view address);
/* 2026-11-22T03:40:11Z */
void session_line_time(struct pop3_line *l, uint64_t unix_s);
/* "1 message", "2 messages"; and "(320 octets)" */
void session_line_messages(struct pop3_line *l, uint64_t n);
void session_line_octets(struct pop3_line *l, uint64_t n);
/* The answer to LANG with a language. */
void session_put_language(const struct session *s, struct buf *out);

/* ---- session.c ---- */
void session_close(struct session *s, enum session_reason why);
/* It has ended, or ends with the answer that is ready: what the outside still says is
 * late. */
bool session_is_over(const struct session *s);

#endif
