/*
 * live_parts.h: what the files of live share.
 */
#ifndef MOVE_LIVE_PARTS_H
#define MOVE_LIVE_PARTS_H

#include "move/live.h"
#include "os/tls.h"
#include "pop3/client.h"

#define LIVE_NOTHING	 ((struct view){NULL, 0})
#define LIVE_IN_OCTETS	 32768
#define LIVE_OUT_OCTETS	 8192
#define LIVE_WINDOW	 64   /* commands under way */
#define LIVE_STEP_OCTETS 4096 /* so many octets are progress */

struct live {
	struct live_options options;
	struct live_facts facts;
	struct stream stream;
	bool connected, broken, logged_in;
	const char *step; /* what is being done, for messages */
	uint32_t msgno;	  /* to which message; 0: to none */
	uint64_t until;	  /* the deadline */
	size_t progress;  /* octets since it was set */
	struct pop3_client client;
	struct view rest;
	char why[LIVE_WHY_MAX];
	uint8_t in[LIVE_IN_OCTETS];
	uint8_t scratch[LIVE_IN_OCTETS];
	uint8_t out[LIVE_OUT_OCTETS];
};

/* ---- live_wire.c ---- */

/* Notes "what: words" with server and step, ends the session; returns err. */
int live_fail(struct live *l, int err, const char *what, struct view words);
/* The same for a refusal, behind which the session goes on: the error of its code. */
int live_refused(struct live *l, int err, const struct pop3_answer *answer);
void live_expect(struct live *l); /* sets the deadline anew */
[[nodiscard]] int live_wait(struct live *l, short events);
/* The next event; the deadline moves where the server makes progress. */
[[nodiscard]] int live_next(
	struct live *l, enum pop3_client_event *ret_event, struct pop3_answer *ret);
[[nodiscard]] int live_send(struct live *l, struct buf *out);
/* A command without arguments, and its status. */
[[nodiscard]] int live_ask(
	struct live *l, enum pop3_command command, struct pop3_answer *ret);
[[nodiscard]] int live_handshake(struct live *l);
/* The reason of a stream's end. */
int live_lost(struct live *l);

/* ---- live_login.c ---- */

[[nodiscard]] int live_learn(struct live *l, struct pop3_capabilities *ret);

#endif
