/* One session: from the connection on, answer by answer. */
#include "crowd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- one session ---------------------------------------------------------------- */

void
crowd_count_error(struct crowd *c, const char *text)
{
	for (unsigned i = 0; i < ERRORS_MAX; i++) {
		if (c->counts[i] == 0)
			(void)snprintf(c->errors[i], sizeof(c->errors[i]), "%s", text);
		if (strncmp(c->errors[i], text, sizeof(c->errors[i]) - 1) == 0) {
			c->counts[i]++;
			return;
		}
	}
}

static void
leave(struct crowd *c, struct client *s)
{
	if (s->at != AT_IDLE && s->at != AT_NOWHERE)
		c->active--;
	SSL_free(s->ssl);
	s->ssl = NULL;
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
	free(s->in);
	s->in = NULL;
	s->n = s->cap = 0;
	s->at = AT_NOWHERE;
}

static void
give_up(struct crowd *c, struct client *s, const char *text)
{
	crowd_count_error(c, text);
	leave(c, s);
}

static void
done(struct crowd *c, struct client *s)
{
	c->took[c->ok++] = crowd_now_ms() - s->since;
	c->active--;
	s->at = AT_IDLE;
	free(s->in);
	s->in = NULL;
	s->n = s->cap = 0;
}

void
crowd_say(struct crowd *c, struct client *s, enum at next, const char *text)
{
	size_t n = strlen(text);
	bool sent = s->ssl ? SSL_write(s->ssl, text, (int)n) == (int)n
			   : send(s->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;

	s->at = next;
	if (!sent)
		give_up(c, s, "the connection takes no command");
}

/* The answer's octets, once it is whole; 0: more must come. */
static size_t
answer(const struct client *s, bool multi)
{
	const char *nl = s->n > 0 ? memchr(s->in, '\n', s->n) : NULL;

	if (!nl)
		return 0;
	if (!multi || s->in[0] == '-')
		return (size_t)(nl - s->in) + 1;
	const char *end = memmem(nl - 1, s->n - (size_t)(nl - 1 - s->in), "\r\n.\r\n", 5);
	return end ? (size_t)(end - s->in) + 5 : 0;
}

static bool
stat_is_right(const struct crowd *c, const struct client *s)
{
	char wanted[80];
	int n = snprintf(wanted, sizeof(wanted), "+OK %u %llu\r\n", c->messages,
		crowd_octets(s->user, c->messages));

	return s->n == (size_t)n && memcmp(s->in, wanted, s->n) == 0;
}

static bool
retr_is_right(struct crowd *c, const struct client *s, size_t n)
{
	char text[TEXT_MAX + 4];
	const char *body = (const char *)memchr(s->in, '\n', n) + 1;
	size_t wanted = crowd_text(s->user, s->msgno, true, text);

	memcpy(text + wanted, ".\r\n", 3);
	wanted += 3;
	c->octets += wanted;
	return n == s->n && n - (size_t)(body - s->in) == wanted &&
		memcmp(body, text, wanted) == 0;
}

static unsigned
lines_of(const struct client *s, size_t n)
{
	unsigned lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += s->in[i] == '\n';
	return lines;
}

static void
ask_next(struct crowd *c, struct client *s)
{
	char text[32];

	if (s->msgno == c->messages) {
		crowd_say(c, s, AT_QUIT, "QUIT\r\n");
		return;
	}
	(void)snprintf(text, sizeof(text), "RETR %u\r\n", ++s->msgno);
	crowd_say(c, s, AT_RETR, text);
}

/* A whole answer of n octets is at the start of s->in. */
static void
answered(struct crowd *c, struct client *s, size_t n)
{
	char text[600];
	enum at at = s->at;
	bool good = true;

	if (n < 3 || memcmp(s->in, "+OK", 3) != 0) {
		(void)snprintf(
			text, sizeof(text), "%.*s", (int)(n > 2 ? n - 2 : 0), s->in);
		/* Each has an id of its own; and who is in, since when. */
		char *own = strstr(text, " (id ");
		if (own)
			*own = '\0';
		own = strstr(text, " by a session from ");
		if (own)
			*own = '\0';
		give_up(c, s, text);
		return;
	}
	if (at == AT_STAT)
		good = stat_is_right(c, s);
	else if (at == AT_UIDL)
		good = n == s->n && lines_of(s, n) == c->messages + 2;
	else if (at == AT_RETR)
		good = retr_is_right(c, s, n);
	if (!good) {
		give_up(c, s, at == AT_RETR ? "another message" : "another list");
		return;
	}
	s->n = 0;
	switch (at) {
	case AT_GREETING:
		if (c->greet) {
			done(c, s);
			return;
		}
		(void)snprintf(text, sizeof(text), "USER u%05u\r\n", s->user);
		crowd_say(c, s, AT_USER, text);
		return;
	case AT_USER:
		(void)snprintf(text, sizeof(text), "PASS %s\r\n", c->password);
		crowd_say(c, s, AT_PASS, text);
		return;
	case AT_PASS:
	case AT_NOOP: done(c, s); return;
	case AT_STAT: crowd_say(c, s, AT_UIDL, "UIDL\r\n"); return;
	case AT_UIDL:
	case AT_RETR: ask_next(c, s); return;
	case AT_QUIT: s->at = AT_END; return;
	case AT_NOWHERE:
	case AT_TLS:
	case AT_IDLE:
	case AT_END: break;
	}
	give_up(c, s, "an answer that was not asked for");
}

/* The server closed in order, or not. */
static void
closed(struct crowd *c, struct client *s, const char *why)
{
	if (s->at == AT_IDLE) {
		crowd_count_error(c, "an idle session was closed");
		leave(c, s);
	} else if (s->at != AT_END) {
		give_up(c, s, s->at == AT_GREETING ? "closed before the greeting" : why);
	} else {
		c->took[c->ok++] = crowd_now_ms() - s->since;
		leave(c, s);
	}
}

/* ---- octets --------------------------------------------------------------------- */

static bool
shake(struct crowd *c, struct client *s)
{
	int rc = SSL_connect(s->ssl);
	int why = SSL_get_error(s->ssl, rc);
	uint32_t events = why == SSL_ERROR_WANT_WRITE ? EPOLLOUT : EPOLLIN;

	if (rc == 1) {
		s->at = AT_GREETING;
		return true;
	}
	ERR_clear_error();
	if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
		give_up(c, s, "closed in the handshake");
		return false;
	}
	struct epoll_event e = {.events = events, .data.ptr = s};
	(void)epoll_ctl(c->epoll, EPOLL_CTL_MOD, s->fd, &e);
	return false;
}

/* 1: more came; 0: nothing now; -1: the end. */
static int
fill(struct client *s)
{
	if (s->cap - s->n < 4096) {
		s->cap += 8192;
		s->in = realloc(s->in, s->cap);
		if (!s->in)
			crowd_fail("memory", "none");
	}
	size_t room = s->cap - s->n;
	ssize_t got;
	if (s->ssl) {
		got = SSL_read(s->ssl, s->in + s->n, (int)room);
		if (got <= 0 && SSL_get_error(s->ssl, (int)got) == SSL_ERROR_WANT_READ) {
			ERR_clear_error();
			return 0;
		}
		ERR_clear_error();
	} else {
		got = recv(s->fd, s->in + s->n, room, 0);
		if (got < 0 && errno == EAGAIN)
			return 0;
	}
	if (got <= 0)
		return -1;
	s->n += (size_t)got;
	return 1;
}

void
crowd_ready(struct crowd *c, struct client *s)
{
	int more = 1;

	if (s->fd < 0)
		return;
	if (s->at == AT_TLS) {
		if (!shake(c, s))
			return;
		struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
		(void)epoll_ctl(c->epoll, EPOLL_CTL_MOD, s->fd, &e);
	}
	while (s->fd >= 0 && more > 0) {
		bool multi = s->at == AT_UIDL || s->at == AT_RETR;
		size_t n = s->at == AT_IDLE || s->at == AT_END ? 0 : answer(s, multi);
		if (n > 0) {
			answered(c, s, n);
			continue;
		}
		more = fill(s);
	}
	if (s->fd >= 0 && more < 0)
		closed(c, s, "closed in the middle");
	else if (s->fd >= 0 && s->at == AT_IDLE && s->in) {
		free(s->in); /* a ticket came */
		s->in = NULL;
		s->n = s->cap = 0;
	}
}

void
crowd_begin(struct crowd *c, struct client *s)
{
	unsigned i = s->user;
	int one = 1;
	struct sockaddr_in from = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x7f010001U + ((i / 250) % 250 << 8) + i % 250)};

	s->since = crowd_now_ms();
	c->active++;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	s->at = c->tls ? AT_TLS : AT_GREETING;
	if (s->fd < 0)
		crowd_fail("socket", strerror(errno));
	(void)setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(s->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
		(connect(s->fd, (struct sockaddr *)&c->to, sizeof(c->to)) < 0 &&
			errno != EINPROGRESS)) {
		give_up(c, s, strerror(errno));
		return;
	}
	if (c->tls && (!(s->ssl = SSL_new(c->tls)) || SSL_set_fd(s->ssl, s->fd) != 1))
		crowd_fail("TLS", "no memory");
	struct epoll_event e = {.events = c->tls ? EPOLLOUT : EPOLLIN, .data.ptr = s};
	if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, s->fd, &e) < 0)
		crowd_fail("epoll", strerror(errno));
}
