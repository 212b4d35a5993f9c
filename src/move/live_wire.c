/*
 * live_wire.c: octets in and out with a deadline, and what is said where that fails.
 */
#include "move/live_parts.h"
#include "move/show.h"
#include "os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define WORDS_MAX 200

static void
note(struct live *l, const char *what, struct view words)
{
	char shown[WORDS_MAX + 8], number[16] = "";
	struct buf b = buf_over(shown, sizeof(shown) - 1);
	const struct live_url *u = &l->options.url;

	if (l->msgno > 0)
		(void)snprintf(number, sizeof(number), " %u", (unsigned)l->msgno);
	show_printable(&b, words, WORDS_MAX);
	shown[b.n] = '\0';
	(void)snprintf(l->why, sizeof(l->why), "%.255s:%u: %s%s: %.500s%s%s", u->host,
		(unsigned)u->port, l->step, number, what, b.n > 0 ? ": " : "", shown);
}

int
live_fail(struct live *l, int err, const char *what, struct view words)
{
	note(l, what, words);
	l->broken = true;
	return err;
}

int
live_refused(struct live *l, int err, const struct pop3_answer *answer)
{
	note(l, "the server says -ERR", answer->text);
	switch (answer->code) {
	case POP3_CODE_IN_USE:
	case POP3_CODE_LOGIN_DELAY:
	case POP3_CODE_SYS_TEMP: return -EAGAIN;
	case POP3_CODE_SYS_PERM: return -EPROTO;
	case POP3_CODE_NONE:
	case POP3_CODE_OTHER:
	case POP3_CODE_AUTH: break;
	}
	return err;
}

int
live_lost(struct live *l)
{
	char why[LIVE_WHY_MAX / 2];
	bool certificate;

	stream_why(&l->stream, why, sizeof(why), &certificate);
	return live_fail(l, certificate ? -EKEYREJECTED : -ECONNRESET, why, LIVE_NOTHING);
}

void
live_expect(struct live *l)
{
	l->until = clock_ms() + l->options.timeout_ms;
	l->progress = 0;
}

int
live_wait(struct live *l, short events)
{
	for (;;) {
		struct pollfd p = {l->stream.fd, events, 0};
		uint64_t now = clock_ms();

		if (now >= l->until)
			return live_fail(l, -ETIMEDOUT,
				"the server is silent, or too slow to wait for",
				LIVE_NOTHING);
		uint64_t left = l->until - now;
		int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return live_fail(l, -errno, strerror(errno), LIVE_NOTHING);
	}
}

/* A server that sends an octet now and then would keep us for ever otherwise. */
static void
took(struct live *l, size_t n)
{
	l->progress += n;
	if (l->progress >= LIVE_STEP_OCTETS)
		live_expect(l);
}

static int
fill(struct live *l)
{
	size_t kept = l->rest.n, n = 0;

	if (kept > 0)
		memmove(l->in, l->rest.p, kept);
	l->rest.p = l->in;
	if (kept == sizeof(l->in))
		return live_fail(
			l, -EPROTO, "a line of the server has no end", LIVE_NOTHING);
	for (;;) {
		switch (stream_read(&l->stream, l->in + kept, sizeof(l->in) - kept, &n)) {
		case STREAM_OK:
			l->rest = (struct view){l->in, kept + n};
			took(l, n);
			return 0;
		case STREAM_END:
			return live_fail(l, -ECONNRESET,
				"the server closed the connection in the middle",
				LIVE_NOTHING);
		case STREAM_ERROR: return live_lost(l);
		case STREAM_AGAIN: break;
		}
		int r = live_wait(l, POLLIN);
		if (r < 0)
			return r;
	}
}

int
live_next(struct live *l, enum pop3_client_event *ret_event, struct pop3_answer *ret)
{
	for (;;) {
		*ret_event = pop3_client_next(
			&l->client, &l->rest, l->scratch, sizeof(l->scratch), ret);
		if (*ret_event == POP3_CLIENT_BROKEN)
			return live_fail(l, -EPROTO, ret->why, ret->text);
		if (*ret_event == POP3_CLIENT_STATUS || *ret_event == POP3_CLIENT_END)
			live_expect(l);
		if (*ret_event != POP3_CLIENT_NEED_INPUT)
			return 0;
		int r = fill(l);
		if (r < 0)
			return r;
	}
}

int
live_send(struct live *l, struct buf *out)
{
	enum stream_result got = STREAM_OK;

	if (out->n > 0)
		got = stream_send(&l->stream, out->p, out->n);
	explicit_bzero(out->p, out->n);
	out->n = 0;
	live_expect(l);
	while (got == STREAM_AGAIN) {
		int r = live_wait(
			l, (short)(l->stream.want_write ? POLLOUT : POLLIN | POLLOUT));
		if (r < 0)
			return r;
		got = stream_flush(&l->stream);
	}
	return got == STREAM_OK ? 0 : live_lost(l);
}

int
live_ask(struct live *l, enum pop3_command command, struct pop3_answer *ret)
{
	struct buf out = buf_over(l->out, sizeof(l->out));
	enum pop3_client_event e;

	if (!pop3_client_send(&l->client, command, 0, 0, &out))
		return live_fail(
			l, -EPROTO, "nothing can be asked any more", LIVE_NOTHING);
	int r = live_send(l, &out);
	if (r == 0)
		r = live_next(l, &e, ret);
	if (r == 0 && e != POP3_CLIENT_STATUS)
		r = live_fail(l, -EPROTO, "the server answers something else", ret->text);
	return r;
}

int
live_handshake(struct live *l)
{
	char why[LIVE_WHY_MAX / 2] = "";
	struct tls_context *c;

	if (tls_client_context_new(&l->options.tls, &c, why, sizeof(why)) < 0)
		return live_fail(l, -EINVAL, why, LIVE_NOTHING);
	live_expect(l);
	enum stream_result r = stream_connect_tls(
		&l->stream, c, l->options.url.host, true, LIVE_NOTHING);
	tls_context_unref(&c);
	if (r == STREAM_OK)
		r = stream_handshake(&l->stream);
	while (r == STREAM_AGAIN) {
		short events = (short)(POLLIN | (l->stream.want_write ? POLLOUT : 0));
		int err = live_wait(l, events);
		if (err < 0)
			return err;
		r = stream_handshake(&l->stream);
	}
	if (r != STREAM_OK)
		return live_lost(l);
	l->facts.secured = true;
	return 0;
}
