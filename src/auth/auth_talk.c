#include "auth/auth_parts.h"
#include "base/check.h"

#include <string.h>

static struct attempt **
bucket_of(struct auth_front *f, uint64_t session)
{
	return &f->talks[session >> SESSION_COUNT_BIT & (TALK_BUCKETS - 1)];
}

static struct attempt *
find(struct auth_front *f, uint64_t session)
{
	struct attempt *a = *bucket_of(f, session);

	while (a && a->session != session)
		a = a->same_bucket;
	return a;
}

void
talk_remove(struct attempt *a)
{
	if (a->phase != ATTEMPT_SPOKEN)
		return;
	struct attempt **at = bucket_of(a->front, a->session);
	while (*at != a)
		at = &(*at)->same_bucket;
	*at = a->same_bucket;
	a->same_bucket = NULL;
	attempts_remove(a);
	a->auth->spoken_n--;
	a->phase = ATTEMPT_RUNS;
}

/* The keys of SCRAM cost as much whether the client goes on or not: who never does is to
 * wait behind others, as who guesses. */
static void
count_abandoned(const struct attempt *a)
{
	struct auth *auth = a->auth;

	if (a->derives)
		defence_abandoned(
			auth->core.defence, a->address, loop_now_ms(auth->loop));
}

static void
give_up(struct attempt *a, const char *reason)
{
	count_abandoned(a);
	talk_remove(a);
	login_perform(a, core_refuse(a, REFUSAL_TEMPORARY, reason));
}

/* Honest clients answer in a moment: the one that waits for the longest is none. */
static void
make_room(struct auth_front *f)
{
	struct auth *auth = f->auth;
	struct auth_front *most = f;

	if (f->spoken.n < TALKS_A_FRONT_MAX && auth->spoken_n < TALKS_MAX)
		return;
	for (struct auth_front *o = auth->fronts; o; o = o->next)
		if (f->spoken.n < TALKS_A_FRONT_MAX && o->spoken.n > most->spoken.n)
			most = o;
	if (most->spoken.first)
		give_up(most->spoken.first, "too_many_conversations");
}

void
talk_speak(struct attempt *a, struct view challenge)
{
	uint8_t octets[12288 + 64];
	struct buf b = buf_over(octets, sizeof(octets));
	struct auth_front *f = a->front;
	struct auth *auth = a->auth;
	uint64_t now_ms = loop_now_ms(auth->loop);
	struct msg_challenge m = {.session = a->session, .octets = challenge};

	CHECK(challenge.n <= 12288);
	make_room(f);
	if (f->source.fd < 0) {
		attempt_free(a);
		return;
	}
	struct attempt **bucket = bucket_of(f, a->session);
	a->phase = ATTEMPT_SPOKEN;
	a->same_bucket = *bucket;
	*bucket = a;
	attempts_add(&f->spoken, a, now_ms + auth->talk_ms);
	auth->spoken_n++;
	if (!auth->talk_timer.slot)
		(void)!loop_timer_set(
			auth->loop, &auth->talk_timer, now_ms + TALK_TICK_MS);
	msg_challenge_put(&m, &b);
	CHECK(!b.full);
	front_send(f, buf_view(&b));
	explicit_bzero(octets, b.n);
}

/* Those that are being checked cannot be ended at once: their answer is not given. */
static void
cancel_running(struct auth_front *f, uint64_t session)
{
	struct attempt *a = f->auth->asking.first;

	while (a && (a->front != f || a->session != session))
		a = a->list_next;
	if (a)
		a->cancelled = true;
}

/* To its end: some mail programs hang up where the error of a token stands open, and that
 * is a failed login as any other. The front no longer waits and drops the answer. */
static void
hear_out(struct attempt *a)
{
	struct sasl_result r = {0};

	sasl_heard(a->talk, VIEW(""), &r);
	login_perform(a, core_act(a, &r));
}

void
talk_hear(struct auth_front *f, const struct msg_response *m)
{
	struct attempt *a = find(f, m->session);
	struct sasl_result r = {0};

	/* It may have ended by its deadline while the answer was on its way. */
	if (!a) {
		if (m->cancelled)
			cancel_running(f, m->session);
		return;
	}
	talk_remove(a);
	if (m->cancelled && sasl_is_refused(a->talk)) {
		hear_out(a);
		return;
	}
	if (m->cancelled) {
		count_abandoned(a);
		sessions_end(&f->sessions, a->session, false);
		attempt_free(a);
		return;
	}
	sasl_heard(a->talk, m->octets, &r);
	a->out = r.out;
	login_perform(a, core_act(a, &r));
}

void
talk_supersede(struct auth_front *f, uint64_t session, uint64_t connection)
{
	struct attempt *next;

	for (struct attempt *a = f->spoken.first; a; a = next) {
		next = a->list_next;
		if (a->session != session &&
			(connection == 0 || a->connection != connection))
			continue;
		count_abandoned(a);
		sessions_end(&f->sessions, a->session, false);
		attempt_free(a);
	}
}

void
talk_timeout(struct timer *t, uint64_t now_ms)
{
	struct auth *auth =
		(struct auth *)(void *)((char *)t - offsetof(struct auth, talk_timer));
	struct auth_front *next;

	for (struct auth_front *f = auth->fronts; f; f = next) {
		next = f->next;
		f->attempts++; /* so that it stays while we look at it */
		while (f->source.fd >= 0 && f->spoken.first &&
			f->spoken.first->deadline_ms <= now_ms)
			give_up(f->spoken.first, "no_answer_in_time");
		front_release(f);
	}
	if (auth->spoken_n > 0)
		(void)!loop_timer_set(auth->loop, t, now_ms + TALK_TICK_MS);
}
