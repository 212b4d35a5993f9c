#include "wire/dot_decode.h"
#include "base/check.h"
#include "pop3/dot.h"

#include <string.h>

/*
 * Only CRLF ends a line here, and only CRLF . CRLF the message (or . CRLF at its start):
 * a bare LF or CR around a lone dot is content. With lf_ends a bare LF ends a line as
 * well. A dot that begins a line, and a CR behind it, are held back until the next octet
 * says what they were.
 */
size_t
dot_decode_run(struct dot_decode_state *s, const uint8_t *in, size_t n)
{
	const uint8_t *p = in, *end = in + n, *lf;

	s->at = DECODE_IN_LINE;
	while (p < end && (lf = memchr(p, '\n', (size_t)(end - p)))) {
		bool crlf = lf > in && lf[-1] == '\r';
		s->bare_lf += !crlf;
		p = lf + 1;
		if (!crlf && !s->lf_ends)
			continue;
		if (p == end)
			s->at = DECODE_LINE_START;
		else if (*p == '.') {
			s->at = DECODE_LINE_START;
			return (size_t)(p - in);
		}
	}
	if (s->at == DECODE_IN_LINE && n > 0 && end[-1] == '\r')
		s->at = DECODE_AFTER_CR;
	return n;
}

/* The dot that was held back does not end the message: it is taken off, or stays. */
static size_t
release_dot(struct dot_decode_state *s, bool before_dot, uint8_t *out)
{
	s->dots++;
	s->lone_dots += !before_dot;
	if (!s->unstuffed)
		return 0;
	out[0] = '.';
	return 1;
}

/* One octet behind a dot, or a dot and a CR. True if the message ends with it. */
static bool
decode_held(struct dot_decode_state *s, uint8_t c, size_t *taken, uint8_t *out, size_t *o)
{
	bool cr = s->at == DECODE_DOT_CR;
	bool ends = c == '\n' && (cr || s->lf_ends);

	s->at = ends ? DECODE_LINE_START : cr ? DECODE_AFTER_CR : DECODE_IN_LINE;
	*taken = ends;
	if (ends)
		return true;
	if (!cr && c == '\r') {
		s->at = DECODE_DOT_CR;
		*taken = 1;
		return false;
	}
	*o += release_dot(s, !cr && c == '.', out + *o);
	if (cr)
		out[(*o)++] = '\r';
	return false;
}

size_t
dot_decode(struct dot_decode_state *s, const uint8_t *in, size_t n, uint8_t *out,
	size_t *ret_taken, bool *ret_end)
{
	size_t i = 0, o = 0, run;
	bool end = false;

	CHECK(s->at <= DECODE_AFTER_CR);
	while (i < n && !end) {
		switch ((enum decode_at)s->at) {
		case DECODE_LINE_START:
			s->at = in[i] == '.' ? DECODE_DOT : DECODE_IN_LINE;
			i += in[i] == '.';
			break;
		case DECODE_DOT:
		case DECODE_DOT_CR:
			end = decode_held(s, in[i], &run, out, &o);
			i += run;
			break;
		case DECODE_AFTER_CR:
			s->at = in[i] == '\n' ? DECODE_LINE_START : DECODE_IN_LINE;
			if (in[i] == '\n')
				out[o++] = in[i++];
			break;
		case DECODE_IN_LINE:
			run = dot_decode_run(s, in + i, n - i);
			memcpy(out + o, in + i, run);
			i += run;
			o += run;
			break;
		}
	}
	*ret_taken = i;
	*ret_end = end;
	return o;
}
