#include "os/tls.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/tls_context.h"
#include "os/tls_out.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RECORD_MAX  16384
#define RECORD_COST 64 /* header, tag and padding, rounded up */
/*
 * So often the socket is read in one call, about 16 KiB each: OpenSSL goes on by itself
 * through records without content, of which a peer can send any number.
 */
#define READS_A_CALL 4

void
stream_init(struct stream *s, int fd)
{
	*s = (struct stream){.fd = fd};
}

static enum stream_result
fail(struct stream *s)
{
	s->broken = true;
	s->want_write = false;
	return STREAM_ERROR;
}

static enum stream_result
fail_errno(struct stream *s)
{
	s->error = errno;
	return fail(s);
}

/* ---- what OpenSSL reads from and writes to -------------------------------------- */

static int
bio_write(BIO *b, const char *p, int n)
{
	struct stream *s = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (n <= 0 || !tls_out_grow(s, (size_t)n))
		return -1;
	memcpy(s->out + s->out_n, p, (size_t)n);
	s->out_n += (size_t)n;
	return n;
}

/* What a client's peer sent first tells one that speaks no TLS. */
static void
note_first(struct tls_peer *p, const void *from, size_t n)
{
	if (!p || p->first_n > 0)
		return;
	p->first_n = n < sizeof(p->first) ? n : sizeof(p->first);
	memcpy(p->first, from, p->first_n);
}

/* To clear a queue that is empty takes OpenSSL as long as one that is full. */
static void
forget_errors(void)
{
	if (ERR_peek_error() != 0)
		ERR_clear_error();
}

/* Before the queue of errors is emptied: the first one is the cause. */
static void
note_fault(struct stream *s)
{
	if (s->peer && s->peer->fault == 0)
		s->peer->fault = ERR_peek_error();
}

static int
bio_read(BIO *b, char *p, int n)
{
	struct stream *s = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (n <= 0)
		return -1;
	if (s->reads == 0) {
		BIO_set_retry_read(b); /* the socket is still readable */
		return -1;
	}
	s->reads--;
	for (;;) {
		ssize_t got = recv(s->fd, p, (size_t)n, MSG_DONTWAIT);
		if (got == 0)
			s->cut = true;
		if (got > 0)
			note_first(s->peer, p, (size_t)got);
		/* Fewer than asked for: there is no more, so nobody need ask again. */
		if (got > 0 && got < n)
			s->reads = 0;
		if (got >= 0)
			return (int)got;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			BIO_set_retry_read(b);
		else
			s->error = errno;
		return -1;
	}
}

static long
bio_ctrl(BIO *b, int cmd, long larg, void *parg)
{
	(void)b, (void)larg, (void)parg;
	/* A flush inside the handshake is not the time to send: stream_flush is. */
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *
tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (!m)
		return NULL;
	if (BIO_meth_set_write(m, bio_write) && BIO_meth_set_read(m, bio_read) &&
		BIO_meth_set_ctrl(m, bio_ctrl))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/*
 * Before every call into OpenSSL. An old error in the queue would be taken for one of
 * this call; the stream may have been moved since the last one.
 */
static SSL *
enter(struct stream *s)
{
	SSL *ssl = s->ssl;

	forget_errors();
	BIO_set_data(SSL_get_rbio(ssl), s);
	s->reads = READS_A_CALL;
	tls_warm(s);
	return ssl;
}

/* ---- the handshake --------------------------------------------------------------- */

enum stream_result
tls_attach(struct stream *s, struct tls_context *c)
{
	CHECK(!s->ssl);
	CHECK(stream_unsent(s) == 0);
	forget_errors();
	SSL *ssl = SSL_new(c->ctx);
	BIO *b = BIO_new(c->bio);
	if (!ssl || !b) {
		SSL_free(ssl);
		BIO_free(b);
		return fail(s);
	}
	BIO_set_init(b, 1);
	SSL_set_bio(ssl, b, b);
	s->ssl = ssl;
	s->context = tls_context_ref(c);
	s->handshaking = true;
	s->dry = false;
	return STREAM_OK;
}

/* A client goes on only with a certificate that its rules accepted, also resumed ones. */
static bool
peer_is_good(const struct stream *s)
{
	return !s->peer ||
		(SSL_get_verify_result(s->ssl) == X509_V_OK &&
			SSL_get0_peer_certificate(s->ssl));
}

enum stream_result
stream_handshake(struct stream *s)
{
	CHECK(s->ssl);
	if (!s->handshaking)
		return STREAM_OK;
	if (s->broken)
		return STREAM_ERROR;
	SSL *ssl = enter(s);
	int rc = SSL_do_handshake(ssl);
	int what = SSL_get_error(ssl, rc);
	/* In TLS 1.3 the client's word is the last one; only a ticket comes after it. */
	bool ticket_only =
		rc == 1 && SSL_is_server(ssl) && SSL_version(ssl) >= TLS1_3_VERSION;
	if (rc != 1 && what != SSL_ERROR_WANT_READ)
		note_fault(s);
	/* Also after a failure: what is gathered then is the alert that says why. */
	enum stream_result sent = ticket_only ? STREAM_OK : stream_flush(s);
	forget_errors();
	if (rc != 1 && what != SSL_ERROR_WANT_READ)
		return fail(s);
	if (sent != STREAM_OK)
		return sent;
	if (rc != 1)
		return STREAM_AGAIN;
	if (!peer_is_good(s) || !tls_server_fit(s))
		return fail(s);
	s->handshaking = false;
	return STREAM_OK;
}

bool
stream_resumed(const struct stream *s)
{
	return s->ssl && SSL_session_reused(s->ssl);
}

const char *
stream_version(const struct stream *s)
{
	return s->ssl ? SSL_get_version(s->ssl) : "none";
}

/* ---- input ------------------------------------------------------------------------ */

static enum stream_result
plain_read(struct stream *s, void *p, size_t n, size_t *ret_n)
{
	for (;;) {
		ssize_t got = recv(s->fd, p, n, MSG_DONTWAIT);
		if (got > 0) {
			s->was_plain = true;
			*ret_n = (size_t)got;
			return STREAM_OK;
		}
		if (got == 0)
			return STREAM_END;
		if (errno == EAGAIN)
			return STREAM_AGAIN;
		if (errno != EINTR)
			return fail_errno(s);
	}
}

static enum stream_result
tls_read(struct stream *s, void *p, size_t n, size_t *ret_n)
{
	SSL *ssl = enter(s);
	size_t got;
	int rc = SSL_read_ex(ssl, p, n, &got);
	int what = SSL_get_error(ssl, rc);

	if (rc == 1) {
		*ret_n = got;
		return STREAM_OK;
	}
	if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_ZERO_RETURN)
		note_fault(s);
	forget_errors();
	if (what == SSL_ERROR_WANT_READ)
		return STREAM_AGAIN;
	if (what == SSL_ERROR_ZERO_RETURN)
		return STREAM_END;
	(void)stream_flush(s); /* the alert, if that does not wait */
	return fail(s);
}

enum stream_result
stream_read(struct stream *s, void *p, size_t n, size_t *ret_n)
{
	CHECK(n > 0);
	CHECK(!s->handshaking);
	if (s->broken)
		return STREAM_ERROR;
	s->want_write = false;
	enum stream_result r =
		s->ssl ? tls_read(s, p, n, ret_n) : plain_read(s, p, n, ret_n);
	s->dry = r != STREAM_OK;
	return r;
}

bool
stream_has_pending(const struct stream *s)
{
	/* OpenSSL also counts a record of which only a part has come: hence dry. */
	return s->ssl && !s->handshaking && !s->dry && SSL_has_pending(s->ssl);
}

/* ---- output ----------------------------------------------------------------------- */

enum stream_result
stream_write(struct stream *s, const void *p, size_t n)
{
	size_t put, records = n / RECORD_MAX + 1;

	CHECK(!s->handshaking);
	if (s->broken)
		return STREAM_ERROR;
	if (n == 0)
		return STREAM_OK;
	if (n > TLS_OUT_MAX || !tls_out_grow(s, n + (s->ssl ? records * RECORD_COST : 0)))
		return fail(s);
	if (s->ssl) {
		SSL *ssl = enter(s);
		if (SSL_write_ex(ssl, p, n, &put) == 1 && put == n)
			return STREAM_OK;
		note_fault(s);
		forget_errors();
		return fail(s);
	}
	memcpy(s->out + s->out_n, p, n);
	s->out_n += n;
	return STREAM_OK;
}

uint8_t *
stream_reserve(struct stream *s, size_t n)
{
	if (s->ssl || s->broken || !tls_out_grow(s, n))
		return NULL;
	return s->out + s->out_n;
}

void
stream_commit(struct stream *s, size_t n)
{
	CHECK(!s->ssl);
	CHECK(n <= s->out_cap - s->out_n);
	s->out_n += n;
}

static ssize_t
put_out(const struct stream *s, const void *p, size_t n)
{
	int more = s->last ? MSG_MORE : 0;

	return send(s->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT | more);
}

enum stream_result
stream_flush(struct stream *s)
{
	s->want_write = false;
	while (s->out_sent < s->out_n) {
		ssize_t put = put_out(s, s->out + s->out_sent, s->out_n - s->out_sent);
		if (put >= 0) {
			s->out_sent += (size_t)put;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return fail_errno(s);
		s->want_write = true;
		return STREAM_AGAIN;
	}
	tls_out_release(s);
	return STREAM_OK;
}

enum stream_result
stream_send(struct stream *s, const void *p, size_t n)
{
	const uint8_t *from = p;
	ssize_t put = 0;
	bool at_once = !s->ssl && !s->broken && n > 0 && stream_unsent(s) == 0;

	if (at_once) {
		put = put_out(s, from, n);
		if (put < 0 && errno != EAGAIN && errno != EINTR)
			return fail_errno(s);
		if (put < 0)
			put = 0;
	}
	s->want_write = at_once && (size_t)put < n;
	if ((size_t)put < n && stream_write(s, from + put, n - (size_t)put) != STREAM_OK)
		return STREAM_ERROR;
	return s->want_write ? STREAM_AGAIN : stream_flush(s);
}

void
stream_discard(struct stream *s)
{
	if (s->out)
		explicit_bzero(s->out, s->out_n);
	tls_out_release(s);
}

size_t
stream_unsent(const struct stream *s)
{
	return s->out_n - s->out_sent;
}

/* ---- the end ---------------------------------------------------------------------- */

void
stream_goodbye(struct stream *s)
{
	if (!s->ssl || s->broken || s->handshaking)
		return;
	SSL *ssl = enter(s);
	if (!(SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN))
		(void)SSL_shutdown(ssl); /* its answer is not waited for */
	forget_errors();
}

void
stream_last(struct stream *s)
{
	s->last = true;
}

/*
 * What waits for it leaves with it. A close would do that too, but not where octets of
 * the peer's are unread: then it is a reset, and our last words were lost.
 */
static int
end_sending(struct stream *s)
{
	s->last = false;
	return shutdown(s->fd, SHUT_WR) < 0 ? -errno : 0;
}

enum stream_result
stream_shutdown(struct stream *s)
{
	if (s->broken)
		return STREAM_ERROR;
	stream_goodbye(s);
	enum stream_result sent = stream_flush(s);
	if (sent != STREAM_OK)
		return sent;
	if (end_sending(s) < 0)
		return fail(s);
	return STREAM_OK;
}

void
stream_done(struct stream *s)
{
	bool whole = !s->broken;

	stream_goodbye(s);
	if (whole && s->fd >= 0)
		(void)stream_flush(s);
	if (s->last && s->fd >= 0)
		(void)end_sending(s); /* closed it is in any case */
	tls_out_release(s);
	tls_cool(s);
	SSL_free(s->ssl);
	s->ssl = NULL;
	if (s->peer)
		s->peer->free(s->peer);
	s->peer = NULL;
	free(s->guest);
	s->guest = NULL;
	tls_context_unref(&s->context);
	forget_errors();
	fd_close(&s->fd);
}
