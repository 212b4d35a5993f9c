/*
 * line_ends.h: CRLF as LF, for files. A CR is dropped only where LF follows; bare CR and
 * bare LF stay. The answer does not depend on how the octets were cut into pieces.
 */
#ifndef WIRE_LINE_ENDS_H
#define WIRE_LINE_ENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct line_ends {
	bool held; /* a CR that may belong to a line end */
};
/* n octets of in, to out (room n + 1; may not overlap); the octets written. */
size_t line_ends_to_lf(struct line_ends *s, const uint8_t *in, size_t n, uint8_t *out);
/* Whether every CR and every LF of these octets, and of those before, belongs to a CRLF;
 * a CR at their end is held. Do not use s for both. */
bool line_ends_are_whole(struct line_ends *s, const uint8_t *in, size_t n);
/* At the end: a CR that was held back, 0 or 1 octet. */
size_t line_ends_finish(struct line_ends *s, uint8_t out[1]);

#endif
