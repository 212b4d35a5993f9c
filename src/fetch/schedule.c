#include "fetch/schedule.h"

#include "base/check.h"

#include <sysexits.h>

#define SESSIONS_MAX	  10000
#define CUTS_MAX	  3 /* in a row, without anything won */
#define BACKOFF_FIRST_S	  60
#define BACKOFF_MAX_S	  3600
#define REFUSALS_MAX	  3 /* without a code that says for ever */
#define INTERVAL_FIRST_MS 300000
#define ASKED_MAX_S	  86400 /* more is a mistake of the server's, or malice */

int
schedule_status(const struct session_outcome *o)
{
	static const int statuses[] = {
		[OUTCOME_OK] = EX_OK,
		[OUTCOME_MORE] = EX_OK,
		[OUTCOME_CUT] = EX_TEMPFAIL,
		[OUTCOME_TEMPORARY] = EX_TEMPFAIL,
		[OUTCOME_REFUSED] = EX_NOPERM,
		[OUTCOME_PROTOCOL] = EX_PROTOCOL,
		[OUTCOME_UNREACHABLE] = EX_UNAVAILABLE,
		[OUTCOME_LOCAL] = EX_TEMPFAIL,
		[OUTCOME_FILE] = EX_NOINPUT,
	};

	return statuses[o->kind];
}

int
schedule_worse(int a, int b)
{
	/* What needs a person comes before what mends itself. */
	static const int order[] = {EX_NOPERM, EX_PROTOCOL, EX_NOINPUT, EX_DATAERR,
		EX_UNAVAILABLE, EX_TEMPFAIL};

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		if (a == order[i] || b == order[i])
			return order[i];
	}
	return a ? a : b;
}

enum schedule_next
schedule_after(struct schedule *s, const struct session_outcome *o,
	const struct schedule_gain *g)
{
	bool won = g->committed > 0 || g->tried > 0;
	/* A try is nothing won while the line breaks each time. */
	bool moved = g->committed > 0 || g->quarantined > 0 || g->left > 0;
	/* A token that was good can run out, or be revoked: a new one tells. */
	bool renew = s->renews && s->let_in && !s->renewed;

	s->sessions++;
	s->quarantined += g->quarantined;
	s->temporary += g->temporary;
	s->let_in = s->let_in || g->logged_in;
	if (g->quarantined > 0)
		s->status = schedule_worse(s->status, EX_DATAERR);
	if (s->sessions >= SESSIONS_MAX)
		return SCHEDULE_DONE;
	switch (o->kind) {
	case OUTCOME_MORE:
		s->cuts = 0;
		if (won)
			return SCHEDULE_AGAIN;
		s->status = schedule_worse(s->status, EX_TEMPFAIL);
		return SCHEDULE_DONE;
	case OUTCOME_CUT:
		s->cuts = moved ? 0 : s->cuts + 1;
		if (s->cuts < CUTS_MAX)
			return SCHEDULE_AGAIN;
		break;
	case OUTCOME_OK:
		if (g->tried > g->quarantined || g->temporary > 0)
			s->status = schedule_worse(s->status, EX_TEMPFAIL);
		return SCHEDULE_DONE;
	case OUTCOME_REFUSED:
		if (!renew)
			break;
		s->renewed = true;
		return SCHEDULE_AGAIN;
	case OUTCOME_TEMPORARY:
	case OUTCOME_PROTOCOL:
	case OUTCOME_UNREACHABLE:
	case OUTCOME_LOCAL:
	case OUTCOME_FILE: break;
	}
	s->status = schedule_worse(s->status, schedule_status(o));
	return SCHEDULE_DONE;
}

/* ---- polling
 * ----------------------------------------------------------------------------- */

static uint64_t
within(uint64_t value, uint64_t min, uint64_t max)
{
	return value < min ? min : value > max ? max : value;
}

/* A tenth more or less, so that many accounts do not come at once. */
static uint64_t
jittered(uint64_t seconds, uint64_t random)
{
	uint64_t tenth = seconds / 10;

	return tenth == 0 ? seconds : seconds - tenth + random % (2 * tenth + 1);
}

/* Shorter while mail comes, longer while none does. */
static uint64_t
learnt_interval(const struct fetch_account *a, struct remembered *r, bool won)
{
	uint64_t ms = r->interval_ms ? r->interval_ms : INTERVAL_FIRST_MS;

	ms = won ? ms / 2 : ms + ms / 4;
	r->interval_ms = within(ms, a->poll_min_ms, a->poll_max_ms);
	return r->interval_ms;
}

static uint64_t
back_off(const struct remembered *r)
{
	uint32_t doublings = r->failures > 7 ? 6 : r->failures > 0 ? r->failures - 1 : 0;

	return within(
		(uint64_t)BACKOFF_FIRST_S << doublings, BACKOFF_FIRST_S, BACKOFF_MAX_S);
}

void
schedule_count(struct remembered *r, const struct session_outcome *o)
{
	if (o->kind == OUTCOME_OK || o->kind == OUTCOME_MORE) {
		r->failures = r->refusals = 0;
		return;
	}
	/* What is said again at once, step by step, has not failed yet. */
	if (r->step_by_step && o->kind == OUTCOME_CUT)
		return;
	r->failures++;
	/* A line that was down says nothing of the password. */
	r->refusals = o->kind == OUTCOME_REFUSED ? r->refusals + 1 : 0;
}

/* What the server asks for. */
static uint64_t
asked(uint64_t seconds)
{
	return within(seconds, 0, ASKED_MAX_S);
}

uint64_t
schedule_poll(const struct fetch_account *a, struct remembered *r,
	const struct session_outcome *o, bool won, uint64_t now_s, uint64_t random)
{
	uint64_t seconds;

	if (o->kind == OUTCOME_REFUSED &&
		(o->code == POP3_CODE_AUTH || o->code == POP3_CODE_SYS_PERM ||
			r->refusals >= REFUSALS_MAX))
		return 0;
	if (o->kind == OUTCOME_OK || o->kind == OUTCOME_MORE)
		seconds = (a->poll_ms ? a->poll_ms : learnt_interval(a, r, won)) / 1000;
	else
		seconds = back_off(r);
	if (seconds == 0)
		seconds = 1;
	seconds = jittered(seconds, random);
	if (seconds < asked(r->after.login_delay_s))
		seconds = asked(r->after.login_delay_s);
	if (seconds < asked(o->wait_s))
		seconds = asked(o->wait_s);
	return now_s + seconds;
}

/* ---- times that were written under another clock
 * ------------------------------------------------------------------------------ */

uint64_t
schedule_not_before(const struct remembered *r, uint64_t now_s)
{
	uint64_t delay_s = asked(r->after.login_delay_s);

	/* A clock that was ahead once would keep us away until it is that late again. */
	return delay_s ? within(r->last_try_s, 0, now_s) + delay_s : 0;
}

uint64_t
schedule_wait_s(const struct fetch_account *a, uint64_t next_s, uint64_t now_s)
{
	uint64_t most = (a->poll_ms ? a->poll_ms : a->poll_max_ms) / 1000;

	if (most < ASKED_MAX_S)
		most = ASKED_MAX_S;
	/* Longer than schedule_poll ever says: the clock was set back since. */
	return next_s > now_s ? within(next_s - now_s, 0, most + most / 10) : 0;
}

uint64_t
schedule_forget_before(const struct fetch_account *a, uint64_t now_s)
{
	uint64_t kept_s = a->tombstones_ms / 1000;

	if (a->tombstones_ms == FETCH_NEVER || now_s < kept_s)
		return 0;
	return now_s - kept_s;
}
