/* What the monitor hands over, at start and later: messages 0x1_ and 0x6_. */
#include "base/check.h"
#include "base/network.h"
#include "ipc/start.h"
#include "lmtpd/mta.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#define BURST_MAX 256U

/* ---- things ------------------------------------------------------------- */

static bool
on_listener(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_lmtp_listener m;

	if (!msg_lmtp_listener_get(&m, payload) || r->nfds != 1)
		return false;
	if (l->is_draining)
		return true;
	int e = lmtpd_listen(l, received_take(r, 0), &m);
	if (e == -ENOMEM) {
		/* The next lmtpd is given it again. */
		report_error("listener_lost", "no memory for it", e);
		lmtpd_end(l, 71);
	}
	return e == 0 || e == -ENOMEM;
}

static bool
on_listener_gone(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_front_listener_gone m;

	(void)r;
	if (!msg_front_listener_gone_get(&m, payload))
		return false;
	lmtpd_accept_gone(l, m.listener);
	return true;
}

static bool
on_auth(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_front_auth m;

	if (!msg_front_auth_get(&m, payload) || r->nfds != 1)
		return false;
	lookup_start(l, received_take(r, 0));
	return true;
}

/* ---- recipients --------------------------------------------------------- */

static bool
refuse(struct lmtpd *l, uint64_t number, uint8_t code)
{
	const struct ask *a = ask_find(l, number);

	if (!a) /* it has gone meanwhile */
		return true;
	struct target *t = a->target;
	if (!t || !core_refuse(&a->mta->tr, &t->r, core_of_refusal(code)))
		return false;
	mta_wake(t->mta);
	target_close(t);
	return true;
}

static bool
on_attached(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_session_attached m;

	if (!msg_session_attached_get(&m, payload))
		return false;
	/* This process ran out of descriptors, and what came with the message is lost. */
	if (r->truncated)
		return refuse(l, m.session, 0);
	if (r->nfds != 1)
		return false;
	const struct ask *a = ask_find(l, m.session);
	/* Gone meanwhile: the way closes, and the keeper forgets it. */
	if (!a)
		return true;
	if (!a->target || a->target->keeper.fd >= 0)
		return false;
	target_attach(a->target, received_take(r, 0));
	return true;
}

static bool
on_refused(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_session_refused m;

	(void)r;
	return msg_session_refused_get(&m, payload) && refuse(l, m.session, m.code);
}

/* ---- files -------------------------------------------------------------- */

int
lmtpd_monitor_ask_file(struct lmtpd *l, uint64_t number)
{
	struct buf out = buf_over(l->msg, sizeof(l->msg));

	msg_spool_ask_put(&(struct msg_spool_ask){.session = number}, &out);
	CHECK(!out.full);
	return channel_send(l->monitor.fd, buf_view(&out), NULL, 0);
}

static bool
is_opened(int fd, int how)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_ACCMODE) == how;
}

static bool
on_file(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_spool_file m;

	if (!msg_spool_file_get(&m, payload) || m.error > INT16_MAX)
		return false;
	bool ok = m.error == 0 && !r->truncated;
	if (ok && (r->nfds != 2 || !is_opened(r->fds[1], O_RDONLY)))
		return false;
	const struct ask *a = ask_find(l, m.session);
	if (!a)
		return true;
	if (a->target)
		return false;
	if (ok)
		mta_file(a->mta, received_take(r, 0), received_take(r, 1), 0);
	else
		mta_file(a->mta, -1, -1, m.error == 0 ? -EMFILE : -(int)m.error);
	return true;
}

/* ---- the end ------------------------------------------------------------ */

static void
drain_all(struct lmtpd *l, bool now)
{
	struct mta *next;

	for (struct mta *m = l->mtas; m; m = next) {
		next = m->next;
		mta_drain(m, now);
	}
	if (l->mtas_n == 0)
		lmtpd_end(l, 0);
}

static void
drain_fire(struct timer *t, uint64_t now_ms)
{
	struct lmtpd *l = CONTAINER_OF(t, struct lmtpd, drain);

	(void)now_ms;
	drain_all(l, true);
	lmtpd_end(l, 0);
}

void
lmtpd_drain(struct lmtpd *l, uint64_t most_ms)
{
	l->is_draining = true;
	lmtpd_accept_close_all(l);
	l->drain.fire = drain_fire;
	if (loop_timer_set(l->loop, &l->drain, loop_now_ms(l->loop) + most_ms) < 0)
		lmtpd_end(l, 71);
	drain_all(l, false);
}

static bool
on_drain(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_front_drain m;

	(void)r;
	if (!msg_front_drain_get(&m, payload))
		return false;
	lmtpd_drain(l, m.deadline_s * UINT64_C(1000));
	return true;
}

/* ---- set-up ------------------------------------------------------------- */

static bool
is_sound(const struct msg_lmtp_setup *m)
{
	return m->connections_max >= 1 && m->connections_max <= LMTPD_CONNECTIONS_MAX &&
		m->recipients_max >= 1 && m->recipients_max <= LMTP_RECIPIENTS_MAX &&
		m->timeout_s >= 1 && network_list_is_sound(m->networks) &&
		m->hostname.n > 0 && !memchr(m->hostname.p, 0, m->hostname.n);
}

static bool
on_setup(struct lmtpd *l, struct view payload, struct received *r)
{
	struct msg_lmtp_setup m;

	if (!msg_lmtp_setup_get(&m, payload) || !is_sound(&m))
		return false;
	l->incarnation = m.incarnation;
	l->uid = m.uid;
	l->connections_max = m.connections_max;
	l->timeout_ms = m.timeout_s * UINT64_C(1000);
	l->spool_memory = m.spool_memory;
	l->spool_total = m.spool_total;
	if (m.networks.n > 0)
		memcpy(l->networks, m.networks.p, m.networks.n);
	l->networks_n = m.networks.n;
	memcpy(l->hostname, m.hostname.p, m.hostname.n);
	l->hostname[m.hostname.n] = 0;
	l->limits = (struct lmtp_limits){.message_octets = m.message_octets_max,
		.recipients = m.recipients_max,
		.bare_ends = m.bare_line_ends,
		.hostname = l->hostname};
	if (r->nfds == 1)
		l->empty_dir = received_take(r, 0);
	return true;
}

static const struct {
	bool (*fn)(struct lmtpd *l, struct view payload, struct received *r);
	uint16_t number;
	bool also_truncated;
} messages[] = {
	{on_listener, MSG_LMTP_LISTENER, false},
	{on_listener_gone, MSG_FRONT_LISTENER_GONE, false},
	{on_auth, MSG_FRONT_AUTH, false},
	{on_drain, MSG_FRONT_DRAIN, false},
	{on_attached, MSG_SESSION_ATTACHED, true},
	{on_refused, MSG_SESSION_REFUSED, false},
	{on_file, MSG_SPOOL_FILE, true},
};

static bool
dispatch(struct lmtpd *l, uint16_t number, struct view payload, struct received *r)
{
	if (r->nfds > message_fds_max(number))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].number == number)
			return (!r->truncated || messages[i].also_truncated) &&
				messages[i].fn(l, payload, r);
	return false;
}

/* One message. 0, -EAGAIN, -EPIPE, or -EPROTO where it is none of ours. */
static int
read_message(struct lmtpd *l)
{
	struct received *r = &l->rx;
	struct view payload;
	int e = channel_recv(l->monitor.fd, r, MESSAGE_FDS_MAX);

	if (e < 0)
		return e;
	uint16_t number = message_number(r->message, &payload);
	bool ok = dispatch(l, number, payload, r);
	received_done(r);
	if (ok)
		return 0;
	report_fault("monitor", number, "malformed or not allowed now");
	return -EPROTO;
}

int
lmtpd_monitor_setup(struct lmtpd *l)
{
	struct received *r = &l->rx;
	struct view payload = {NULL, 0};
	int e = start_receive(
		MSG_LMTP_SETUP, message_fds_max(MSG_LMTP_SETUP), r, &payload);

	if (e == 0 && !on_setup(l, payload, r))
		e = -EPROTO;
	if (e == -EPROTO)
		report_fault("monitor", message_number(r->message, &payload),
			"malformed or not allowed now");
	received_done(r);
	return e;
}

/* One at a time, which saves a call that finds nothing; in a storm more and more. */
static uint32_t
burst(struct lmtpd *l)
{
	uint64_t now = loop_now_ms(l->loop);

	if (now != l->monitor_ms)
		l->monitor_burst = 1;
	else if (l->monitor_burst < BURST_MAX)
		l->monitor_burst *= 2;
	l->monitor_ms = now;
	return l->monitor_burst;
}

static void
monitor_ready(struct source *s, uint32_t events)
{
	struct lmtpd *l = CONTAINER_OF(s, struct lmtpd, monitor);
	int r = 0;

	(void)events;
	for (uint32_t n = burst(l); n > 0 && r == 0; n--)
		r = read_message(l);
	if (r == -EAGAIN)
		l->monitor_burst = 1;
	/* Without the monitor there is nothing to be done and nobody to do it for. */
	else if (r == -EPIPE)
		lmtpd_end(l, 0);
	else if (r < 0)
		lmtpd_end(l, 76);
}

int
lmtpd_monitor_start(struct lmtpd *l)
{
	l->monitor.ready = monitor_ready;
	int r = loop_add(l->loop, &l->monitor, EPOLLIN);
	/* All that was sent with the set-up counts before the first connection. */
	while (r == 0)
		r = read_message(l);
	return r == -EAGAIN ? 0 : r;
}
