/*
 * pop_try_parts.h: what pop_try.c and pop_try_login.c share.
 */
#ifndef FETCH_POP_TRY_PARTS_H
#define FETCH_POP_TRY_PARTS_H

#include "fetch/fetch_json.h"
#include "fetch/pop_try.h"
#include "os/tls.h"
#include "pop3/client.h"

#define NO_WORDS ((struct view){NULL, 0})

struct pop_try {
	struct stream stream;
	struct pop3_client client;
	struct pop_found *found;
	uint64_t timeout_ms, until;
	bool broken; /* no QUIT */
	struct view rest;
	size_t stamp_n;
	uint8_t stamp[512];
	uint8_t in[8192];
	uint8_t scratch[4096];
};

/* Notes "what: words" as the reason; returns err. */
int pop_try_fail(struct pop_try *t, int err, const char *what, struct view words);
/* Waits for the next event, until t->until. */
[[nodiscard]] int pop_try_next(
	struct pop_try *t, enum pop3_client_event *ret_event, struct pop3_answer *ret);
/* Sets t->until anew. */
[[nodiscard]] int pop_try_send(struct pop_try *t, const struct buf *out);
/* A command without arguments, and the first event of its answer. */
[[nodiscard]] int pop_try_ask(
	struct pop_try *t, enum pop3_command command, struct pop3_answer *ret);

#endif
