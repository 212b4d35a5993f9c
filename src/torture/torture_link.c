#include "torture/torture_link.h"

#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TAKE_OCTETS 65536

static enum link_state push(struct link *l);

void
link_init(struct link *l, int fd, uint64_t deadline_ms)
{
	*l = (struct link){.fd = fd, .deadline_ms = deadline_ms};
	if (fd >= 0 && fd_nonblock(fd) < 0)
		l->state = LINK_RESET;
}

void
link_close(struct link *l)
{
	SSL_free(l->ssl);
	l->ssl = NULL;
	fd_close(&l->fd);
	free(l->in);
	l->in = NULL;
	l->in_at = l->in_n = l->in_cap = 0;
	l->state = LINK_CLOSED;
}

void
link_reset(struct link *l)
{
	struct linger at_once = {.l_onoff = 1};

	if (l->fd >= 0)
		(void)setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	link_close(l);
}

void
link_half_close(struct link *l)
{
	if (l->fd >= 0)
		(void)shutdown(l->fd, SHUT_WR);
}

const char *
link_words(enum link_state s)
{
	switch (s) {
	case LINK_OPEN: return "the connection is open";
	case LINK_CLOSED: return "the server closed the connection";
	case LINK_RESET: return "the connection was reset";
	case LINK_LATE: return "nothing came in time";
	case LINK_TLS: return "TLS ended with a fault or an alert";
	case LINK_FULL: return "the server sends without end";
	}
	return "";
}

/* Waits until the deadline. False: it passed. */
static bool
wait_for(const struct link *l, short events, short *ret)
{
	for (;;) {
		struct pollfd p = {l->fd, events, 0};
		uint64_t now = clock_ms();
		uint64_t left = l->deadline_ms > now ? l->deadline_ms - now : 0;
		int n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);

		if (n < 0 && errno == EINTR)
			continue;
		*ret = p.revents;
		return n > 0;
	}
}

static bool
keep(struct link *l, const uint8_t *p, size_t n)
{
	if (l->in_at == l->in_n)
		l->in_at = l->in_n = 0;
	if (l->in_cap - l->in_n < n && l->in_at > 0) {
		memmove(l->in, l->in + l->in_at, l->in_n - l->in_at);
		l->in_n -= l->in_at;
		l->in_at = 0;
	}
	if (l->in_cap - l->in_n < n) {
		size_t cap = 2 * (l->in_n + n);
		uint8_t *in =
			cap <= 2 * (size_t)LINK_LINE_MAX ? realloc(l->in, cap) : NULL;

		if (!in)
			return false;
		l->in = in;
		l->in_cap = cap;
	}
	memcpy(l->in + l->in_n, p, n);
	l->in_n += n;
	return true;
}

/* From the socket's octets to the text in them. */
static enum link_state
open_records(struct link *l)
{
	uint8_t text[16384];

	for (;;) {
		ERR_clear_error();
		int n = SSL_read(l->ssl, text, sizeof(text));

		if (n > 0 && !keep(l, text, (size_t)n))
			return LINK_FULL;
		if (n > 0)
			continue;
		switch (SSL_get_error(l->ssl, n)) {
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE: return LINK_OPEN;
		case SSL_ERROR_ZERO_RETURN: l->close_notify = true; return LINK_CLOSED;
		default: return LINK_TLS;
		}
	}
}

/* Once, what the socket has. */
static enum link_state
take(struct link *l)
{
	uint8_t octets[TAKE_OCTETS];
	ssize_t n = recv(l->fd, octets, sizeof(octets), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return LINK_OPEN;
	if (n <= 0)
		return l->state = n < 0 ? LINK_RESET : LINK_CLOSED;
	if (l->ssl) {
		(void)BIO_write(SSL_get_rbio(l->ssl), octets, (int)n);
		return l->state =
			       SSL_is_init_finished(l->ssl) ? open_records(l) : LINK_OPEN;
	}
	return l->state = keep(l, octets, (size_t)n) ? LINK_OPEN : LINK_FULL;
}

enum link_state
link_fill(struct link *l)
{
	short events;

	if (l->state != LINK_OPEN)
		return l->state;
	if (!wait_for(l, POLLIN, &events))
		return LINK_LATE;
	enum link_state s = take(l);
	if (s == LINK_OPEN && l->ssl)
		(void)push(l); /* answers of TLS itself; a dead peer shows at the next
				  read */
	return s;
}

/* One send; 0 octets where the socket is full. */
static ssize_t
send_some(struct link *l, const uint8_t *p, size_t n)
{
	ssize_t sent =
		send(l->fd, p, l->piece && n > l->piece ? l->piece : n, MSG_NOSIGNAL);

	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return sent;
}

enum link_state
link_send_raw(struct link *l, struct view octets)
{
	short events;

	while (octets.n > 0) {
		if (l->fd < 0 || (l->state != LINK_OPEN && l->state != LINK_CLOSED))
			return l->state;
		ssize_t sent = send_some(l, octets.p, octets.n);
		if (sent < 0)
			return l->state = LINK_RESET;
		octets.p += sent;
		octets.n -= (size_t)sent;
		if (sent > 0 && l->piece && octets.n > 0)
			(void)poll(NULL, 0, LINK_PIECE_GAP);
		if (sent > 0)
			continue;
		if (!wait_for(l, l->deaf ? POLLOUT : POLLIN | POLLOUT, &events))
			return LINK_LATE;
		if (!l->deaf && (events & POLLIN) && take(l) != LINK_OPEN)
			return l->state;
	}
	return LINK_OPEN;
}

/* What TLS has written goes to the socket. */
static enum link_state
push(struct link *l)
{
	uint8_t octets[16384 + 512];
	int n;

	while ((n = BIO_read(SSL_get_wbio(l->ssl), octets, sizeof(octets))) > 0) {
		enum link_state s = link_send_raw(l, (struct view){octets, (size_t)n});
		if (s != LINK_OPEN)
			return s;
	}
	return LINK_OPEN;
}

enum link_state
link_flush(struct link *l)
{
	return l->ssl ? push(l) : LINK_OPEN;
}

/* A record, in one go: `piece` is the size of records here, not of packets. */
static enum link_state
send_record(struct link *l, struct view text)
{
	size_t piece = l->piece;

	ERR_clear_error();
	if (SSL_write(l->ssl, text.p, (int)text.n) <= 0)
		return l->state == LINK_OPEN ? (l->state = LINK_TLS) : l->state;
	l->piece = 0;
	enum link_state s = push(l);
	l->piece = piece;
	return s;
}

enum link_state
link_send(struct link *l, struct view octets)
{
	if (!l->ssl)
		return link_send_raw(l, octets);
	while (octets.n > 0) {
		size_t n = octets.n < 16384 ? octets.n : 16384;

		if (l->piece && n > l->piece)
			n = l->piece;
		enum link_state s = send_record(l, (struct view){octets.p, n});
		if (s != LINK_OPEN)
			return s;
		octets.p += n;
		octets.n -= n;
		if (l->piece && octets.n > 0)
			(void)poll(NULL, 0, LINK_PIECE_GAP);
	}
	return LINK_OPEN;
}

size_t
link_seal(struct link *l, struct view octets, uint8_t *ret, size_t cap)
{
	ERR_clear_error();
	if (SSL_write(l->ssl, octets.p, (int)octets.n) <= 0)
		return 0;
	int n = BIO_read(SSL_get_wbio(l->ssl), ret, (int)cap);
	return n > 0 ? (size_t)n : 0;
}

enum link_state
link_handshake(struct link *l, SSL_CTX *with, const char *host)
{
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	short events;

	l->ssl = SSL_new(with);
	if (!l->ssl || !in || !out)
		return l->state = LINK_FULL;
	SSL_set_bio(l->ssl, in, out);
	SSL_set_connect_state(l->ssl);
	if (l->resume)
		(void)SSL_set_session(l->ssl, l->resume);
	if (host)
		(void)SSL_ctrl(l->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
			TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)host);
	l->in_at = l->in_n = 0;
	for (;;) {
		ERR_clear_error();
		int r = SSL_do_handshake(l->ssl);
		int error = SSL_get_error(l->ssl, r);
		enum link_state s = push(l);

		if (r == 1)
			return s == LINK_OPEN ? (l->state = open_records(l)) : s;
		if (error != SSL_ERROR_WANT_READ)
			return l->state = LINK_TLS;
		if (s != LINK_OPEN)
			return s;
		if (!wait_for(l, POLLIN, &events))
			return LINK_LATE;
		if (take(l) != LINK_OPEN)
			return l->state;
	}
}

enum link_state
link_line(struct link *l, struct view *ret)
{
	size_t seen = 0;

	for (;;) {
		size_t n = l->in_n - l->in_at;
		const uint8_t *lf =
			n > seen ? memchr(l->in + l->in_at + seen, '\n', n - seen) : NULL;

		if (lf) {
			const uint8_t *p = l->in + l->in_at;

			*ret = (struct view){p, (size_t)(lf + 1 - p)};
			l->in_at += ret->n;
			return LINK_OPEN;
		}
		if (n > LINK_LINE_MAX)
			return l->state = LINK_FULL;
		seen = n;
		enum link_state s = link_fill(l);
		/* What came with the end is looked at before the end is told. */
		if (s != LINK_OPEN && l->in_n - l->in_at == seen)
			return s;
	}
}

enum link_state
link_drain(struct link *l, uint64_t *ret_octets)
{
	*ret_octets = 0;
	for (;;) {
		*ret_octets += l->in_n - l->in_at;
		l->in_at = l->in_n;
		enum link_state s = link_fill(l);
		if (s != LINK_OPEN && l->in_n == l->in_at)
			return s;
	}
}

struct view
link_rest(const struct link *l)
{
	return (struct view){l->in + l->in_at, l->in_n - l->in_at};
}
