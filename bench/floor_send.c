/* How the floor's answers leave: from memory, from a file, or as records of TLS. */
#include "floor.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TLS_PIECE   65536
#define SENDFILE_IF 4096

static char gathered[4 * TLS_PIECE];
static size_t gathered_n;

static bool
watch(struct conn *c, bool write)
{
	struct epoll_event e = {
		.events = EPOLLIN | (write ? EPOLLOUT : 0U), .data.ptr = c};

	if (write == c->writing)
		return true;
	c->writing = write;
	return epoll_ctl(polls, EPOLL_CTL_MOD, c->fd, &e) == 0;
}

static void
sent(struct conn *c, uint64_t n)
{
	while (n > 0) {
		struct range *r = &c->out[c->out_at];
		uint64_t part = n < r->n ? n : r->n;
		r->at += part;
		r->n -= part;
		n -= part;
		if (r->n == 0)
			c->out_at++;
	}
	if (c->out_at == c->out_n)
		c->out_at = c->out_n = 0;
}

static ssize_t
send_plain(struct conn *c)
{
	struct iovec v[RANGES];
	struct range *first = &c->out[c->out_at];
	struct msghdr m = {.msg_iov = v};

	if (by_sendfile && first->n >= SENDFILE_IF) {
		off_t at = (off_t)first->at;
		return sendfile(c->fd, store.fd, &at, first->n);
	}
	for (uint32_t i = c->out_at; i < c->out_n; i++)
		v[m.msg_iovlen++] = (struct iovec){store.map + c->out[i].at, c->out[i].n};
	return sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

/* Records are gathered for the connection that is served now, and go by one send. */
static int
gather_write(BIO *b, const char *p, int n)
{
	(void)b;
	if (n < 0 || (size_t)n > sizeof(gathered) - gathered_n)
		return -1;
	memcpy(gathered + gathered_n, p, (size_t)n);
	gathered_n += (size_t)n;
	return n;
}

static long
gather_ctrl(BIO *b, int what, long n, void *p)
{
	(void)b, (void)n, (void)p;
	return what == BIO_CTRL_FLUSH;
}

BIO *
gather_open(void)
{
	BIO *gather;
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "gather");

	if (!m || BIO_meth_set_write(m, gather_write) != 1 ||
		BIO_meth_set_ctrl(m, gather_ctrl) != 1 || !(gather = BIO_new(m)))
		die("no memory");
	BIO_set_init(gather, 1);
	return gather;
}

void
gather_forget(void)
{
	gathered_n = 0;
}

void
keep(struct kept *k, const char *p, size_t n)
{
	char *kept = n > 0 ? malloc(n) : NULL;

	if (n > 0 && !kept)
		die("no memory");
	if (n > 0)
		memcpy(kept, p, n);
	free(k->p);
	*k = (struct kept){kept, n};
}

static ssize_t
send_tls(struct conn *c)
{
	while (gathered_n < TLS_PIECE && c->out_at < c->out_n) {
		struct range *r = &c->out[c->out_at];
		int piece = r->n < TLS_PIECE ? (int)r->n : TLS_PIECE;
		if (SSL_write(c->ssl, store.map + r->at, piece) != piece)
			die("no record");
		sent(c, (uint64_t)piece);
	}
	if (c->out_n == 0 && c->quitting)
		(void)SSL_shutdown(c->ssl);
	size_t n = gathered_n;
	gathered_n = 0;
	ssize_t took = n > 0 ? send(c->fd, gathered, n, MSG_NOSIGNAL) : 0;
	if (took < 0 && errno != EAGAIN)
		return -1;
	took = took < 0 ? 0 : took;
	if ((size_t)took < n)
		keep(&c->records, gathered + took, n - (size_t)took);
	return took;
}

/* Records that the socket did not take before: whether they are gone; errno. */
static bool
send_kept(struct conn *c)
{
	struct kept *k = &c->records;

	if (k->n == 0)
		return true;
	ssize_t took = send(c->fd, k->p, k->n, MSG_NOSIGNAL);
	if (took > 0)
		keep(k, k->p + took, k->n - (size_t)took);
	if (took > 0 && k->n > 0)
		errno = EAGAIN;
	return k->n == 0;
}

/* False: the connection is done for. */
bool
flush(struct conn *c)
{
	do {
		if (!send_kept(c))
			return errno == EAGAIN && watch(c, true);
		if (c->out_n == 0 && (!c->tls || gathered_n == 0))
			break;
		ssize_t took = c->tls ? send_tls(c) : send_plain(c);
		if (took < 0)
			return errno == EAGAIN && watch(c, true);
		if (!c->tls)
			sent(c, (uint64_t)took);
	} while (c->out_n > 0 || c->records.n > 0);
	return !c->quitting && watch(c, false);
}
