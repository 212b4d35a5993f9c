/* Listening sockets: who is let in, and how those are told who are not. */
#include "front/conn.h"

#include "base/check.h"
#include "os/address.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define ACCEPTS_A_ROUND 64 /* others come between two such rounds of a storm */
#define PAUSE_MS	1000U

/* ---- listeners ---------------------------------------------------------- */

static void
listener_close(struct front *f, size_t idx)
{
	struct listener *l = f->listeners[idx];

	loop_remove(f->loop, &l->source);
	fd_close(&l->source.fd);
	rules_unref(&l->rules);
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
		if (f->listeners[i - 1]->rules->listener == number)
			listener_close(f, i - 1);
}

void
accept_update(struct front *f)
{
	bool room = !f->is_full || f->all_full;
	/* Who came before auth said what there is would find nothing to log in with. */
	bool listens =
		f->options && f->has_auth && f->offer.is_there && !f->pause.slot && room;

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

/* A fatal alert, internal_error (RFC 8446, 5.1, 6 and 6.2): what a client that expects
 * TLS can be told without a handshake. */
static const uint8_t tls_alert[] = {21, 3, 3, 0, 2, 2, 80};

static void
refuse(const struct rules *r, int fd, struct view why)
{
	uint8_t hello[1024];

	stat_add(STAT_CONNECTIONS_REFUSED, 1);
	/* One that expects Kerberos would understand neither. */
	if (r->kpop || fd < 0)
		return;
	if (r->implicit_tls) {
		/* What came and is not read would make a reset of the end, and that would
		 * take the alert with it. */
		(void)recv(fd, hello, sizeof(hello), MSG_DONTWAIT | MSG_TRUNC);
		why = (struct view){tls_alert, sizeof(tls_alert)};
	}
	(void)send(fd, why.p, why.n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool
accept_admit(struct front *f, const struct rules *r, int fd,
	const uint8_t address[FRONT_ADDRESS_OCTETS], uint64_t *ret_hash)
{
	if (deny_has(&f->deny, address)) {
		report_away(f, AWAY_DENIED, address);
		return false;
	}
	uint64_t hash = peers_hash(&f->peers, address);
	if (!peers_add(&f->peers, hash, f->options->connections_per_address)) {
		refuse(r, fd,
			VIEW("-ERR [SYS/TEMP] too many connections from your "
			     "address\r\n"));
		return false;
	}
	*ret_hash = hash;
	return true;
}

/* On a listener for proxies the address to be looked at comes with the header. */
static bool
admit_socket(struct front *f, const struct rules *r, int fd,
	const uint8_t address[FRONT_ADDRESS_OCTETS], uint64_t *ret_hash)
{
	if (r->proxies.n == 0)
		return accept_admit(f, r, fd, address, ret_hash);
	*ret_hash = 0;
	if (networks_have(&r->proxies, address))
		return true;
	report_away(f, AWAY_NO_PROXY, address);
	return false;
}

static void
serve(struct listener *l, int take_fd, const union socket_address *from)
{
	struct front *f = l->front;
	struct rules *r = l->rules;
	AUTO_FD fd = take_fd;
	uint8_t address[FRONT_ADDRESS_OCTETS];
	uint64_t hash;
	uint16_t port = 0;
	bool v4;

	if (f->is_full) {
		refuse(r, fd,
			VIEW("-ERR [SYS/TEMP] too many connections, try again "
			     "later\r\n"));
		return;
	}
	if (r->implicit_tls && !f->tls) {
		refuse(r, fd, VIEW("")); /* as an alert */
		return;
	}
	if (!address_from_kernel(from, address, &v4, &port))
		return;
	if (!admit_socket(f, r, fd, address, &hash))
		return;
	struct conn *c = conn_new(f, fd_take(&fd), r, address, port);
	if (!c) {
		if (hash != 0)
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

	unsigned asked = channel_pace_begin(&l->pace, ACCEPTS_A_ROUND);
	bool dry = false;

	(void)events;
	for (unsigned i = 0; i < asked && s->on && !dry; i++) {
		union socket_address from = {0};
		socklen_t n = sizeof(from);
		int fd = accept4(s->fd, &from.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			serve(l, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			errno == ENOBUFS)
			pause_accepting(l->front, -errno);
		else /* Anything else is the fault of that one connection, gone already.
		      */
			dry = errno == EAGAIN || errno == EINVAL || errno == EBADF;
	}
	channel_pace_end(&l->pace, asked, dry);
}

int
accept_add(struct front *f, int take_fd, const struct msg_front_listener *m)
{
	AUTO_FD fd = take_fd;

	if (f->listeners_n == FRONT_LISTENERS_MAX)
		return -EINVAL;
	/* Shared with other fronts, so it is the monitor who sets what it is like. */
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || !(flags & O_NONBLOCK))
		return -EINVAL;
	struct rules *r = rules_new(m);
	struct listener *l = r ? calloc(1, sizeof(*l)) : NULL;
	if (!l) {
		rules_unref(&r);
		return -EINVAL;
	}
	l->source = (struct source){.fd = fd_take(&fd), .ready = listener_ready};
	l->front = f;
	l->rules = r;
	f->listeners[f->listeners_n++] = l;
	accept_update(f);
	return 0;
}
