/*
 * body.h: a message on its way out, as a value (RFC 1939 s.3, s.5 RETR, s.7 TOP). Stored
 * octets go in, in order; what the client gets is appended to the output, and the
 * terminator leaves with the last of it. Pure.
 *
 * RETR: the octets produced, without stuffing, are counted against the size that was
 * announced; a message that turns out to be another one is BODY_CHANGED, and the
 * connection is cut before a terminator could call it whole.
 */
#ifndef FRONT_BODY_H
#define FRONT_BODY_H

#include "base/buf.h"
#include "pop3/dot.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct body {
	uint64_t offset;    /* stored octets taken so far: read on from here */
	uint64_t length;    /* stored octets in all */
	uint64_t wire_left; /* RETR: announced and not yet produced */
	struct dot_state encoded;
	bool is_top;
	bool ended;
	struct dot_top top;
};

enum body_result {
	BODY_MORE,    /* feed what follows at `offset` */
	BODY_DONE,    /* the terminator is in the output */
	BODY_CHANGED, /* not the message that was announced: cut */
};

/* The room that the output must have for n octets of input. */
#define BODY_ROOM(n) (DOT_ENCODE_MAX(n) + 2 * (size_t)DOT_FINISH_MAX)

void body_retr(struct body *b, uint64_t length, uint64_t wire);
void body_top(struct body *b, uint64_t length, uint64_t lines);
/* How many octets to feed next, at most max; 0 where the message is empty. */
size_t body_wants(const struct body *b, size_t max);
/* in is at most what body_wants said; fewer octets are fine, none only where none is
 * left. */
[[nodiscard]] enum body_result body_feed(
	struct body *b, const struct dot_kernel *k, struct view in, struct buf *out);
/*
 * The same for n octets that were read to where the output ends, of a message that is
 * said to travel as it is stored: they stay there if that is true, and are looked at
 * alone. If not, they are encoded by way of spare, which has room for n. Not for TOP.
 */
[[nodiscard]] enum body_result body_feed_in_place(struct body *b,
	const struct dot_kernel *k, size_t n, uint8_t *spare, struct buf *out);

#endif
