/* The session's own channel to its keeper: messages 0x4_ of messages.def. */
#include "front/conn.h"

#include "base/check.h"
#include "front/transfer.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define VERDICT_MARKS 32768U /* octets of marks in one message */
/* The largest snapshot that a soundly made one with so many rows can be. */
#define SNAPSHOT_OCTETS(count)                                                           \
	(SNAPSHOT_HEADER + (uint64_t)(count) * (SNAPSHOT_ROW + SNAPSHOT_UIDL_MAX))

static void keeper_ready(struct source *s, uint32_t events);

int
keeper_attach(struct conn *c, int take_fd)
{
	CHECK(c->at == CONN_LOGIN);
	CHECK(c->keeper.fd < 0);
	c->keeper = (struct source){.fd = take_fd, .ready = keeper_ready};
	int r = loop_add(c->front->loop, &c->keeper, EPOLLIN);
	if (r < 0) {
		fd_close(&c->keeper.fd);
		report_error("session_refused", "its channel cannot be watched", r);
		return r;
	}
	c->at = CONN_SNAPSHOT;
	return 0;
}

void
keeper_close(struct conn *c)
{
	if (c->keeper.fd < 0)
		return;
	loop_remove(c->front->loop, &c->keeper);
	fd_close(&c->keeper.fd);
	c->want_unsent = c->fetch_unsent = false;
}

void
keeper_free_snapshot(struct conn *c)
{
	if (c->check.snapshot.p)
		sealed_view_done(c->check.snapshot.p, c->check.snapshot.n);
	c->check = (struct snapshot_checking){0};
}

static void
refuse(struct conn *c, const struct msg_refused *m)
{
	keeper_close(c);
	keeper_free_snapshot(c);
	auth_tell_lost(c, m->code);
	c->number = 0;
	report_refusal(m->code);
	session_refused(&c->session, m->code, 0, m->holder, m->since,
		loop_now_ms(c->front->loop), clock_unix_s());
}

void
keeper_lost(struct conn *c)
{
	enum conn_at at = (enum conn_at)c->at;

	keeper_close(c);
	if (at == CONN_SNAPSHOT || at == CONN_CHECKING) {
		report_error("session_refused",
			"its keeper, or memory, was gone before it was open", 0);
		refuse(c, &(struct msg_refused){.code = REFUSAL_TEMPORARY});
	} else if (at == CONN_COMMIT)
		session_committed(&c->session, VERDICT_UNKNOWN, 0, 0);
	else
		session_end(&c->session, SESSION_LOST_KEEPER);
}

/* ---- to the keeper ------------------------------------------------------ */

/* Pieces of the marks, from verdict_at on. */
static int
send_verdict(struct conn *c)
{
	struct front *f = c->front;
	uint32_t count;
	struct view marks = session_marks(&c->session, &count);

	while (c->verdict_at < marks.n) {
		size_t left = marks.n - c->verdict_at;
		size_t n = left < VERDICT_MARKS ? left : VERDICT_MARKS;
		struct msg_verdict m = {.first = c->verdict_at * 8 + 1,
			.last = n == left,
			.marks = {marks.p + c->verdict_at, n}};
		struct buf out = buf_over(f->msg, sizeof(f->msg));
		msg_verdict_put(&m, &out);
		CHECK(!out.full);
		int r = channel_send(c->keeper.fd, buf_view(&out), NULL, 0);
		if (r < 0)
			return r;
		c->verdict_at += (uint32_t)n;
	}
	return 0;
}

int
keeper_push(struct conn *c)
{
	int r = 0;

	if (c->keeper.fd < 0)
		return -EPIPE;
	if (c->want_unsent)
		r = transfer_send_want(c);
	if (r == 0 && c->fetch_unsent)
		r = pump_send_fetch(c);
	if (r == 0 && c->at == CONN_COMMIT)
		r = send_verdict(c);
	if (r < 0 && r != -EAGAIN)
		return r;
	uint32_t events = r == -EAGAIN ? EPOLLIN | EPOLLOUT : EPOLLIN;
	return loop_change(c->front->loop, &c->keeper, events);
}

/* ---- from the keeper ---------------------------------------------------- */

/* What a message comes to; the connection is looked at again after it. */
typedef bool message_fn(struct conn *c, struct view payload, struct received *r);

static bool
on_snapshot(struct conn *c, struct view payload, struct received *r)
{
	struct msg_snapshot m;
	struct view map;

	if (c->at != CONN_SNAPSHOT || !msg_snapshot_get(&m, payload))
		return false;
	if (r->nfds != 1 || m.count > SNAPSHOT_MESSAGES_MAX)
		return false;
	AUTO_FD fd = received_take(r, 0);
	if (sealed_view(fd, SNAPSHOT_OCTETS(m.count), &map.p, &map.n) < 0)
		return false;
	if (!snapshot_check_begin(map, &c->check)) {
		sealed_view_done(map.p, map.n);
		return false;
	}
	if (c->check.snapshot.count != m.count || c->check.snapshot.octets != m.octets)
		return false;
	c->rights = m.rights;
	c->at = CONN_CHECKING;
	return true;
}

static_assert(SNAPSHOT_SMALL_MAX <= SEALED_SMALL, "sealed_view_done frees it");

static bool
on_snapshot_small(struct conn *c, struct view payload, struct received *r)
{
	struct msg_snapshot_small m;

	(void)r;
	if (c->at != CONN_SNAPSHOT || !msg_snapshot_small_get(&m, payload) ||
		m.table.n == 0)
		return false;
	uint8_t *copy = malloc(m.table.n);
	if (!copy)
		return false;
	memcpy(copy, m.table.p, m.table.n);
	if (!snapshot_check_begin((struct view){copy, m.table.n}, &c->check)) {
		free(copy);
		return false;
	}
	c->rights = m.rights;
	c->at = CONN_CHECKING;
	return true;
}

/* What is about the maildrop; whether a password was right, a keeper does not say. */
static bool
keeper_may_say(uint8_t code)
{
	switch ((enum refusal)code) {
	case REFUSAL_TEMPORARY:
	case REFUSAL_PERMANENT:
	case REFUSAL_IN_USE:
	case REFUSAL_CONNECTIONS:
	case REFUSAL_BUSY:
	case REFUSAL_LOGIN_DELAY: return true;
	case REFUSAL_CREDENTIALS:
	case REFUSAL_NO_USER:
	case REFUSAL_POLICY:
	case REFUSAL_TOO_MANY:
	case REFUSAL_NOT_NOW: break;
	}
	return false;
}

static bool
on_refused(struct conn *c, struct view payload, struct received *r)
{
	struct msg_refused m;

	(void)r;
	if (c->at != CONN_SNAPSHOT || !msg_refused_get(&m, payload) ||
		!keeper_may_say(m.code))
		return false;
	if (m.holder.n != 0 && m.holder.n != FRONT_ADDRESS_OCTETS)
		return false;
	refuse(c, &m);
	c->at = CONN_RUN;
	return true;
}

static bool
on_done(struct conn *c, struct view payload, struct received *r)
{
	struct msg_done m;
	uint32_t count;

	(void)r;
	if (c->at != CONN_COMMIT || !msg_done_get(&m, payload))
		return false;
	/* An answer before the whole verdict was sent is none. */
	if (c->verdict_at < session_marks(&c->session, &count).n)
		return false;
	keeper_close(c);
	session_committed(&c->session, m.outcome, m.removed, m.remain);
	c->at = CONN_RUN;
	return true;
}

static bool
on_yield(struct conn *c, struct view payload, struct received *r)
{
	struct msg_yield m;

	(void)r;
	if (!msg_yield_get(&m, payload))
		return false;
	/* The next login may come while rows are still looked at: that is not idle. */
	if (!c->is_attached)
		return c->at == CONN_CHECKING;
	uint64_t idle = session_idle_ms(&c->session, loop_now_ms(c->front->loop));
	if (c->at != CONN_INPUT || idle == 0 || idle < m.idle_s * UINT64_C(1000))
		return true;
	session_end(&c->session, SESSION_YIELDED);
	c->at = CONN_RUN;
	return true;
}

static const struct {
	uint16_t number;
	message_fn *fn;
} messages[] = {
	{MSG_SNAPSHOT, on_snapshot},
	{MSG_SNAPSHOT_SMALL, on_snapshot_small},
	{MSG_REFUSED, on_refused},
	{MSG_SLICES, transfer_slices},
	{MSG_FETCHED, pump_fetched},
	{MSG_DONE, on_done},
	{MSG_YIELD, on_yield},
};

static bool
dispatch(struct conn *c, uint16_t number, struct view payload, struct received *r)
{
	if (r->nfds > message_fds_max(number))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].number == number)
			return messages[i].fn(c, payload, r);
	return false;
}

/* This process ran out of descriptors: what came with the message is lost, not the
 * session. */
static bool
on_truncated(struct conn *c, uint16_t number, struct view payload)
{
	if (number == MSG_SLICES)
		return transfer_slices_lost(c, payload);
	if (number == MSG_FETCHED)
		return pump_fetched_lost(c);
	if (number != MSG_SNAPSHOT || c->at != CONN_SNAPSHOT)
		return false;
	refuse(c, &(struct msg_refused){.code = REFUSAL_TEMPORARY});
	c->at = CONN_RUN;
	return true;
}

void
keeper_fault(struct conn *c, uint16_t number)
{
	report_fault("keeper", number, "malformed or not allowed now");
	keeper_lost(c);
	c->at = CONN_RUN;
}

static void
keeper_message(struct conn *c)
{
	struct received *r = &c->front->rx;
	struct view payload;
	int e = channel_recv(c->keeper.fd, r, SLICES_BATCH_MAX);

	if (e == -EAGAIN)
		return;
	if (e < 0) {
		keeper_lost(c);
		c->at = CONN_RUN;
		return;
	}
	uint16_t number = message_number(r->message, &payload);
	bool ok = r->truncated ? on_truncated(c, number, payload)
			       : dispatch(c, number, payload, r);
	received_done(r);
	if (!ok)
		keeper_fault(c, number);
}

static void
keeper_ready(struct source *s, uint32_t events)
{
	struct conn *c = CONTAINER_OF(s, struct conn, keeper);
	uint8_t before = c->at;

	if ((events & EPOLLOUT) && keeper_push(c) < 0) {
		keeper_lost(c);
		c->at = CONN_RUN;
	} else if (events & ~(uint32_t)EPOLLOUT) {
		keeper_message(c);
	}
	/* A piece of a message that is being sent came, or the state is another. */
	if (c->at != before || c->at == CONN_BODY)
		conn_look(c);
}

/* ---- the snapshot ------------------------------------------------------- */

static bool
attach_session(struct conn *c)
{
	const struct snapshot *s = &c->check.snapshot;

	c->marks = calloc(1, ((size_t)s->count + 7) / 8 + 1);
	if (!c->marks)
		return false;
	c->is_attached = true;
	session_attached(
		&c->session, s, c->rights, c->marks, loop_now_ms(c->front->loop));
	stat_add(STAT_LOGINS, 1);
	who_claim(c);
	report_login(c);
	return true;
}

enum step
keeper_check_snapshot(struct conn *c)
{
	enum snapshot_step step = snapshot_check_rows(&c->check, FRONT_CHECK_ROWS);

	if (step == SNAPSHOT_MORE)
		return STEP_YIELD;
	if (step == SNAPSHOT_BAD)
		report_fault("keeper", MSG_SNAPSHOT, "unsound rows");
	if (step == SNAPSHOT_BAD || !attach_session(c))
		keeper_lost(c);
	c->at = CONN_RUN;
	return STEP_GO;
}
