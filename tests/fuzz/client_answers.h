/* client_answers.h: a flight of commands of all kinds, and what came of the answers. */
#ifndef CLIENT_ANSWERS_H
#define CLIENT_ANSWERS_H

#include "base/check.h"
#include "pop3/client.h"

/* Fills `c` with commands; `pick` says with which they begin, and how messages come. */
static inline void
answers_expect(struct pop3_client *c, uint8_t pick)
{
	static const enum pop3_command kinds[] = {
		POP3_LIST, POP3_RETR, POP3_UIDL, POP3_CAPA, POP3_DELE, POP3_STAT};
	uint8_t lines[1024];
	struct buf out = buf_over(lines, sizeof(lines));

	pop3_client_init(c);
	pop3_client_lenient(c, pick & 1);
	for (uint32_t i = pick; i < pick + 24U; i++) {
		CHECK(pop3_client_send(
			      c, kinds[i % 6], i % 6 == 1 || i % 5 == 1, 0, &out) ||
			i % 6 == 4);
		CHECK(pop3_client_auth(c, "PLAIN", NULL, &out));
		CHECK(pop3_client_retrieve(c, 1, (enum pop3_stuffing)(i & 1), &out));
	}
}

/* Mixed into one number; octets of messages one by one, so that no cut shows. */
static inline uint64_t
answers_mix(uint64_t sum, enum pop3_client_event e, const struct pop3_answer *a)
{
	for (size_t i = 0; i < a->data.n; i++)
		sum = sum * 31 + a->data.p[i];
	if (e == POP3_CLIENT_DATA || e == POP3_CLIENT_NEED_INPUT)
		return sum;
	return sum * 31 + (uint64_t)e + (a->msgno + a->value + a->text.n) * 7 + a->uid.n +
		a->octets * 3 + a->dots + a->bare_lf * 5 + a->code;
}

#endif
