/*
 * session_types.h: what goes into a session and comes out of it (session.h).
 */
#ifndef FRONT_SESSION_TYPES_H
#define FRONT_SESSION_TYPES_H

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
	SESSION_WANT_LOGIN, /* ask auth session_login(); _challenge, _refused or _attached
			     */
	SESSION_WANT_STAMP, /* ask auth for a stamp of APOP; session_stamp */
	SESSION_WANT_PEER,  /* XCLIENT: session_new_peer(); session_peer_changed */
	SESSION_WANT_SLICE, /* ask for session_msgno(); session_slice or _no_slice */
	SESSION_WANT_BODY,  /* send session_body() and its end; session_body_sent */
	SESSION_WANT_COMMIT, /* send the verdict session_marks(); session_committed */
	SESSION_WANT_CLOSE,  /* flush, close; session_reason says why */
};

/* Options and facts that do not change during a session. Borrowed, must outlive it. */
struct session_options {
	struct pop3_server_options wire; /* what CAPA announces, greeting, limits */
	uint8_t *scratch; /* SESSION_SCRATCH octets; sessions of a thread may share it */
	uint32_t idle_timeout_s, login_timeout_s;
	uint32_t max_login_failures; /* of one connection, with cancelled ones; 0: any */
};

/* What is true of this connection (claims of the front: threats, the front claims). */
struct session_peer {
	bool tls;	    /* implicit TLS; STLS sets it later */
	bool tls_available; /* a certificate is there, so STLS is offered while not tls */
	bool plaintext;	    /* this peer may log in without TLS */
	bool xclient;	    /* this peer may say XCLIENT */
	/*
	 * A Kerberos talk is open: LOGIN with MECHANISM_KPOP was sent and its CHALLENGE
	 * came before session_init. USER and PASS (whatever it says) finish it; there is
	 * nothing else to log in with, and one try.
	 */
	bool kpop;
	/*
	 * Bit i: enum mechanism i may be offered, that is auth's AUTH_OFFER has it and
	 * the listener's mask too. MECHANISM_PASS stands for USER, MECHANISM_APOP for a
	 * stamp in the greeting. What needs TLS, a binding or a certificate is left out
	 * by the session as long as there is none.
	 */
	uint32_t mechanisms;
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
	SESSION_KICKED,	     /* an operator ended it */
	SESSION_TURNED_AWAY, /* XCLIENT named an address that is not served */
};

/*
 * What auth is asked. The views lie in the session and in the scratch: take them before
 * any session that shares the scratch runs again, then call session_login_sent.
 */
struct session_login {
	enum mechanism mechanism;
	struct view name;     /* of PASS and APOP; empty for SASL */
	struct view response; /* password, digest, or the decoded SASL response */
	bool has_response;    /* SASL: false where there was no initial response */
	bool continues; /* a RESPONSE to the open question, under the same number; only
			   `response` counts */
	bool utf8;	/* UTF8 was said */
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

#endif
