/* Where a stream's output is gathered: in the shared room, or in memory of its own. */
#include "os/tls_out.h"

#include <stdlib.h>
#include <string.h>

#define OUT_SMALL 2048

static bool
out_is_shared(const struct stream *s)
{
	return s->out && s->room && s->out == s->room->p;
}

/* What is gathered in memory of its own, of this size. */
static bool
out_move(struct stream *s, size_t cap)
{
	bool shared = out_is_shared(s);
	uint8_t *p = shared ? malloc(cap) : realloc(s->out, cap);

	if (!p)
		return false;
	if (shared) {
		memcpy(p, s->out, s->out_n);
		s->room->taken = false;
	}
	s->out = p;
	s->out_cap = cap;
	return true;
}

/* Room for n more octets. False: too many, or no memory. */
bool
tls_out_grow(struct stream *s, size_t n)
{
	size_t cap = s->out_cap;

	if (n > TLS_OUT_MAX - s->out_n)
		return false;
	if (s->out_n + n <= cap)
		return true;
	if (!s->out && s->ssl && s->room && !s->room->taken && n <= s->room->n) {
		s->room->taken = true;
		s->out = s->room->p;
		s->out_cap = s->room->n;
		return true;
	}
	cap = cap ? cap : OUT_SMALL;
	while (cap < s->out_n + n)
		cap *= 2;
	return out_move(s, cap);
}

void
tls_out_release(struct stream *s)
{
	if (out_is_shared(s))
		s->room->taken = false;
	else
		free(s->out);
	s->out = NULL;
	s->out_n = s->out_sent = s->out_cap = 0;
}

enum stream_result
stream_keep(struct stream *s)
{
	if (!out_is_shared(s))
		return STREAM_OK;
	if (stream_unsent(s) == 0) {
		tls_out_release(s);
		return STREAM_OK;
	}
	memmove(s->out, s->out + s->out_sent, stream_unsent(s));
	s->out_n = stream_unsent(s);
	s->out_sent = 0;
	if (out_move(s, s->out_n))
		return STREAM_OK;
	s->broken = true;
	s->want_write = false;
	return STREAM_ERROR;
}
