/*
 * server.h: the server's side of POP3 as a value (RFC 1939, RFC 2449, RFC 5034).
 *
 * No allocation, clock or system call: octets go in, requests come out, and replies are
 * written into a buffer of the caller's.
 *
 *     struct pop3_server s;
 *     pop3_server_init(&s, &options, &link);
 *     pop3_put_greeting(&s, stamp, out);
 *     while ((event = pop3_server_next(&s, &in, &request)) != POP3_NEED_INPUT)
 *             ... one reply for each event, in order ...
 *
 * The state moves on by what the caller tells it: pop3_server_logged_in, _login_failed,
 * _secured, _peer_changed. Which command is legal where is a row of
 * wire/pop3_commands.def.
 */
#ifndef POP3_SERVER_H
#define POP3_SERVER_H

#include "pop3/reply.h"
#include "pop3/server_types.h"
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

/* Plain, so that it can be embedded; its members are the library's. */
struct pop3_server {
	const struct pop3_server_options *options;
	struct pop3_link link;
	uint64_t discarded; /* octets of the over-long line that is being thrown away */
	uint32_t bad_in_row;
	uint32_t expire_days, login_delay_s; /* of the user, once known */
	uint16_t name_n;
	uint8_t state;	   /* enum pop3_state */
	uint8_t mechanism; /* in POP3_SASL */
	bool discarding;
	bool named;	  /* USER was accepted */
	bool utf8;	  /* UTF8 was said (RFC 6856 s.2) */
	bool touched;	  /* mail was looked at: UTF8 comes too late */
	uint8_t language; /* enum pop3_language */
	uint8_t name[POP3_NAME_MAX];
};

void pop3_server_init(struct pop3_server *s, const struct pop3_server_options *o,
	const struct pop3_link *l);
/* Takes at most one line from the front of `in`. */
enum pop3_event pop3_server_next(
	struct pop3_server *s, struct view *in, struct pop3_request *ret);
/* AUTH is under way: the next line is a response (write pop3_put_challenge first). */
void pop3_server_challenged(struct pop3_server *s, enum pop3_mechanism m);
void pop3_server_logged_in(struct pop3_server *s);
/* This user's values, for CAPA after login (RFC 2449 s.6.5, s.6.7); before _logged_in. */
void pop3_server_identified(
	struct pop3_server *s, uint32_t expire_days, uint32_t login_delay_s);
/* Back in AUTHORIZATION, as if nothing had been said (RFC 5034 s.4). */
void pop3_server_login_failed(struct pop3_server *s);
/*
 * TLS is on: what was said before (USER, mechanism, UTF8, LANG) is forgotten, the bad
 * commands are not. What TLS brought along: pop3_server_bound.
 */
void pop3_server_secured(struct pop3_server *s);
void pop3_server_bound(struct pop3_server *s, bool binding, bool certificate);
/* XCLIENT: another client; forgets the same, and the connection is like this now. */
void pop3_server_peer_changed(struct pop3_server *s, const struct pop3_link *l);
/* More bad commands in a row than the options allow: answer this one, then close. */
bool pop3_server_exhausted(const struct pop3_server *s);
/* Whether a password may be sent here: TLS is on, or not needed. */
bool pop3_server_may_login(const struct pop3_server *s);
/* The one rule of what is offered: CAPA, AUTH and its refusals obey it. */
bool pop3_server_offers(const struct pop3_server *s, enum pop3_mechanism m);
bool pop3_server_offers_user(const struct pop3_server *s);
/* The client speaks first: without an initial response it is asked with "+ " alone. */
bool pop3_mechanism_begins(enum pop3_mechanism m);
/* Whether the answer to this request, if it is +OK, is a multi-line one. */
bool pop3_answer_is_many(const struct pop3_request *r);
/* "USER name" and so on, for help and messages. */
const char *pop3_command_usage(enum pop3_command c);

/* Strict base64 (RFC 5034 s.4) into POP3_SASL_MAX octets; initial: "=" alone is empty. */
[[nodiscard]] bool pop3_sasl_decode(
	struct view text, bool initial, uint8_t *storage, struct view *ret);
POP3_C_END
#endif
