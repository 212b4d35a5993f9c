/*
 * lmtp_body.h: the message behind DATA, its dots undone, in large pieces.
 */
#ifndef WIRE_LMTP_BODY_H
#define WIRE_LMTP_BODY_H

#include "pop3/dot.h"
#include "pop3/view.h"

#include <stdbool.h>

/*
 * Takes octets from the front of `in`, at most one piece of the message (which may come
 * out empty) or its end. The piece lies within `in` or within `room`, of `cap` octets,
 * more than DOT_DECODE_HELD. True: the message has ended, what follows in `in` is not of
 * it.
 */
[[nodiscard]] bool lmtp_body_next(struct dot_decode_state *s, struct view *in,
	uint8_t *room, size_t cap, struct view *ret_piece);

#endif
