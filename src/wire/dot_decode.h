/*
 * dot_decode.h: the inside of dot_decode (pop3/dot.h), for who wants views into his input
 * where nothing has to be undone.
 */
#ifndef WIRE_DOT_DECODE_H
#define WIRE_DOT_DECODE_H

#include "pop3/dot.h"

/* dot_decode_state.at */
enum decode_at {
	DECODE_LINE_START = 0,
	DECODE_DOT,
	DECODE_DOT_CR,
	DECODE_IN_LINE,
	DECODE_AFTER_CR,
};

/*
 * From within a line: the octets until one that must be looked at, which is a dot at the
 * start of a line, or all. They travel as they are. Lines are found by their LF, what
 * lies between is not touched.
 */
size_t dot_decode_run(struct dot_decode_state *s, const uint8_t *in, size_t n);

#endif
