/*
 * The socket to a SOCKS5 proxy, while dial_socks.c says what goes over it.
 */
#include "os/dial_parts.h"
#include "os/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* 1: all sent; 0: wait; or -errno. */
static int
socks_send(struct dial *d)
{
	struct socks *s = &d->socks;

	while (s->out_sent < s->out_n) {
		ssize_t n = send(d->proxy.fd, s->out + s->out_sent,
			s->out_n - s->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		s->out_sent += (size_t)n;
	}
	return 1;
}

/* 1: a whole answer; 0: wait; or -errno. */
static int
socks_receive(struct dial *d)
{
	struct socks *s = &d->socks;

	while (s->in_n < s->want) {
		ssize_t n = recv(
			d->proxy.fd, s->in + s->in_n, s->want - s->in_n, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return -ECONNRESET;
		s->in_n += (size_t)n;
	}
	return 1;
}

void
dial_proxy_ready(struct source *source, uint32_t events)
{
	struct dial *d = DIAL_OF(source, proxy);
	struct socks *s = &d->socks;
	uint32_t wanted = EPOLLOUT;
	int r = 1;

	(void)events;
	while (r == 1 && s->state != SOCKS_DONE && s->state != SOCKS_FAILED) {
		wanted = EPOLLOUT;
		r = socks_send(d);
		if (r != 1)
			break;
		wanted = EPOLLIN;
		r = socks_receive(d);
		if (r == 1)
			socks_step(s);
	}
	if (r == 0)
		r = loop_change(d->loop, source, wanted);
	if (s->state == SOCKS_FAILED) {
		dial_fail(d, s->error, s->temporary, s->why);
	} else if (r < 0) {
		const char *text = strerrordesc_np(-r);
		dial_fail(d, r, true,
			r == -ECONNRESET ? "it closed the connection"
				: text	 ? text
					 : "an unknown error");
	} else if (s->state == SOCKS_DONE) {
		loop_remove(d->loop, source);
		dial_finish(d, fd_take(&source->fd), false, "");
	}
}
