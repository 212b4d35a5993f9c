#include "fetch/pop_try.h"

#include "base/buf.h"
#include "fetch/pop_try_parts.h"
#include "os/clock.h"
#include "os/dial.h"
#include "os/fd.h"
#include "os/tls_client.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUIT_MS 2000

int
pop_try_fail(struct pop_try *t, int err, const char *what, struct view words)
{
	char shown[160];
	struct buf b = buf_over(shown, sizeof(shown) - 1);

	text_printable(&b, words, sizeof(shown) / 2, false);
	shown[b.n] = '\0';
	(void)snprintf(t->found->why, sizeof(t->found->why), "%s%s%s", what,
		b.n > 0 ? ": " : "", shown);
	t->broken = true;
	return err;
}

static int
lost(struct pop_try *t)
{
	stream_why(&t->stream, t->found->why, sizeof(t->found->why),
		&t->found->bad_certificate);
	t->broken = true;
	return t->found->bad_certificate ? -EKEYREJECTED : -ECONNRESET;
}

static int
wait_for(struct pop_try *t, short events)
{
	for (;;) {
		uint64_t now = clock_ms();
		struct pollfd p = {t->stream.fd, events, 0};

		if (now >= t->until)
			return pop_try_fail(t, -ETIMEDOUT,
				"the server does not answer in time", NO_WORDS);
		int n = poll(
			&p, 1, t->until - now > 60000 ? 60000 : (int)(t->until - now));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return pop_try_fail(
				t, -errno, "cannot wait for the server", NO_WORDS);
	}
}

/* Octets of the server, at least one. */
static int
fill(struct pop_try *t)
{
	size_t kept = t->rest.n, n = 0;

	if (kept > 0)
		memmove(t->in, t->rest.p, kept);
	if (kept == sizeof(t->in))
		return pop_try_fail(
			t, -EPROTO, "a line of the server has no end", NO_WORDS);
	for (;;) {
		switch (stream_read(&t->stream, t->in + kept, sizeof(t->in) - kept, &n)) {
		case STREAM_OK: t->rest = (struct view){t->in, kept + n}; return 0;
		case STREAM_END:
			return pop_try_fail(t, -ECONNRESET,
				"the server closed the connection", NO_WORDS);
		case STREAM_ERROR: return lost(t);
		case STREAM_AGAIN: break;
		}
		int r = wait_for(t, POLLIN);
		if (r < 0)
			return r;
	}
}

int
pop_try_next(
	struct pop_try *t, enum pop3_client_event *ret_event, struct pop3_answer *ret)
{
	for (;;) {
		*ret_event = pop3_client_next(
			&t->client, &t->rest, t->scratch, sizeof(t->scratch), ret);
		if (*ret_event == POP3_CLIENT_BROKEN)
			return pop_try_fail(t, -EPROTO, ret->why, ret->text);
		if (*ret_event != POP3_CLIENT_NEED_INPUT)
			return 0;
		int r = fill(t);
		if (r < 0)
			return r;
	}
}

int
pop_try_send(struct pop_try *t, const struct buf *out)
{
	t->until = clock_ms() + t->timeout_ms;
	enum stream_result got = stream_send(&t->stream, out->p, out->n);

	while (got == STREAM_AGAIN) {
		int r = wait_for(t, POLLOUT);
		if (r < 0)
			return r;
		got = stream_flush(&t->stream);
	}
	return got == STREAM_OK ? 0 : lost(t);
}

int
pop_try_ask(struct pop_try *t, enum pop3_command command, struct pop3_answer *ret)
{
	uint8_t storage[64];
	struct buf out = buf_over(storage, sizeof(storage));
	enum pop3_client_event e;

	if (!pop3_client_send(&t->client, command, 0, 0, &out))
		return pop_try_fail(t, -EPROTO, "nothing can be asked now", NO_WORDS);
	int r = pop_try_send(t, &out);
	return r < 0 ? r : pop_try_next(t, &e, ret);
}

/* ---- opening ---- */

/* The first DNS name of the certificate, or its common name. */
static void
learn_certificate(struct pop_try *t)
{
	char *ret = t->found->certificate;
	size_t cap = sizeof(t->found->certificate);
	X509 *x = SSL_get1_peer_certificate(t->stream.ssl);
	GENERAL_NAMES *names =
		x ? X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL) : NULL;

	for (int i = 0; !ret[0] && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type == GEN_DNS)
			(void)snprintf(ret, cap, "%.*s", ASN1_STRING_length(g->d.dNSName),
				(const char *)ASN1_STRING_get0_data(g->d.dNSName));
	}
	if (x && !ret[0])
		(void)X509_NAME_get_text_by_NID(
			X509_get_subject_name(x), NID_commonName, ret, (int)cap);
	GENERAL_NAMES_free(names);
	X509_free(x);
}

static int
handshake(struct pop_try *t, const struct fetch_account *a)
{
	struct tls_context *c;
	enum stream_result r;

	t->broken = true;
	if (tls_client_context_new(
		    &a->tls_options, &c, t->found->why, sizeof(t->found->why)) < 0)
		return -EINVAL;
	t->until = clock_ms() + t->timeout_ms;
	r = stream_connect_tls(&t->stream, c, a->host, true, NO_WORDS);
	tls_context_unref(&c);
	if (r == STREAM_OK)
		r = stream_handshake(&t->stream);
	while (r == STREAM_AGAIN) {
		int err = wait_for(
			t, (short)(POLLIN | (t->stream.want_write ? POLLOUT : 0)));
		if (err < 0)
			return err;
		r = stream_handshake(&t->stream);
	}
	if (r != STREAM_OK)
		return lost(t);
	t->broken = false;
	t->found->secured = true;
	t->found->tls = stream_version(&t->stream);
	if (stream_peer_pin(&t->stream, t->found->pin) != 0)
		t->found->pin[0] = '\0';
	learn_certificate(t);
	return 0;
}

/* What it says it can; a server that knows no CAPA is fine. */
static int
learn_capabilities(struct pop_try *t)
{
	enum pop3_client_event e;
	struct pop3_answer answer;
	int r = pop_try_ask(t, POP3_CAPA, &answer);

	memset(&t->found->capabilities, 0, sizeof(t->found->capabilities));
	if (r < 0)
		return r;
	t->found->has_capabilities = answer.ok;
	while (answer.more) {
		r = pop_try_next(t, &e, &answer);
		if (r < 0 || e == POP3_CLIENT_END)
			return r;
		if (e == POP3_CLIENT_ROW)
			pop3_capabilities_take(&t->found->capabilities, answer.text);
		answer.more = true;
	}
	return 0;
}

/* RFC 2595 s.4: nothing from before TLS is believed behind it. */
static int
start_tls(struct pop_try *t, const struct fetch_account *a)
{
	struct pop3_answer answer;
	int r = pop_try_ask(t, POP3_STLS, &answer);

	if (r < 0)
		return r;
	if (!answer.ok)
		return pop_try_fail(
			t, -EPROTONOSUPPORT, "the server does not do STLS", answer.text);
	if (t->rest.n > 0)
		return pop_try_fail(t, -EPROTO,
			"octets came behind the answer to STLS: somebody may be on the "
			"way",
			NO_WORDS);
	r = handshake(t, a);
	if (r < 0)
		return r;
	pop3_client_secured(&t->client);
	return learn_capabilities(t);
}

static int
greet(struct pop_try *t, const struct fetch_account *a)
{
	enum pop3_client_event e;
	struct pop3_answer answer;
	int r = 0;

	t->until = clock_ms() + t->timeout_ms;
	if (a->tls == FETCH_TLS_TLS)
		r = handshake(t, a);
	if (r == 0)
		r = pop_try_next(t, &e, &answer);
	if (r < 0)
		return r;
	if (!answer.ok)
		return pop_try_fail(
			t, -EAGAIN, "the server greets with an error", answer.text);
	if (answer.stamp.n <= sizeof(t->stamp)) {
		memcpy(t->stamp, answer.stamp.p ? answer.stamp.p : t->stamp,
			answer.stamp.n);
		t->stamp_n = answer.stamp.n;
	}
	r = learn_capabilities(t);
	if (r == 0 && a->tls == FETCH_TLS_STLS)
		r = start_tls(t, a);
	return r;
}

int
pop_try_open(const struct fetch_account *a, uint64_t timeout_ms, struct pop_try **ret,
	struct pop_found *found)
{
	struct dial_target to = {.host = a->host, .port = a->port, .socks5 = a->socks5};
	struct pop_try *t = calloc(1, sizeof(*t));

	*ret = NULL;
	*found = (struct pop_found){0};
	if (!t) {
		(void)snprintf(found->why, sizeof(found->why), "there is no memory");
		return -ENOMEM;
	}
	int fd = dial_wait(&to, timeout_ms, found->why, sizeof(found->why));
	int r = fd < 0 ? fd : fd_nonblock(fd);
	if (r < 0) {
		fd_close(&fd);
		free(t);
		return r;
	}
	t->found = found;
	t->timeout_ms = timeout_ms;
	stream_init(&t->stream, fd);
	pop3_client_init(&t->client);
	r = greet(t, a);
	if (r < 0) {
		pop_try_close(&t);
		return r;
	}
	*ret = t;
	return 0;
}

void
pop_try_close(struct pop_try **tp)
{
	struct pop_try *t = *tp;
	struct pop3_answer answer;
	char why[POP_WHY_MAX];

	if (!t)
		return;
	*tp = NULL;
	memcpy(why, t->found->why, sizeof(why));
	if (!t->broken && pop3_client_waits(&t->client) == 0) {
		t->timeout_ms = QUIT_MS;
		/* What it answers changes nothing. */
		(void)!pop_try_ask(t, POP3_QUIT, &answer);
	}
	memcpy(t->found->why, why, sizeof(why));
	stream_done(&t->stream);
	explicit_bzero(t, sizeof(*t));
	free(t);
}
