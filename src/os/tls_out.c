/* Buffers of streams: what they share, and what they have of their own. */
#include "os/tls_out.h"

#include "base/check.h"

#include <openssl/ssl.h>
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

/* ---- OpenSSL's buffers
 * ---------------------------------------------------------------- */

/* Moves ssl from where it stands, or in the place of the last one, which is returned. */
static SSL *
to_front(struct stream_room *r, SSL *ssl)
{
	size_t at = 0;

	while (at < STREAMS_WARM - 1 && r->warm[at] != ssl)
		at++;
	SSL *was = r->warm[at];
	memmove(&r->warm[1], &r->warm[0], at * sizeof(r->warm[0]));
	r->warm[0] = ssl;
	return was;
}

bool
tls_out_can_give_back(unsigned long version)
{
	/* The first patch of 3.0, 3.1, 3.2, 3.3 that has it. */
	static const uint8_t mended[] = {14, 6, 2, 1};
	unsigned long major = version >> 28, minor = version >> 20 & 0xff,
		      patch = version >> 4 & 0xff;

	return major > 3 ||
		(major == 3 && (minor >= ARRAY_SIZE(mended) || patch >= mended[minor]));
}

void
tls_warm(struct stream *s)
{
	if (!s->room || s->room->warm[0] == s->ssl ||
		!tls_out_can_give_back(OpenSSL_version_num()))
		return;
	SSL *was = to_front(s->room, s->ssl);
	if (was == s->ssl)
		return;
	(void)SSL_clear_mode((SSL *)s->ssl, SSL_MODE_RELEASE_BUFFERS);
	if (!was)
		return;
	/* Where a part of a record waits in them, they go with the rest of it. */
	(void)SSL_set_mode(was, SSL_MODE_RELEASE_BUFFERS);
	(void)SSL_free_buffers(was);
}

void
tls_cool(struct stream *s)
{
	struct stream_room *r = s->room;

	for (size_t i = 0; r && s->ssl && i < STREAMS_WARM; i++) {
		if (r->warm[i] != s->ssl)
			continue;
		memmove(&r->warm[i], &r->warm[i + 1],
			(STREAMS_WARM - 1 - i) * sizeof(r->warm[0]));
		r->warm[STREAMS_WARM - 1] = NULL;
		return;
	}
}
