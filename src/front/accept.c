/* Listening sockets: who is let in, and how those are told who are not. */
#include "front/conn.h"

#include "base/check.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define ACCEPTS_A_ROUND 64 /* others come between two such rounds of a storm */
#define PAUSE_MS	1000U
#define KEEPALIVE_S	60
#define KEEPALIVE_TRIES 3
#define USER_TIMEOUT_MS 120000

/* ---- listeners ---------------------------------------------------------- */

static int
set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/*
 * Accepted sockets inherit these from the listener, which saves five calls a connection.
 * A vanished phone must not hold its maildrop for long (threats: idle).
 */
static void
set_options(int fd)
{
	(void)set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	(void)set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	(void)set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
	(void)set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S / KEEPALIVE_TRIES);
	(void)set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES);
	(void)set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

static void
listener_close(struct front *f, size_t idx)
{
	struct listener *l = f->listeners[idx];

	loop_remove(f->loop, &l->source);
	fd_close(&l->source.fd);
	f->listeners[idx] = f->listeners[--f->listeners_n];
	loop_defer_free(f->loop, l);
}

void
accept_close_all(struct front *f)
{
	while (f->listeners_n > 0)
		listener_close(f, f->listeners_n - 1);
}

void
accept_gone(struct front *f, uint32_t number)
{
	for (size_t i = f->listeners_n; i > 0; i--)
		if (f->listeners[i - 1]->number == number)
			listener_close(f, i - 1);
}

void
accept_update(struct front *f)
{
	bool room = !f->is_full || f->all_full;
	bool listens = f->options && f->has_auth && !f->pause.slot && room;

	for (size_t i = 0; i < f->listeners_n; i++) {
		struct source *s = &f->listeners[i]->source;
		if (!listens)
			loop_remove(f->loop, s);
		else if (!s->on && loop_add(f->loop, s, EPOLLIN | EPOLLEXCLUSIVE) < 0)
			front_end(f, 71);
	}
}

static void
pause_over(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	accept_update(CONTAINER_OF(t, struct front, pause));
}

void
accept_pause_init(struct front *f)
{
	f->pause.fire = pause_over;
}

/* Neither accepting nor asking again at once would help: a pause keeps the loop free. */
static void
pause_accepting(struct front *f, int err)
{
	report_error("accept_paused", "no descriptor or memory for a connection", err);
	if (loop_timer_set(f->loop, &f->pause, loop_now_ms(f->loop) + PAUSE_MS) == 0)
		accept_update(f);
}

/* ---- places ------------------------------------------------------------- */

static void
place_taken(struct front *f)
{
	if (f->vacant_n > 0 && !f->is_spent)
		return;
	f->is_full = true;
	monitor_tell_full(f);
	accept_update(f);
}

void
accept_place_free(struct front *f)
{
	uint32_t slack = f->sessions_max / 32 + 1;

	if ((f->is_draining || f->is_spent) && f->conns_n == 0)
		front_end(f, 0);
	/* Some room at once, so that a full front does not send two messages a session.
	 */
	if (!f->is_full || f->is_spent || f->vacant_n < slack)
		return;
	f->is_full = false;
	monitor_tell_full(f);
	accept_update(f);
}

/* ---- connections -------------------------------------------------------- */

static void
refuse(const struct listener *l, int fd, struct view why)
{
	stat_add(STAT_CONNECTIONS_REFUSED, 1);
	/* A client that expects TLS would not understand it. */
	if (!l->implicit_tls)
		(void)send(fd, why.p, why.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
address_of(const struct sockaddr_storage *ss, uint8_t address[FRONT_ADDRESS_OCTETS],
	uint16_t *ret_port)
{
	memset(address, 0, FRONT_ADDRESS_OCTETS);
	if (ss->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;
		memcpy(&in6, ss, sizeof(in6));
		memcpy(address, &in6.sin6_addr, FRONT_ADDRESS_OCTETS);
		*ret_port = ntohs(in6.sin6_port);
		return;
	}
	struct sockaddr_in in4;
	memcpy(&in4, ss, sizeof(in4));
	address[10] = address[11] = 0xFF;
	memcpy(address + 12, &in4.sin_addr, 4);
	*ret_port = ntohs(in4.sin_port);
}

static void
serve(struct listener *l, int take_fd, const struct sockaddr_storage *ss)
{
	struct front *f = l->front;
	AUTO_FD fd = take_fd;
	uint8_t address[FRONT_ADDRESS_OCTETS];
	uint16_t port = 0;

	if (f->is_full) {
		refuse(l, fd,
			VIEW("-ERR [SYS/TEMP] too many connections, try again "
			     "later\r\n"));
		return;
	}
	if (l->implicit_tls && !f->tls) {
		refuse(l, fd, VIEW(""));
		return;
	}
	address_of(ss, address, &port);
	uint64_t hash = peers_hash(&f->peers, address);
	if (!peers_add(&f->peers, hash, f->options->connections_per_address)) {
		refuse(l, fd,
			VIEW("-ERR [SYS/TEMP] too many connections from your "
			     "address\r\n"));
		return;
	}
	struct conn *c = conn_new(f, fd_take(&fd), l, address, port);
	if (!c) {
		peers_remove(&f->peers, hash);
		return;
	}
	c->peer_hash = hash;
	f->is_spent = f->sessions_max == 1;
	stat_add(STAT_CONNECTIONS, 1);
	place_taken(f);
	conn_start(c);
}

static void
listener_ready(struct source *s, uint32_t events)
{
	struct listener *l = CONTAINER_OF(s, struct listener, source);

	(void)events;
	for (int i = 0; i < ACCEPTS_A_ROUND && s->on; i++) {
		struct sockaddr_storage ss = {0};
		socklen_t n = sizeof(ss);
		int fd = accept4(
			s->fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			serve(l, fd, &ss);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			errno == ENOBUFS)
			pause_accepting(l->front, -errno);
		else if (errno == EAGAIN || errno == EINVAL || errno == EBADF)
			return;
		/* Anything else is the fault of that one connection, gone already. */
	}
}

int
accept_add(struct front *f, int take_fd, const struct msg_front_listener *m)
{
	AUTO_FD fd = take_fd;

	if (f->listeners_n == FRONT_LISTENERS_MAX || m->plaintext > 2 ||
		m->implicit_tls > 1)
		return -EINVAL;
	int r = fd_nonblock(fd);
	if (r < 0)
		return r;
	struct listener *l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	set_options(fd);
	l->source = (struct source){.fd = fd_take(&fd), .ready = listener_ready};
	l->front = f;
	l->number = m->listener;
	l->implicit_tls = m->implicit_tls;
	l->plaintext = m->plaintext;
	f->listeners[f->listeners_n++] = l;
	accept_update(f);
	return 0;
}
