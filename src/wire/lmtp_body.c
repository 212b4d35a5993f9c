#include "wire/lmtp_body.h"
#include "base/check.h"
#include "wire/dot_decode.h"

/* A run of octets without a dot to undo is given as it lies there from this size up. A
 * shorter one is copied, so that a message full of dots does not come in crumbs. */
#define RUN_MIN 4096

/* Octets at the front of `in` that belong to the message as they are; 0: copy. */
static size_t
run_in_place(struct dot_decode_state *s, struct view in)
{
	struct dot_decode_state after = *s;
	size_t n;

	if (s->at != DECODE_IN_LINE && (s->at != DECODE_LINE_START || in.p[0] == '.'))
		return 0;
	n = dot_decode_run(&after, in.p, in.n);
	if (n < RUN_MIN && n < in.n)
		return 0;
	*s = after;
	return n;
}

bool
lmtp_body_next(struct dot_decode_state *s, struct view *in, uint8_t *room, size_t cap,
	struct view *ret_piece)
{
	size_t taken, n;
	bool end = false;

	CHECK(cap > DOT_DECODE_HELD);
	*ret_piece = (struct view){in->p, 0};
	if (in->n == 0)
		return false;
	taken = run_in_place(s, *in);
	if (taken > 0) {
		ret_piece->n = taken;
	} else {
		n = in->n < cap - DOT_DECODE_HELD ? in->n : cap - DOT_DECODE_HELD;
		n = dot_decode(s, in->p, n, room, &taken, &end);
		*ret_piece = (struct view){room, n};
	}
	in->p += taken;
	in->n -= taken;
	return end;
}
