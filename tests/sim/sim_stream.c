/*
 * Connections of the network: octets that arrive later, in pieces, in order; an end, a
 * reset, or silence. The other side is a process, or an actor of the simulation.
 */
#include "sim.h"
#include "sim_calls.h"
#include "sim_disk.h"
#include "sim_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SILENCE_NS (120 * K_S) /* TCP_USER_TIMEOUT */

struct arrival {
	struct pipe *pipe;
	size_t n;
};

static struct file *listeners[16];
static size_t listeners_n;

struct pipe *
k_pipe(void)
{
	return k_new(sizeof(struct pipe));
}

static void
tell_reader(struct pipe *p)
{
	if (p->reader)
		k_notify(p->reader);
	else if (p->got)
		p->got(p->actor);
}

static void
arrived(void *arg)
{
	struct arrival *a = arg;

	if (a->pipe->silent || a->pipe->reset)
		return;
	a->pipe->arrived += a->n;
	tell_reader(a->pipe);
}

static void
fin_arrived(void *arg)
{
	struct pipe *p = arg;

	if (p->silent || p->reset)
		return;
	p->fin_came = true;
	tell_reader(p);
}

static uint64_t
delay(struct pipe *p)
{
	uint64_t at = k_world.now_ns + 1000 + k_below(k_world.delay_ns + 1);

	if (at < p->last_ns)
		at = p->last_ns;
	p->last_ns = at;
	return at - k_world.now_ns;
}

void
k_pipe_send(struct pipe *p, const void *octets, size_t n)
{
	if (n == 0)
		return;
	if (p->at + p->n + n > p->cap) {
		p->cap = 2 * (p->n + n) + 256;
		uint8_t *grown = k_new(p->cap);
		if (p->n > 0)
			memcpy(grown, p->p + p->at, p->n);
		p->p = grown;
		p->at = 0;
	}
	memcpy(p->p + p->at + p->n, octets, n);
	p->n += n;
	while (n > 0) {
		struct arrival *a = k_new(sizeof(*a));
		size_t piece = k_chance(700) ? n : 1 + k_below(n);
		*a = (struct arrival){p, piece};
		k_after(delay(p), arrived, a);
		n -= piece;
	}
}

void
k_pipe_fin(struct pipe *p)
{
	if (p->fin)
		return;
	p->fin = true;
	k_after(delay(p), fin_arrived, p);
}

/* Both directions are to be reset by whoever does it. */
void
k_pipe_reset(struct pipe *p)
{
	p->reset = true;
	tell_reader(p);
}

size_t
k_pipe_room(const struct pipe *p)
{
	return p->n >= k_world.window ? 0 : k_world.window - p->n;
}

size_t
k_pipe_take(struct pipe *p, void *octets, size_t n, bool peek)
{
	if (n > p->arrived)
		n = p->arrived;
	if (n > 0)
		memcpy(octets, p->p + p->at, n);
	if (peek)
		return n;
	p->at += n;
	p->n -= n;
	p->arrived -= n;
	if (n > 0 && p->writer)
		k_notify(p->writer);
	if (n > 0 && p->room)
		p->room(p->actor);
	return n;
}

/* ---- the side of a process
 * ------------------------------------------------------------- */

void
k_stream_close(struct file *f)
{
	f->in->reader = NULL;
	f->out->writer = NULL;
	if (f->in->n > 0 && f->in->arrived > 0) {
		/* RFC 1122 s.4.2.2.13: octets that nobody will read. */
		k_trace("port %u: reset", f->port);
		k_pipe_reset(f->out);
	} else {
		k_pipe_fin(f->out);
	}
	f->in->reset = true;
	f->in->room = NULL;
}

static void
gave_up(void *arg)
{
	struct pipe *p = arg;

	if (p->reader && !p->reset)
		k_pipe_reset(p);
}

/* A cable is cut: nobody is told, until the server's keepalive notices. */
void
k_pipe_cut(struct pipe *to_server, struct pipe *to_client)
{
	to_server->silent = to_client->silent = true;
	k_after(SILENCE_NS, gave_up, to_server);
}

bool
k_connect(uint16_t port, struct pipe *to_server, struct pipe *to_client)
{
	static uint16_t ports = 20000;
	struct file *l = NULL;

	for (size_t i = 0; i < listeners_n; i++)
		if (listeners[i]->port == port)
			l = listeners[i];
	if (!l || l->waiting_n == BACKLOG)
		return false;
	struct file *f = k_file(FILE_STREAM, 04002);
	f->in = to_server;
	f->out = to_client;
	f->port = ++ports;
	to_server->reader = f;
	to_client->writer = f;
	l->waiting[l->waiting_n++] = f;
	k_notify(l);
	return true;
}

void
k_listener_close(struct file *f)
{
	for (size_t i = 0; i < listeners_n; i++)
		if (listeners[i] == f)
			listeners[i--] = listeners[--listeners_n];
	for (size_t i = 0; i < f->waiting_n; i++)
		k_put(f->waiting[i]);
	f->waiting_n = 0;
}

int
sim_socket(int domain, int type, int protocol)
{
	(void)domain, (void)type, (void)protocol;
	k_enter();
	return k_fd(k_file(FILE_OTHER, 04002), 0);
}

int
sim_bind(int fd, const struct sockaddr *to, socklen_t n)
{
	struct file *f = k_get(fd);
	struct sockaddr_in in;

	if (!f)
		return -1;
	if (to->sa_family == AF_INET && n >= sizeof(in)) {
		memcpy(&in, to, sizeof(in));
		f->port = ntohs(in.sin_port);
	}
	if (to->sa_family == AF_UNIX && n >= sizeof(struct sockaddr_un))
		return disk_bind(
			((const struct sockaddr_un *)(const void *)to)->sun_path);
	return to->sa_family == AF_INET6 ? k_fail(EADDRNOTAVAIL) : 0;
}

int
sim_listen(int fd, int backlog)
{
	struct file *f = k_get(fd);

	(void)backlog;
	if (!f || listeners_n == 16)
		return -1;
	f->kind = FILE_LISTENER;
	f->waiting = k_new(BACKLOG * sizeof(struct file *));
	listeners[listeners_n++] = f;
	return 0;
}

static void
address(struct sockaddr *ret, socklen_t *n, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	in.sin_addr.s_addr = htonl(0x7f000001);
	memcpy(ret, &in, *n < sizeof(in) ? *n : sizeof(in));
	*n = sizeof(in);
}

int
sim_accept4(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
	struct file *l = k_get(fd);

	(void)flags;
	k_enter();
	if (!l)
		return -1;
	if (l->waiting_n == 0)
		return k_fail(EAGAIN);
	struct file *f = l->waiting[0];
	l->waiting_n--;
	memmove(l->waiting, l->waiting + 1, l->waiting_n * sizeof(*l->waiting));
	address(from, n, f->port);
	int got = k_fd(f, 0);
	k_trace("%s %d accepts %u as %d", k_proc()->name, k_proc()->pid, f->port, got);
	return got;
}

int
sim_getsockname(int fd, struct sockaddr *ret, socklen_t *n)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	if (f->port == 0) {
		ret->sa_family = AF_UNIX;
		*n = sizeof(sa_family_t);
		return 0;
	}
	address(ret, n, f->port);
	return 0;
}

ssize_t
sim_recv(int fd, void *p, size_t n, int flags)
{
	struct file *f = k_get(fd);

	k_enter();
	if (!f)
		return -1;
	if (f->kind == FILE_CHANNEL) {
		struct iovec iov = {p, n};
		struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
		return sim_recvmsg(fd, &msg, flags);
	}
	if (f->kind != FILE_STREAM)
		return k_fail(ENOTSOCK);
	if (f->in->reset)
		return k_fail(f->in->silent ? ETIMEDOUT : ECONNRESET);
	size_t got = k_pipe_take(f->in, p, n, (flags & MSG_PEEK) != 0);
	if (got > 0 || n == 0)
		return (ssize_t)got;
	return f->in->fin_came && f->in->n == 0 ? 0 : k_fail(EAGAIN);
}

ssize_t
sim_send(int fd, const void *p, size_t n, int flags)
{
	struct file *f = k_get(fd);

	(void)flags;
	k_enter();
	if (!f)
		return -1;
	if (f->kind != FILE_STREAM)
		return k_fail(ENOTSOCK);
	if (f->in->reset || f->out->fin)
		return k_fail(EPIPE);
	size_t room = k_pipe_room(f->out);
	if (room == 0)
		return k_fail(EAGAIN);
	if (n > room)
		n = room;
	watch_reply(f, p, n);
	k_pipe_send(f->out, p, n);
	if (n > 200 && k_plant("wrong-octet", 100))
		f->out->p[f->out->at + f->out->n - 20] ^= 1;
	return (ssize_t)n;
}

int
sim_getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
	(void)fd, (void)level, (void)name;
	memset(value, 0, *n);
	return 0;
}

int
sim_setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
	(void)fd, (void)level, (void)name, (void)value, (void)n;
	return 0;
}
