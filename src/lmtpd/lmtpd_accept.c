/* Listening sockets: who is let in, and how those are told who are not. */
#include "base/check.h"
#include "lmtpd/mta.h"
#include "os/address.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define ACCEPTS_A_ROUND 16U
#define PAUSE_MS	1000U

static void
listener_close(struct lmtpd *l, size_t idx)
{
	struct lmtp_listener *n = l->listeners[idx];

	loop_remove(l->loop, &n->source);
	fd_close(&n->source.fd);
	l->listeners[idx] = l->listeners[--l->listeners_n];
	loop_defer_free(l->loop, n);
}

void
lmtpd_accept_close_all(struct lmtpd *l)
{
	while (l->listeners_n > 0)
		listener_close(l, l->listeners_n - 1);
}

void
lmtpd_accept_gone(struct lmtpd *l, uint32_t number)
{
	for (size_t i = l->listeners_n; i > 0; i--)
		if (l->listeners[i - 1]->number == number)
			listener_close(l, i - 1);
}

void
lmtpd_accept_update(struct lmtpd *l)
{
	bool listens = l->has_auth && !l->pause.slot;

	for (size_t i = 0; i < l->listeners_n; i++) {
		struct source *s = &l->listeners[i]->source;
		if (!listens)
			loop_remove(l->loop, s);
		else if (!s->on && loop_add(l->loop, s, EPOLLIN) < 0)
			lmtpd_end(l, 71);
	}
}

static void
pause_over(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	lmtpd_accept_update(CONTAINER_OF(t, struct lmtpd, pause));
}

void
lmtpd_accept_init(struct lmtpd *l)
{
	l->pause.fire = pause_over;
}

/* Neither accepting nor asking again at once would help: a pause keeps the loop free. */
static void
pause_accepting(struct lmtpd *l, int err)
{
	report_error("accept_paused", "no descriptor or memory for a connection", err);
	if (loop_timer_set(l->loop, &l->pause, loop_now_ms(l->loop) + PAUSE_MS) == 0)
		lmtpd_accept_update(l);
}

static void
refuse(int fd, const uint8_t *address, const char *why, struct view words)
{
	stat_add(STAT_LMTP_CONNECTIONS_REFUSED, 1);
	report_connect_refused(address, why);
	(void)send(fd, words.p, words.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
serve(struct lmtp_listener *n, int take_fd, const union socket_address *from)
{
	struct lmtpd *l = n->lmtpd;
	AUTO_FD fd = take_fd;
	uint8_t storage[ADDRESS_OCTETS], *address = NULL;
	struct view networks = {l->networks, l->networks_n};
	uint16_t port = 0;
	bool v4;

	if (!n->is_local) {
		if (!address_from_kernel(from, storage, &v4, &port))
			return;
		address = storage;
	}
	if (address && !core_may_connect(networks, address)) {
		refuse(fd, address, "networks",
			VIEW("554 5.7.1 no service for your address\r\n"));
		return;
	}
	if (l->mtas_n >= l->connections_max) {
		refuse(fd, address, "connections",
			VIEW("421 4.3.2 too many connections, try again later\r\n"));
		return;
	}
	stat_add(STAT_LMTP_CONNECTIONS, 1);
	if (!mta_new(l, fd_take(&fd), address, port))
		report_error("connection_failed", "no memory", -ENOMEM);
}

static void
listener_ready(struct source *s, uint32_t events)
{
	struct lmtp_listener *n = CONTAINER_OF(s, struct lmtp_listener, source);

	(void)events;
	for (uint32_t i = 0; i < ACCEPTS_A_ROUND && s->on; i++) {
		union socket_address from = {0};
		socklen_t size = sizeof(from);
		int fd = accept4(s->fd, &from.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			serve(n, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			errno == ENOBUFS)
			pause_accepting(n->lmtpd, -errno);
		else if (errno == EAGAIN || errno == EINTR || errno == EINVAL ||
			errno == EBADF)
			return;
		/* Anything else is the fault of that one connection, gone already. */
	}
}

int
lmtpd_listen(struct lmtpd *l, int take_fd, const struct msg_lmtp_listener *m)
{
	AUTO_FD fd = take_fd;

	if (l->listeners_n == LMTPD_LISTENERS_MAX || m->local > 1)
		return -EINVAL;
	/* It outlives this process, so it is the monitor who sets what it is like. */
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || !(flags & O_NONBLOCK))
		return -EINVAL;
	struct lmtp_listener *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	n->source = (struct source){.fd = fd_take(&fd), .ready = listener_ready};
	n->lmtpd = l;
	n->number = m->listener;
	n->is_local = m->local;
	l->listeners[l->listeners_n++] = n;
	lmtpd_accept_update(l);
	return 0;
}
