#include "base/check.h"
#include "front/session_state.h"

#include <string.h>

/* A growing penalty ends here: longer would only hold places. */
#define PENALTY_MAX_MS UINT64_C(16000)

static bool
has_nul(struct view v)
{
	return v.n > 0 && memchr(v.p, '\0', v.n);
}

/* The k-th failure waits base, 2 base, 4 base ... */
static uint64_t
penalty_ms(const struct session *s)
{
	uint64_t ms = s->options->login_failure_delay_ms;

	if (!s->options->growing_penalty || s->peer.loopback)
		return ms;
	for (uint32_t i = 1; i < s->counts.login_failures && ms < PENALTY_MAX_MS; i++)
		ms *= 2;
	return ms < PENALTY_MAX_MS ? ms : PENALTY_MAX_MS;
}

static bool
count_failure(struct session *s)
{
	s->counts.login_failures++;
	return s->options->max_login_failures > 0 &&
		s->counts.login_failures >= s->options->max_login_failures;
}

void
session_login_wrong(struct session *s, uint64_t now_ms)
{
	pop3_server_login_failed(&s->wire);
	s->closes = count_failure(s);
	s->reason = SESSION_LOGIN_FAILURES;
	s->reply = POP3_ERR_CREDENTIALS;
	s->trial.delay_until = now_ms + penalty_ms(s);
	s->phase = PHASE_DELAY;
}

void
session_login_broken(struct session *s, enum pop3_reply why, struct buf *out)
{
	pop3_put_reply(why, out);
	pop3_server_login_failed(&s->wire);
	if (count_failure(s))
		session_close(s, SESSION_LOGIN_FAILURES);
}

static enum session_want
ask_pass(struct session *s, const struct pop3_request *r, uint64_t now_ms)
{
	/* No stored password holds NUL, and no name: what is behind it must not be cut
	 * off. */
	if (has_nul(r->text) || has_nul(r->name)) {
		session_login_wrong(s, now_ms);
		return SESSION_WANT_INPUT;
	}
	CHECK(r->text.n <= SESSION_SCRATCH);
	if (r->text.n > 0)
		memcpy(s->options->scratch, r->text.p, r->text.n);
	s->trial.response_n = (uint16_t)r->text.n;
	s->trial.by_name = true;
	s->trial.mechanism = MECHANISM_PASS;
	s->phase = PHASE_LOGIN;
	return SESSION_WANT_LOGIN;
}

static uint8_t
mechanism_of(enum pop3_mechanism m)
{
	switch (m) {
	case POP3_MECHANISM_PLAIN: return MECHANISM_PLAIN;
	case POP3_MECHANISMS: break;
	}
	UNREACHABLE();
}

/* initial: it came in the AUTH line itself. */
static enum session_want
ask_sasl(struct session *s, const struct pop3_request *r, bool initial, struct buf *out)
{
	struct view decoded;

	if (!pop3_sasl_decode(r->text, initial, s->options->scratch, &decoded)) {
		explicit_bzero(s->options->scratch, SESSION_SCRATCH);
		session_login_broken(s, POP3_ERR_BASE64, out);
		return s->phase == PHASE_CLOSED ? SESSION_WANT_CLOSE : SESSION_WANT_INPUT;
	}
	s->trial.response_n = (uint16_t)decoded.n;
	s->trial.by_name = false;
	s->trial.mechanism = mechanism_of(r->mechanism);
	s->phase = PHASE_LOGIN;
	return SESSION_WANT_LOGIN;
}

static enum session_want
answer_auth(struct session *s, const struct pop3_request *r, struct buf *out)
{
	if (pop3_answer_is_many(r)) {
		pop3_put_mechanisms(&s->wire, out);
		return SESSION_WANT_INPUT;
	}
	if (r->has_text)
		return ask_sasl(s, r, true, out);
	/* RFC 5034 s.4: PLAIN begins with the client, so the challenge is empty. */
	pop3_put_challenge((struct view){0}, out);
	pop3_server_challenged(&s->wire, r->mechanism);
	return SESSION_WANT_INPUT;
}

enum session_want
session_answer_login(
	struct session *s, const struct pop3_request *r, uint64_t now_ms, struct buf *out)
{
	if (r->command == POP3_USER) {
		/* The same words for every name (wire point 26). */
		pop3_put_reply(POP3_OK_USER, out);
		return SESSION_WANT_INPUT;
	}
	if (r->command == POP3_PASS)
		return ask_pass(s, r, now_ms);
	CHECK(r->command == POP3_AUTH);
	return r->is_response ? ask_sasl(s, r, false, out) : answer_auth(s, r, out);
}

struct session_login
session_login(const struct session *s)
{
	const struct session_trial *t = &s->trial;

	CHECK(s->phase == PHASE_LOGIN);
	return (struct session_login){
		.mechanism = (enum mechanism)t->mechanism,
		.name = t->by_name ? (struct view){s->wire.name, s->wire.name_n}
				   : (struct view){0},
		.response = {s->options->scratch, t->response_n},
	};
}

void
session_login_sent(struct session *s)
{
	if (s->options && s->trial.response_n > 0)
		explicit_bzero(s->options->scratch, s->trial.response_n);
	s->trial.response_n = 0;
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
	case REFUSAL_TEMPORARY:
	default: return POP3_ERR_TEMPORARY; /* a number that another process made up */
	}
}

void
session_refused(struct session *s, uint8_t code, struct view holder, uint64_t since,
	uint64_t now_ms, uint64_t now_unix_s)
{
	struct session_trial *t = &s->trial;

	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_LOGIN);
	session_login_sent(s);
	if (code == REFUSAL_CREDENTIALS) {
		session_login_wrong(s, now_ms);
		return;
	}
	pop3_server_login_failed(&s->wire);
	s->active_ms = now_ms;
	s->reply = (uint8_t)reply_to_refusal(code);
	s->phase = PHASE_ANSWER;
	t->holder_n = holder.n == sizeof(t->holder) ? sizeof(t->holder) : 0;
	if (t->holder_n > 0)
		memcpy(t->holder, holder.p, t->holder_n);
	/* A clock that was set back: a time to come would only puzzle. */
	t->since = since <= now_unix_s ? since : 0;
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
	s->active_ms = now_ms;
	s->reply = POP3_OK_LOGIN;
	s->phase = PHASE_ANSWER;
}

uint64_t
session_delay_until(const struct session *s)
{
	return s->trial.delay_until;
}
