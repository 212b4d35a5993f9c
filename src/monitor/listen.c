#include "base/check.h"
#include "ipc/permit.h"
#include "monitor/monitor.h"
#include "os/address.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG		65535 /* the kernel takes net.core.somaxconn of it */
#define KEEPALIVE_S	60
#define KEEPALIVE_TRIES 3
#define USER_TIMEOUT_MS 120000

/* Where it is bound, asked for once, as who does not know it would serve it wrongly; else
 * -errno. */
static int
from_kernel(int fd, struct conf_address *ret, bool *ret_local)
{
	union socket_address a = {0};
	socklen_t n = sizeof(a);

	*ret = (struct conf_address){0};
	if (getsockname(fd, &a.any, &n) < 0)
		return -errno;
	*ret_local = a.any.sa_family == AF_UNIX;
	if (!*ret_local && !address_from_kernel(&a, ret->ip, &ret->v4, &ret->port))
		return -EAFNOSUPPORT;
	return 0;
}

static void
address_text(const struct conf_address *a, char *text, size_t n)
{
	char ip[INET6_ADDRSTRLEN] = "";

	(void)inet_ntop(
		a->v4 ? AF_INET : AF_INET6, a->ip + (a->v4 ? 12 : 0), ip, sizeof(ip));
	(void)snprintf(text, n, a->v4 ? "%s:%u" : "[%s]:%u", ip, a->port);
}

void
listen_name(const struct listen_socket *s, char *text, size_t n)
{
	if (s->local)
		listen_unix_name(s->fd, text, n);
	else
		address_text(&s->bound, text, n);
}

int
listen_address(const struct conf_address *a, int *ret_fd)
{
	union socket_address to;
	socklen_t n = address_to_kernel(a->ip, a->v4, a->port, &to);
	int one = 1;
	AUTO_FD fd =
		socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return -errno;
	if (!a->v4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0)
		return -errno;
	if (bind(fd, &to.any, n) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* ---- the set of sockets, made to fit a configuration ---- */

struct plan {
	struct listen_socket at[LISTEN_SOCKETS_MAX];
	size_t n;
	bool reused[LISTEN_SOCKETS_MAX]; /* of m->sockets */
	/* Unix sockets that are kept: whose mode and group they get. */
	const struct conf_listener *kept[LISTEN_SOCKETS_MAX];
	struct given {
		bool used, local;
		struct conf_address bound;
	} given[LISTEN_SOCKETS_MAX]; /* of m->given */
	struct conf_networks old_tls;
};

static bool
same(const struct conf_address *a, const struct conf_address *b)
{
	return a->v4 == b->v4 && a->port == b->port && memcmp(a->ip, b->ip, 16) == 0;
}

uint8_t
listen_asserts(const struct conf_listener *l)
{
	bool address = l->proxies.n > 0 || l->xclients.n > 0;
	bool certificate = l->client_certificates != CONF_CERTIFICATES_NO;

	return (uint8_t)((address ? ASSERT_ADDRESS : 0) |
		(certificate ? ASSERT_CERTIFICATE : 0));
}

static bool
same_networks(const struct conf_networks *a, const struct conf_networks *b)
{
	return a->n == b->n && memcmp(a->octets, b->octets, a->n) == 0;
}

bool
listen_rules_equal(const struct listen_rules *a, const struct listen_rules *b)
{
	return a->asserts == b->asserts && a->apop == b->apop &&
		a->client_certificates == b->client_certificates &&
		a->tls_profile == b->tls_profile && a->mechanisms == b->mechanisms &&
		same_networks(&a->proxies, &b->proxies) &&
		same_networks(&a->xclients, &b->xclients) &&
		same_networks(&a->old_tls, &b->old_tls);
}

static struct listen_socket *
plan_add(struct plan *p, const struct conf_listener *l, const struct conf_address *at,
	int fd)
{
	CHECK(p->n < LISTEN_SOCKETS_MAX);
	struct listen_socket *s = &p->at[p->n++];

	*s = (struct listen_socket){.fd = fd,
		.at = *at,
		.protocol = l->protocol,
		.tls = l->tls,
		.plaintext = l->plaintext,
		.rules = {.asserts = listen_asserts(l),
			.client_certificates = l->client_certificates,
			.tls_profile = l->tls_profile,
			.apop = l->apop,
			.mechanisms = l->mechanism_bits,
			.proxies = l->proxies,
			.xclients = l->xclients,
			.old_tls = p->old_tls}};
	(void)snprintf(s->name, sizeof(s->name), "%s", l->name);
	return s;
}

/* An open socket of ours with that address: kept, so that no connection is lost. */
static bool
keep_socket(struct monitor *m, struct plan *p, const struct conf_listener *l,
	const struct conf_address *at)
{
	for (size_t i = 0; i < m->sockets_n; i++) {
		const struct listen_socket *old = &m->sockets[i];
		if (p->reused[i] || old->given || old->path[0] || !same(&old->at, at))
			continue;
		if (at->port == 0 && strcmp(old->name, l->name) != 0)
			continue;
		p->reused[i] = true;
		struct listen_socket *s = plan_add(p, l, at, old->fd);
		s->number = old->number;
		s->bound = old->bound;
		return true;
	}
	return false;
}

static bool
open_socket(struct monitor *m, struct plan *p, const struct conf_listener *l,
	struct conf_address at, bool optional)
{
	char text[80];
	int fd = -1;

	at.any = false;
	if (keep_socket(m, p, l, &at))
		return true;
	int rc = listen_address(&at, &fd);
	struct conf_address bound = at;
	bool local;
	if (rc == 0 && at.port == 0)
		rc = from_kernel(fd, &bound, &local);
	if (rc == 0) {
		plan_add(p, l, &at, fd)->bound = bound;
		return true;
	}
	fd_close(&fd);
	if (optional && (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL))
		return true;
	address_text(&at, text, sizeof(text));
	report_text(m, LOG_LEVEL_ERROR, "listener %s: %s: %s%s", l->name, text,
		strerrordesc_np(-rc),
		rc == -EADDRINUSE	? ", another program has that port"
			: rc == -EACCES ? ", ports below 1024 need root"
					: "");
	return false;
}

static bool
open_unix(struct monitor *m, struct plan *p, const struct conf_listener *l)
{
	struct listen_socket made = {.fd = -1};
	struct listen_socket *s = &made;

	for (size_t i = 0; i < m->sockets_n && made.number == 0; i++) {
		const struct listen_socket *old = &m->sockets[i];
		if (p->reused[i] || strcmp(old->path, l->path) != 0 ||
			!listen_unix_is_there(old))
			continue;
		p->reused[i] = true;
		made = *old;
		p->kept[p->n] = l;
	}
	if (made.number == 0 && !listen_unix(m, l, &made))
		return false;
	s = plan_add(p, l, &made.at, made.fd);
	s->number = made.number;
	s->local = true;
	s->device = made.device;
	s->inode = made.inode;
	memcpy(s->path, made.path, sizeof(s->path));
	return true;
}

/* Both families; a port that the kernel picks is the same for both. */
static bool
open_any(struct monitor *m, struct plan *p, const struct conf_listener *l)
{
	struct conf_address v4 = {.v4 = true, .port = l->at.port},
			    v6 = {.port = l->at.port};
	size_t before = p->n;

	v4.ip[10] = v4.ip[11] = 0xff;
	if (!open_socket(m, p, l, v4, true))
		return false;
	if (p->n > before)
		v6.port = p->at[before].bound.port;
	if (!open_socket(m, p, l, v6, true))
		return false;
	if (p->n == before)
		report_text(m, LOG_LEVEL_ERROR,
			"listener %s: neither IPv4 nor IPv6 is there", l->name);
	return p->n > before;
}

static bool
fits(const struct conf_listener *l, const struct conf_address *bound)
{
	static const uint8_t any4[16] = {[10] = 0xff, [11] = 0xff};
	static const uint8_t any6[16];

	if (l->at.any)
		return bound->port == l->at.port &&
			memcmp(bound->ip, bound->v4 ? any4 : any6, 16) == 0;
	return same(&l->at, bound);
}

/* One that does not listen would be ready for fronts all the time, and give them nothing.
 */
static int
check_listens(int fd)
{
	int listens = 0;
	socklen_t n = sizeof(listens);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0)
		return -errno;
	return listens ? 0 : -ENOTCONN;
}

/* What the service manager's sockets are; one that may block would hold a front for ever.
 */
static bool
learn_given(struct monitor *m, struct plan *p)
{
	bool good = true;

	for (size_t i = 0; i < m->given_n; i++) {
		struct given *g = &p->given[i];
		int rc = from_kernel(m->given[i], &g->bound, &g->local);
		if (rc == 0)
			rc = check_listens(m->given[i]);
		if (rc == 0)
			rc = fd_nonblock(m->given[i]);
		if (rc == 0)
			continue;
		report_text(m, LOG_LEVEL_ERROR,
			"the service manager's socket %s cannot be listened at: %s",
			m->given_names[i],
			rc == -ENOTCONN ? "give it as ListenStream=, with Accept=no"
					: strerrordesc_np(-rc));
		good = false;
	}
	return good;
}

/* Whether the listener may have the service manager's socket of that place. */
static bool
may_take(const struct monitor *m, size_t i, const struct conf_listener *l,
	const struct given *g)
{
	bool named = strcmp(m->given_names[i], l->name) == 0;
	char text[CONF_SOCKET_PATH_MAX + 8];

	if (!g->local)
		return !l->path && (named || fits(l, &g->bound));
	listen_unix_name(m->given[i], text, sizeof(text));
	return l->path && (named || strcmp(text, l->address) == 0);
}

/* Sockets of the service manager: by name, else by address. */
static bool
take_given(struct monitor *m, struct plan *p, const struct conf_listener *l)
{
	bool took = false;

	for (size_t i = 0; i < m->given_n && p->n < LISTEN_SOCKETS_MAX; i++) {
		struct given *g = &p->given[i];
		if (g->used || !may_take(m, i, l, g))
			continue;
		g->used = took = true;
		struct listen_socket *s = plan_add(p, l, &g->bound, m->given[i]);
		s->given = true;
		s->bound = g->bound;
		s->local = g->local;
		for (size_t j = 0; j < m->sockets_n; j++)
			if (m->sockets[j].fd == s->fd) {
				s->number = m->sockets[j].number;
				p->reused[j] = true;
			}
	}
	return took;
}

static void
close_socket(struct listen_socket *s)
{
	listen_unix_remove(s);
	fd_close(&s->fd);
}

static void
close_new(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->at[i].number == 0 && !p->at[i].given)
			close_socket(&p->at[i]);
}

static void
set_int(int fd, int level, int name, int value)
{
	/* A wish: service goes on without it. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

/*
 * Accepted sockets inherit these, which saves five calls a connection; and fronts share
 * the listening ones, so none of them may set anything there. A vanished phone must not
 * hold its maildrop for long (threats: idle).
 */
static void
set_options(const struct listen_socket *s)
{
	/* Under TLS the client speaks first: a front is woken once for both, and sees one
	 * that is silent a second later. */
	bool waits = s->protocol == CONF_PROTOCOL_POP3 && s->tls == CONF_TLS_IMPLICIT;
	int fd = s->fd;

	set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, waits);
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_S / KEEPALIVE_TRIES);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES);
	set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
}

static void
adopt(struct monitor *m, struct plan *p)
{
	for (size_t i = 0; i < m->sockets_n; i++)
		if (!p->reused[i] && !m->sockets[i].given)
			close_socket(&m->sockets[i]);
	for (size_t i = 0; i < p->n; i++) {
		m->sockets[i] = p->at[i];
		if (m->sockets[i].number == 0)
			m->sockets[i].number = ++m->sockets_made;
		set_options(&m->sockets[i]);
		if (p->kept[i])
			listen_unix_adjust(m, p->kept[i], &m->sockets[i]);
	}
	m->sockets_n = p->n;
}

bool
listen_apply(struct monitor *m, const struct conf *conf)
{
	struct plan p = {.old_tls = conf->old_tls};
	bool good = true;

	if (!learn_given(m, &p))
		return false;
	for (size_t i = 0; i < conf->listeners_n; i++) {
		const struct conf_listener *l = &conf->listeners[i];
		if (LISTEN_SOCKETS_MAX - p.n < 2 * (conf->listeners_n - i)) {
			report_text(m, LOG_LEVEL_ERROR, "too many listening sockets");
			good = false;
			break;
		}
		if (take_given(m, &p, l))
			continue;
		if (l->path)
			good &= open_unix(m, &p, l);
		else
			good &= l->at.any ? open_any(m, &p, l)
					  : open_socket(m, &p, l, l->at, false);
	}
	for (size_t i = 0; i < m->given_n && good && !m->serving; i++) {
		if (p.given[i].used)
			continue;
		report_text(m, LOG_LEVEL_ERROR,
			"the service manager's socket %s fits no listener: give it the "
			"name of one "
			"(FileDescriptorName=)",
			m->given_names[i]);
		good = false;
	}
	if (good)
		adopt(m, &p);
	else
		close_new(&p);
	return good;
}

void
listen_close(struct monitor *m)
{
	for (size_t i = 0; i < m->sockets_n; i++)
		close_socket(&m->sockets[i]);
	for (size_t i = 0; i < m->given_n; i++)
		m->given[i] = -1;
	m->given_n = m->sockets_n = 0;
}
