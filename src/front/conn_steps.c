/* The steps of a connection: one row for each thing that it can wait for. */
#include "front/conn.h"

#include "base/check.h"
#include "front/opening.h"
#include "front/transfer.h"
#include "stat/stat.h"

#include <sys/socket.h>

#define CLOSE_MS  30000U /* for the client to take our last words */
#define LINGER_MS 3000U	 /* ... and to close after it has read them */
#define DRAINS	  8	 /* reads of what nobody wants, in one turn */

typedef enum step step_fn(struct conn *c, struct turn *t);

/* ---- what the session wants --------------------------------------------- */

static enum step
end_here(struct conn *c, enum session_reason why)
{
	session_end(&c->session, why);
	c->at = CONN_RUN;
	return STEP_GO;
}

static enum step
want_input(struct conn *c, struct turn *t)
{
	c->at = CONN_INPUT;
	if (c->front->is_draining && !c->is_attached)
		return end_here(c, SESSION_DRAINED);
	switch (conn_in_more(c, t)) {
	case IO_OK: c->at = CONN_RUN; return STEP_GO;
	case IO_WAIT: return STEP_WAIT;
	case IO_END:
	case IO_LOST: break;
	}
	return end_here(c, SESSION_PEER);
}

static enum step
want_output(struct conn *c, struct turn *t)
{
	(void)c, (void)t;
	/* conn.c sends before the next step if there is enough; else it can go on. */
	return STEP_GO;
}

static enum step
want_delay(struct conn *c, struct turn *t)
{
	(void)t;
	c->at = CONN_DELAY;
	return STEP_WAIT;
}

static enum step
want_tls(struct conn *c, struct turn *t)
{
	t->in.n = 0;
	c->at = CONN_STARTTLS;
	return STEP_GO;
}

static enum step
want_stamp(struct conn *c, struct turn *t)
{
	(void)t;
	c->at = CONN_STAMP;
	if (auth_ask_stamp(c))
		return STEP_WAIT;
	c->at = CONN_RUN;
	return STEP_GO;
}

static enum step
want_peer(struct conn *c, struct turn *t)
{
	(void)t;
	return opening_peer_said(c);
}

static enum step
want_login(struct conn *c, struct turn *t)
{
	(void)t;
	c->at = CONN_LOGIN;
	if (auth_ask(c))
		return STEP_WAIT;
	c->at = CONN_RUN;
	return STEP_GO;
}

static enum step
want_slice(struct conn *c, struct turn *t)
{
	c->at = CONN_SLICE;
	return transfer_want(c, t->in);
}

static enum step
want_body(struct conn *c, struct turn *t)
{
	(void)t;
	c->at = CONN_BODY;
	return pump_begin(c);
}

static enum step
want_commit(struct conn *c, struct turn *t)
{
	uint32_t marked;

	/* Messages are Seen once they have left, and the keeper learns it before the end.
	 */
	if (c->transfer && c->transfer->seen_n > 0) {
		enum io io = conn_flush(c, t);
		c->at = CONN_RUN;
		if (io != IO_OK)
			return io == IO_WAIT ? STEP_WAIT : STEP_DEAD;
	}
	(void)session_marks(&c->session, &marked);
	if (marked == 0) {
		/*
		 * Nothing to decide. The channel closes before the answer leaves, and a
		 * keeper frees a session whose channel has ended before it attaches the
		 * next: who logs in again at once does not meet his own lock.
		 */
		keeper_close(c);
		session_committed(&c->session, VERDICT_DONE, 0, 0);
		c->at = CONN_RUN;
		return STEP_GO;
	}
	c->at = CONN_COMMIT;
	c->verdict_at = 0;
	if (keeper_push(c) == 0)
		return STEP_WAIT;
	keeper_lost(c);
	c->at = CONN_RUN;
	return STEP_GO;
}

static enum step
want_close(struct conn *c, struct turn *t)
{
	(void)t;
	who_leave(c);
	keeper_close(c);
	transfer_free(c);
	c->at = CONN_CLOSING;
	c->close_by_ms = loop_now_ms(c->front->loop) + CLOSE_MS;
	return STEP_GO;
}

static step_fn *const wants[] = {
	[SESSION_WANT_INPUT] = want_input,
	[SESSION_WANT_OUTPUT] = want_output,
	[SESSION_WANT_DELAY] = want_delay,
	[SESSION_WANT_TLS] = want_tls,
	[SESSION_WANT_LOGIN] = want_login,
	[SESSION_WANT_STAMP] = want_stamp,
	[SESSION_WANT_PEER] = want_peer,
	[SESSION_WANT_SLICE] = want_slice,
	[SESSION_WANT_BODY] = want_body,
	[SESSION_WANT_COMMIT] = want_commit,
	[SESSION_WANT_CLOSE] = want_close,
};

/* ---- the steps ---------------------------------------------------------- */

static enum step
step_run(struct conn *c, struct turn *t)
{
	struct front *f = c->front;
	struct buf out = {f->out, t->out.n, FRONT_REPLY_OCTETS, false};
	enum session_want want =
		session_run(&c->session, loop_now_ms(f->loop), &t->in, &out);

	t->out.n = out.n;
	if (want != SESSION_WANT_OUTPUT)
		auth_drop_challenge(c);
	auth_settle(c);
	return wants[want](c, t);
}

static enum step
step_delay(struct conn *c, struct turn *t)
{
	(void)t;
	if (loop_now_ms(c->front->loop) < session_delay_until(&c->session))
		return STEP_WAIT;
	c->at = CONN_RUN;
	return STEP_GO;
}

/* An answer of another process ends this: it sets `at`. */
static enum step
step_wait(struct conn *c, struct turn *t)
{
	(void)c, (void)t;
	return STEP_WAIT;
}

static enum step
step_slice(struct conn *c, struct turn *t)
{
	(void)t;
	return transfer_look(c);
}

static enum step
step_starttls(struct conn *c, struct turn *t)
{
	switch (conn_flush(c, t)) {
	case IO_OK: break;
	case IO_WAIT: return STEP_WAIT;
	case IO_END:
	case IO_LOST: return STEP_DEAD;
	}
	/* What follows STLS in clear must not be taken for what came under TLS. */
	t->in.n = 0;
	if (opening_tls(c) != STREAM_OK)
		return STEP_DEAD;
	c->at = CONN_HANDSHAKE;
	return STEP_GO;
}

static enum step
step_handshake(struct conn *c, struct turn *t)
{
	if (!t->readable && stream_unsent(&c->stream) == 0)
		return STEP_WAIT;
	t->readable = false;
	switch (stream_handshake(&c->stream)) {
	case STREAM_OK: break;
	case STREAM_AGAIN: return STEP_WAIT;
	case STREAM_END:
	case STREAM_ERROR:
		stat_add(STAT_TLS_FAILED, 1);
		session_end(&c->session, SESSION_PEER);
		return STEP_DEAD;
	}
	stat_add(STAT_TLS_HANDSHAKES, 1);
	if (stream_resumed(&c->stream))
		stat_add(STAT_TLS_RESUMED, 1);
	if (stream_is_old(&c->stream))
		stat_add(STAT_TLS_OLD, 1);
	opening_bound(c);
	c->at = c->rules->kpop ? CONN_KPOP : CONN_RUN;
	if (c->rules->implicit_tls)
		return STEP_GO; /* a ticket leaves with the greeting */
	session_tls_started(&c->session, loop_now_ms(c->front->loop));
	return conn_flush(c, t) == IO_LOST ? STEP_DEAD : STEP_GO;
}

static enum step
step_checking(struct conn *c, struct turn *t)
{
	(void)t;
	return keeper_check_snapshot(c);
}

/* A client that has sent more than was read would lose our last words to a reset. */
static bool
must_linger(const struct conn *c, const struct turn *t)
{
	switch (session_reason(&c->session)) {
	case SESSION_QUIT: return t->in.n > 0 || c->is_filled;
	case SESSION_BAD_COMMANDS:
	case SESSION_LOGIN_FAILURES:
	case SESSION_LOST_KEEPER:
	case SESSION_TURNED_AWAY:
	case SESSION_KICKED:
	case SESSION_DRAINED: return true;
	case SESSION_INJECTION:
	case SESSION_FILE_CHANGED:
	case SESSION_PEER:
	case SESSION_YIELDED:
	case SESSION_TIMEOUT: break;
	}
	return false;
}

static enum step
step_closing(struct conn *c, struct turn *t)
{
	stream_last(&c->stream);
	/* Under TLS the last answer and close_notify leave together. */
	if (c->stream.ssl && t->out.n > 0) {
		if (stream_write(&c->stream, t->out.p, t->out.n) != STREAM_OK)
			return STEP_DEAD;
		t->out.n = 0;
		stream_goodbye(&c->stream);
	}
	switch (conn_flush(c, t)) {
	case IO_OK: break;
	case IO_WAIT: return STEP_WAIT;
	case IO_END:
	case IO_LOST: return STEP_DEAD;
	}
	if (!must_linger(c, t))
		return STEP_DEAD;
	t->in.n = 0;
	switch (stream_shutdown(&c->stream)) {
	case STREAM_OK: break;
	case STREAM_AGAIN: return STEP_WAIT;
	case STREAM_END:
	case STREAM_ERROR: return STEP_DEAD;
	}
	c->at = CONN_LINGER;
	c->close_by_ms = loop_now_ms(c->front->loop) + LINGER_MS;
	t->readable = true;
	return STEP_GO;
}

static enum step
step_linger(struct conn *c, struct turn *t)
{
	struct front *f = c->front;

	for (int i = 0; i < DRAINS && t->readable; i++) {
		ssize_t n = recv(c->source.fd, f->block, sizeof(f->block), MSG_DONTWAIT);
		if (n == 0)
			return STEP_DEAD;
		t->readable = n > 0;
	}
	t->readable = false;
	return STEP_WAIT;
}

static step_fn *const steps[CONN_STATES] = {
	[CONN_PROXY] = opening_proxy,
	[CONN_KPOP] = opening_kpop,
	[CONN_KPOP_LOGIN] = step_wait,
	[CONN_KPOP_YES] = opening_kpop_yes,
	[CONN_KPOP_NO] = opening_kpop_no,
	[CONN_RUN] = step_run,
	[CONN_INPUT] = want_input,
	[CONN_DELAY] = step_delay,
	[CONN_STARTTLS] = step_starttls,
	[CONN_HANDSHAKE] = step_handshake,
	[CONN_STAMP] = step_wait,
	[CONN_LOGIN] = step_wait,
	[CONN_SNAPSHOT] = step_wait,
	[CONN_CHECKING] = step_checking,
	[CONN_SLICE] = step_slice,
	[CONN_BODY] = pump_step,
	[CONN_COMMIT] = step_wait,
	[CONN_CLOSING] = step_closing,
	[CONN_LINGER] = step_linger,
};

enum step
conn_step(struct conn *c, struct turn *t)
{
	CHECK(c->at < CONN_STATES);
	return steps[c->at](c, t);
}
