/*
 * From a name to a connection that takes messages.
 */
#include "fetch/smtp_link.h"

#include "base/ascii.h"
#include "os/address.h"
#include "os/clock.h"
#include "os/dial.h"
#include "os/fd.h"
#include "os/tls_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int
fail(struct smtp_link *l, int err, const char *what, const char *words)
{
	(void)snprintf(
		l->why, sizeof(l->why), "%s%s%.180s", what, words[0] ? ": " : "", words);
	return err;
}

/* Octets to and from a unix socket or 127.0.0.0/8, ::1 do not leave this machine. */
static bool
is_loopback(int fd)
{
	union socket_address a;
	socklen_t n = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (getpeername(fd, &a.any, &n) < 0)
		return false;
	if (a.any.sa_family == AF_INET)
		return ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
	if (a.any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr) ||
			(IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr) &&
				a.v6.sin6_addr.s6_addr[12] == 127);
	return a.any.sa_family == AF_UNIX;
}

/* RFC 5321 s.4.1.4: our name, or our address where we have no full name. */
static void
own_name(int fd, char *ret, size_t cap)
{
	char text[INET6_ADDRSTRLEN] = "";
	union socket_address a;
	socklen_t n = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (gethostname(ret, cap) == 0) {
		ret[cap - 1] = '\0';
		size_t good = strspn(ret,
			"abcdefghijklmnopqrstuvwxyz"
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
		if (ret[good] == '\0' && strchr(ret, '.') && ret[0] != '.')
			return;
	}
	(void)snprintf(ret, cap, "localhost");
	if (getsockname(fd, &a.any, &n) < 0)
		return;
	if (a.any.sa_family == AF_INET &&
		inet_ntop(AF_INET, &a.v4.sin_addr, text, sizeof(text)))
		(void)snprintf(ret, cap, "[%s]", text);
	if (a.any.sa_family == AF_INET6 &&
		inet_ntop(AF_INET6, &a.v6.sin6_addr, text, sizeof(text)))
		(void)snprintf(ret, cap, "[IPv6:%s]", text);
}

static int
ask(struct smtp_link *l, const struct buf *command, struct smtp_reply *ret)
{
	uint64_t limit = smtp_link_limit(l, SMTP_COMMAND_MS);
	int r = smtp_link_send(l, command->p, command->n, limit);

	return r < 0 ? r : smtp_link_reply(l, limit, ret);
}

static int
hello(struct smtp_link *l)
{
	uint8_t storage[SMTP_COMMAND_MAX];
	struct buf out = buf_over(storage, sizeof(storage));
	struct smtp_reply reply;
	char name[256];

	own_name(l->stream.fd, name, sizeof(name));
	struct view v = {(const uint8_t *)name, strlen(name)};
	if (!smtp_client_hello(&l->client, v, false, &out))
		return fail(l, -EPROTO, "cannot greet the server", "");
	int r = ask(l, &out, &reply);
	/* RFC 5321 s.3.2: a server that knows no EHLO. */
	if (r == 0 && reply.code >= 500 && !l->client.lmtp) {
		out.n = 0;
		if (!smtp_client_hello(&l->client, v, true, &out))
			return fail(l, -EPROTO, "the server takes no EHLO", "");
		r = ask(l, &out, &reply);
	}
	if (r < 0)
		return r;
	return reply.code < 300
		? 0
		: fail(l, -EAGAIN, "the server takes no greeting", reply.words);
}

static int
handshake(struct smtp_link *l, const struct smtp_peer *p)
{
	struct tls_client_options options = {.ca_file = p->account->tls_options.ca_file};
	struct tls_context *c;
	uint64_t until = clock_ms() + smtp_link_limit(l, SMTP_COMMAND_MS);
	enum stream_result r;

	/* Pins and our own certificate are for the POP3 server. */
	if (tls_client_context_new(&options, &c, l->why, sizeof(l->why)) < 0)
		return -EINVAL;
	r = stream_connect_tls(&l->stream, c, p->host, false, (struct view){NULL, 0});
	tls_context_unref(&c);
	if (r == STREAM_OK)
		r = stream_handshake(&l->stream);
	while (r == STREAM_AGAIN) {
		uint64_t now = clock_ms();
		struct pollfd f = {l->stream.fd,
			(short)(POLLIN | (l->stream.want_write ? POLLOUT : 0)), 0};

		if (now >= until)
			return fail(l, -ETIMEDOUT, "the TLS handshake does not end", "");
		if (poll(&f, 1, until - now > 60000 ? 60000 : (int)(until - now)) < 0 &&
			errno != EINTR)
			return fail(l, -errno, "cannot wait for the server", "");
		r = stream_handshake(&l->stream);
	}
	if (r != STREAM_OK) {
		stream_why(&l->stream, l->why, sizeof(l->why), &l->refused_certificate);
		return -EPROTO;
	}
	l->secured = true;
	return 0;
}

/* RFC 3207. Without it only where somebody said so, or nobody else can listen. */
static int
start_tls(struct smtp_link *l, const struct smtp_peer *p)
{
	uint8_t storage[64];
	struct buf out = buf_over(storage, sizeof(storage));
	struct smtp_reply reply;

	if (p->account->smtp_tls == FETCH_TLS_NONE || l->secured)
		return 0;
	if (l->loopback && (p->trusts_loopback || !(l->client.has & SMTP_STARTTLS)))
		return 0;
	if (!(l->client.has & SMTP_STARTTLS))
		return fail(l, -EPROTO,
			"the server offers no STARTTLS; smtp_tls = none would send mail "
			"in the clear",
			"");
	if (!smtp_client_send(&l->client, SMTP_TLS, &out))
		return fail(l, -EPROTO, "cannot ask for TLS", "");
	int r = ask(l, &out, &reply);
	if (r < 0)
		return r;
	if (reply.code != 220)
		return fail(l, -EPROTO, "the server starts no TLS", reply.words);
	/* Octets that came with the answer: the client calls them broken. */
	r = smtp_link_glance(l);
	if (r == 0)
		r = handshake(l, p);
	if (r < 0)
		return r;
	smtp_client_secured(&l->client);
	return hello(l);
}

static int
greet(struct smtp_link *l, const struct smtp_peer *p)
{
	struct smtp_reply reply;
	int r = 0;

	l->loopback = is_loopback(l->stream.fd);
	if (p->account->smtp_tls == FETCH_TLS_TLS && p->host[0] != '/' &&
		!(l->loopback && p->trusts_loopback))
		r = handshake(l, p);
	if (r == 0)
		r = smtp_link_reply(l, smtp_link_limit(l, SMTP_COMMAND_MS), &reply);
	if (r < 0)
		return r;
	if (reply.code >= 300)
		return fail(l, -EAGAIN, "the server takes no mail now", reply.words);
	r = hello(l);
	if (r == 0)
		r = start_tls(l, p);
	if (r == 0 && !p->lmtp && p->account->smtp_user && p->account->smtp_user[0])
		r = smtp_link_login(l, p);
	return r;
}

int
smtp_link_open(const struct smtp_peer *p, struct smtp_link **ret, char *why, size_t why_n,
	bool *ret_certificate)
{
	struct dial_target to = {.host = p->host, .port = p->port};
	uint64_t timeout = p->account->timeout_ms ? p->account->timeout_ms : 60000;
	struct smtp_link *l = calloc(1, sizeof(*l));

	*ret = NULL;
	*ret_certificate = false;
	if (!l) {
		(void)snprintf(why, why_n, "there is no memory");
		return -ENOMEM;
	}
	l->timeout_ms = timeout;
	int fd = dial_wait(
		&to, timeout < SMTP_COMMAND_MS ? timeout : SMTP_COMMAND_MS, why, why_n);
	if (fd < 0) {
		free(l);
		return fd;
	}
	stream_init(&l->stream, fd);
	smtp_client_init(&l->client, p->lmtp);
	int r = greet(l, p);
	if (r < 0) {
		(void)snprintf(why, why_n, "%s", l->why);
		*ret_certificate = l->refused_certificate && l->loopback;
		l->closing = true; /* no QUIT */
		smtp_link_close(&l);
		return r;
	}
	l->used_ms = clock_ms();
	*ret = l;
	return 0;
}
