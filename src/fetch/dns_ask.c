#include "fetch/dns_ask.h"

#include "base/buf.h"
#include "os/clock.h"
#include "os/dial.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define PORT	      53
#define ROUNDS	      2
#define RESOLV_CONF   "/etc/resolv.conf"
#define RESOLV_OCTETS 65536

/* ---- which servers ---- */

static bool
add_server(struct dns_servers *s, const char *address, uint16_t port)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM};
	struct addrinfo *found = NULL;

	if (s->n == DNS_SERVERS_MAX || getaddrinfo(address, NULL, &hints, &found) != 0)
		return false;
	union socket_address *a = &s->at[s->n];
	bool good = found->ai_addrlen <= sizeof(*a);
	if (good) {
		memcpy(a, found->ai_addr, found->ai_addrlen);
		s->length[s->n++] = found->ai_addrlen;
		if (a->any.sa_family == AF_INET6)
			a->v6.sin6_port = htons(port);
		else
			a->v4.sin_port = htons(port);
	}
	freeaddrinfo(found);
	return good;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* `nameserver ADDRESS`; other lines and what follows are nothing to us. */
static void
read_line(struct view line, struct dns_servers *s)
{
	char address[80];
	size_t n = 0;

	if (line.n < 11 || memcmp(line.p, "nameserver", 10) != 0 || !is_blank(line.p[10]))
		return;
	line = (struct view){line.p + 10, line.n - 10};
	while (line.n > 0 && is_blank(line.p[0]))
		line = (struct view){line.p + 1, line.n - 1};
	while (n < line.n && !is_blank(line.p[n]) && line.p[n] != '\0')
		n++;
	if (n == 0 || n >= sizeof(address))
		return;
	memcpy(address, line.p, n);
	address[n] = '\0';
	(void)add_server(s, address, PORT); /* what is no address is left out */
}

void
dns_servers_read(struct view text, struct dns_servers *ret)
{
	ret->n = 0;
	while (text.n > 0) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		size_t n = end ? (size_t)(end - text.p) : text.n;

		read_line((struct view){text.p, n}, ret);
		n += end != NULL;
		text = (struct view){text.p + n, text.n - n};
	}
	if (ret->n == 0)
		(void)add_server(ret, "127.0.0.1", PORT);
}

bool
dns_servers_find(const char *text, struct dns_servers *ret)
{
	AUTO_FREE uint8_t *octets = NULL;
	char host[80];
	uint16_t port = PORT;
	size_t n = 0;

	ret->n = 0;
	if (text)
		return dial_split(text, PORT, host, sizeof(host), &port) && port != 0 &&
			add_server(ret, host, port);
	AUTO_FD fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fd_read_file(fd, RESOLV_OCTETS, &octets, &n) == 0)
		dns_servers_read((struct view){octets, n}, ret);
	else
		dns_servers_read((struct view){NULL, 0}, ret);
	return true;
}

/* ---- one question to one server ---- */

struct question {
	const char *name;
	uint16_t id;
	const union socket_address *to;
	socklen_t to_n;
	uint8_t *answer; /* DNS_MESSAGE_MAX octets */
	struct srv_answer *ret;
};

static int
wait_for(int fd, short events, uint64_t until)
{
	for (;;) {
		uint64_t now = clock_ms();
		struct pollfd p = {fd, events, 0};

		if (now >= until)
			return -ETIMEDOUT;
		int n = poll(&p, 1, (int)(until - now));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* What the server said as an errno; DNS_NOT_OURS is the caller's. */
static int
error_of(enum dns_verdict v)
{
	switch (v) {
	case DNS_ANSWER: return 0;
	case DNS_TRUNCATED: return -EMSGSIZE;
	case DNS_FAILED: return -EREMOTEIO;
	case DNS_BROKEN:
	case DNS_NOT_OURS: break;
	}
	return -EBADMSG;
}

/*
 * The socket is connected: the kernel lets nothing through from another address or port,
 * and its own port is a fresh one at random; the id and the question do the rest.
 */
static int
ask_udp(struct question *q, struct view query)
{
	uint64_t until = clock_ms() + DNS_UDP_MS;
	AUTO_FD fd = socket(
		q->to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, &q->to->any, q->to_n) < 0)
		return -errno;
	if (send(fd, query.p, query.n, MSG_NOSIGNAL) != (ssize_t)query.n)
		return -errno;
	for (;;) {
		int r = wait_for(fd, POLLIN, until);
		if (r < 0)
			return r;
		ssize_t n = recv(fd, q->answer, DNS_MESSAGE_MAX, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		enum dns_verdict v = dns_srv_answer(
			(struct view){q->answer, (size_t)n}, q->name, q->id, q->ret);
		if (v != DNS_NOT_OURS)
			return error_of(v);
	}
}

static int
move_all(int fd, bool out, uint8_t *p, size_t n, uint64_t until)
{
	for (size_t done = 0; done < n;) {
		int r = wait_for(fd, out ? POLLOUT : POLLIN, until);
		if (r < 0)
			return r;
		ssize_t moved = out ? send(fd, p + done, n - done, MSG_NOSIGNAL)
				    : recv(fd, p + done, n - done, 0);
		if (moved < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (moved <= 0)
			return moved < 0 ? -errno : -ECONNRESET;
		done += (size_t)moved;
	}
	return 0;
}

/* RFC 1035 s.4.2.2: two octets of length before each message. */
static int
ask_tcp(struct question *q, struct view query)
{
	uint64_t until = clock_ms() + DNS_TCP_MS;
	uint8_t framed[DNS_QUERY_MAX + 2], length[2];
	AUTO_FD fd = socket(
		q->to->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;
	socklen_t error_n = sizeof(error);

	if (fd < 0)
		return -errno;
	if (connect(fd, &q->to->any, q->to_n) < 0 && errno != EINPROGRESS)
		return -errno;
	int r = wait_for(fd, POLLOUT, until);
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_n) < 0)
		r = -errno;
	if (r < 0 || error != 0)
		return r < 0 ? r : -error;
	framed[0] = (uint8_t)(query.n >> 8);
	framed[1] = (uint8_t)query.n;
	memcpy(framed + 2, query.p, query.n);
	r = move_all(fd, true, framed, query.n + 2, until);
	if (r == 0)
		r = move_all(fd, false, length, 2, until);
	if (r < 0)
		return r;
	size_t n = (size_t)(length[0] << 8 | length[1]);
	r = move_all(fd, false, q->answer, n, until);
	if (r < 0)
		return r;
	return error_of(
		dns_srv_answer((struct view){q->answer, n}, q->name, q->id, q->ret));
}

static int
ask_one(struct question *q)
{
	uint8_t storage[DNS_QUERY_MAX];
	struct buf query = buf_over(storage, sizeof(storage));

	if (getrandom(&q->id, sizeof(q->id), 0) != (ssize_t)sizeof(q->id))
		return -EIO;
	if (!dns_srv_query(q->name, q->id, &query))
		return -EINVAL;
	int r = ask_udp(q, buf_view(&query));
	return r == -EMSGSIZE ? ask_tcp(q, buf_view(&query)) : r;
}

static const char *
words_of(int r)
{
	if (r == -EREMOTEIO)
		return "it cannot answer (SERVFAIL, REFUSED or the like)";
	if (r == -EBADMSG)
		return "its answer makes no sense";
	if (r == -EMSGSIZE)
		return "its answer is cut over TCP too";
	return strerrordesc_np(-r);
}

static void
tell(const struct dns_servers *s, size_t i, int r, char *why, size_t why_n)
{
	char host[80] = "?", port[8] = "?";

	(void)getnameinfo(&s->at[i].any, s->length[i], host, sizeof(host), port,
		sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(why, why_n, "DNS server %s port %s: %s", host, port, words_of(r));
}

int
dns_srv_ask(const struct dns_servers *s, const char *name, struct srv_answer *ret,
	char *why, size_t why_n)
{
	AUTO_FREE uint8_t *octets = malloc(DNS_MESSAGE_MAX);
	struct question q = {.name = name, .answer = octets, .ret = ret};
	uint32_t random[SRV_RECORDS_MAX];
	int r = -ENOMEM;

	(void)snprintf(why, why_n, "no DNS server");
	for (int round = 0; octets && r != 0 && round < ROUNDS; round++) {
		for (size_t i = 0; r != 0 && i < s->n; i++) {
			q.to = &s->at[i];
			q.to_n = s->length[i];
			r = ask_one(&q);
			if (r == -EINVAL)
				return r;
			if (r != 0)
				tell(s, i, r, why, why_n);
		}
	}
	if (r == 0 && getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random))
		dns_srv_order(ret, random);
	return r;
}
