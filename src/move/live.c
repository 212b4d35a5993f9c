/*
 * live.c: opening and closing a session.
 */
#include "move/live_parts.h"
#include "os/dial.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define QUIT_MS	      5000
#define CAPA_ROWS_MAX 1000

struct live *
live_new(const struct live_options *o)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->options = *o;
	l->step = "opening";
	pop3_client_init(&l->client);
	return l;
}

const char *
live_why(const struct live *l)
{
	return l->why;
}

const struct live_facts *
live_facts(const struct live *l)
{
	return &l->facts;
}

int
live_exit_status(int err)
{
	switch (err) {
	case 0: return EX_OK;
	case -EACCES: return EX_NOPERM;
	case -EAGAIN: return EX_TEMPFAIL;
	case -EKEYREJECTED:
	case -EPROTO:
	case -ENOTSUP:
	case -E2BIG: return EX_PROTOCOL;
	case -ENOMEM: return EX_OSERR;
	default: return EX_UNAVAILABLE;
	}
}

/* ---- opening ---- */

/* What it says it can; a server that knows no CAPA is fine. */
int
live_learn(struct live *l, struct pop3_capabilities *ret)
{
	enum pop3_client_event e;
	struct pop3_answer answer;
	uint32_t rows = 0;

	memset(ret, 0, sizeof(*ret));
	int r = live_ask(l, POP3_CAPA, &answer);
	if (r < 0 || !answer.ok || !answer.more)
		return r;
	l->facts.knows_capa = true;
	for (;;) {
		r = live_next(l, &e, &answer);
		if (r < 0 || e == POP3_CLIENT_END)
			return r;
		if (e == POP3_CLIENT_ROW)
			pop3_capabilities_take(ret, answer.text);
		if (++rows > CAPA_ROWS_MAX)
			return live_fail(
				l, -E2BIG, "CAPA has more than 1000 rows", LIVE_NOTHING);
	}
}

/* RFC 2595 s.4: nothing from before TLS is believed behind it. */
static int
start_tls(struct live *l)
{
	struct pop3_answer answer;

	l->step = "STLS";
	int r = live_ask(l, POP3_STLS, &answer);
	if (r < 0)
		return r;
	if (!answer.ok)
		return live_fail(l, -ENOTSUP,
			"the server does not do STLS; use pop3s://, or --plaintext where "
			"the way to it is safe",
			answer.text);
	if (l->rest.n > 0)
		return live_fail(l, -EPROTO,
			"octets came behind the answer to STLS: somebody may be on the "
			"way",
			LIVE_NOTHING);
	r = live_handshake(l);
	if (r < 0)
		return r;
	pop3_client_secured(&l->client);
	l->facts.knows_capa = false;
	return live_learn(l, &l->facts.before);
}

static int
greet(struct live *l)
{
	enum pop3_client_event e;
	struct pop3_answer answer;

	l->step = "greeting";
	live_expect(l);
	int r = live_next(l, &e, &answer);
	if (r < 0)
		return r;
	if (e != POP3_CLIENT_GREETING)
		return live_fail(l, -EPROTO, "the server does not greet", answer.text);
	if (!answer.ok) {
		r = live_refused(l, -EAGAIN, &answer);
		l->broken = true;
		return r;
	}
	l->facts.apop = answer.stamp.n > 0;
	l->step = "CAPA";
	return live_learn(l, &l->facts.before);
}

int
live_open(struct live *l)
{
	struct dial_target to = {
		.host = l->options.url.host, .port = l->options.url.port};
	char why[LIVE_WHY_MAX / 2] = "";

	l->step = "connecting";
	int fd = dial_wait(&to, l->options.timeout_ms, why, sizeof(why));
	if (fd < 0)
		return live_fail(l, fd, why, LIVE_NOTHING);
	int r = fd_nonblock(fd);
	if (r < 0) {
		fd_close(&fd);
		return live_fail(l, r, strerror(-r), LIVE_NOTHING);
	}
	stream_init(&l->stream, fd);
	l->connected = true;
	l->step = "TLS";
	if (l->options.url.tls)
		r = live_handshake(l);
	if (r == 0)
		r = greet(l);
	if (r < 0 || l->options.url.tls)
		return r;
	l->facts.stls = (l->facts.before.has & POP3_CAPA_STLS) != 0;
	return l->options.plaintext ? 0 : start_tls(l);
}

/* ---- closing ---- */

int
live_rset(struct live *l)
{
	struct pop3_answer answer;

	l->step = "RSET";
	int r = live_ask(l, POP3_RSET, &answer);
	if (r < 0)
		return r;
	return answer.ok ? 0 : live_refused(l, -EPROTO, &answer);
}

static int
leave(struct live *l)
{
	struct pop3_answer answer;
	/* We mark nothing; this is for what a server might. */
	int r = l->logged_in ? live_rset(l) : 0;

	if (l->broken)
		return r;
	l->step = "QUIT";
	int quit = live_ask(l, POP3_QUIT, &answer);
	if (quit == 0 && !answer.ok)
		quit = live_refused(l, -EPROTO, &answer);
	l->broken = true;
	return r < 0 ? r : quit;
}

int
live_quit(struct live *l)
{
	if (!l->connected || l->broken)
		return -ENOTCONN;
	return leave(l);
}

void
live_free(struct live **lp)
{
	struct live *l = *lp;

	*lp = NULL;
	if (!l)
		return;
	if (l->connected && !l->broken && pop3_client_waits(&l->client) == 0) {
		l->options.timeout_ms = QUIT_MS;
		(void)leave(l); /* what it answers changes nothing */
	}
	if (l->connected)
		stream_done(&l->stream);
	explicit_bzero(l, sizeof(*l));
	free(l);
}
