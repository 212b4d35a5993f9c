/*
 * smtp_client.h: the client's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a value.
 *
 * No allocation, clock or system call: commands are written into a buffer of the
 * caller's, octets of the server go in, whole replies come out. Octets of a message do
 * not pass through here: after 354 the caller sends them, encoded by dot.h with its
 * terminator, and says smtp_client_body.
 *
 * Groups (RFC 2920 s.3.1): MAIL, RCPT and RSET may stand anywhere, EHLO, DATA, NOOP and
 * QUIT end a group: the functions refuse to write anything behind them until their reply
 * was read, and without PIPELINING behind any command. Behind the octets of a message the
 * next group may follow at once.
 *
 * A server that answers what was not asked, whose line does not end or ends in LF alone,
 * whose reply has no end, or who speaks in the clear behind its answer to STARTTLS is
 * SMTP_CLIENT_BROKEN for good. What it says is given to others as printable ASCII only.
 */
#ifndef WIRE_SMTP_CLIENT_H
#define WIRE_SMTP_CLIENT_H

#include "pop3/output.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define SMTP_FLIGHT_MAX	    128
#define SMTP_RECIPIENTS_MAX 64	  /* of a message; a group of MAIL, RCPTs and DATA fits */
#define SMTP_LINE_MAX	    12288 /* RFC 4954 s.4: a challenge; replies end at 512 */
#define SMTP_REPLY_LINES    128
#define SMTP_WORDS_MAX	    200
#define SMTP_MECHANISMS_MAX 512
#define SMTP_COMMAND_MAX    1024 /* what a command of ours takes at most, but for AUTH */
#define SMTP_PATH_MAX	    254	 /* RFC 5321 s.4.5.3.1.3, without the brackets */

enum smtp_extension {
	SMTP_PIPELINING = 1 << 0,
	SMTP_SIZE = 1 << 1,
	SMTP_8BITMIME = 1 << 2,
	SMTP_SMTPUTF8 = 1 << 3,
	SMTP_ENHANCED = 1 << 4,
	SMTP_DSN = 1 << 5,
	SMTP_STARTTLS = 1 << 6,
	SMTP_AUTH = 1 << 7,
};

/* What a reply answers. */
enum smtp_command {
	SMTP_GREETING,
	SMTP_EHLO, /* also LHLO, HELO */
	SMTP_TLS,
	SMTP_LOGIN, /* AUTH and its responses */
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BODY,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_QUIT,
	SMTP_UNASKED, /* 421, which may come at any time (RFC 5321 s.3.8) */
};

enum smtp_client_event {
	SMTP_CLIENT_NEED_INPUT, /* all of `in` was taken */
	SMTP_CLIENT_REPLY,
	SMTP_CLIENT_CHALLENGE, /* 334 within AUTH */
	SMTP_CLIENT_BROKEN,    /* `why`; close */
};

/* Views live until the next call. */
struct smtp_reply {
	enum smtp_command command;
	uint16_t code;
	uint8_t enhanced[2]; /* class and subject, or 0 0 */
	uint16_t detail;
	const char *words; /* code and all lines, printable, cut at SMTP_WORDS_MAX */
	struct view challenge;
	bool bad64; /* of a challenge */
	const char *why;
};

/* What a reply means for the message (or the connection) it is about. */
enum smtp_meaning {
	SMTP_YES,	 /* 2xx; 354 to DATA */
	SMTP_LATER,	 /* 4xx; 5xx that says that there is no room */
	SMTP_NEVER,	 /* 5xx that is about this message or its recipient */
	SMTP_CONFIGURED, /* 5xx that is about who we are, or how we speak */
};
enum smtp_meaning smtp_reply_meaning(const struct smtp_reply *r);

/* Plain, so that it can be embedded; its members are the library's, but for the three
 * that are told to be read. */
struct smtp_client {
	uint32_t has;	     /* read: enum smtp_extension, of the last EHLO */
	uint64_t size_limit; /* read: 0 none */
	uint16_t mechanisms_n;
	char mechanisms[SMTP_MECHANISMS_MAX]; /* read: upper case, a blank between them */
	bool lmtp, broken, closed_group, securing, in_login, extended;
	const char *why;
	uint8_t flight[SMTP_FLIGHT_MAX]; /* enum smtp_command */
	uint8_t first, count;
	uint16_t code, lines, detail;
	uint8_t enhanced[2];
	uint16_t line_n, words_n, challenge_n;
	char words[SMTP_WORDS_MAX + 1];
	uint8_t line[SMTP_LINE_MAX];
	uint8_t challenge[SMTP_LINE_MAX];
};

/* Expects a greeting. */
void smtp_client_init(struct smtp_client *c, bool lmtp);
/* After STARTTLS and its handshake: what the server said before is forgotten (RFC 3207
 * s.4.2). EHLO comes next. */
void smtp_client_secured(struct smtp_client *c);
/* Replies that are awaited; the greeting counts. */
static inline uint32_t
smtp_client_waits(const struct smtp_client *c)
{
	return c->count;
}

/* Each writes one command line. False, and nothing written: not now (see groups above),
 * no room in out, or an argument that no command can carry. */
[[nodiscard]] bool smtp_client_hello(
	struct smtp_client *c, struct view name, bool helo, struct buf *out);
/* SMTP_TLS, SMTP_DATA, SMTP_RSET, SMTP_NOOP, SMTP_QUIT. */
[[nodiscard]] bool smtp_client_send(
	struct smtp_client *c, enum smtp_command what, struct buf *out);
/* initial: NULL none; an empty one is "=". Octets not yet in base64. */
[[nodiscard]] bool smtp_client_auth(struct smtp_client *c, const char *mechanism,
	const struct view *initial, struct buf *out);
[[nodiscard]] bool smtp_client_respond(
	struct smtp_client *c, struct view octets, struct buf *out);
[[nodiscard]] bool smtp_client_cancel(struct smtp_client *c, struct buf *out);
/* sender: empty is <>. octets: 0 not known. envid: "" none. Parameters go out only where
 * the server knows them; an address beyond ASCII only with SMTPUTF8. */
[[nodiscard]] bool smtp_client_mail(struct smtp_client *c, struct view sender,
	uint64_t octets, struct view envid, bool utf8, struct buf *out);
[[nodiscard]] bool smtp_client_rcpt(
	struct smtp_client *c, struct view recipient, struct buf *out);
/* The octets of a message are on their way: one reply, with LMTP one for each recipient
 * that was accepted (RFC 2033 s.4.2). */
[[nodiscard]] bool smtp_client_body(struct smtp_client *c, uint32_t accepted);
/* An address that MAIL and RCPT can carry (*ret_utf8: only with SMTPUTF8). */
[[nodiscard]] bool smtp_path_is_good(struct view path, bool *ret_utf8);

enum smtp_client_event smtp_client_next(
	struct smtp_client *c, struct view *in, struct smtp_reply *ret);

#endif
