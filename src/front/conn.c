#include "front/conn.h"

#include "base/check.h"
#include "front/opening.h"
#include "front/transfer.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static_assert(FRONT_SESSIONS_MAX < 1U << SESSION_COUNT_BIT);

/*
 * An auth or a monitor that does not answer by then will not: the client is told. At half
 * of login_timeout in any case, so that it can try once more.
 */
#define ANSWER_MS UINT64_C(15000)

static void conn_ready(struct source *s, uint32_t events);
static void conn_fire(struct timer *timer, uint64_t now_ms);

/* ---- numbers ------------------------------------------------------------ */

uint64_t
conn_new_number(struct conn *c)
{
	c->number = ++c->front->sessions_begun << SESSION_COUNT_BIT | c->place;
	return c->number;
}

struct conn *
conn_find(const struct front *f, uint64_t number)
{
	uint64_t place = number & ((1U << SESSION_COUNT_BIT) - 1);

	if (number == 0 || place >= f->sessions_max)
		return NULL;
	struct conn *c = f->conns[place];
	return c && c->number == number ? c : NULL;
}

/* ---- birth and death ---------------------------------------------------- */

struct conn *
conn_new(struct front *f, int take_fd, struct rules *rules,
	const uint8_t address[FRONT_ADDRESS_OCTETS], uint16_t port)
{
	CHECK(f->vacant_n > 0);
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		fd_close(&take_fd);
		return NULL;
	}
	c->source = (struct source){.fd = take_fd, .ready = conn_ready};
	c->keeper.fd = -1;
	c->timer.fire = conn_fire;
	c->front = f;
	c->options = front_options_ref(f->options);
	c->rules = rules_ref(rules);
	c->window = SLICES_BATCH_MAX;
	c->begun_ms = loop_now_ms(f->loop);
	c->port = port;
	memcpy(c->address, address, sizeof(c->address));
	memcpy(c->via, address, sizeof(c->via));
	stream_init(&c->stream, take_fd);
	c->stream.room = &f->room;
	opening_session(c, false);
	c->place = f->vacant[--f->vacant_n];
	c->connection = ++f->connections_begun << SESSION_COUNT_BIT | c->place;
	f->conns[c->place] = c;
	f->conns_n++;
	stat_add(STAT_SESSIONS, 1);
	return c;
}

void
conn_free(struct conn *c)
{
	struct front *f = c->front;

	report_counts(c);
	report_logout(c);
	auth_settle(c);
	who_leave(c);
	keeper_close(c);
	transfer_free(c);
	loop_timer_clear(f->loop, &c->timer);
	loop_forget(f->loop, &c->source); /* the socket was never passed on */
	stream_done(&c->stream);
	session_done(&c->session);
	auth_drop_challenge(c);
	keeper_free_snapshot(c);
	conn_in_drop(c);
	free(c->marks);
	free(c->user);
	free(c->proxy);
	front_options_unref(&c->options);
	rules_unref(&c->rules);
	if (c->peer_hash != 0)
		peers_remove(&f->peers, c->peer_hash);
	f->conns[c->place] = NULL;
	f->vacant[f->vacant_n++] = c->place;
	f->conns_n--;
	stat_sub(STAT_SESSIONS, 1);
	loop_defer_free(f->loop, c);
	accept_place_free(f);
}

/* ---- turns -------------------------------------------------------------- */

/*
 * The socket is of no more use. A verdict that is under way is waited for all the same:
 * QUIT was received (threats: verdict), and the log shall say what came of it. False: the
 * connection was freed.
 */
static bool
conn_lose(struct conn *c)
{
	if (c->at != CONN_COMMIT) {
		session_end(&c->session, SESSION_PEER);
		conn_free(c);
		return false;
	}
	c->is_peer_gone = true;
	loop_remove(c->front->loop, &c->source);
	return true;
}

static uint64_t
answer_due(const struct conn *c)
{
	uint64_t half = c->options->session.login_timeout_s * UINT64_C(500);

	return c->asked_ms + (half < ANSWER_MS ? half : ANSWER_MS);
}

static bool
waits_for_auth(const struct conn *c)
{
	return c->at == CONN_LOGIN || c->at == CONN_STAMP || c->at == CONN_KPOP_LOGIN;
}

static uint64_t
conn_due(const struct conn *c)
{
	if (c->at == CONN_CLOSING || c->at == CONN_LINGER || c->at == CONN_PROXY ||
		c->at == CONN_KPOP_NO)
		return c->close_by_ms;
	uint64_t due = session_deadline(&c->session);
	if (conn_is_sending(c)) {
		uint64_t look = conn_look_due(c);
		return look < due ? look : due;
	}
	if (c->at != CONN_DELAY && !waits_for_auth(c))
		return due;
	uint64_t until =
		waits_for_auth(c) ? answer_due(c) : session_delay_until(&c->session);
	return until < due ? until : due;
}

/* A timer that is set too early looks again when it fires: moments mostly move on. */
static int
conn_set_timer(struct conn *c)
{
	uint64_t due = conn_due(c);

	if (c->timer.slot && c->timer.at_ms <= due)
		return 0;
	return loop_timer_set(c->front->loop, &c->timer, due);
}

static enum step
step_of(enum io io)
{
	switch (io) {
	case IO_OK: return STEP_GO;
	case IO_WAIT: return STEP_WAIT;
	case IO_END:
	case IO_LOST: break;
	}
	return STEP_DEAD;
}

/* All that can be done now, within one quantum. STEP_DEAD: the socket is of no more use.
 */
static enum step
conn_steps(struct conn *c, struct turn *t)
{
	enum step step = STEP_GO;

	if (stream_unsent(&c->stream) > 0 && c->at != CONN_HANDSHAKE)
		step = step_of(conn_flush(c, t));
	while (step == STEP_GO) {
		if (t->sent >= FRONT_QUANTUM_OCTETS || t->steps++ >= FRONT_QUANTUM_STEPS)
			step = STEP_YIELD;
		else if (t->out.n >= FRONT_FLUSH_OCTETS)
			step = step_of(conn_flush(c, t));
		else
			step = conn_step(c, t);
	}
	t->yields = step == STEP_YIELD;
	if (step == STEP_DEAD)
		return step;
	/* Answers of the whole turn leave together. */
	if (t->out.n > 0 && conn_flush(c, t) == IO_LOST)
		return STEP_DEAD;
	return step;
}

static void
conn_turn(struct conn *c, bool readable)
{
	struct front *f = c->front;
	struct turn t = {.out = buf_over(f->out, sizeof(f->out)), .readable = readable};

	conn_in_begin(c, &t);
	enum step step = conn_steps(c, &t);
	if (stream_keep(&c->stream) != STREAM_OK)
		step = STEP_DEAD;
	auth_settle(c);
	report_counts(c);
	int r = conn_in_end(c, &t);
	if (step == STEP_DEAD && !conn_lose(c))
		return;
	if (c->at == CONN_INPUT && c->transfer)
		transfer_idle(c);
	if (r == 0)
		r = conn_arm(c, &t);
	if (r == 0)
		r = conn_set_timer(c);
	if (r < 0)
		conn_free(c);
}

void
conn_start(struct conn *c)
{
	if (c->rules->proxies.n > 0) {
		c->at = CONN_PROXY;
	} else if (opening_begin(c) < 0) {
		conn_free(c);
		return;
	}
	conn_turn(c, false);
}

void
conn_go_on(struct conn *c)
{
	c->at = CONN_RUN;
	conn_look(c);
}

void
conn_look(struct conn *c)
{
	if (c->is_peer_gone && c->at != CONN_COMMIT) {
		/* The answer to the verdict is in the session's counts: nobody reads it.
		 */
		conn_free(c);
		return;
	}
	conn_turn(c, false);
}

static void
conn_ready(struct source *s, uint32_t events)
{
	struct conn *c = CONTAINER_OF(s, struct conn, source);

	if (events & (EPOLLERR | EPOLLHUP))
		(void)conn_lose(c);
	else
		conn_turn(c, events & EPOLLIN);
}

/* POP3 has not begun: no words that the client would understand. */
static bool
is_opening(const struct conn *c)
{
	return c->at < CONN_RUN;
}

/* An answer that is still to come finds nobody; a question that is open is taken back. */
static void
forget_login(struct conn *c)
{
	auth_settle(c);
	if (!c->is_attached)
		c->number = 0;
}

void
conn_end(struct conn *c, enum session_reason why)
{
	if (c->at == CONN_CLOSING || c->at == CONN_LINGER || c->at == CONN_COMMIT)
		return;
	if (c->at == CONN_HANDSHAKE || c->at == CONN_STARTTLS || is_opening(c)) {
		session_end(&c->session, why);
		conn_free(c);
		return;
	}
	session_end(&c->session, why);
	forget_login(c);
	conn_go_on(c);
}

void
conn_drain(struct conn *c, bool all)
{
	bool idle = !c->is_attached &&
		(c->at == CONN_INPUT || c->at == CONN_DELAY || c->at == CONN_HANDSHAKE ||
			c->at == CONN_STAMP || is_opening(c));

	if (all || idle)
		conn_end(c, SESSION_DRAINED);
}

static void
conn_expire(struct conn *c, uint64_t now_ms)
{
	switch ((enum conn_at)c->at) {
	case CONN_PROXY:
		report_away(c->front, AWAY_NO_HEADER, c->via);
		session_expire(&c->session, now_ms);
		conn_free(c);
		return;
	case CONN_COMMIT:
		/* Whether it was done is not known; the keeper may still do it. */
		keeper_lost(c);
		conn_go_on(c);
		return;
	case CONN_CLOSING:
	case CONN_LINGER:
	case CONN_KPOP:
	case CONN_KPOP_LOGIN:
	case CONN_KPOP_YES:
	case CONN_KPOP_NO:
	case CONN_HANDSHAKE:
	case CONN_STARTTLS:
		session_expire(&c->session, now_ms);
		conn_free(c);
		return;
	case CONN_RUN:
	case CONN_INPUT:
	case CONN_DELAY:
	case CONN_STAMP:
	case CONN_LOGIN:
	case CONN_SNAPSHOT:
	case CONN_CHECKING:
	case CONN_SLICE:
	case CONN_BODY:
	case CONN_STATES: break;
	}
	session_expire(&c->session, now_ms);
	forget_login(c);
	if (stream_unsent(&c->stream) > 0)
		conn_free(c); /* it did not read for so long: it will not now */
	else
		conn_go_on(c);
}

static void
conn_fire(struct timer *timer, uint64_t now_ms)
{
	struct conn *c = CONTAINER_OF(timer, struct conn, timer);

	if (conn_is_sending(c))
		conn_look_for_progress(c, now_ms);
	if (now_ms < conn_due(c)) {
		if (conn_set_timer(c) < 0)
			conn_free(c);
		return;
	}
	bool is_over = now_ms >= session_deadline(&c->session);
	if (c->at == CONN_DELAY && !is_over)
		conn_go_on(c);
	else if (c->at == CONN_KPOP_NO && !is_over)
		conn_look(c);
	else if (waits_for_auth(c) && !is_over)
		auth_no_answer(c);
	else
		conn_expire(c, now_ms);
}
