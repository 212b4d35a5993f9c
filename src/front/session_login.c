#include "base/check.h"
#include "front/session_state.h"

#include <string.h>

static bool
count_failure(struct session *s)
{
	s->counts.login_failures++;
	return s->options->max_login_failures > 0 &&
		s->counts.login_failures >= s->options->max_login_failures;
}

void
session_login_broken(struct session *s, enum pop3_reply why, struct buf *out)
{
	session_put_reply(s, why, out);
	pop3_server_login_failed(&s->wire);
	s->trial.id = 0;
	s->trial.current = false;
	if (count_failure(s))
		session_close(s, SESSION_LOGIN_FAILURES);
}

/* ---- the question ----------------------------------------------------------- */

/* continues: auth has asked for it; else this is a LOGIN of its own, with a new id. */
static enum session_want
ask(struct session *s, uint8_t mechanism, size_t response_n, bool continues)
{
	struct session_trial *t = &s->trial;

	CHECK(response_n <= SESSION_SCRATCH);
	t->continues = continues;
	if (!continues)
		t->id = 0;
	t->mechanism = mechanism;
	t->response_n = (uint16_t)response_n;
	t->has_response = true;
	s->phase = PHASE_LOGIN;
	return SESSION_WANT_LOGIN;
}

/* The password of PASS or the digest of APOP, octet for octet; auth judges NUL too. */
static enum session_want
ask_by_name(struct session *s, uint8_t mechanism, struct view secret)
{
	CHECK(secret.n <= SESSION_SCRATCH);
	if (secret.n > 0)
		memcpy(s->options->scratch, secret.p, secret.n);
	s->trial.is_sasl = false;
	return ask(s, mechanism, secret.n, mechanism == MECHANISM_KPOP);
}

/* initial: it came in the AUTH line itself. */
static enum session_want
ask_sasl(struct session *s, const struct pop3_request *r, bool initial, struct buf *out)
{
	/* One talk may have ended and another begun before auth was told of the end. */
	bool continues = !initial && s->trial.open && s->trial.current;
	struct view decoded;

	if (!pop3_sasl_decode(r->text, initial, s->options->scratch, &decoded)) {
		explicit_bzero(s->options->scratch, SESSION_SCRATCH);
		session_login_broken(s, POP3_ERR_BASE64, out);
		return s->phase == PHASE_CLOSED ? SESSION_WANT_CLOSE : SESSION_WANT_INPUT;
	}
	s->trial.is_sasl = true;
	s->trial.sasl = (uint8_t)r->mechanism;
	return ask(s, session_mechanism(r->mechanism), decoded.n, continues);
}

static enum session_want
answer_auth(struct session *s, const struct pop3_request *r, struct buf *out)
{
	struct pop3_challenge empty = {0};

	if (pop3_answer_is_many(r)) {
		pop3_put_mechanisms(&s->wire, out);
		return SESSION_WANT_INPUT;
	}
	s->trial.current = false;
	if (r->has_text)
		return ask_sasl(s, r, true, out);
	s->trial.is_sasl = true;
	s->trial.sasl = (uint8_t)r->mechanism;
	if (!pop3_mechanism_begins(r->mechanism)) {
		(void)ask(s, session_mechanism(r->mechanism), 0, false);
		s->trial.has_response = false;
		return SESSION_WANT_LOGIN;
	}
	/* RFC 5034 s.4: the client begins, so the first challenge is empty. */
	bool whole = pop3_put_challenge(&empty, out);
	CHECK(whole);
	pop3_server_challenged(&s->wire, r->mechanism);
	return SESSION_WANT_INPUT;
}

enum session_want
session_answer_login(struct session *s, const struct pop3_request *r, struct buf *out)
{
	if (r->command == POP3_USER) {
		/* The same words for every name (wire point 26). */
		session_put_reply(s, POP3_OK_USER, out);
		return SESSION_WANT_INPUT;
	}
	if (r->command == POP3_APOP)
		return ask_by_name(s, MECHANISM_APOP, r->text);
	if (r->command == POP3_PASS && !s->peer.kpop)
		return ask_by_name(s, MECHANISM_PASS, r->text);
	/* The ticket has spoken: what PASS says is not even kept. */
	if (r->command == POP3_PASS)
		return ask_by_name(s, MECHANISM_KPOP, (struct view){0});
	CHECK(r->command == POP3_AUTH);
	return r->is_response ? ask_sasl(s, r, false, out) : answer_auth(s, r, out);
}

struct session_login
session_login(const struct session *s)
{
	const struct session_trial *t = &s->trial;
	struct view name = {s->wire.name, s->wire.name_n};

	CHECK(s->phase == PHASE_LOGIN);
	struct session_login l = {
		.mechanism = (enum mechanism)t->mechanism,
		.response = {s->options->scratch, t->response_n},
		.has_response = t->has_response,
		.continues = t->continues,
		.utf8 = s->wire.utf8,
	};
	if (t->mechanism == MECHANISM_KPOP)
		l.response = name;
	else if (!t->is_sasl)
		l.name = name;
	return l;
}

void
session_login_sent(struct session *s)
{
	struct session_trial *t = &s->trial;

	if (s->options && t->response_n > 0)
		explicit_bzero(s->options->scratch, t->response_n);
	t->response_n = 0;
	if (t->continues)
		t->open = false;
}

void
session_set_id(struct session *s, uint32_t id)
{
	s->trial.id = id;
}

/* ---- the answer ------------------------------------------------------------- */

bool
session_challenge(struct session *s, struct view octets, uint64_t now_ms)
{
	struct session_trial *t = &s->trial;

	if (!session_is_over(s)) {
		CHECK(s->phase == PHASE_LOGIN);
		if (!t->is_sasl || octets.n > POP3_SASL_MAX)
			return false;
		session_login_sent(s);
		pop3_server_challenged(&s->wire, (enum pop3_mechanism)t->sasl);
		t->say = (struct pop3_challenge){.left = octets};
		s->active_ms = now_ms;
		s->phase = PHASE_CHALLENGE;
	}
	t->continues = false;
	t->open = true;
	t->current = true;
	return true;
}

static bool
is_answerable(const struct session *s)
{
	if (session_is_over(s))
		return false;
	if (s->phase == PHASE_LOGIN && s->trial.continues)
		return true;
	return (s->wire.state == POP3_SASL && s->trial.current) ||
		(s->peer.kpop && s->wire.state == POP3_AUTHORIZATION);
}

bool
session_owes_cancel(const struct session *s)
{
	return s->trial.open && !is_answerable(s);
}

void
session_cancelled(struct session *s)
{
	s->trial.open = false;
	s->trial.continues = false;
}

static enum pop3_reply
reply_to_refusal(uint8_t code)
{
	switch (code) {
	case REFUSAL_CREDENTIALS: return POP3_ERR_CREDENTIALS;
	case REFUSAL_PERMANENT: return POP3_ERR_PERMANENT;
	case REFUSAL_IN_USE: return POP3_ERR_IN_USE;
	case REFUSAL_CONNECTIONS: return POP3_ERR_CONNECTIONS;
	case REFUSAL_BUSY: return POP3_ERR_BUSY;
	case REFUSAL_LOGIN_DELAY: return POP3_ERR_LOGIN_DELAY;
	case REFUSAL_POLICY: return POP3_ERR_POLICY;
	case REFUSAL_TOO_MANY: return POP3_ERR_TOO_MANY;
	case REFUSAL_NOT_NOW: return POP3_ERR_NOT_NOW;
	case REFUSAL_TEMPORARY:
	default: return POP3_ERR_TEMPORARY; /* a number that another process made up */
	}
}

static void
keep_holder(struct session_trial *t, struct view holder)
{
	t->peer.has_address = holder.n == sizeof(t->peer.address);
	if (t->peer.has_address)
		memcpy(t->peer.address, holder.p, holder.n);
}

void
session_refused(struct session *s, uint8_t code, uint32_t delay_ms, struct view holder,
	uint64_t since, uint64_t now_ms, uint64_t now_unix_s)
{
	struct session_trial *t = &s->trial;
	bool wrong = code == REFUSAL_CREDENTIALS || code == REFUSAL_POLICY;

	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_LOGIN);
	session_login_sent(s);
	pop3_server_login_failed(&s->wire);
	/* Nothing is left to log in with where a ticket came before the greeting. */
	s->closes = (wrong && count_failure(s)) || s->peer.kpop;
	s->reason = SESSION_LOGIN_FAILURES;
	s->reply = (uint8_t)reply_to_refusal(code);
	s->active_ms = now_ms;
	t->continues = false;
	t->delay_until = now_ms + delay_ms;
	s->phase = delay_ms > 0 ? PHASE_DELAY : PHASE_ANSWER;
	keep_holder(t, holder);
	/* A clock that was set back: a time to come would only puzzle. */
	t->since = since <= now_unix_s ? since : 0;
}

void
session_identified(struct session *s, uint32_t expire_days, uint32_t login_delay_s)
{
	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_LOGIN);
	pop3_server_identified(&s->wire, expire_days, login_delay_s);
}

/* RFC 1460 s.5: what was accessed in sessions before. */
static uint32_t
highest_seen(const struct snapshot *snap)
{
	for (uint32_t idx = snap->count; idx > 0; idx--)
		if (snapshot_flags(snap, idx - 1) & SNAPSHOT_SEEN)
			return idx;
	return 0;
}

void
session_attached(struct session *s, const struct snapshot *snap, uint8_t rights,
	uint8_t *marks, uint64_t now_ms)
{
	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_LOGIN);
	session_login_sent(s);
	pop3_server_logged_in(&s->wire);
	s->drop = (struct session_drop){.snap = snap, .marks = marks, .rights = rights};
	if (s->options->wire.last)
		s->drop.last = s->drop.last_at_start = highest_seen(snap);
	session_count_octets(s);
	s->trial.id = 0;
	s->closes = false;
	s->active_ms = now_ms;
	s->reply = POP3_OK_LOGIN;
	s->phase = PHASE_ANSWER;
}

uint64_t
session_delay_until(const struct session *s)
{
	return s->trial.delay_until;
}
