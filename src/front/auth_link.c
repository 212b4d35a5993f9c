/* Logins: LOGIN to auth, its refusals back. A yes comes from the monitor. */
#include "front/conn.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define USER_OCTETS_MAX 255U

static void
tell_refused(struct conn *c, uint8_t code)
{
	c->number = 0;
	report_refusal(code);
	session_refused(&c->session, code, (struct view){NULL, 0}, 0,
		loop_now_ms(c->front->loop), clock_unix_s());
}

/* ---- the question ------------------------------------------------------- */

/* The name for our log lines; of PLAIN the second of its three fields (RFC 4616 s.2). */
static struct view
name_of(const struct session_login *l)
{
	if (l->mechanism != MECHANISM_PLAIN)
		return l->name;
	const uint8_t *end = l->response.p + l->response.n;
	const uint8_t *nul = memchr(l->response.p, 0, l->response.n);
	if (!nul)
		return (struct view){NULL, 0};
	const uint8_t *name = nul + 1;
	const uint8_t *stop = memchr(name, 0, (size_t)(end - name));
	return stop ? (struct view){name, (size_t)(stop - name)} : (struct view){NULL, 0};
}

static void
keep_name(struct conn *c, const struct session_login *l)
{
	struct view name = name_of(l);

	free(c->user);
	/* Without memory the log line lacks the name; no more. */
	c->user = NULL;
	if (name.n > 0)
		c->user = strndup((const char *)name.p,
			name.n < USER_OCTETS_MAX ? name.n : USER_OCTETS_MAX);
}

/* 0, or the enum refusal that the client gets. */
static uint8_t
send_login(struct conn *c, const struct session_login *l)
{
	struct front *f = c->front;
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct msg_login m = {.session = conn_new_number(c),
		.mechanism = (uint8_t)l->mechanism,
		.tls = c->stream.ssl != NULL,
		.address = {c->address, sizeof(c->address)},
		.port = c->port,
		.name = l->name,
		.response = l->response};

	if (f->auth.source.fd < 0)
		return REFUSAL_TEMPORARY;
	msg_login_put(&m, &out);
	/* More than the message takes is nobody's name or password. */
	int r = out.full ? -EMSGSIZE
			 : channel_send(f->auth.source.fd, buf_view(&out), NULL, 0);
	explicit_bzero(f->msg, out.n);
	switch (r) {
	case 0: return 0;
	case -EAGAIN: return REFUSAL_BUSY;
	case -EMSGSIZE: return REFUSAL_CREDENTIALS;
	default: return REFUSAL_TEMPORARY; /* its end is seen on the channel */
	}
}

bool
auth_ask(struct conn *c)
{
	struct session_login l = session_login(&c->session);

	keep_name(c, &l);
	c->asked_ms = loop_now_ms(c->front->loop);
	uint8_t code = send_login(c, &l);
	session_login_sent(&c->session);
	if (code == 0)
		return true;
	tell_refused(c, code);
	return false;
}

/* ---- the answer --------------------------------------------------------- */

void
auth_refused(struct conn *c, uint8_t code)
{
	CHECK(c->at == CONN_LOGIN);
	tell_refused(c, code);
	conn_go_on(c);
}

static void
auth_lost(struct front *f)
{
	loop_remove(f->loop, &f->auth.source);
	fd_close(&f->auth.source.fd);
	/* A grant that is on its way finds no login of that number. */
	for (uint32_t i = 0; i < f->sessions_max; i++) {
		struct conn *c = f->conns[i];
		if (c && c->at == CONN_LOGIN)
			auth_refused(c, REFUSAL_TEMPORARY);
	}
}

static bool
login_failed(struct front *f, struct view message)
{
	struct msg_login_failed m;
	struct view payload;

	if (message_number(message, &payload) != MSG_LOGIN_FAILED ||
		!msg_login_failed_get(&m, payload))
		return false;
	struct conn *c = conn_find(f, m.session);
	if (c && c->at == CONN_LOGIN) /* else it has gone meanwhile */
		auth_refused(c, m.code);
	return true;
}

static void
auth_ready(struct source *s, uint32_t events)
{
	struct front *f = CONTAINER_OF(s, struct front, auth.source);
	int r = channel_recv(s->fd, &f->rx, 0);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		auth_lost(f);
		return;
	}
	if (!f->rx.truncated && login_failed(f, f->rx.message))
		return;
	struct view payload;
	report_fault("auth", message_number(f->rx.message, &payload), "malformed");
	auth_lost(f);
}

void
auth_start(struct front *f, int take_fd)
{
	if (f->auth.source.fd >= 0)
		auth_lost(f);
	f->auth.front = f;
	f->auth.source = (struct source){.fd = take_fd, .ready = auth_ready};
	if (loop_add(f->loop, &f->auth.source, EPOLLIN) < 0)
		auth_lost(f);
	f->has_auth = true;
	accept_update(f);
}
