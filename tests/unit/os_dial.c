/*
 * Real sockets on loopback. The resolver is this file's own: names below .example and
 * .invalid are answered from a table, so that nothing leaves the machine.
 */
#include "unit.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/dial.h"
#include "os/fd.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_MS 30000

/* ---- the resolver --------------------------------------------------------------------
 */

static const struct {
	const char *name;
	int eai;
	bool slow;
	const char *addresses[24];
} names[] = {
	{"nobody.invalid", EAI_NONAME, false, {NULL}},
	{"empty.invalid", EAI_NODATA, false, {NULL}},
	{"later.invalid", EAI_AGAIN, false, {NULL}},
	{"broken.invalid", EAI_FAIL, false, {NULL}},
	{"system.invalid", EAI_SYSTEM, false, {NULL}},
	{"slow.example", 0, true, {"127.0.0.1"}},
	{"both.example", 0, false, {"127.0.0.1", "::1"}},
	{"silent.example", 0, false, {"127.0.0.1", "127.0.0.2", "::1"}},
	{"twice.example", 0, false, {"127.0.0.1", "127.0.0.1", "127.0.0.1"}},
	{"many.example", 0, false,
		{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5",
			"127.0.0.6", "127.0.0.7", "127.0.0.8", "127.0.0.9", "127.0.0.10",
			"127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14",
			"127.0.0.15", "127.0.0.16", "127.0.0.17", "127.0.0.18", "::1"}},
};
static sem_t slow_may_go, slow_asked;

typedef int resolver(
	const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int
real(const char *node, const char *service, const struct addrinfo *hints,
	struct addrinfo **ret)
{
	union {
		void *p;
		resolver *f;
	} u = {dlsym(RTLD_NEXT, "getaddrinfo")};

	CHECK(u.p);
	return u.f(node, service, hints, ret);
}

/* In the place of libc's. */
int
getaddrinfo(const char *restrict node, const char *restrict service,
	const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(names) && strcmp(names[i].name, node) != 0)
		i++;
	if ((hints->ai_flags & AI_NUMERICHOST) || i == ARRAY_SIZE(names))
		return real(node, service, hints, ret);
	if (names[i].slow) {
		CHECK(sem_post(&slow_asked) == 0);
		while (sem_wait(&slow_may_go) < 0)
			continue;
	}
	errno = ENFILE;
	/* glibc frees such a list piece by piece. */
	for (size_t k = 0; names[i].eai == 0 && names[i].addresses[k]; k++) {
		CHECK(real(names[i].addresses[k], service, hints, ret) == 0);
		while (*ret)
			ret = &(*ret)->ai_next;
	}
	return names[i].eai;
}

/* ---- helpers -------------------------------------------------------------------------
 */

struct result {
	struct dial_done done; /* first */
	int calls, fd;
	bool temporary;
	char why[2300];
};

static void
note(struct dial_done *done, int fd, bool temporary, const char *why)
{
	struct result *r = (struct result *)(void *)done;

	r->calls++;
	r->fd = fd;
	r->temporary = temporary;
	(void)snprintf(r->why, sizeof(r->why), "%s", why);
}

static int
listen_at(const char *ip, uint16_t *ret_port, int backlog)
{
	bool v6 = strchr(ip, ':') != NULL;
	struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_port = htons(*ret_port)};
	struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(*ret_port)};
	struct sockaddr *a = v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4;
	socklen_t n = v6 ? sizeof(a6) : sizeof(a4);
	int one = 1, fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(inet_pton(v6 ? AF_INET6 : AF_INET, ip,
		      v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr) == 1);
	if (v6 && fd >= 0)
		CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) == 0);
	if (fd < 0 || bind(fd, a, n) < 0 || listen(fd, backlog) < 0) {
		fd_close(&fd);
		return -1;
	}
	CHECK(getsockname(fd, a, &n) == 0);
	*ret_port = ntohs(v6 ? a6.sin6_port : a4.sin_port);
	return fd;
}

/* A port that was just given back. */
static uint16_t
closed_port(void)
{
	uint16_t port = 0;
	int fd = listen_at("127.0.0.1", &port, 1);

	CHECK(fd >= 0);
	fd_close(&fd);
	return port;
}

static void
dial_to_its_end(const struct dial_target *t, uint64_t timeout_ms, struct result *r)
{
	struct loop *l = loop_new();
	struct dial *d = NULL;
	uint64_t end = clock_ms() + PATIENCE_MS;

	assert_non_null(l);
	*r = (struct result){.done = {.done = note}, .fd = -1};
	assert_int_equal(dial_start(l, t, timeout_ms, &r->done, &d), 0);
	assert_int_equal(r->calls, 0);
	while (r->calls == 0 && clock_ms() < end)
		assert_int_equal(loop_once(l, 1000), 0);
	/* Once, and no event of it is left behind. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(r->calls, 1);
	loop_free(&l);
	if (r->why[0])
		print_message("# %s\n", r->why);
}

static void
fails_in(uint64_t timeout_ms, const struct dial_target *target, bool temporary,
	const char *text, struct result *r)
{
	dial_to_its_end(target, timeout_ms, r);
	assert_true(r->fd < 0);
	if (!strstr(r->why, text))
		fail_msg("\"%s\" is not in: %s", text, r->why);
	assert_int_equal(r->temporary, temporary);
}

static void
fails(const char *host, uint16_t port, const char *socks5, bool temporary,
	const char *text, struct result *r)
{
	struct dial_target target = {host, port, socks5};

	fails_in(PATIENCE_MS, &target, temporary, text, r);
	assert_int_not_equal(r->fd, -ETIMEDOUT);
}

/* The other side says nothing for ever. */
static void
runs_out(const char *host, uint16_t port, const char *socks5, const char *text)
{
	struct dial_target target = {host, port, socks5};
	struct result r;
	uint64_t before = clock_ms();

	fails_in(300, &target, true, text, &r);
	assert_int_equal(r.fd, -ETIMEDOUT);
	assert_true(clock_ms() - before >= 300);
}

static void
is_connected(struct result *r, int listener)
{
	char got[4] = "";
	int one = 0;
	socklen_t n = sizeof(one);

	if (r->fd < 0)
		fail_msg("%s", r->why);
	AUTO_FD other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(other >= 0);
	assert_int_equal(send(other, "+OK", 3, 0), 3);
	assert_true(fcntl(r->fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(r->fd, F_GETFD) & FD_CLOEXEC);
	while (recv(r->fd, got, 3, 0) < 0)
		assert_int_equal(errno, EAGAIN);
	assert_memory_equal(got, "+OK", 3);
	if (getsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, &n) == 0) {
		assert_int_not_equal(one, 0);
		assert_int_equal(
			getsockopt(r->fd, SOL_SOCKET, SO_KEEPALIVE, &one, &n), 0);
		assert_int_not_equal(one, 0);
	}
	fd_close(&r->fd);
}

/* A listener that completes no further handshake: its queue is full. */
struct hole {
	int listener, filler[8];
	uint16_t port;
};

static void
hole_dig(struct hole *h)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	h->port = 0;
	h->listener = listen_at("127.0.0.1", &h->port, 0);
	CHECK(h->listener >= 0);
	a.sin_port = htons(h->port);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (size_t i = 0; i < ARRAY_SIZE(h->filler); i++) {
		h->filler[i] =
			socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		CHECK(h->filler[i] >= 0);
		(void)connect(h->filler[i], (struct sockaddr *)&a, sizeof(a));
	}
}

static void
hole_fill(struct hole *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(h->filler); i++)
		fd_close(&h->filler[i]);
	fd_close(&h->listener);
}

/* ---- texts ---------------------------------------------------------------------------
 */

static void
places_are_split(void **state)
{
	(void)state;
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {
		{"mail.example.org", "mail.example.org", 110},
		{"mail.example.org:995", "mail.example.org", 995},
		{"[2001:db8::1]:995", "2001:db8::1", 995},
		{"[2001:db8::1]", "2001:db8::1", 110},
		{"2001:db8::1", "2001:db8::1", 110},
		{"192.0.2.1:65535", "192.0.2.1", 65535},
		{"/run/pop3:x", "/run/pop3:x", 110},
	};
	static const char *const bad[] = {"", ":995", "a:", "a:0", "a:65536", "a:+1",
		"a:1x", "[a", "[]:1", "[a]1", "[a]:", "a: 1",
		"0123456789012345678901234567890123456789"};
	char host[32];
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(dial_split(good[i].text, 110, host, sizeof(host), &port));
		assert_string_equal(host, good[i].host);
		assert_int_equal(port, good[i].port);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_false(dial_split(bad[i], 110, host, sizeof(host), &port));
}

static void
bad_targets_are_explained(void **state)
{
	(void)state;
	struct result r;
	char name[300];

	fails("", 110, NULL, false, "no host name", &r);
	fails("mail\033[1m", 110, NULL, false, "mail?[1m port 110: this is no host", &r);
	fails("m\xc3\xbcller.example", 110, NULL, false, "xn--", &r);
	fails("localhost", 0, NULL, false, "no port 0", &r);
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	fails(name, 110, NULL, false, "... port 110: the name is too long", &r);
	name[0] = '/';
	fails(name, 110, NULL, false, "too long", &r);
	name[108] = '\0';
	fails(name, 110, NULL, false, "the path is too long for a socket", &r);
	fails("localhost", 110, "a@b:1", false, "USER:PASSWORD@", &r);
	fails("localhost", 110, "proxy:x", false, "USER:PASSWORD@", &r);
	fails("localhost", 110, "/tmp/x", false, "USER:PASSWORD@", &r);
}

/* ---- direct --------------------------------------------------------------------------
 */

static void
addresses_and_names(void **state)
{
	(void)state;
	struct result r;
	uint16_t port = 0;
	AUTO_FD v4 = listen_at("127.0.0.1", &port, 4);

	assert_true(v4 >= 0);
	dial_to_its_end(&(struct dial_target){"127.0.0.1", port, NULL}, 5000, &r);
	is_connected(&r, v4);
	dial_to_its_end(&(struct dial_target){"localhost", port, NULL}, 5000, &r);
	is_connected(&r, v4);
	dial_to_its_end(&(struct dial_target){"both.example", port, NULL}, 5000, &r);
	is_connected(&r, v4);
	AUTO_FD v6 = listen_at("::1", &port, 4);
	if (v6 < 0)
		skip();
	dial_to_its_end(&(struct dial_target){"::1", port, NULL}, 5000, &r);
	is_connected(&r, v6);
}

static void
refusals_name_each_address(void **state)
{
	(void)state;
	struct result r;
	char text[64];
	uint16_t port = closed_port();

	fails("127.0.0.1", port, NULL, true, "127.0.0.1: Connection refused", &r);
	assert_int_equal(r.fd, -ECONNREFUSED);
	(void)snprintf(text, sizeof(text), "localhost port %u: ", port);
	fails("localhost", port, NULL, true, text, &r);
	assert_non_null(strstr(r.why, "127.0.0.1: Connection refused"));
}

static void
addresses_are_tried_by_turns(void **state)
{
	(void)state;
	struct result r;
	uint16_t port = closed_port();
	size_t n = 1;

	fails("many.example", port, NULL, true,
		": 127.0.0.1: Connection refused; ::1: Connection refused; 127.0.0.2: "
		"Connection refused; 127.0.0.3: ",
		&r);
	for (const char *p = r.why; *p; p++)
		n += *p == ';';
	assert_int_equal(n, 16);
	fails("twice.example", port, NULL, true, ": 127.0.0.1: Connection refused", &r);
	assert_null(strchr(r.why, ';'));
}

static void
names_that_do_not_resolve(void **state)
{
	(void)state;
	struct result r;

	fails("nobody.invalid", 110, NULL, false,
		"nobody.invalid port 110: there is no such name", &r);
	assert_int_equal(r.fd, -EHOSTUNREACH);
	fails("empty.invalid", 110, NULL, false, "the name has no address", &r);
	fails("later.invalid", 110, NULL, true, "do not answer now", &r);
	fails("broken.invalid", 110, NULL, true, "answer with a failure", &r);
	fails("system.invalid", 110, NULL, true, "Too many open files in system", &r);
}

static void
a_slow_resolver(void **state)
{
	(void)state;
	struct result r;
	uint16_t port = 0;
	AUTO_FD listener = listen_at("127.0.0.1", &port, 4);

	assert_true(listener >= 0);
	runs_out("slow.example", port, NULL, "looking up the name took too long");
	/* Its thread still waits; the next one comes through, and the first one ends. */
	CHECK(sem_post(&slow_may_go) == 0);
	CHECK(sem_post(&slow_may_go) == 0);
	dial_to_its_end(&(struct dial_target){"slow.example", port, NULL}, 5000, &r);
	is_connected(&r, listener);
	CHECK(sem_wait(&slow_asked) == 0);
	CHECK(sem_wait(&slow_asked) == 0);
}

static void
silence_ends_in_time(void **state)
{
	(void)state;
	struct hole h;

	hole_dig(&h);
	runs_out("127.0.0.1", h.port, NULL, "127.0.0.1: no answer within 0.3 s");
	hole_fill(&h);
}

/* The address that is tried first is silent: the other family is tried beside it, and
 * the second one of the first family is not waited for. */
static void
a_silent_family_costs_little(void **state)
{
	(void)state;
	struct result r;
	struct hole h;

	hole_dig(&h);
	AUTO_FD v6 = listen_at("::1", &h.port, 4);
	if (v6 < 0) {
		hole_fill(&h);
		skip();
	}
	uint64_t before = clock_ms();
	dial_to_its_end(&(struct dial_target){"silent.example", h.port, NULL}, 10000, &r);
	is_connected(&r, v6);
	/* Not before its time either (RFC 8305 s.5). */
	uint64_t took = clock_ms() - before;
	assert_true(took >= 250);
	assert_true(took < 5000);
	hole_fill(&h);
}

static void
unix_sockets(void **state)
{
	(void)state;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char directory[] = "/tmp/restante-dial-XXXXXX";
	struct result r;

	assert_non_null(mkdtemp(directory));
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/s", directory);
	fails(a.sun_path, 0, NULL, true, "/s: No such file or directory", &r);
	AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	fails(a.sun_path, 0, NULL, true, "/s: Connection refused", &r);
	assert_int_equal(listen(fd, 0), 0);
	/* A proxy is not for paths. */
	dial_to_its_end(&(struct dial_target){a.sun_path, 0, "nowhere:1"}, 5000, &r);
	AUTO_FD first = fd_take(&r.fd);
	assert_true(first >= 0);
	/* The queue is full now. */
	runs_out(a.sun_path, 0, NULL, "its listener takes no connections");
	(void)unlink(a.sun_path);
	assert_int_equal(rmdir(directory), 0);
}

static void
waiting_twin(void **state)
{
	(void)state;
	char why[512] = "";
	uint16_t port = 0;
	struct timeval t = {0};
	socklen_t n = sizeof(t);
	AUTO_FD listener = listen_at("127.0.0.1", &port, 4);
	AUTO_FD fd = dial_wait(
		&(struct dial_target){"127.0.0.1", port, NULL}, 2500, why, sizeof(why));

	assert_true(listener >= 0);
	assert_true(fd >= 0);
	assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &n), 0);
	assert_int_equal(t.tv_sec, 2);
	assert_true(t.tv_usec >= 490000);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &n), 0);
	assert_int_equal(t.tv_sec, 2);
	assert_int_equal(
		dial_wait(&(struct dial_target){"127.0.0.1", closed_port(), NULL}, 2500,
			why, sizeof(why)),
		-ECONNREFUSED);
	assert_non_null(strstr(why, "Connection refused"));
	assert_int_equal(
		dial_wait(&(struct dial_target){"127.0.0.1", 1, "x@"}, 2500, why, 8),
		-EINVAL);
	assert_string_equal(why, "127.0.0");
}

/* ---- SOCKS5 --------------------------------------------------------------------------
 */

/* What the proxy's thread does with one connection. */
struct proxy {
	int listener;
	uint16_t port;
	uint8_t method; /* chosen */
	uint8_t secret_status;
	uint8_t code, kind; /* of the reply */
	int stop_after;	    /* answers; then it closes */
	bool silent;	    /* instead of closing it waits for the other side to close */
	bool in_pieces;
	uint8_t version;
	/* what it heard */
	char user[256], password[256];
	uint8_t request[300];
	size_t request_n, methods;
	pthread_t thread;
};

static bool
take(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

static void
give(const struct proxy *p, int fd, const uint8_t *from, size_t n)
{
	size_t piece = p->in_pieces ? 1 : n;

	for (size_t i = 0; i < n; i += piece)
		CHECK(send(fd, from + i, piece, MSG_NOSIGNAL) >= 0);
}

static bool
take_counted(int fd, char *to)
{
	uint8_t n;

	if (!take(fd, &n, 1) || !take(fd, to, n))
		return false;
	to[n] = '\0';
	return true;
}

static bool
serve_login(struct proxy *p, int fd)
{
	uint8_t head[2], methods[255];

	if (!take(fd, head, 2) || !take(fd, methods, head[1]))
		return false;
	p->methods = head[1];
	if (p->stop_after == 0)
		return false;
	give(p, fd, (uint8_t[]){p->version, p->method}, 2);
	if (p->method != 2 || p->version != 5)
		return true;
	if (!take(fd, head, 1) || !take_counted(fd, p->user) ||
		!take_counted(fd, p->password) || p->stop_after == 1)
		return false;
	give(p, fd, (uint8_t[]){1, p->secret_status}, 2);
	return true;
}

static void
serve_request(struct proxy *p, int fd)
{
	uint8_t *q = p->request, reply[300] = {5, p->code, 0, p->kind};
	size_t n = 4;

	if (!take(fd, q, 5))
		return;
	size_t rest = q[3] == 1 ? 3 + 2 : q[3] == 4 ? 15 + 2 : (size_t)q[4] + 2;
	if (!take(fd, q + 5, rest) || p->stop_after <= 2)
		return;
	p->request_n = 5 + rest;
	if (p->kind == 3)
		reply[n++] = 200;
	n += p->kind == 1 ? 4U : p->kind == 4 ? 16U : p->kind == 3 ? 200U : 0U;
	n += 2;
	/* The greeting of the server behind it follows at once. */
	if (p->code == 0) {
		memcpy(reply + n, "+OK hello\r\n", 11);
		n += 11;
	}
	give(p, fd, reply, n);
}

static void *
proxy_main(void *arg)
{
	struct proxy *p = arg;
	char octet;
	int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

	CHECK(fd >= 0);
	if (serve_login(p, fd))
		serve_request(p, fd);
	if (p->silent || p->stop_after > 2)
		(void)recv(fd, &octet, 1, MSG_WAITALL);
	fd_close(&fd);
	return NULL;
}

static struct proxy
proxy_of(void)
{
	return (struct proxy){.version = 5, .kind = 1, .stop_after = 9};
}

static void
proxy_begin(struct proxy *p, char place[64], const char *login)
{
	p->port = 0;
	p->listener = listen_at("127.0.0.1", &p->port, 4);
	CHECK(p->listener >= 0);
	(void)snprintf(place, 64, "%s127.0.0.1:%u", login, (unsigned int)p->port);
	CHECK(pthread_create(&p->thread, NULL, proxy_main, p) == 0);
}

static void
proxy_end(struct proxy *p)
{
	CHECK(pthread_join(p->thread, NULL) == 0);
	fd_close(&p->listener);
}

/* Through a proxy to host; what it was asked is in p. The greeting is left to read. */
static void
goes_through(struct proxy *p, const char *login, const char *host)
{
	char place[64], got[16] = "";
	struct result r;

	proxy_begin(p, place, login);
	dial_to_its_end(&(struct dial_target){host, 995, place}, 5000, &r);
	if (r.fd < 0)
		fail_msg("%s", r.why);
	size_t n = 0;
	while (n < 11) {
		ssize_t here = recv(r.fd, got + n, sizeof(got) - n, 0);
		assert_true(here > 0 || errno == EAGAIN);
		n += here > 0 ? (size_t)here : 0;
	}
	assert_int_equal(n, 11);
	assert_memory_equal(got, "+OK hello\r\n", 11);
	fd_close(&r.fd);
	proxy_end(p);
}

static void
proxies_connect(void **state)
{
	(void)state;
	static const uint8_t name[] = "\5\1\0\3\20mail.example.org\3\xe3";
	static const uint8_t v4[] = {5, 1, 0, 1, 192, 0, 2, 1, 3, 0xe3};
	static const uint8_t v6[] = {5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 1, 3, 0xe3};
	struct proxy p = proxy_of();

	/* The name goes to the proxy; nobody here resolves it. */
	goes_through(&p, "", "mail.example.org");
	assert_int_equal(p.methods, 1);
	assert_int_equal(p.request_n, sizeof(name) - 1);
	assert_memory_equal(p.request, name, sizeof(name) - 1);
	p.kind = 4;
	goes_through(&p, "", "192.0.2.1");
	assert_int_equal(p.request_n, sizeof(v4));
	assert_memory_equal(p.request, v4, sizeof(v4));
	p.kind = 3;
	p.in_pieces = true;
	goes_through(&p, "", "2001:db8::1");
	assert_int_equal(p.request_n, sizeof(v6));
	assert_memory_equal(p.request, v6, sizeof(v6));
	/* A login is offered, and given only when it is asked for. */
	goes_through(&p, "anna:se@cr:et@", "mail.example.org");
	assert_int_equal(p.methods, 2);
	assert_string_equal(p.user, "");
	p.method = 2;
	goes_through(&p, "anna:se@cr:et@", "mail.example.org");
	assert_string_equal(p.user, "anna");
	assert_string_equal(p.password, "se@cr:et");
}

static void
proxy_fails(struct proxy p, const char *login, bool temporary, const char *text)
{
	char place[64], whole[160];
	struct result r = {0};

	proxy_begin(&p, place, login);
	(void)snprintf(whole, sizeof(whole),
		"mail.example.org port 995: SOCKS5 proxy 127.0.0.1 port %u: %s",
		(unsigned int)p.port, text);
	if (p.silent)
		runs_out("mail.example.org", 995, place, whole);
	else
		fails("mail.example.org", 995, place, temporary, whole, &r);
	assert_null(strstr(r.why, "secret"));
	proxy_end(&p);
}

static void
refusals_of_proxies(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool temporary;
	} codes[] = {{"", false}, {"it has a general failure", true},
		{"its rules do not allow", false},
		{"it says that the network is unreachable", true},
		{"it says that the host is unreachable", true},
		{"it says that the host refused", true},
		{"it says that the time to live", true},
		{"it does not know the command", false},
		{"it does not know this kind of address", false},
		{"it refused with a code that has no meaning", true}};
	struct proxy p = proxy_of();

	for (uint8_t code = 1; code < ARRAY_SIZE(codes); code++) {
		p.code = code;
		proxy_fails(p, "", codes[code].temporary, codes[code].text);
	}
	p = proxy_of();
	p.kind = 7;
	proxy_fails(p, "", false, "its reply has an unknown kind of address");
	p = proxy_of();
	p.version = 'H';
	proxy_fails(p, "", false, "it does not speak SOCKS5");
	p = proxy_of();
	p.method = 0xff;
	proxy_fails(p, "", false, "it wants a login: write USER:PASSWORD@");
	proxy_fails(p, "anna:secret@", false, "it takes neither user and password");
	p.method = 1;
	proxy_fails(p, "anna:secret@", false, "it chose a way of login that was not");
	p.method = 2;
	p.secret_status = 1;
	proxy_fails(p, "anna:secret@", false, "it refused user and password");
}

static void
proxies_that_close_or_wait(void **state)
{
	(void)state;
	struct proxy p = proxy_of();
	struct result r;
	char place[64];

	p.method = 2;
	for (int silent = 0; silent < 2; silent++) {
		p.silent = silent != 0;
		for (p.stop_after = 0; p.stop_after < 3; p.stop_after++)
			proxy_fails(p, "anna:secret@", true,
				silent ? "it did not make the connection in time"
				       : "it closed the connection");
	}
	(void)snprintf(place, sizeof(place), "127.0.0.1:%u", (unsigned int)closed_port());
	fails("mail.example.org", 995, place, true, ": 127.0.0.1: Connection refused",
		&r);
}

/* ---- cancelling ----------------------------------------------------------------------
 */

/* After `rounds` rounds of the loop; then nothing more comes. */
static void
cancel_after(const struct dial_target *t, int rounds)
{
	struct loop *l = loop_new();
	struct result r = {.done = {.done = note}, .fd = -1};
	struct dial *d = NULL;

	assert_non_null(l);
	assert_int_equal(dial_start(l, t, PATIENCE_MS, &r.done, &d), 0);
	for (int i = 0; i < rounds && r.calls == 0; i++)
		assert_int_equal(loop_once(l, 20), 0);
	if (r.calls == 0)
		dial_cancel(&d);
	int before = r.calls;
	assert_true(before <= 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_once(l, 2), 0);
	assert_int_equal(r.calls, before);
	loop_free(&l);
	fd_close(&r.fd);
}

static void
cancelled_at_each_stage(void **state)
{
	(void)state;
	struct hole h;
	char place[64];
	struct dial *never = NULL;

	dial_cancel(&never);
	hole_dig(&h);
	for (int rounds = 0; rounds < 4; rounds++) {
		cancel_after(
			&(struct dial_target){"silent.example", h.port, NULL}, rounds);
		cancel_after(&(struct dial_target){"nobody.invalid", 110, NULL}, rounds);
		cancel_after(&(struct dial_target){"slow.example", 110, NULL}, rounds);
		cancel_after(&(struct dial_target){"127.0.0.1", h.port, NULL}, rounds);
	}
	hole_fill(&h);
	/* The threads of the three that had begun may end now, with nobody waiting. */
	for (int i = 0; i < 3; i++) {
		CHECK(sem_wait(&slow_asked) == 0);
		CHECK(sem_post(&slow_may_go) == 0);
	}
	for (int rounds = 1; rounds < 8; rounds++) {
		struct proxy p = proxy_of();
		p.method = 2;
		p.silent = true;
		p.stop_after = rounds % 3;
		proxy_begin(&p, place, "anna:secret@");
		cancel_after(&(struct dial_target){"mail.example.org", 995, place},
			rounds + 1);
		/* It may have been left before it was reached. */
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		struct sockaddr_in a = {.sin_family = AF_INET,
			.sin_port = htons(p.port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
		fd_close(&fd);
		proxy_end(&p);
	}
}

/* The callee lets go of its pointer as if it were still good. */
struct careless {
	struct dial_done done;
	struct dial *dial;
	int calls;
};

static void
cancels_inside(struct dial_done *done, int fd, bool temporary, const char *why)
{
	struct careless *c = (struct careless *)(void *)done;

	(void)temporary, (void)why;
	c->calls++;
	fd_close(&fd);
	dial_cancel(&c->dial);
}

static void
cancelled_by_its_own_end(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct careless c = {.done = {.done = cancels_inside}};
	struct dial_target t = {"127.0.0.1", closed_port(), NULL};

	assert_int_equal(dial_start(l, &t, 5000, &c.done, &c.dial), 0);
	while (c.calls == 0)
		assert_int_equal(loop_once(l, 1000), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(c.calls, 1);
	loop_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_split),
		cmocka_unit_test(bad_targets_are_explained),
		cmocka_unit_test(addresses_and_names),
		cmocka_unit_test(refusals_name_each_address),
		cmocka_unit_test(addresses_are_tried_by_turns),
		cmocka_unit_test(names_that_do_not_resolve),
		cmocka_unit_test(a_slow_resolver),
		cmocka_unit_test(silence_ends_in_time),
		cmocka_unit_test(a_silent_family_costs_little),
		cmocka_unit_test(unix_sockets),
		cmocka_unit_test(waiting_twin),
		cmocka_unit_test(proxies_connect),
		cmocka_unit_test(refusals_of_proxies),
		cmocka_unit_test(proxies_that_close_or_wait),
		cmocka_unit_test(cancelled_at_each_stage),
		cmocka_unit_test(cancelled_by_its_own_end),
	};
	CHECK(sem_init(&slow_may_go, 0, 0) == 0);
	CHECK(sem_init(&slow_asked, 0, 0) == 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
