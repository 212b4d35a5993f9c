#include "front/conn.h"

#include "base/check.h"
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

static bool
is_loopback(const uint8_t a[FRONT_ADDRESS_OCTETS])
{
	static const uint8_t v6[FRONT_ADDRESS_OCTETS] = {[15] = 1};
	static const uint8_t v4[13] = {[10] = 0xFF, [11] = 0xFF, [12] = 127};

	return memcmp(a, v6, sizeof(v6)) == 0 || memcmp(a, v4, sizeof(v4)) == 0;
}

struct conn *
conn_new(struct front *f, int take_fd, const struct listener *l,
	const uint8_t address[FRONT_ADDRESS_OCTETS], uint16_t port)
{
	CHECK(f->vacant_n > 0);
	struct conn *c = calloc(1, sizeof(*c));
	if (!c) {
		fd_close(&take_fd);
		return NULL;
	}
	uint64_t now = loop_now_ms(f->loop);
	bool loopback = is_loopback(address);
	struct session_peer peer = {
		.loopback = loopback,
		.tls = l->implicit_tls,
		.tls_available = f->tls && !l->implicit_tls,
		.plaintext = l->plaintext == 2 || (l->plaintext == 1 && loopback),
	};
	c->source = (struct source){.fd = take_fd, .ready = conn_ready};
	c->keeper.fd = -1;
	c->timer.fire = conn_fire;
	c->front = f;
	c->options = front_options_ref(f->options);
	c->is_implicit = l->implicit_tls;
	c->window = SLICES_BATCH_MAX;
	c->begun_ms = now;
	c->port = port;
	memcpy(c->address, address, sizeof(c->address));
	stream_init(&c->stream, take_fd);
	session_init(&c->session, &c->options->session, &peer, now);
	c->place = f->vacant[--f->vacant_n];
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
	keeper_close(c);
	transfer_free(c);
	loop_timer_clear(f->loop, &c->timer);
	loop_forget(f->loop, &c->source); /* the socket was never passed on */
	stream_done(&c->stream);
	session_done(&c->session);
	keeper_free_snapshot(c);
	conn_in_drop(c);
	free(c->marks);
	free(c->user);
	front_options_unref(&c->options);
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

static uint64_t
conn_due(const struct conn *c)
{
	if (c->at == CONN_CLOSING || c->at == CONN_LINGER)
		return c->close_by_ms;
	uint64_t due = session_deadline(&c->session);
	if (conn_is_sending(c)) {
		uint64_t look = conn_look_due(c);
		return look < due ? look : due;
	}
	if (c->at != CONN_DELAY && c->at != CONN_LOGIN)
		return due;
	uint64_t until =
		c->at == CONN_LOGIN ? answer_due(c) : session_delay_until(&c->session);
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
	if (c->is_implicit) {
		c->at = CONN_HANDSHAKE;
		if (stream_start_tls(&c->stream, c->front->tls) != STREAM_OK) {
			conn_free(c);
			return;
		}
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

void
conn_end(struct conn *c, enum session_reason why)
{
	if (c->at == CONN_CLOSING || c->at == CONN_LINGER || c->at == CONN_COMMIT)
		return;
	if (c->at == CONN_HANDSHAKE || c->at == CONN_STARTTLS) {
		session_end(&c->session, why);
		conn_free(c);
		return;
	}
	if (!c->is_attached)
		c->number = 0; /* an answer that is still to come finds nobody */
	session_end(&c->session, why);
	conn_go_on(c);
}

void
conn_drain(struct conn *c, bool all)
{
	bool idle = !c->is_attached &&
		(c->at == CONN_INPUT || c->at == CONN_DELAY || c->at == CONN_HANDSHAKE);

	if (all || idle)
		conn_end(c, SESSION_DRAINED);
}

static void
conn_expire(struct conn *c, uint64_t now_ms)
{
	switch ((enum conn_at)c->at) {
	case CONN_COMMIT:
		/* Whether it was done is not known; the keeper may still do it. */
		keeper_lost(c);
		conn_go_on(c);
		return;
	case CONN_CLOSING:
	case CONN_LINGER:
	case CONN_HANDSHAKE:
	case CONN_STARTTLS:
		session_expire(&c->session, now_ms);
		conn_free(c);
		return;
	case CONN_RUN:
	case CONN_INPUT:
	case CONN_DELAY:
	case CONN_LOGIN:
	case CONN_SNAPSHOT:
	case CONN_CHECKING:
	case CONN_SLICE:
	case CONN_BODY:
	case CONN_STATES: break;
	}
	if (!c->is_attached)
		c->number = 0;
	session_expire(&c->session, now_ms);
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
	else if (c->at == CONN_LOGIN && !is_over)
		auth_refused(c, REFUSAL_TEMPORARY);
	else
		conn_expire(c, now_ms);
}
