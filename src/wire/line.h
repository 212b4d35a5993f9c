/*
 * line.h: lines out of a stream of octets, each within a limit (wire points 13, 19, 53).
 *
 * A line ends at LF; one CR before it belongs to the end. The answer does not depend on
 * how the octets were cut into packets.
 */
#ifndef WIRE_LINE_H
#define WIRE_LINE_H

#include "pop3/view.h"

#include <stdbool.h>

enum line_result {
	LINE_CUT,   /* no end yet: offer what is left of `in` again with more behind it */
	LINE_WHOLE, /* *ret_line is the line without its end; it left `in` */
	LINE_TOO_LONG, /* said once for a line; the rest of it is thrown away as it comes
			*/
	LINE_FLOOD,    /* an over-long line does not end: give up */
};

/* What is kept between calls; zero at the start. */
struct line_state {
	uint64_t discarded;
	bool discarding;
};

/* max: octets of the line and its end. Takes at most one line from the front of `in`. */
enum line_result line_next(
	struct line_state *s, struct view *in, size_t max, struct view *ret_line);

#endif
