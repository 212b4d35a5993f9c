/*
 * client.h: the client's side of POP3 as a value (RFC 1939, RFC 2449, RFC 5034).
 *
 * No allocation, clock or system call: commands are written into a buffer of the
 * caller's, octets of the server go in, events come out. Up to POP3_FLIGHT_MAX commands
 * may be under way at a time; whether the server may be sent more than one is the
 * caller's to know (PIPELINING of RFC 2449 s.6.6).
 *
 *     struct pop3_client c;
 *     pop3_client_init(&c);
 *     pop3_client_send(&c, POP3_STAT, 0, 0, &out);
 *     while ((event = pop3_client_next(&c, &in, scratch, sizeof(scratch), &answer)) !=
 *             POP3_CLIENT_NEED_INPUT)
 *             ...
 *
 * Status lines may have any length: what is beyond POP3_STATUS_MAX is thrown away. Lines
 * of a message have no limit at all. A row of LIST, UIDL or CAPA beyond POP3_ROW_MAX is
 * POP3_CLIENT_BROKEN, and so is a status line that does not end within
 * POP3_STATUS_FLOOD octets.
 */
#ifndef POP3_CLIENT_H
#define POP3_CLIENT_H

#include "pop3/capabilities.h"
#include "pop3/dot.h"
#include "pop3/output.h"
#include "pop3/server.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

POP3_C_BEGIN
#define POP3_FLIGHT_MAX	  1024
#define POP3_STATUS_MAX	  1024
#define POP3_ROW_MAX	  4096
#define POP3_STATUS_FLOOD (UINT32_C(1) << 20)

enum pop3_client_event {
	POP3_CLIENT_NEED_INPUT, /* what is left (below POP3_ROW_MAX): offer it again */
	POP3_CLIENT_GREETING,	/* ok, code, text; stamp */
	POP3_CLIENT_STATUS, /* first line of an answer; rows or data follow if `more` */
	/* "+ " within AUTH: data, or bad64; `more`: the command sent behind AUTH is taken
	 * for the response and gets no answer of its own. */
	POP3_CLIENT_CHALLENGE,
	POP3_CLIENT_ROW,    /* of CAPA, LIST, UIDL: text, and msgno with value or uid */
	POP3_CLIENT_DATA,   /* of RETR, TOP: decoded octets in `data` */
	POP3_CLIENT_END,    /* of a multi-line answer; octets, dots */
	POP3_CLIENT_BROKEN, /* `why`; close. Unasked words: ok, code, text */
};

/* How the lines of a message come. POP3_RAW: the server does not stuff, dots stay. */
enum pop3_stuffing { POP3_STUFFED, POP3_RAW };

/* Views lie in `in`, in scratch or in the client and live until the next call. */
struct pop3_answer {
	enum pop3_command command; /* that is answered; POP3_COMMANDS: the greeting */
	uint32_t msgno;		   /* of the command, or of the row; STAT: the count */
	bool ok, more;
	bool bad_row; /* of ROW, and of STATUS of STAT, LIST n, UIDL n: see text alone */
	bool bad64;   /* no base64, or more than POP3_STATUS_MAX octets of it */
	enum pop3_code code;
	struct view text; /* after +OK or -ERR and the code (not OTHER); or a whole row */
	struct view stamp; /* GREETING: "<...>" as RFC 1939 s.7 allows it, or empty */
	uint64_t value;	   /* octets of LIST and STAT */
	struct view uid;   /* UIDL: any octets but blanks */
	struct view data;
	uint64_t octets; /* END of RETR or TOP: decoded, line ends as they came */
	uint64_t dots, lone_dots, bare_lf; /* END: as struct dot_decode_state says */
	const char *why;
};

struct pop3_expected {
	uint8_t command; /* enum pop3_command */
	uint8_t stuffing;
	bool many;
	uint32_t msgno;
};

/* Plain, to be embedded; its members are the library's. */
struct pop3_client {
	struct pop3_expected flight[POP3_FLIGHT_MAX];
	uint16_t first, count;
	uint8_t at;    /* where in an answer we are */
	bool lf_lines; /* the last status line ended in a bare LF: what follows may */
	bool lenient;  /* set by pop3_client_lenient */
	bool in_sasl;  /* a challenge waits for its response */
	bool after_cr;
	uint32_t line_n; /* octets of a status line that were thrown away */
	struct dot_decode_state decode;
	uint64_t octets;
	const char *why;
	uint16_t status_n;
	uint8_t status[POP3_STATUS_MAX];
};

/* Expects a greeting. */
void pop3_client_init(struct pop3_client *c);
/* After STLS and its handshake: all is forgotten but lenient, no greeting comes (RFC
 * 2595 s.4). Octets that come between +OK and this are POP3_CLIENT_BROKEN. */
void pop3_client_secured(struct pop3_client *c);
/* Take a bare LF for a line end in messages, and LF . LF for their end: by evidence only.
 * Where the status line ended in a bare LF, that is so without asking. */
void pop3_client_lenient(struct pop3_client *c, bool lenient);

/* Commands under way; the greeting counts. */
static inline uint32_t
pop3_client_waits(const struct pop3_client *c)
{
	return c->count;
}

/*
 * Writes a command line. msgno: LIST, UIDL (0: all), RETR, DELE, TOP (lines). False, and
 * nothing written, where POP3_FLIGHT_MAX are under way or `out` is full; also behind QUIT
 * and STLS, and while a challenge is not answered. AUTH alone lists mechanisms as rows.
 */
[[nodiscard]] bool pop3_client_send(struct pop3_client *c, enum pop3_command command,
	uint32_t msgno, uint32_t lines, struct buf *out);
/* RETR whose answer is not stuffed. */
[[nodiscard]] bool pop3_client_retrieve(struct pop3_client *c, uint32_t msgno,
	enum pop3_stuffing stuffing, struct buf *out);
/* USER and PASS with their argument as it is; false also for one with CR, LF or NUL. */
[[nodiscard]] bool pop3_client_send_text(struct pop3_client *c, enum pop3_command command,
	struct view text, struct buf *out);
/* APOP name digest (RFC 1939 s.7); 32 hex digits. Answered as POP3_PASS. */
[[nodiscard]] bool pop3_client_apop(
	struct pop3_client *c, struct view name, struct view digest, struct buf *out);
/*
 * AUTH mechanism [initial response], octets not yet in base64 (RFC 5034 s.4); initial:
 * NULL for none, an empty view becomes "=". CHALLENGE or STATUS follows.
 */
[[nodiscard]] bool pop3_client_auth(struct pop3_client *c, const char *mechanism,
	const struct view *initial, struct buf *out);
/* Answers a challenge (empty: an empty line), behind AUTH also one yet to come. */
[[nodiscard]] bool pop3_client_respond(
	struct pop3_client *c, struct view octets, struct buf *out);
[[nodiscard]] bool pop3_client_cancel(struct pop3_client *c, struct buf *out);

/*
 * The next event of what is in `in`, from whose front it takes. scratch, of at least
 * POP3_SCRATCH_MIN octets, takes decoded octets: less than scratch_n at a time.
 */
#define POP3_SCRATCH_MIN 1024
enum pop3_client_event pop3_client_next(struct pop3_client *c, struct view *in,
	uint8_t *scratch, size_t scratch_n, struct pop3_answer *ret);
POP3_C_END
#endif
