/*
 * lmtp_reply.h: the rows of lmtp_answers.def, written out. Each needs LMTP_REPLY_MAX
 * octets of room at most, which the caller has made sure of.
 */
#ifndef WIRE_LMTP_REPLY_H
#define WIRE_LMTP_REPLY_H

#include "wire/lmtp_parse.h"
#include "wire/lmtp_server.h"

void lmtp_put_reply(enum lmtp_reply r, struct buf *out);
void lmtp_put_greeting(const struct lmtp_limits *limits, struct buf *out);
void lmtp_put_lhlo(const struct lmtp_limits *limits, struct buf *out);
void lmtp_put_help(struct buf *out);
/* True for a yes. */
bool lmtp_put_recipient(enum lmtp_recipient_answer answer, struct buf *out);
/* Names the recipient where it is printable and short. */
void lmtp_put_outcome(enum lmtp_outcome outcome, struct view recipient, struct buf *out);

#endif
