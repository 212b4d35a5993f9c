/*
 * reply.h: what a POP3 server says (RFC 1939 s.3, RFC 2449 s.3), written into a buffer of
 * the caller's.
 *
 * Whatever is put into a reply line, it leaves as one line of at most 512 octets of
 * printable ASCII: that is the only way for words to get onto the wire, so that no octet
 * of a client, a file or another process can end a line or move a terminal's cursor.
 */
#ifndef POP3_REPLY_H
#define POP3_REPLY_H

#include "pop3/output.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

POP3_C_BEGIN
struct pop3_server;

/* A reply's first line with its CRLF (RFC 1939 s.3), and what any one call here writes.
 */
#define POP3_REPLY_MAX 512
#define POP3_PUT_MAX   1024

/* Reply lines; their status, code and words are rows of wire/pop3_codes.def. */
enum pop3_reply {
	POP3_OK,
	POP3_OK_GREETING,
	POP3_OK_CAPA,
	POP3_OK_STLS,
	POP3_OK_USER,
	POP3_OK_AUTH_LIST,
	POP3_OK_LOGIN,
	POP3_OK_LIST,
	POP3_OK_UIDL,
	POP3_OK_RETR,
	POP3_OK_TOP,
	POP3_OK_DELE,
	POP3_OK_BYE,
	POP3_OK_BYE_LEFT,
	POP3_OK_UTF8,
	POP3_OK_LANG,
	POP3_OK_LANG_LIST,
	POP3_OK_XCLIENT,
	POP3_ERR_UNKNOWN,
	POP3_ERR_SYNTAX,
	POP3_ERR_NUL,
	POP3_ERR_LONG,
	POP3_ERR_BEFORE_LOGIN,
	POP3_ERR_AFTER_LOGIN,
	POP3_ERR_NO_USER,
	POP3_ERR_TLS_NEEDED,
	POP3_ERR_TLS_ACTIVE,
	POP3_ERR_TLS_NONE,
	POP3_ERR_USER_NONE,
	POP3_ERR_MECHANISM,
	POP3_ERR_INITIAL,
	POP3_ERR_BASE64,
	POP3_ERR_CANCELLED,
	POP3_ERR_UTF8_LATE,
	POP3_ERR_LANG,
	POP3_ERR_CREDENTIALS,
	POP3_ERR_POLICY,
	POP3_ERR_TOO_MANY,
	POP3_ERR_IN_USE,
	POP3_ERR_CONNECTIONS,
	POP3_ERR_LOGIN_DELAY,
	POP3_ERR_BUSY,
	POP3_ERR_NOT_NOW,
	POP3_ERR_TEMPORARY,
	POP3_ERR_PERMANENT,
	POP3_ERR_NO_MESSAGE,
	POP3_ERR_DELETED,
	POP3_ERR_GONE,
	POP3_ERR_UNREADABLE,
	POP3_ERR_READ_ONLY,
	POP3_ERR_NO_READ,
	POP3_ERR_PARTIAL,
	POP3_ERR_LOST_LOCK,
	POP3_ERR_UNCERTAIN,
	POP3_ERR_DENIED,
	POP3_ERR_STOPPING,
	POP3_REPLIES, /* how many */
};

/* Words that stand within replies; rows of wire/pop3_codes.def too. */
enum pop3_word {
	POP3_WORD_READY,
	POP3_WORD_MESSAGE,
	POP3_WORD_MESSAGES,
	POP3_WORD_OCTETS,
	POP3_WORD_FROM,
	POP3_WORD_SINCE,
	POP3_WORD_OF,
	POP3_WORD_REMAINS,
	POP3_WORD_REMAIN,
	POP3_WORD_LEFT,
	POP3_WORD_HAS,
	POP3_WORD_CHANGED,
	POP3_WORDS, /* how many */
};

/* Languages of the texts (RFC 6856 s.3). */
enum pop3_language {
	POP3_ENGLISH,
	POP3_GERMAN,
	POP3_LANGUAGES, /* how many */
};
/* By tag or range (RFC 4647 s.3.4: "de-AT" finds "de"), in any case; false: unknown. */
[[nodiscard]] bool pop3_language_find(struct view range, enum pop3_language *ret);
const char *pop3_language_tag(enum pop3_language l);

/* One reply line. What would make it too long is cut off. */
struct pop3_line {
	uint16_t n;
	uint8_t language;
	uint8_t octets[POP3_REPLY_MAX];
};
/* With the words of its row. */
void pop3_line_start(struct pop3_line *l, enum pop3_reply r, enum pop3_language language);
void pop3_line_text(struct pop3_line *l, const char *text);
void pop3_line_word(struct pop3_line *l, enum pop3_word w); /* a blank goes before it */
void pop3_line_view(struct pop3_line *l, struct view v);
void pop3_line_number(struct pop3_line *l, uint64_t n);
void pop3_line_end(const struct pop3_line *l, struct buf *out);

/* Whole replies and parts of them. Each writes at most POP3_PUT_MAX octets. */
void pop3_put_reply(enum pop3_reply r, enum pop3_language language, struct buf *out);
/* stamp: "<...>" of APOP, or empty. */
void pop3_put_greeting(const struct pop3_server *s, struct view stamp, struct buf *out);
void pop3_put_capa(const struct pop3_server *s, struct buf *out);
void pop3_put_mechanisms(const struct pop3_server *s, struct buf *out); /* AUTH alone */
void pop3_put_languages(const struct pop3_server *s, struct buf *out);	/* LANG alone */
/* "+ " and base64, as much as `out` has room for; true once all is written. */
struct pop3_challenge {
	struct view left; /* what is to be said; {0}: "+ " alone */
	bool begun;
};
[[nodiscard]] bool pop3_put_challenge(struct pop3_challenge *c, struct buf *out);
void pop3_put_size_row(uint32_t msgno, uint64_t octets, struct buf *out);
void pop3_put_uidl_row(
	uint32_t msgno, struct view uidl, struct buf *out); /* checked by the caller */
void pop3_put_end(struct buf *out);
POP3_C_END
#endif
