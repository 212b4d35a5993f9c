#include "base/check.h"
#include "pop3/dot.h"

#include <string.h>

/*
 * Only CRLF ends a line here, and only CRLF . CRLF the message (or . CRLF at its start):
 * a bare LF or CR around a lone dot is content. A dot, and a CR behind it, are held back
 * until the next octet says what they were.
 */
enum decode_at {
	DECODE_LINE_START = 0,
	DECODE_DOT,
	DECODE_DOT_CR,
	DECODE_IN_LINE,
	DECODE_AFTER_CR,
};

/* Copies up to and including the next LF, or all; where that leaves us. */
static uint8_t
decode_line(const uint8_t *in, size_t n, uint8_t *out, size_t *ret_n)
{
	const uint8_t *lf = memchr(in, '\n', n);
	size_t line = lf ? (size_t)(lf - in) + 1 : n;

	memcpy(out, in, line);
	*ret_n = line;
	if (!lf)
		return in[n - 1] == '\r' ? DECODE_AFTER_CR : DECODE_IN_LINE;
	return line > 1 && lf[-1] == '\r' ? DECODE_LINE_START : DECODE_IN_LINE;
}

size_t
dot_decode(struct dot_decode_state *s, const uint8_t *in, size_t n, uint8_t *out,
	size_t *ret_taken, bool *ret_end)
{
	size_t i = 0, o = 0, line;
	bool end = false;

	CHECK(s->at <= DECODE_AFTER_CR);
	while (i < n && !end) {
		switch ((enum decode_at)s->at) {
		case DECODE_LINE_START:
			s->at = in[i] == '.' ? DECODE_DOT : DECODE_IN_LINE;
			i += in[i] == '.';
			break;
		case DECODE_DOT:
			s->at = in[i] == '\r' ? DECODE_DOT_CR : DECODE_IN_LINE;
			i += in[i] == '\r';
			break;
		case DECODE_DOT_CR:
			end = in[i] == '\n';
			i += end;
			s->at = end ? DECODE_LINE_START : DECODE_AFTER_CR;
			if (!end)
				out[o++] = '\r';
			break;
		case DECODE_AFTER_CR:
			s->at = in[i] == '\n' ? DECODE_LINE_START : DECODE_IN_LINE;
			if (in[i] == '\n')
				out[o++] = in[i++];
			break;
		case DECODE_IN_LINE:
			s->at = decode_line(in + i, n - i, out + o, &line);
			i += line;
			o += line;
			break;
		}
	}
	*ret_taken = i;
	*ret_end = end;
	return o;
}
