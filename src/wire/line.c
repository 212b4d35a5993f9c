#include "wire/line.h"
#include "wire/limits.h"

#include <string.h>

static void
skip(struct view *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

/* The octets up to and with the LF; 0 if there is none. */
static size_t
line_octets(struct view in)
{
	const uint8_t *lf = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;

	return lf ? (size_t)(lf - in.p) + 1 : 0;
}

/* False while the over-long line has not ended. */
static bool
discard(struct line_state *s, struct view *in)
{
	size_t n = line_octets(*in);

	s->discarded += n ? n : in->n;
	skip(in, n ? n : in->n);
	if (n == 0)
		return false;
	*s = (struct line_state){0};
	return true;
}

enum line_result
line_next(struct line_state *s, struct view *in, size_t max, struct view *ret_line)
{
	if (s->discarding && !discard(s, in))
		return s->discarded > LINE_DISCARD_MAX ? LINE_FLOOD : LINE_CUT;

	size_t n = line_octets(*in);
	if (n > max || (n == 0 && in->n >= max)) {
		/* Told at once, not at its end, which may never come. */
		s->discarding = true;
		(void)discard(s, in);
		return LINE_TOO_LONG;
	}
	if (n == 0)
		return LINE_CUT;
	*ret_line = (struct view){in->p, n - 1};
	if (ret_line->n > 0 && ret_line->p[ret_line->n - 1] == '\r')
		ret_line->n--;
	skip(in, n);
	return LINE_WHOLE;
}
