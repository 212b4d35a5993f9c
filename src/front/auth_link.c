/*
 * Logins: LOGIN and RESPONSE to auth, its challenges and refusals back; stamps for APOP;
 * what auth offers. A yes comes from the monitor.
 */
#include "front/conn.h"

#include "base/check.h"
#include "front/opening.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

#define BUSY_MS 1000
/* No delay of auth is longer (option login_failure_delay). */
#define DELAY_MS_MAX 60000

static void
tell_refused(struct conn *c, uint8_t code, uint32_t delay_ms)
{
	c->number = 0;
	report_refusal(code);
	session_refused(&c->session, code, delay_ms, (struct view){NULL, 0}, 0,
		loop_now_ms(c->front->loop), clock_unix_s());
}

/* ---- the question ------------------------------------------------------- */

/* What auth would have to be told, and how that went. */
static int
send_message(struct front *f, const struct buf *out)
{
	/* More than a message takes is nobody's name or password. */
	int r = out->full ? -EMSGSIZE
		: f->auth.source.fd < 0
		? -EPIPE
		: channel_send(f->auth.source.fd, buf_view(out), NULL, 0);

	/* Passwords go this way. */
	explicit_bzero(f->msg, out->full ? sizeof(f->msg) : out->n);
	return r;
}

/* 0, or the enum refusal that the client gets. */
static uint8_t
refusal_of(int r)
{
	switch (r) {
	case 0: return 0;
	case -EAGAIN: return REFUSAL_BUSY;
	case -EMSGSIZE: return REFUSAL_CREDENTIALS;
	default: return REFUSAL_NOT_NOW; /* its end is seen on the channel */
	}
}

/* Never 0, which is no id. */
static uint32_t
new_id(struct front *f)
{
	uint32_t id = 0;

	while (id == 0) {
		if (f->ids_n == 0) {
			/* 256 octets are never given in part, and never waited for here.
			 */
			if (getrandom(f->ids, sizeof(f->ids), 0) != sizeof(f->ids))
				return 1;
			f->ids_n = FRONT_IDS;
		}
		id = f->ids[--f->ids_n];
	}
	return id;
}

/* What TLS brought along, for which auth may ask. */
struct brought {
	uint8_t kind;
	uint8_t binding[TLS_BINDING_OCTETS_MAX];
	size_t binding_n;
	uint8_t certificate[TLS_FINGERPRINT_OCTETS];
	bool has_certificate;
};

/* Only these ask for it, and computing it costs. */
static bool
may_bind(const struct conn *c)
{
	return c->has_plus && c->mechanism >= MECHANISM_SCRAM_SHA_1 &&
		c->mechanism <= MECHANISM_SCRAM_SHA_256_PLUS;
}

static void
bring(const struct conn *c, struct brought *b)
{
	*b = (struct brought){0};
	if (!c->stream.ssl)
		return;
	if (may_bind(c))
		b->kind = (uint8_t)stream_binding(&c->stream, b->binding, &b->binding_n);
	if (c->rules->asserts & ASSERT_CERTIFICATE)
		b->has_certificate = stream_certificate(&c->stream, b->certificate);
}

static uint8_t
send_login(struct conn *c, const struct session_login *l)
{
	struct front *f = c->front;
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct brought b;

	c->mechanism = (uint8_t)l->mechanism;
	bring(c, &b);
	c->id = new_id(f);
	c->auth_epoch = f->auth_epoch;
	c->asked_ms = loop_now_ms(f->loop);
	struct msg_login m = {.session = conn_new_number(c),
		.mechanism = c->mechanism,
		.tls = c->stream.ssl != NULL,
		.address = {c->address, sizeof(c->address)},
		.port = c->port,
		.name = l->name,
		.response = l->response,
		.has_response = l->has_response,
		.id = c->id,
		.listener = c->rules->listener,
		.connection = c->connection,
		.utf8 = l->utf8,
		.binding_kind = b.kind,
		.binding = {b.binding, b.kind == TLS_BINDING_NONE ? 0 : b.binding_n},
		.certificate = {
			b.certificate, b.has_certificate ? sizeof(b.certificate) : 0}};
	msg_login_put(&m, &out);
	uint8_t code = refusal_of(send_message(f, &out));
	explicit_bzero(&b, sizeof(b));
	return code;
}

static int
send_response(struct front *f, uint64_t number, struct view octets, bool cancelled)
{
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct msg_response m = {
		.session = number, .cancelled = cancelled, .octets = octets};

	msg_response_put(&m, &out);
	return send_message(f, &out);
}

/* The auth that asked may have ended since: another one knows nothing of it. */
static uint8_t
go_on_with(struct conn *c, const struct session_login *l)
{
	c->asked_ms = loop_now_ms(c->front->loop);
	if (c->number == 0 || c->auth_epoch != c->front->auth_epoch)
		return REFUSAL_NOT_NOW;
	return refusal_of(send_response(c->front, c->number, l->response, false));
}

bool
auth_ask(struct conn *c)
{
	struct session_login l = session_login(&c->session);
	uint8_t code;

	if (l.continues) {
		code = go_on_with(c, &l);
	} else {
		code = send_login(c, &l);
		session_set_id(&c->session, c->id);
	}
	session_login_sent(&c->session);
	if (code == 0)
		return true;
	/* Who asks again at once would only be told the same. */
	tell_refused(c, code, code == REFUSAL_BUSY ? BUSY_MS : 0);
	return false;
}

uint8_t
auth_ask_kpop(struct conn *c, struct view request)
{
	struct session_login l = {
		.mechanism = MECHANISM_KPOP, .response = request, .has_response = true};

	return send_login(c, &l);
}

bool
auth_ask_stamp(struct conn *c)
{
	struct front *f = c->front;
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct msg_stamp_ask m = {.connection = c->connection};

	c->asked_ms = loop_now_ms(f->loop);
	c->auth_epoch = f->auth_epoch;
	msg_stamp_ask_put(&m, &out);
	if (send_message(f, &out) == 0)
		return true;
	/* Without a stamp there is no APOP; everything else goes on. */
	session_stamp(&c->session, (struct view){NULL, 0});
	return false;
}

void
auth_settle(struct conn *c)
{
	if (!session_owes_cancel(&c->session))
		return;
	session_cancelled(&c->session);
	/* Where its queue is full, auth forgets the conversation by its own limit of
	 * time. */
	if (c->number != 0 && !c->is_attached && c->auth_epoch == c->front->auth_epoch)
		(void)send_response(c->front, c->number, (struct view){NULL, 0}, true);
}

void
auth_tell_lost(struct conn *c, uint8_t code)
{
	struct front *f = c->front;
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct msg_login_lost m = {.session = c->number, .id = c->id, .code = code};

	/* For the operator only; where there is no room it is not told. */
	msg_login_lost_put(&m, &out);
	(void)send_message(f, &out);
}

/* ---- the answer --------------------------------------------------------- */

void
auth_drop_challenge(struct conn *c)
{
	if (!c->challenge)
		return;
	explicit_bzero(c->challenge, c->challenge_n);
	free(c->challenge);
	c->challenge = NULL;
	c->challenge_n = 0;
}

static void
refuse(struct conn *c, uint8_t code, uint32_t delay_ms)
{
	if (c->at == CONN_KPOP_LOGIN) {
		opening_kpop_refused(c, code, delay_ms);
		conn_look(c);
		return;
	}
	CHECK(c->at == CONN_LOGIN);
	tell_refused(c, code, delay_ms);
	conn_go_on(c);
}

void
auth_refused(struct conn *c, uint8_t code)
{
	auth_tell_lost(c, code);
	refuse(c, code, 0);
}

void
auth_no_answer(struct conn *c)
{
	if (c->at == CONN_STAMP) {
		session_stamp(&c->session, (struct view){NULL, 0});
		conn_go_on(c);
	} else if (c->at == CONN_LOGIN || c->at == CONN_KPOP_LOGIN) {
		refuse(c, REFUSAL_NOT_NOW, 0);
	}
}

/* Who is here may finish; who comes finds a front where he can log in. */
static void
alone_too_long(struct timer *t, uint64_t now_ms)
{
	struct front *f = CONTAINER_OF(t, struct front, alone);

	(void)now_ms;
	report_error("auth_lost", "no other channel came: this front ends", 0);
	if (f->conns_n == 0)
		front_end(f, 71);
	f->is_spent = true;
	f->is_full = true;
	monitor_tell_full(f);
	accept_update(f);
}

static void
auth_lost(struct front *f)
{
	loop_remove(f->loop, &f->auth.source);
	fd_close(&f->auth.source.fd);
	f->alone.fire = alone_too_long;
	if (loop_timer_set(f->loop, &f->alone, loop_now_ms(f->loop) + CHANNEL_ALONE_MS) <
		0)
		front_end(f, 71);
	f->auth_epoch++;
	/* A grant that is on its way finds no login of that number. */
	for (uint32_t i = 0; i < f->sessions_max; i++)
		if (f->conns[i])
			auth_no_answer(f->conns[i]);
}

static bool
on_failed(struct front *f, struct view payload)
{
	struct msg_login_failed m;

	if (!msg_login_failed_get(&m, payload))
		return false;
	struct conn *c = conn_find(f, m.session);
	/* Else it has gone meanwhile. */
	if (c && (c->at == CONN_LOGIN || c->at == CONN_KPOP_LOGIN))
		refuse(c, m.code == REFUSAL_TEMPORARY ? REFUSAL_NOT_NOW : m.code,
			m.delay_ms < DELAY_MS_MAX ? m.delay_ms : DELAY_MS_MAX);
	return true;
}

static bool
keep_challenge(struct conn *c, struct view octets)
{
	CHECK(!c->challenge);
	c->challenge = malloc(octets.n > 0 ? octets.n : 1);
	if (!c->challenge)
		return false;
	if (octets.n > 0)
		memcpy(c->challenge, octets.p, octets.n);
	c->challenge_n = (uint32_t)octets.n;
	return true;
}

static bool
on_challenge(struct front *f, struct view payload)
{
	struct msg_challenge m;

	if (!msg_challenge_get(&m, payload))
		return false;
	struct conn *c = conn_find(f, m.session);
	if (!c || (c->at != CONN_LOGIN && c->at != CONN_KPOP_LOGIN)) {
		(void)send_response(f, m.session, (struct view){NULL, 0}, true);
		return true;
	}
	bool kept = keep_challenge(c, m.octets);
	if (kept && c->at == CONN_KPOP_LOGIN) {
		c->at = CONN_KPOP_YES;
		conn_look(c);
		return true;
	}
	/* What the session cannot send to its client is no challenge. */
	if (kept && c->at == CONN_LOGIN &&
		session_challenge(&c->session,
			(struct view){c->challenge, c->challenge_n},
			loop_now_ms(f->loop))) {
		conn_go_on(c);
		return true;
	}
	auth_drop_challenge(c);
	(void)send_response(f, m.session, (struct view){NULL, 0}, true);
	refuse(c, REFUSAL_NOT_NOW, 0);
	return true;
}

static struct conn *
find_connection(const struct front *f, uint64_t connection)
{
	uint64_t place = connection & ((1U << SESSION_COUNT_BIT) - 1);
	struct conn *c = place < f->sessions_max ? f->conns[place] : NULL;

	return c && c->connection == connection ? c : NULL;
}

static bool
on_stamp(struct front *f, struct view payload)
{
	struct msg_stamp m;

	if (!msg_stamp_get(&m, payload))
		return false;
	struct conn *c = find_connection(f, m.connection);
	if (!c || c->at != CONN_STAMP)
		return true;
	/* Also where the greeting must wait, it outlives this message. */
	bool kept = keep_challenge(c, m.stamp);
	session_stamp(
		&c->session, (struct view){c->challenge, kept ? c->challenge_n : 0});
	conn_go_on(c);
	return true;
}

static bool
on_offer(struct front *f, struct view payload)
{
	struct msg_auth_offer m;

	if (!msg_auth_offer_get(&m, payload))
		return false;
	f->offer = (struct offer){.is_there = true,
		.mechanisms = m.mechanisms,
		.expire_days = m.expire_days,
		.login_delay_s = m.login_delay_s,
		.expire_differs = m.expire_differs,
		.login_delay_differs = m.login_delay_differs};
	int r = options_offer(f);
	if (r < 0) {
		/* No fault of auth; but what it offers is known with another channel
		 * alone. */
		report_error("auth_lost", "no memory for what it offers", r);
		auth_lost(f);
	}
	return true;
}

static const struct {
	uint16_t number;
	bool (*fn)(struct front *f, struct view payload);
} messages[] = {
	{MSG_LOGIN_FAILED, on_failed},
	{MSG_CHALLENGE, on_challenge},
	{MSG_STAMP, on_stamp},
	{MSG_AUTH_OFFER, on_offer},
};

static bool
dispatch(struct front *f, struct view message)
{
	struct view payload;
	uint16_t number = message_number(message, &payload);

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].number == number)
			return messages[i].fn(f, payload);
	return false;
}

static void
auth_ready(struct source *s, uint32_t events)
{
	struct front *f = CONTAINER_OF(s, struct front, auth.source);
	struct view payload;
	int r = channel_recv(s->fd, &f->rx, 0);

	(void)events;
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		auth_lost(f);
		return;
	}
	size_t n = f->rx.message.n;
	uint16_t number = message_number(f->rx.message, &payload);
	bool ok = !f->rx.truncated && dispatch(f, f->rx.message);
	/* Challenges are nobody's business once they were sent. */
	explicit_bzero(f->rx.octets, n);
	if (ok)
		return;
	report_fault("auth", number, "malformed");
	auth_lost(f);
}

void
auth_start(struct front *f, int take_fd)
{
	if (f->auth.source.fd >= 0)
		auth_lost(f);
	loop_timer_clear(f->loop, &f->alone);
	f->auth.front = f;
	f->auth.source = (struct source){.fd = take_fd, .ready = auth_ready};
	int r = loop_add(f->loop, &f->auth.source, EPOLLIN);
	if (r < 0) {
		/* Without it there is no login ever; the next front is brought another.
		 */
		report_error("auth_lost", "its channel cannot be watched", r);
		auth_lost(f);
		front_end(f, 71);
	}
	f->has_auth = true;
	accept_update(f);
}
