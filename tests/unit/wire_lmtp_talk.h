/*
 * wire_lmtp_talk.h: what the tests of the LMTP server say and expect to hear.
 */
#ifndef WIRE_LMTP_TALK_H
#define WIRE_LMTP_TALK_H

#include "unit.h"

#include "wire_lmtp_play.h"

#include <stdio.h>

static struct play one;
static const struct lmtp_limits usual = {1000, 3, "mx.example", true};

static inline struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static inline void
same(const struct buf *got, const char *want, const char *of)
{
	if (got->n != strlen(want) || memcmp(got->p, want, got->n) != 0)
		fail_msg("%s: got\n%.*s\ninstead of\n%s", of, (int)got->n,
			(const char *)got->p, want);
}

#define HELLO "LHLO c\r\n"
#define HELLO_REPLY                                                                      \
	"220 mx.example LMTP\r\n"                                                        \
	"250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"           \
	"250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 SIZE 1000\r\n"
#define MAIL	     "MAIL FROM:<s@x>\r\n"
#define MAIL_REPLY   "250 2.1.0 sender taken\r\n"
#define RCPT	     "RCPT TO:<a@x>\r\n"
#define RCPT_REPLY   "250 2.1.5 recipient is here\r\n"
#define GO_AHEAD     "354 go ahead, end with a line of one dot\r\n"
#define STORED	     "250 2.0.0 <a@x> stored\r\n"
#define CHUNK_REPLY  "250 2.0.0 chunk taken\r\n"
#define LARGE_REPLY  "552 5.3.4 larger than what is taken here\r\n"
#define NOBODY_REPLY "503 5.5.1 no recipient was taken\r\n"

/* What is sent behind LHLO, what is seen, what is said. */
static inline void
talk(const char *sent, const char *events, const char *replies)
{
	char all[4096], want[4096];

	(void)snprintf(all, sizeof(all), HELLO "%s", sent);
	(void)snprintf(want, sizeof(want), HELLO_REPLY "%s", replies);
	play(&one, &usual, text(all), SIZE_MAX, 1);
	same(&one.events, events, sent);
	same(&one.replies, want, sent);
}

#endif
