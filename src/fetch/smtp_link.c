#include "fetch/smtp_link.h"

#include "os/clock.h"
#include "os/fd.h"
#include "os/tls_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MAX_MS (UINT64_C(240) * 1000) /* servers wait for 5 minutes */

/* A fault of the connection, in words. */
static int
lost(struct smtp_link *l, int err, const char *why)
{
	(void)snprintf(l->why, sizeof(l->why), "%s", why);
	return err;
}

static int
stream_lost(struct smtp_link *l)
{
	bool certificate = false;

	stream_why(&l->stream, l->why, sizeof(l->why), &certificate);
	l->refused_certificate = certificate;
	return -ECONNRESET;
}

/* 0: the socket is ready. */
static int
wait_for(struct smtp_link *l, short events, uint64_t until)
{
	for (;;) {
		uint64_t now = clock_ms();
		struct pollfd p = {l->stream.fd, events, 0};

		if (now >= until)
			return lost(l, -ETIMEDOUT, "the server does not answer in time");
		int n = poll(&p, 1, until - now > 60000 ? 60000 : (int)(until - now));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return lost(l, -errno, "cannot wait for the server");
	}
}

/* Reads what there is; -EAGAIN: nothing now. */
static int
fill(struct smtp_link *l)
{
	size_t n = 0;

	switch (stream_read(&l->stream, l->in, sizeof(l->in), &n)) {
	case STREAM_OK: l->rest = (struct view){l->in, n}; return 0;
	case STREAM_AGAIN: return -EAGAIN;
	case STREAM_END: return lost(l, -EPIPE, "the server closed the connection");
	case STREAM_ERROR: break;
	}
	return stream_lost(l);
}

int
smtp_link_reply(struct smtp_link *l, uint64_t timeout_ms, struct smtp_reply *ret)
{
	uint64_t until = clock_ms() + timeout_ms;

	for (;;) {
		int r;

		switch (smtp_client_next(&l->client, &l->rest, ret)) {
		case SMTP_CLIENT_REPLY:
			l->closing = l->closing || ret->code == 421;
			return 0;
		case SMTP_CLIENT_CHALLENGE: return 0;
		case SMTP_CLIENT_BROKEN: return lost(l, -EPROTO, ret->why);
		case SMTP_CLIENT_NEED_INPUT: break;
		}
		r = fill(l);
		if (r == -EAGAIN)
			r = wait_for(l, POLLIN, until);
		/* A server that sends a little for ever is late too. */
		if (r == 0 && clock_ms() >= until)
			r = lost(l, -ETIMEDOUT, "the server does not answer in time");
		if (r < 0)
			return r;
	}
}

int
smtp_link_glance(struct smtp_link *l)
{
	struct smtp_reply reply;

	for (;;) {
		switch (smtp_client_next(&l->client, &l->rest, &reply)) {
		case SMTP_CLIENT_REPLY:
		case SMTP_CLIENT_CHALLENGE: return lost(l, -ECONNRESET, reply.words);
		case SMTP_CLIENT_BROKEN: return lost(l, -EPROTO, reply.why);
		case SMTP_CLIENT_NEED_INPUT: break;
		}
		int r = fill(l);
		if (r < 0)
			return r == -EAGAIN ? 0 : r;
	}
}

bool
smtp_link_is_alive(struct smtp_link *l)
{
	return !l->closing && clock_ms() - l->used_ms < IDLE_MAX_MS &&
		smtp_link_glance(l) == 0;
}

int
smtp_link_flush(struct smtp_link *l, uint64_t timeout_ms)
{
	size_t left = stream_unsent(&l->stream);
	uint64_t until = clock_ms() + timeout_ms;

	for (;;) {
		enum stream_result got = stream_flush(&l->stream);

		if (got == STREAM_OK)
			return 0;
		if (got != STREAM_AGAIN)
			return stream_lost(l);
		if (stream_unsent(&l->stream) < left)
			until = clock_ms() + timeout_ms;
		left = stream_unsent(&l->stream);
		int r = wait_for(l, POLLOUT, until);
		if (r < 0)
			return r;
	}
}

int
smtp_link_send(struct smtp_link *l, const void *p, size_t n, uint64_t timeout_ms)
{
	enum stream_result got = stream_send(&l->stream, p, n);

	if (got == STREAM_OK)
		return 0;
	if (got != STREAM_AGAIN)
		return stream_lost(l);
	return smtp_link_flush(l, timeout_ms);
}

void
smtp_link_close(struct smtp_link **lp)
{
	struct smtp_link *l = *lp;
	uint8_t storage[16];
	struct buf out = buf_over(storage, sizeof(storage));
	struct smtp_reply reply;

	if (!l)
		return;
	*lp = NULL;
	if (!l->stream.broken && !l->closing && smtp_client_waits(&l->client) == 0 &&
		smtp_client_send(&l->client, SMTP_QUIT, &out) &&
		smtp_link_send(l, out.p, out.n, SMTP_QUIT_MS) == 0)
		/* What it answers changes nothing any more. */
		(void)smtp_link_reply(l, SMTP_QUIT_MS, &reply);
	stream_done(&l->stream);
	explicit_bzero(l, sizeof(*l));
	free(l);
}
