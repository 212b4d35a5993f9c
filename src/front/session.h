/*
 * session.h: one POP3 session of the server as a value (RFC 1939 s.3 to s.6). Pure:
 * octets, answers of other processes and the time go in; octets and wants come out.
 *
 * The caller (front/main.c, or a test that plays all the outside) does this:
 *
 *     do {
 *             want = session_run(s, now, &in, &out);
 *             ... flush out, do what is wanted, tell the session how it ended ...
 *     } while (...)
 *
 * session_run consumes from the front of `in` what it takes (in.p and in.n move) and
 * appends to `out`. It handles one command at a time: a command that needs the outside is
 * finished before the next line is read, so answers are in order at every depth of a
 * pipeline (RFC 2449 s.6.6). What is left in `in` is the caller's to offer again, in
 * front of what comes later.
 */
#ifndef FRONT_SESSION_H
#define FRONT_SESSION_H

#include "base/buf.h"
#include "ipc/permit.h"
#include "ipc/snapshot.h"
#include "pop3/server.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

/* Room that session_run asks for in `out`: never more. `out` must be able to have it. */
#define SESSION_ROOM POP3_PUT_MAX
/* Where a password or SASL response lies between WANT_LOGIN and session_login_sent. */
#define SESSION_SCRATCH POP3_SASL_MAX
/* What a cut line in `in` may grow to: no more needs to be offered. */
#define SESSION_INPUT_MAX POP3_LINE_SASL_MAX

/* What session_run needs before it can go on. */
enum session_want {
	SESSION_WANT_INPUT,  /* more octets; all of `in` was taken or is a cut line */
	SESSION_WANT_OUTPUT, /* out has no room: flush it, call again */
	SESSION_WANT_DELAY,  /* nothing before session_delay_until(); then call again */
	SESSION_WANT_TLS,    /* flush, start TLS, throw `in` away; session_tls_started */
	SESSION_WANT_LOGIN,  /* ask auth session_login(); _refused or _attached */
	SESSION_WANT_SLICE,  /* ask for session_msgno(); session_slice or _no_slice */
	SESSION_WANT_BODY,   /* send session_body() and its end; session_body_sent */
	SESSION_WANT_COMMIT, /* send the verdict session_marks(); session_committed */
	SESSION_WANT_CLOSE,  /* flush, close; session_reason says why */
};

/* Options and facts that do not change during a session. Borrowed, must outlive it. */
struct session_options {
	struct pop3_server_options wire; /* what CAPA announces, greeting, limits */
	uint8_t *scratch; /* SESSION_SCRATCH octets; sessions of a thread may share it */
	uint32_t idle_timeout_s, login_timeout_s;
	uint32_t max_login_failures, login_failure_delay_ms;
	bool growing_penalty; /* failures double the delay to 16 s; not for loopback */
};

/* What is true of this connection (claims of the front: threats, the front claims). */
struct session_peer {
	bool loopback;
	bool tls;	    /* implicit TLS; STLS sets it later */
	bool tls_available; /* a certificate is there, so STLS is offered while not tls */
	bool plaintext;	    /* this peer may log in without TLS */
};

enum session_reason {
	SESSION_QUIT, /* QUIT was answered */
	SESSION_BAD_COMMANDS,
	SESSION_LOGIN_FAILURES,
	SESSION_TIMEOUT,   /* silent (wire point 31) */
	SESSION_INJECTION, /* octets after STLS (wire point 15) */
	SESSION_LOST_KEEPER,
	SESSION_FILE_CHANGED, /* cut without terminator (wire point 57) */
	SESSION_PEER,	      /* the client closed or reset */
	SESSION_YIELDED,      /* a newer login of the user took over */
	SESSION_DRAINED,
};

/*
 * What auth is asked. The views lie in the session and in the scratch: take them before
 * any session that shares the scratch runs again, then call session_login_sent.
 */
struct session_login {
	enum mechanism mechanism;
	struct view name;     /* empty for SASL */
	struct view response; /* password, or the decoded SASL response */
};

/* What SESSION_WANT_BODY is to send. */
struct session_body {
	uint32_t msgno;
	bool top; /* TOP: only the header and `lines` lines of the body */
	uint64_t lines;
	uint64_t wire; /* RETR: octets announced; if others are sent, the file changed */
};

/* Counts for the log line at logout and the counters. */
struct session_counts {
	uint32_t commands, commands_bad, login_failures;
	uint32_t retrieved, topped, deleted;
	uint64_t octets; /* of messages, as announced */
};

struct session; /* front/session_state.h: plain, so that the caller can embed it */

void session_init(struct session *s, const struct session_options *o,
	const struct session_peer *peer, uint64_t now_ms);
/* Wipes what was secret. The marks (below) are the caller's to free. */
void session_done(struct session *s);

enum session_want session_run(
	struct session *s, uint64_t now_ms, struct view *in, struct buf *out);

/* The moment at which session_expire is due, given what the session is doing. */
uint64_t session_deadline(const struct session *s);
/* The deadline has passed: the next session_run gives WANT_CLOSE. Never deletes. */
void session_expire(struct session *s, uint64_t now_ms);
/* Any progress of a body that is being sent, so that it does not time out. */
void session_progress(struct session *s, uint64_t now_ms);
/* Close for a reason of the caller's; a command that waits is answered first. */
void session_end(struct session *s, enum session_reason why);

/*
 * ---- answers of the outside -------------------------------------------------
 * Each belongs to the want that asked for it. After session_end or session_expire an
 * answer is late and changes nothing (what it brought is the caller's to close).
 */

void session_tls_started(struct session *s, uint64_t now_ms);
struct session_login session_login(const struct session *s);
/* The question was taken: wipes the scratch. */
void session_login_sent(struct session *s);
/* code: enum refusal. For IN_USE, holder (16 octets or none) and since (0: unknown). */
void session_refused(struct session *s, uint8_t code, struct view holder, uint64_t since,
	uint64_t now_ms, uint64_t now_unix_s);
/*
 * The maildrop is open. The snapshot is borrowed until session_done. marks: (count + 7) /
 * 8 zeroed octets of the caller's.
 */
void session_attached(struct session *s, const struct snapshot *snap, uint8_t rights,
	uint8_t *marks, uint64_t now_ms);
uint32_t session_msgno(const struct session *s);
/* The slice is here and counted: +OK is written with this size. */
void session_slice(struct session *s, uint64_t wire);
/* There is none: -ERR, the session lives on. gone: really removed; else unreadable. */
void session_no_slice(struct session *s, bool gone);
struct session_body session_body(const struct session *s);
/* The body and its terminator were written behind `out`'s octets, in order. */
void session_body_sent(struct session *s, uint64_t now_ms);
/*
 * Marks as in message VERDICT; *ret_count how many are set. WANT_COMMIT comes with none
 * set too: the keeper's answer then says that the lock is free, so that a client which
 * comes back at once after QUIT does not meet its own session.
 */
struct view session_marks(const struct session *s, uint32_t *ret_count);
/* outcome: enum verdict_outcome. */
void session_committed(
	struct session *s, uint8_t outcome, uint32_t removed, uint32_t remain);

uint64_t session_delay_until(const struct session *s);
enum session_reason session_reason(const struct session *s);
const struct session_counts *session_counts(const struct session *s);
/* In TRANSACTION and waiting for the client since this long (for YIELD). 0 if busy. */
uint64_t session_idle_ms(const struct session *s, uint64_t now_ms);

#endif
