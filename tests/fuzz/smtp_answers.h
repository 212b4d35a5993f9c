/* smtp_answers.h: a client that asks whatever it may, and what came of the answers. */
#ifndef SMTP_ANSWERS_H
#define SMTP_ANSWERS_H

#include "base/check.h"
#include "wire/smtp_client.h"

#include <string.h>

/* The next that may be asked after this event; `pick` chooses. */
static inline void
answers_ask(struct smtp_client *c, enum smtp_client_event e, const struct smtp_reply *r,
	uint8_t pick)
{
	uint8_t sent[24576];
	struct buf out = buf_over(sent, sizeof(sent));
	struct view x = {(const uint8_t *)"x", 1};

	if (r->command == SMTP_TLS && r->code == 220)
		smtp_client_secured(c);
	if (e == SMTP_CLIENT_CHALLENGE)
		(void)smtp_client_respond(c, r->challenge, &out);
	else if (r->command == SMTP_GREETING || r->command == SMTP_TLS)
		(void)smtp_client_hello(c, x, pick & 2, &out);
	else if (r->command == SMTP_EHLO && (pick & 4))
		(void)smtp_client_auth(c, "PLAIN", &x, &out);
	else if (r->command == SMTP_EHLO && (pick & 8))
		(void)smtp_client_send(c, SMTP_TLS, &out);
	else if (r->command == SMTP_DATA && r->code == 354)
		(void)smtp_client_body(c, 1 + pick % 7U);
	if (smtp_client_mail(c, x, 1, x, pick & 16, &out) && smtp_client_rcpt(c, x, &out))
		(void)smtp_client_send(c, SMTP_DATA, &out);
	CHECK(!out.full);
}

#endif
