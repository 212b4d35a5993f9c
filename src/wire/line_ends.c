#include "wire/line_ends.h"

#include <string.h>

/*
 * Lines are found by their LF. Runs of octets without a CRLF are copied at once; a CR at
 * the end of a piece waits for what the next begins with.
 */
size_t
line_ends_to_lf(struct line_ends *s, const uint8_t *in, size_t n, uint8_t *out)
{
	const uint8_t *p = in, *end = in + n, *lf;
	size_t o = 0, run;

	if (n == 0)
		return 0;
	if (s->held && *p != '\n')
		out[o++] = '\r';
	s->held = false;
	while ((lf = memchr(p, '\n', (size_t)(end - p)))) {
		run = (size_t)(lf - p);
		if (run > 0 && lf[-1] == '\r')
			run--;
		memcpy(out + o, p, run);
		o += run;
		out[o++] = '\n';
		p = lf + 1;
		if (p == end)
			return o;
	}
	run = (size_t)(end - p);
	s->held = end[-1] == '\r';
	run -= s->held;
	memcpy(out + o, p, run);
	return o + run;
}

size_t
line_ends_finish(struct line_ends *s, uint8_t out[1])
{
	size_t n = s->held;

	if (s->held)
		out[0] = '\r';
	s->held = false;
	return n;
}

bool
line_ends_are_whole(struct line_ends *s, const uint8_t *in, size_t n)
{
	const uint8_t *p = in, *end = in + n, *cr;

	if (n > 0 && s->held) {
		if (*p++ != '\n')
			return false;
		s->held = false;
	}
	while (p < end) {
		cr = memchr(p, '\r', (size_t)(end - p));
		if (memchr(p, '\n', (size_t)((cr ? cr : end) - p)))
			return false;
		if (!cr)
			break;
		p = cr + 1;
		s->held = p == end;
		if (p < end && *p++ != '\n')
			return false;
	}
	return true;
}
