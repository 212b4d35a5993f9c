#include "auth/auth_parts.h"
#include "base/check.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void
attempt_free(struct attempt *a)
{
	struct auth_front *f = a->front;

	talk_remove(a);
	helper_forget(a);
	sasl_end(&a->talk);
	explicit_bzero(a, sizeof(*a) + a->octets_n);
	free(a);
	if (f)
		front_release(f);
}

static bool
is_unwanted(const struct attempt *a)
{
	return a->cancelled || (a->front && a->front->source.fd < 0);
}

static void
drop(struct attempt *a)
{
	if (a->front && a->front->source.fd >= 0)
		sessions_end(&a->front->sessions, a->session, false);
	attempt_free(a);
}

/* The yes goes to the monitor, never to the front. */
static void
grant(struct attempt *a)
{
	struct auth *auth = a->auth;
	uint8_t octets[2560];
	struct buf b = buf_over(octets, sizeof(octets));

	if (a->want == WANT_WHY) {
		why_found(a);
		return;
	}
	if (a->want != WANT_DELIVERY &&
		core_permit(&auth->core, a, loop_now_ms(auth->loop)) == CORE_REFUSE) {
		refuse(a);
		return;
	}
	struct msg_grant m = core_grant(&auth->core, a, a->front->incarnation);
	msg_grant_put(&m, &b);
	CHECK(!b.full);
	int r = monitor_send(auth, a->front, buf_view(&b));
	if (r == -EBUSY) {
		refuse_busy(a, "grants_of_front_unsent");
		return;
	}
	if (r < 0) {
		(void)core_refuse(a, REFUSAL_TEMPORARY, "monitor_is_behind");
		refuse(a);
		return;
	}
	sessions_end(&a->front->sessions, a->session, true);
	attempt_free(a);
}

static void
to_a_thread(struct attempt *a, bool derives)
{
	struct auth *auth = a->auth;
	enum defence_lane lane = defence_lane(
		auth->core.defence, a->address, a->name, loop_now_ms(auth->loop));

	a->derives = derives;
	a->phase = ATTEMPT_HASHED;
	switch (pool_put(auth->pool, lane, &a->front->lanes[lane], a)) {
	case QUEUE_TAKEN: return;
	case QUEUE_LANE_FULL: refuse_busy(a, "queue_of_front_full"); return;
	case QUEUE_FULL: refuse_busy(a, "queue_full"); return;
	}
}

/* One step that is done here and now; what comes after it. */
static enum core_step
step_on(struct attempt *a, enum core_step step)
{
	struct core *core = &a->auth->core;
	struct sasl_result r = {0};

	switch (step) {
	case CORE_WALK: return walk(a);
	case CORE_TOKEN: return walk_token(a);
	case CORE_TICKET: return walk_ticket(a);
	case CORE_CHECK:
		a->answer = scheme_verify(&a->user.stored, a->secret, NULL);
		core_settle(core, a, loop_now_ms(a->auth->loop));
		return CORE_ANSWER;
	case CORE_ANSWER: sasl_checked(a->talk, a->answer, &r); break;
	case CORE_USER: sasl_user(a->talk, a->shown, &a->user, &r); break;
	case CORE_SAY:
	case CORE_QUEUE:
	case CORE_DERIVE:
	case CORE_GRANT:
	case CORE_REFUSE:
	case CORE_WAIT: UNREACHABLE();
	}
	a->out = r.out;
	return core_act(a, &r);
}

void
login_perform(struct attempt *a, enum core_step step)
{
	for (;;) {
		if (is_unwanted(a) && step != CORE_WAIT) {
			drop(a);
			return;
		}
		switch (step) {
		case CORE_WAIT: return;
		case CORE_SAY: talk_speak(a, a->out); return;
		case CORE_QUEUE: to_a_thread(a, false); return;
		case CORE_DERIVE: to_a_thread(a, true); return;
		case CORE_GRANT: grant(a); return;
		case CORE_REFUSE: refuse(a); return;
		case CORE_WALK:
		case CORE_TOKEN:
		case CORE_TICKET:
		case CORE_CHECK:
		case CORE_ANSWER:
		case CORE_USER: step = step_on(a, step); break;
		}
	}
}

/* NULL: there is no memory, which the front was told. */
static struct attempt *
attempt_new(struct auth_front *f, uint64_t session, size_t n)
{
	struct attempt *a = calloc(1, sizeof(*a) + n);
	struct log_record r;

	if (!a) {
		log_begin(&r, LOG_LEVEL_ERROR, "attempt_refused");
		log_number(&r, "session", session);
		log_str(&r, "reason", "no memory");
		log_send(&r);
		sessions_end(&f->sessions, session, false);
		front_fail(f, session, REFUSAL_TEMPORARY, 0);
		return NULL;
	}
	a->auth = f->auth;
	a->octets_n = n;
	f->attempts++;
	return a;
}

static struct sasl_talk *
begin_talk(struct auth_front *f, const struct msg_login *m)
{
	uint8_t octets[APOP_STAMP_MAX];
	struct buf stamp = buf_over(octets, sizeof(octets));
	const uint32_t plus =
		1U << MECHANISM_SCRAM_SHA_1_PLUS | 1U << MECHANISM_SCRAM_SHA_256_PLUS;

	/* Any login uses the stamp up: it was for this one. */
	if (!apop_take(f->auth->apop, f->incarnation, m->connection, &stamp))
		stamp.n = 0;
	const struct sasl_facts facts = {
		.mechanism = (enum mechanism)m->mechanism,
		.utf8 = m->utf8 != 0,
		.name = m->name,
		.binding_kind = (enum binding)m->binding_kind,
		.binding = m->binding,
		.certificate = m->certificate,
		.stamp = buf_view(&stamp),
		.plus_offered = m->binding_kind != BINDING_NONE &&
			(f->auth->offer.mechanisms & plus) != 0,
	};
	return sasl_begin(f->auth->sasl, &facts);
}

void
login_received(struct auth_front *f, const struct msg_login *m)
{
	struct attempt *a = attempt_new(f, m->session, 0);
	struct sasl_result r = {0};

	if (!a)
		return;
	core_attempt_init(a, f, m);
	a->talk = begin_talk(f, m);
	if (!a->talk) {
		login_perform(a, core_refuse(a, REFUSAL_TEMPORARY, "no_memory"));
		return;
	}
	sasl_start(a->talk, m->has_response != 0, m->response, &r);
	a->out = r.out;
	login_perform(a, core_act(a, &r));
}

void
lookup_received(struct auth_front *f, const struct msg_lookup *m)
{
	struct attempt *a = attempt_new(f, m->session, m->name.n + 1);

	if (!a)
		return;
	core_attempt_lookup(a, f, m);
	login_perform(a, CORE_WALK);
}

void
login_again(struct auth *auth)
{
	/* Those that are held again wait for the next time. */
	size_t n = auth->held.n;

	while (n-- > 0) {
		struct queue_item *item = queue_take(&auth->held);
		if (!item)
			return;
		struct attempt *a = (struct attempt *)item;
		a->phase = ATTEMPT_RUNS;
		login_perform(a, CORE_WALK);
	}
}

void
login_refuse_held(struct auth *auth, const char *reason)
{
	struct queue_item *item;

	while ((item = queue_take(&auth->held))) {
		struct attempt *a = (struct attempt *)item;
		a->phase = ATTEMPT_RUNS;
		login_perform(a, core_refuse(a, REFUSAL_TEMPORARY, reason));
	}
}

static void
free_all(struct queue_item *items)
{
	while (items) {
		struct queue_item *next = items->next;
		struct attempt *a = (struct attempt *)items;
		attempts_remove(a);
		a->phase = ATTEMPT_RUNS;
		attempt_free(a);
		items = next;
	}
}

/* What a thread or a helper has comes back, and is dropped then. */
void
login_drop_front(struct auth_front *f)
{
	struct auth *auth = f->auth;

	free_all(queue_take_lane(&auth->held, &f->held_lane));
	for (size_t i = 0; i < DEFENCE_LANES; i++)
		free_all(pool_take_lane(auth->pool, (enum defence_lane)i, &f->lanes[i]));
	for (size_t i = 0; i < BACKENDS_END; i++)
		for (size_t k = 0; k < DEFENCE_LANES; k++)
			free_all(queue_take_lane(
				&auth->waiting[i].queues[k], &f->helper_lanes[i][k]));
	while (f->spoken.first)
		attempt_free(f->spoken.first);
}

void
login_hashed(struct source *s, uint32_t events)
{
	struct auth *auth =
		(struct auth *)(void *)((char *)s - offsetof(struct auth, hashed));
	struct queue_item *item = pool_take_done(auth->pool);

	(void)events;
	while (item) {
		struct attempt *a = (struct attempt *)item;
		struct sasl_result r = {0};
		item = item->next;
		stat_add(STAT_HASHES, 1);
		a->phase = ATTEMPT_RUNS;
		if (!a->derives) {
			core_settle(&auth->core, a, clock_ms());
			login_perform(a, CORE_ANSWER);
			continue;
		}
		sasl_derived(a->talk, &r);
		a->out = r.out;
		login_perform(a, core_act(a, &r));
	}
}
