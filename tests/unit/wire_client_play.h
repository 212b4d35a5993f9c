/*
 * wire_client_play.h: dialogues between a client value and a server's octets, as text.
 *
 * A dialogue is a list of steps: what the client says (words, see client_say), what that
 * must be on the wire, what the server answers, and the events that must come of it. It
 * is played with the octets in one piece, cut in two at every place, and one by one.
 */
#ifndef WIRE_CLIENT_PLAY_H
#define WIRE_CLIENT_PLAY_H

#include "pop3/client.h"

struct step {
	const char *say, *wire, *server, *events;
};

/* Events as lines; octets of a message are joined, so that cuts do not show. */
struct trace {
	size_t n;
	bool in_data;
	bool broken;
	char text[1 << 18];
};

void trace_event(
	struct trace *t, enum pop3_client_event event, const struct pop3_answer *a);
/*
 * A line each: a command with its arguments; "RAW n"; "AUTH mechanism[ =initial]";
 * "> response"; "*"; "TLS"; "LENIENT".
 */
void client_say(struct pop3_client *c, const char *lines, struct buf *out);
/* Feeds octets whose piece ends at cut, then at n; step 1: one by one. What was not taken
 * is offered again with more behind it. */
void client_feed(struct pop3_client *c, struct view octets, size_t cut, size_t step,
	struct trace *t);
/* The whole of a dialogue in all the ways. */
void play_everywhere(const struct step *steps, size_t n);

#endif
