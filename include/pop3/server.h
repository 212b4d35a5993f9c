/*
 * server.h: the server's side of POP3 as a value (RFC 1939, RFC 2449, RFC 5034).
 *
 * No allocation, clock or system call: octets go in, requests come out, and replies are
 * written into a buffer of the caller's.
 *
 *     struct pop3_server s;
 *     pop3_server_init(&s, &options, &link);
 *     pop3_put_greeting(&options, out);
 *     while ((event = pop3_server_next(&s, &in, &request)) != POP3_NEED_INPUT)
 *             ... one reply for each event, in order ...
 *
 * The state moves on by what the caller tells it: pop3_server_logged_in, _login_failed,
 * _secured. Which command is legal where is a row of wire/pop3_commands.def.
 */
#ifndef POP3_SERVER_H
#define POP3_SERVER_H

#include "pop3/reply.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

POP3_C_BEGIN
/* A command line and its end are at most this long; AUTH and SASL lines the second. */
#define POP3_LINE_MAX	   1024
#define POP3_LINE_SASL_MAX 12288
/* What a decoded SASL response needs at most. */
#define POP3_SASL_MAX (POP3_LINE_SASL_MAX / 4 * 3)
/* A name of USER that is longer is kept as one that no user has. */
#define POP3_NAME_MAX 256

enum pop3_state {
	POP3_AUTHORIZATION,
	POP3_SASL, /* within AUTH: the next line is a response */
	POP3_TRANSACTION,
	POP3_UPDATE, /* QUIT was read: nothing more is */
};

enum pop3_command {
	POP3_CAPA,
	POP3_STLS,
	POP3_USER,
	POP3_PASS,
	POP3_AUTH,
	POP3_QUIT,
	POP3_STAT,
	POP3_LIST,
	POP3_RETR,
	POP3_DELE,
	POP3_NOOP,
	POP3_RSET,
	POP3_TOP,
	POP3_UIDL,
	POP3_LAST,
	POP3_COMMANDS, /* how many */
};

/* Rows of wire/pop3_mechanisms.def. */
enum pop3_mechanism {
	POP3_MECHANISM_PLAIN,
	POP3_MECHANISMS, /* how many */
};

#define POP3_EXPIRE_NEVER UINT32_C(0xFFFFFFFF)

/* Does not change during a session; borrowed. */
struct pop3_server_options {
	struct view hostname;	    /* for the greeting; may be empty */
	struct view implementation; /* for CAPA; empty: not announced */
	uint32_t expire_days;	    /* RFC 2449 s.6.7; POP3_EXPIRE_NEVER */
	uint32_t login_delay_s;	    /* RFC 2449 s.6.5; 0: not announced */
	bool expire_differs,
		login_delay_differs; /* between users: " USER" before login */
	bool last;		     /* LAST of RFC 1460 is a command */
	uint32_t max_bad_commands;   /* in a row; 0: no limit */
};

/* What is true of the connection. */
struct pop3_link {
	bool tls;
	bool tls_available; /* STLS can be done */
	bool plaintext;	    /* passwords may be sent without TLS */
};

/* Plain, so that it can be embedded; its members are the library's. */
struct pop3_server {
	const struct pop3_server_options *options;
	struct pop3_link link;
	uint64_t discarded; /* octets of the over-long line that is being thrown away */
	uint32_t bad_in_row;
	uint16_t name_n;
	uint8_t state;	   /* enum pop3_state */
	uint8_t mechanism; /* in POP3_SASL */
	bool discarding;
	bool named; /* USER was accepted */
	uint8_t name[POP3_NAME_MAX];
};

enum pop3_event {
	POP3_NEED_INPUT, /* no whole line yet: what is left must be offered again */
	POP3_COMMAND,	 /* a command that is legal here, its arguments are sound */
	POP3_RESPONSE, /* request->text is the client's SASL response, not yet decoded */
	POP3_BAD,      /* request->reply is the answer; it counts as a bad command */
	POP3_REFUSED,  /* request->reply is the answer; it does not */
	POP3_FLOOD,    /* a line without end: close */
};

/* Views lie in `in` (text) or in the server (name); both live until the next call. */
struct pop3_request {
	enum pop3_command command;
	enum pop3_reply reply;
	bool has_msgno;	    /* LIST and UIDL may come without */
	bool has_mechanism; /* AUTH without one lists them */
	bool has_text;	    /* AUTH with an initial response */
	bool is_response;   /* POP3_RESPONSE: the AUTH line came before */
	enum pop3_mechanism mechanism;
	uint64_t msgno;	  /* as written, so it may be 0 or no message's */
	uint64_t lines;	  /* TOP */
	struct view name; /* PASS: the name of USER */
	struct view text; /* USER, PASS, AUTH: byte-exact */
};

void pop3_server_init(struct pop3_server *s, const struct pop3_server_options *o,
	const struct pop3_link *l);
/* Takes at most one line from the front of `in`. */
enum pop3_event pop3_server_next(
	struct pop3_server *s, struct view *in, struct pop3_request *ret);
/* AUTH is under way: the next line is a response (write pop3_put_challenge first). */
void pop3_server_challenged(struct pop3_server *s, enum pop3_mechanism m);
void pop3_server_logged_in(struct pop3_server *s);
/* Back in AUTHORIZATION, as if nothing had been said (RFC 5034 s.4). */
void pop3_server_login_failed(struct pop3_server *s);
/* TLS is on: what was said before is forgotten, the bad commands are not. */
void pop3_server_secured(struct pop3_server *s);
/* More bad commands in a row than the options allow: answer this one, then close. */
bool pop3_server_exhausted(const struct pop3_server *s);
/* Whether a password may be sent here: TLS is on, or not needed. */
bool pop3_server_may_login(const struct pop3_server *s);
/* Whether the answer to this request, if it is +OK, is a multi-line one. */
bool pop3_answer_is_many(const struct pop3_request *r);
/* "USER name" and so on, for help and messages. */
const char *pop3_command_usage(enum pop3_command c);

/* Strict base64 (RFC 5034 s.4) into POP3_SASL_MAX octets; initial: "=" alone is empty. */
[[nodiscard]] bool pop3_sasl_decode(
	struct view text, bool initial, uint8_t *storage, struct view *ret);
POP3_C_END
#endif
