#include "base/check.h"
#include "front/session_state.h"

#include <string.h>

void
session_init(struct session *s, const struct session_options *o,
	const struct session_peer *peer, uint64_t now_ms)
{
	CHECK(o->scratch);
	*s = (struct session){.options = o,
		.peer = *peer,
		.phase = PHASE_GREETING,
		.trial = {.mechanism = MECHANISM_KPOP, .open = peer->kpop},
		.started_ms = now_ms,
		.active_ms = now_ms};
	struct pop3_link link = session_link(s);
	pop3_server_init(&s->wire, &o->wire, &link);
	if (!peer->kpop && peer->mechanisms >> MECHANISM_APOP & 1)
		s->phase = PHASE_STAMP;
}

void
session_done(struct session *s)
{
	session_login_sent(s);
	explicit_bzero(s, sizeof(*s));
	s->phase = PHASE_CLOSED;
}

void
session_close(struct session *s, enum session_reason why)
{
	/* The first reason stays: what follows is its consequence. */
	if (s->phase == PHASE_CLOSED)
		return;
	s->phase = PHASE_CLOSED;
	s->reason = (uint8_t)why;
}

bool
session_is_over(const struct session *s)
{
	return s->phase == PHASE_CLOSED || (s->phase == PHASE_ANSWER && s->closes);
}

/* Octets behind STLS were put there by somebody in between (CVE-2011-0411; wire point
 * 15). */
static enum session_want
answer_stls(struct session *s, const struct view *in, struct buf *out)
{
	session_put_reply(s, POP3_OK_STLS, out);
	if (in->n > 0) {
		session_close(s, SESSION_INJECTION);
		return SESSION_WANT_CLOSE;
	}
	s->phase = PHASE_TLS;
	return SESSION_WANT_TLS;
}

static enum session_want
answer_quit(struct session *s, struct buf *out)
{
	if (s->drop.snap) {
		s->phase = PHASE_COMMIT;
		return SESSION_WANT_COMMIT;
	}
	/* RFC 1939 s.4: without login there is no UPDATE state. */
	session_put_reply(s, POP3_OK_BYE, out);
	session_close(s, SESSION_QUIT);
	return SESSION_WANT_CLOSE;
}

static enum session_want
answer_utf8(struct session *s, struct buf *out)
{
	if (s->drop.snap)
		session_count_octets(s);
	session_put_reply(s, POP3_OK_UTF8, out);
	return SESSION_WANT_INPUT;
}

static enum session_want
answer_lang(const struct session *s, const struct pop3_request *r, struct buf *out)
{
	if (pop3_answer_is_many(r))
		pop3_put_languages(&s->wire, out);
	else
		session_put_language(s, out);
	return SESSION_WANT_INPUT;
}

static enum session_want
answer_xclient(struct session *s, const struct pop3_request *r)
{
	s->trial.peer = r->peer;
	s->phase = PHASE_PEER;
	return SESSION_WANT_PEER;
}

/* SESSION_WANT_INPUT: answered, the next line may come. */
static enum session_want
answer(struct session *s, const struct pop3_request *r, const struct view *in,
	struct buf *out)
{
	switch (r->command) {
	case POP3_CAPA: pop3_put_capa(&s->wire, out); return SESSION_WANT_INPUT;
	case POP3_STLS: return answer_stls(s, in, out);
	case POP3_QUIT: return answer_quit(s, out);
	case POP3_USER:
	case POP3_PASS:
	case POP3_APOP:
	case POP3_AUTH: return session_answer_login(s, r, out);
	case POP3_UTF8: return answer_utf8(s, out);
	case POP3_LANG: return answer_lang(s, r, out);
	case POP3_XCLIENT: return answer_xclient(s, r);
	case POP3_STAT:
	case POP3_LIST:
	case POP3_RETR:
	case POP3_DELE:
	case POP3_NOOP:
	case POP3_RSET:
	case POP3_TOP:
	case POP3_UIDL:
	case POP3_LAST: return session_answer_mail(s, r, out);
	case POP3_COMMANDS: break;
	}
	UNREACHABLE();
}

static void
answer_bad(struct session *s, const struct pop3_request *r, struct buf *out)
{
	struct pop3_line l;

	s->counts.commands_bad++;
	pop3_line_start(&l, r->reply, session_language(s));
	if (r->reply == POP3_ERR_SYNTAX) {
		pop3_line_text(&l, " ");
		pop3_line_text(&l, pop3_command_usage(r->command));
	}
	pop3_line_end(&l, out);
	if (pop3_server_exhausted(&s->wire))
		session_close(s, SESSION_BAD_COMMANDS);
}

static enum session_want
read_line(struct session *s, uint64_t now_ms, struct view *in, struct buf *out)
{
	struct pop3_request r;
	enum pop3_event event = pop3_server_next(&s->wire, in, &r);

	if (event == POP3_NEED_INPUT)
		return SESSION_WANT_INPUT;
	if (event == POP3_FLOOD) {
		session_close(s, SESSION_BAD_COMMANDS);
		return SESSION_WANT_CLOSE;
	}
	/* Only a whole line counts as a sign of life (RFC 1939 s.3). */
	s->active_ms = now_ms;
	s->counts.commands++;
	switch (event) {
	case POP3_COMMAND: return answer(s, &r, in, out);
	case POP3_RESPONSE: return session_answer_login(s, &r, out);
	case POP3_BAD: answer_bad(s, &r, out); break;
	case POP3_REFUSED:
		if (r.reply == POP3_ERR_CANCELLED)
			session_login_broken(s, r.reply, out);
		else
			session_put_reply(s, r.reply, out);
		break;
	case POP3_NEED_INPUT:
	case POP3_FLOOD: UNREACHABLE();
	}
	return s->phase == PHASE_CLOSED ? SESSION_WANT_CLOSE : SESSION_WANT_INPUT;
}

static enum session_want
run_reading(struct session *s, uint64_t now_ms, struct view *in, struct buf *out)
{
	while (buf_room(out) >= SESSION_ROOM) {
		size_t before = in->n;
		enum session_want want = read_line(s, now_ms, in, out);
		if (want != SESSION_WANT_INPUT || s->phase != PHASE_READING)
			return want;
		if (in->n == before || in->n == 0)
			return SESSION_WANT_INPUT;
	}
	return SESSION_WANT_OUTPUT;
}

/* The answer that the outside made ready. */
static void
run_answer(struct session *s, struct buf *out)
{
	s->phase = PHASE_READING;
	session_put_answer(s, (enum pop3_reply)s->reply, out);
	if (s->closes)
		session_close(s, (enum session_reason)s->reason);
}

/* One phase; SESSION_WANT_INPUT from another phase than READING: go on with the next. */
static enum session_want
run_phase(struct session *s, uint64_t now_ms, struct view *in, struct buf *out)
{
	switch ((enum session_phase)s->phase) {
	case PHASE_STAMP: return SESSION_WANT_STAMP;
	case PHASE_GREETING:
		pop3_put_greeting(&s->wire, s->trial.say.left, out);
		s->trial.say = (struct pop3_challenge){0};
		s->phase = PHASE_READING;
		return SESSION_WANT_INPUT;
	case PHASE_CHALLENGE:
		if (!pop3_put_challenge(&s->trial.say, out))
			return SESSION_WANT_OUTPUT;
		s->phase = PHASE_READING;
		return SESSION_WANT_INPUT;
	case PHASE_READING: return run_reading(s, now_ms, in, out);
	case PHASE_LISTING: return session_go_on_listing(s, now_ms, out);
	case PHASE_TLS: return SESSION_WANT_TLS;
	case PHASE_PEER: return SESSION_WANT_PEER;
	case PHASE_LOGIN: return SESSION_WANT_LOGIN;
	case PHASE_DELAY:
		if (now_ms < s->trial.delay_until)
			return SESSION_WANT_DELAY;
		run_answer(s, out);
		return SESSION_WANT_INPUT;
	case PHASE_ANSWER: run_answer(s, out); return SESSION_WANT_INPUT;
	case PHASE_SLICE: return SESSION_WANT_SLICE;
	case PHASE_BODY_FIRST: session_put_body_first(s, out); return SESSION_WANT_BODY;
	case PHASE_BODY: return SESSION_WANT_BODY;
	case PHASE_COMMIT: return SESSION_WANT_COMMIT;
	case PHASE_CLOSED: return SESSION_WANT_CLOSE;
	}
	UNREACHABLE();
}

/* Phases that wait for the outside write nothing, so they need no room. */
static bool
writes(const struct session *s)
{
	switch ((enum session_phase)s->phase) {
	case PHASE_GREETING:
	case PHASE_READING:
	case PHASE_LISTING:
	case PHASE_CHALLENGE:
	case PHASE_ANSWER:
	case PHASE_DELAY:
	case PHASE_BODY_FIRST: return true;
	case PHASE_STAMP:
	case PHASE_TLS:
	case PHASE_PEER:
	case PHASE_LOGIN:
	case PHASE_SLICE:
	case PHASE_BODY:
	case PHASE_COMMIT:
	case PHASE_CLOSED: return false;
	}
	UNREACHABLE();
}

enum session_want
session_run(struct session *s, uint64_t now_ms, struct view *in, struct buf *out)
{
	CHECK(!out->full);
	CHECK(out->cap >= SESSION_ROOM);
	for (;;) {
		uint8_t phase = s->phase;
		if (writes(s) && buf_room(out) < SESSION_ROOM)
			return SESSION_WANT_OUTPUT;
		enum session_want want = run_phase(s, now_ms, in, out);
		CHECK(!out->full);
		if (want != SESSION_WANT_INPUT ||
			(phase == PHASE_READING && s->phase == phase))
			return want;
	}
}

/* ---- time ------------------------------------------------------------------- */

uint64_t
session_deadline(const struct session *s)
{
	/* Before login the clock is not reset by anything the client sends. */
	if (!s->drop.snap)
		return s->started_ms + s->options->login_timeout_s * UINT64_C(1000);
	return s->active_ms + s->options->idle_timeout_s * UINT64_C(1000);
}

void
session_expire(struct session *s, uint64_t now_ms)
{
	if (now_ms >= session_deadline(s))
		session_end(s, SESSION_TIMEOUT);
}

void
session_progress(struct session *s, uint64_t now_ms)
{
	s->active_ms = now_ms;
}

uint64_t
session_idle_ms(const struct session *s, uint64_t now_ms)
{
	if (s->phase != PHASE_READING || !s->drop.snap || now_ms < s->active_ms)
		return 0;
	return now_ms - s->active_ms;
}

/* ---- the end ---------------------------------------------------------------- */

static void
answer_and_close(struct session *s, enum pop3_reply reply, enum session_reason why)
{
	s->phase = PHASE_ANSWER;
	s->reply = (uint8_t)reply;
	s->reason = (uint8_t)why;
	s->closes = true;
	s->trial.id = 0; /* this is not auth's refusal */
}

/* RFC 1939 s.3: a session that is merely idle is ended without a word (wire point 31). */
void
session_end(struct session *s, enum session_reason why)
{
	bool silent = why == SESSION_PEER || why == SESSION_FILE_CHANGED;

	switch ((enum session_phase)s->phase) {
	case PHASE_COMMIT:
		/* Being stopped does not undo a verdict that was sent: its answer comes.
		 */
		if (why == SESSION_DRAINED || why == SESSION_YIELDED)
			return;
		if (!silent) {
			answer_and_close(s, POP3_ERR_UNCERTAIN, why);
			return;
		}
		break;
	case PHASE_LOGIN:
	case PHASE_SLICE:
		if (!silent) {
			answer_and_close(s, POP3_ERR_STOPPING, why);
			return;
		}
		break;
	case PHASE_ANSWER:
	case PHASE_DELAY:
	case PHASE_BODY_FIRST:
		/* An answer that is ready is written first, unless nobody reads it. */
		if (!silent && s->phase == PHASE_ANSWER) {
			s->reason = s->closes ? s->reason : (uint8_t)why;
			s->closes = true;
			return;
		}
		break;
	case PHASE_STAMP:
	case PHASE_GREETING:
	case PHASE_READING:
	case PHASE_LISTING:
	case PHASE_TLS:
	case PHASE_PEER:
	case PHASE_CHALLENGE:
	case PHASE_BODY:
	case PHASE_CLOSED: break;
	}
	session_close(s, why);
}

enum session_reason
session_reason(const struct session *s)
{
	return (enum session_reason)s->reason;
}

const struct session_counts *
session_counts(const struct session *s)
{
	return &s->counts;
}

void
session_tls_started(struct session *s, uint64_t now_ms)
{
	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_TLS);
	s->phase = PHASE_READING;
	s->active_ms = now_ms;
	s->peer.tls = true;
	pop3_server_secured(&s->wire);
}

void
session_bound(struct session *s, bool binding, bool certificate)
{
	pop3_server_bound(&s->wire, binding, certificate);
}

/* What is no stamp would make clients compute a digest that nobody can check. */
void
session_stamp(struct session *s, struct view stamp)
{
	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_STAMP);
	s->stamped = stamp.n > 2 && stamp.n < POP3_REPLY_MAX / 2 + POP3_REPLY_MAX / 4 &&
		stamp.p[0] == '<' && stamp.p[stamp.n - 1] == '>';
	s->trial.say.left = s->stamped ? stamp : (struct view){0};
	s->wire.link.apop = s->stamped;
	s->phase = PHASE_GREETING;
}

struct pop3_peer
session_new_peer(const struct session *s)
{
	CHECK(s->phase == PHASE_PEER);
	return s->trial.peer;
}

void
session_peer_changed(struct session *s, const struct session_peer *peer)
{
	bool tls = s->peer.tls;

	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_PEER);
	CHECK(!peer->kpop);
	s->peer = *peer;
	s->peer.tls = tls;
	struct pop3_link link = session_link(s);
	pop3_server_peer_changed(&s->wire, &link);
	s->reply = POP3_OK_XCLIENT;
	s->phase = PHASE_ANSWER;
}

bool
session_utf8(const struct session *s)
{
	return s->wire.utf8;
}

uint32_t
session_marked(const struct session *s)
{
	return s->drop.marked;
}
