/* What the monitor hands over, at start and later: messages 0x1_ of messages.def. */
#include "front/conn.h"
#include "front/monitor_parts.h"

#include "base/check.h"
#include "ipc/start.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define DRAIN_LAST_WORDS_MS 5000U
#define MESSAGES_A_ROUND    256
/* Strangers who come and go at the limit must not keep the monitor, and with it all other
 * fronts, busy: it hears of it so often at most. */
#define FULL_TOLD_MS 100U

/* ---- sessions ----------------------------------------------------------- */

static void
keep_user(struct conn *c, struct view user)
{
	free(c->user);
	/* Without memory the log line lacks the name; no more. */
	c->user = user.n > 0 ? malloc(user.n) : NULL;
	c->user_n = c->user ? (uint16_t)user.n : 0;
	if (c->user)
		memcpy(c->user, user.p, user.n);
}

static bool
on_attached(struct front *f, struct view payload, struct received *r)
{
	struct msg_session_attached m;

	if (!msg_session_attached_get(&m, payload) || r->nfds != 1)
		return false;
	struct conn *c = conn_find(f, m.session);
	/* Gone meanwhile: the channel closes, and the keeper frees the lock. */
	if (!c || c->at != CONN_LOGIN)
		return true;
	keep_user(c, m.user);
	session_identified(&c->session, m.expire_days, m.login_delay_s);
	if (keeper_attach(c, received_take(r, 0)) == 0)
		return true;
	c->at = CONN_SNAPSHOT;
	keeper_lost(c);
	conn_go_on(c);
	return true;
}

static bool
on_refused(struct front *f, struct view payload, struct received *r)
{
	struct msg_session_refused m;

	(void)r;
	if (!msg_session_refused_get(&m, payload))
		return false;
	struct conn *c = conn_find(f, m.session);
	if (c && c->at == CONN_LOGIN)
		auth_refused(c, m.code);
	return true;
}

static bool
on_kick(struct front *f, struct view payload, struct received *r)
{
	struct msg_session_kick m;

	(void)r;
	if (!msg_session_kick_get(&m, payload))
		return false;
	struct conn *c = conn_find(f, m.session);
	if (c && c->is_attached)
		conn_end(c, SESSION_KICKED);
	return true;
}

static bool
on_all_full(struct front *f, struct view payload, struct received *r)
{
	struct msg_fronts_full m;

	(void)r;
	if (!msg_fronts_full_get(&m, payload))
		return false;
	f->all_full = m.full;
	accept_update(f);
	return true;
}

/* ---- the end ------------------------------------------------------------ */

static void
drain_all(struct front *f, bool all)
{
	for (uint32_t i = 0; i < f->sessions_max; i++)
		if (f->conns[i])
			conn_drain(f->conns[i], all);
	if (f->conns_n == 0)
		front_end(f, 0);
}

static void
drain_fire(struct timer *t, uint64_t now_ms)
{
	struct front *f = CONTAINER_OF(t, struct front, drain);

	if (f->drain_is_over) {
		front_end(f, 0);
		return;
	}
	f->drain_is_over = true;
	if (loop_timer_set(f->loop, t, now_ms + DRAIN_LAST_WORDS_MS) < 0)
		front_end(f, 0);
	drain_all(f, true);
}

static bool
on_drain(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_drain m;

	(void)r;
	if (!msg_front_drain_get(&m, payload))
		return false;
	f->is_draining = true;
	accept_close_all(f);
	f->drain.fire = drain_fire;
	uint64_t at = loop_now_ms(f->loop) + m.deadline_s * UINT64_C(1000);
	if (loop_timer_set(f->loop, &f->drain, at) < 0)
		return false;
	drain_all(f, false);
	return true;
}

/* ---- set-up ------------------------------------------------------------- */

static bool
copy_text(char *to, size_t room, struct view v)
{
	if (v.n >= room || memchr(v.p, 0, v.n))
		return false;
	memcpy(to, v.p, v.n);
	to[v.n] = 0;
	return true;
}

static bool
on_setup(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_setup m;

	if (!msg_front_setup_get(&m, payload))
		return false;
	if (m.sessions_max < 1 || m.sessions_max > FRONT_SESSIONS_MAX)
		return false;
	if (!copy_text(f->implementation, sizeof(f->implementation), m.implementation))
		return false;
	f->incarnation = m.incarnation;
	f->index = m.index;
	f->uid = m.uid;
	f->sessions_max = m.sessions_max;
	if (r->nfds == 1)
		f->empty_dir = received_take(r, 0);
	return true;
}

static const struct {
	uint16_t number;
	monitor_fn *fn;
} messages[] = {
	{MSG_FRONT_OPTIONS, options_take},
	{MSG_FRONT_LISTENER, handed_listener},
	{MSG_FRONT_LISTENER_GONE, handed_listener_gone},
	{MSG_FRONT_TLS, handed_tls},
	{MSG_FRONT_CERTIFICATE, handed_certificate},
	{MSG_FRONT_KEYS, handed_keys},
	{MSG_FRONT_AUTH, handed_auth},
	{MSG_FRONT_PEERS, handed_peers},
	{MSG_FRONT_DENY, handed_deny},
	{MSG_FRONT_WHO, handed_who},
	{MSG_FRONT_DRAIN, on_drain},
	{MSG_SESSION_ATTACHED, on_attached},
	{MSG_SESSION_REFUSED, on_refused},
	{MSG_SESSION_KICK, on_kick},
	{MSG_FRONTS_FULL, on_all_full},
};

static bool
dispatch(struct front *f, uint16_t number, struct view payload, struct received *r)
{
	if (r->truncated || r->nfds > message_fds_max(number))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].number == number)
			return messages[i].fn(f, payload, r);
	return false;
}

/* One message. 0, -EAGAIN, -EPIPE, or -EPROTO where it is none of ours. */
static int
read_message(struct front *f)
{
	struct received *r = &f->rx;
	struct view payload;
	int e = channel_recv(f->monitor.source.fd, r, MESSAGE_FDS_MAX);

	if (e < 0)
		return e;
	uint16_t number = message_number(r->message, &payload);
	bool lost = r->truncated && number == MSG_SESSION_ATTACHED;
	bool ok = lost || dispatch(f, number, payload, r);
	received_done(r);
	if (ok)
		return 0;
	report_fault("monitor", number, "malformed or not allowed now");
	return -EPROTO;
}

int
monitor_read_setup(struct front *f)
{
	struct received *r = &f->rx;
	struct view payload = {NULL, 0};
	int e = start_receive(
		MSG_FRONT_SETUP, message_fds_max(MSG_FRONT_SETUP), r, &payload);

	if (e == 0 && !on_setup(f, payload, r))
		e = -EPROTO;
	if (e == -EPROTO)
		report_fault("monitor", message_number(r->message, &payload),
			"malformed or not allowed now");
	received_done(r);
	return e;
}

/* ---- to the monitor ----------------------------------------------------- */

static int
tell_tls(struct front *f)
{
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct msg_front_tls_taken m = {
		.generation = f->tls_generation, .taken = f->tls_taken};

	if (!f->tls_untold)
		return 0;
	msg_front_tls_taken_put(&m, &out);
	int r = channel_send(f->monitor.source.fd, buf_view(&out), NULL, 0);
	f->tls_untold = r < 0;
	return r;
}

static int
tell_full(struct front *f)
{
	struct buf out = buf_over(f->msg, sizeof(f->msg));

	/* Told a moment ago: what is so then is told later. */
	if (f->told_full == f->is_full || f->tell.slot)
		return 0;
	msg_front_full_put(&(struct msg_front_full){.full = f->is_full}, &out);
	int r = channel_send(f->monitor.source.fd, buf_view(&out), NULL, 0);
	if (r < 0)
		return r;
	f->told_full = f->is_full;
	/* Without memory for it the next one is told at once. */
	(void)!loop_timer_set(f->loop, &f->tell, loop_now_ms(f->loop) + FULL_TOLD_MS);
	return 0;
}

/* What it does not know yet, now or when there is room. */
static void
tell(struct front *f)
{
	int r = tell_tls(f);

	if (r == 0)
		r = tell_full(f);
	uint32_t events = r == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN;
	if (loop_change(f->loop, &f->monitor.source, events) < 0)
		front_end(f, 71);
}

static void
tell_again(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	tell(CONTAINER_OF(t, struct front, tell));
}

void
monitor_tell_full(struct front *f)
{
	tell(f);
}

void
monitor_tell_tls(struct front *f, uint32_t generation, bool taken)
{
	f->tls_generation = generation;
	f->tls_taken = taken;
	f->tls_untold = true;
	tell(f);
}

/* ---- from it -------------------------------------------------------------- */

static void
monitor_ready(struct source *s, uint32_t events)
{
	struct front *f = CONTAINER_OF(s, struct front, monitor.source);

	if (events & EPOLLOUT)
		tell(f);
	/* As many as one round of the loop may ask for, else answers would pile up. */
	unsigned asked = channel_pace_begin(&f->monitor.pace, MESSAGES_A_ROUND);
	int r = 0;
	for (unsigned i = 0; i < asked && r == 0; i++)
		r = read_message(f);
	channel_pace_end(&f->monitor.pace, asked, r == -EAGAIN);
	/* Without the monitor there is nothing to be done and nobody to do it for. */
	if (r == -EPIPE)
		front_end(f, 0);
	else if (r < 0 && r != -EAGAIN)
		front_end(f, 76);
}

int
monitor_start(struct front *f)
{
	int r;

	f->monitor.source.ready = monitor_ready;
	f->tell.fire = tell_again;
	r = loop_add(f->loop, &f->monitor.source, EPOLLIN);
	/* All that was sent with the set-up counts before the first connection. */
	while (r == 0)
		r = read_message(f);
	return r == -EAGAIN ? 0 : r;
}
