/* Octets of a connection, in and out, and what the loop is asked for. */
#include "front/conn.h"

#include "base/check.h"
#include "front/transfer.h"

#include <errno.h>
#include <linux/tcp.h> /* the one of glibc lacks what was acknowledged */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

void
conn_in_begin(struct conn *c, struct turn *t)
{
	t->in = (struct view){c->left ? c->left + c->left_at : NULL, c->left_n};
}

void
conn_in_drop(struct conn *c)
{
	if (!c->left)
		return;
	/* Also after login: what was left over before it may begin with the password. */
	explicit_bzero(c->left, c->left_cap);
	free(c->left);
	c->left = NULL;
	c->left_at = c->left_n = c->left_cap = 0;
}

enum io
conn_in_more(struct conn *c, struct turn *t)
{
	struct front *f = c->front;
	size_t kept = t->in.n, got = 0;

	if (!t->readable && !stream_has_pending(&c->stream))
		return IO_WAIT;
	if (kept > FRONT_KEPT_MAX)
		return IO_LOST; /* no line is that long: the session throws such away */
	if (kept > 0)
		memmove(f->in, t->in.p, kept);
	t->in = (struct view){f->in, kept};
	t->in_used = t->in_used > kept ? t->in_used : kept;
	conn_in_drop(c);
	t->readable = false;
	switch (stream_read(&c->stream, f->in + kept, FRONT_READ_MAX, &got)) {
	case STREAM_OK: break;
	case STREAM_AGAIN: return IO_WAIT;
	case STREAM_END: return IO_END;
	case STREAM_ERROR: return IO_LOST;
	}
	t->in.n = kept + got;
	t->in_used = t->in_used > t->in.n ? t->in_used : t->in.n;
	c->is_filled = got == FRONT_READ_MAX || stream_has_pending(&c->stream);
	return IO_OK;
}

/* The rest lies in front->in, which others will use. */
static int
keep_rest(struct conn *c, const struct turn *t)
{
	CHECK(!c->left);
	uint8_t *p = malloc(t->in.n);
	if (!p)
		return -ENOMEM;
	memcpy(p, t->in.p, t->in.n);
	c->left = p;
	c->left_at = 0;
	c->left_n = c->left_cap = (uint32_t)t->in.n;
	return 0;
}

int
conn_in_end(struct conn *c, struct turn *t)
{
	int r = 0;

	if (t->in.n == 0) {
		conn_in_drop(c);
	} else if (c->left) {
		/* What was taken may be a password; the rest may stay for long. */
		uint32_t at = (uint32_t)(t->in.p - c->left);
		explicit_bzero(c->left + c->left_at, at - c->left_at);
		c->left_at = at;
		c->left_n = (uint32_t)t->in.n;
	} else {
		r = keep_rest(c, t);
	}
	if (t->in_used > 0 && !c->is_attached)
		explicit_bzero(c->front->in, t->in_used);
	return r;
}

/* ---- progress while sending --------------------------------------------- */

#define LOOKS 8 /* within one idle_timeout */

/* Also where nothing is left over: what yielded in RUN or BODY waits to be writable. */
bool
conn_is_sending(const struct conn *c)
{
	return c->is_attached &&
		(stream_unsent(&c->stream) > 0 || c->at == CONN_RUN ||
			c->at == CONN_BODY);
}

uint64_t
conn_look_due(const struct conn *c)
{
	return c->looked_ms + c->options->session.idle_timeout_s * UINT64_C(1000) / LOOKS;
}

static void
note_progress(struct conn *c, uint64_t now_ms)
{
	session_progress(&c->session, now_ms);
	c->looked_ms = now_ms;
}

/*
 * The kernel's buffers hold megabytes: a slow client lets us write once in many minutes,
 * and reads all the time. So what its side has taken counts, not what we could write.
 */
void
conn_look_for_progress(struct conn *c, uint64_t now_ms)
{
	struct tcp_info info = {0};
	socklen_t n = sizeof(info);

	c->looked_ms = now_ms;
	if (getsockopt(c->source.fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
		return;
	if (info.tcpi_bytes_acked > c->acked)
		note_progress(c, now_ms);
	c->acked = info.tcpi_bytes_acked;
}

enum io
conn_flush(struct conn *c, struct turn *t)
{
	size_t before = stream_unsent(&c->stream) + t->out.n;
	if (before == 0)
		return IO_OK;
	enum stream_result r = stream_send(&c->stream, t->out.p, t->out.n);
	t->sent += t->out.n;
	t->out.n = 0;
	/* Before login nothing that the client does moves its time limit. */
	if (c->is_attached && stream_unsent(&c->stream) < before)
		note_progress(c, loop_now_ms(c->front->loop));
	switch (r) {
	case STREAM_OK: break;
	case STREAM_AGAIN: return IO_WAIT;
	case STREAM_END:
	case STREAM_ERROR: return IO_LOST;
	}
	if (c->transfer)
		transfer_send_seen(c);
	return IO_OK;
}

static bool
wants_input(const struct conn *c)
{
	if (stream_unsent(&c->stream) > 0)
		return false;
	return c->at == CONN_INPUT || c->at == CONN_HANDSHAKE || c->at == CONN_LINGER ||
		c->at == CONN_PROXY || c->at == CONN_KPOP;
}

static bool
wants_output(const struct conn *c, const struct turn *t)
{
	if (t->yields || stream_unsent(&c->stream) > 0)
		return true;
	return c->stream.want_write &&
		(c->at == CONN_INPUT || c->at == CONN_HANDSHAKE || c->at == CONN_KPOP);
}

/*
 * EPOLLIN stays registered while an answer is awaited, which saves two calls a command;
 * it goes when octets come that cannot be taken. A connection that yields waits to be
 * writable, which it is: so its next turn comes in the loop's next round.
 */
int
conn_arm(struct conn *c, const struct turn *t)
{
	uint32_t events = c->source.events & EPOLLIN;
	bool out = wants_output(c, t);

	if (c->is_peer_gone)
		return 0;
	if (wants_input(c))
		events |= EPOLLIN;
	else if (t->readable || out)
		events = 0;
	if (out)
		events |= EPOLLOUT;
	if (c->source.on)
		return loop_change(c->front->loop, &c->source, events);
	return loop_add(c->front->loop, &c->source, events);
}
