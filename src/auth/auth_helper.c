#include "auth/auth_parts.h"
#include "base/check.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void pump(struct auth *a, uint8_t backend);

static void
helper_log_line(const struct helper_link *l, enum log_level level, const char *event,
	const char *what)
{
	struct log_record r;

	log_begin(&r, level, event);
	log_str(&r, "peer", "helper");
	log_str(&r, "database", chain_name(l->backend));
	log_number(&r, "instance", l->instance);
	log_str(&r, "what", what);
	auth_log(&r);
}

/* ---- who is asked --------------------------------------------------------------------
 */

static bool
is_late(const struct helper_link *l)
{
	for (size_t i = 0; i < HELPER_SLOTS; i++)
		if (l->slots[i].question != 0 && l->slots[i].late)
			return true;
	return false;
}

bool
helper_is_there(const struct auth *a, enum backend backend)
{
	for (const struct helper_link *l = a->helpers; l; l = l->next)
		if (l->backend == backend)
			return true;
	return false;
}

static bool
has_one_in_time(const struct auth *a, uint8_t backend)
{
	for (const struct helper_link *l = a->helpers; l; l = l->next)
		if (l->backend == backend && !is_late(l))
			return true;
	return false;
}

/* The least busy of those that answer; NULL: all have as much as they may have. */
static struct helper_link *
least_busy(struct auth *a, uint8_t backend)
{
	struct helper_link *best = NULL;

	for (struct helper_link *l = a->helpers; l; l = l->next)
		if (l->backend == backend && l->asked < HELPER_ASKED_MAX && !is_late(l) &&
			(!best || l->asked < best->asked))
			best = l;
	return best;
}

static struct helper_link *
link_of(struct auth *a, uint64_t incarnation)
{
	struct helper_link *l = a->helpers;

	while (l && l->incarnation != incarnation)
		l = l->next;
	return l;
}

static struct helper_slot *
slot_of(struct helper_link *l, uint64_t question)
{
	for (size_t i = 0; i < HELPER_SLOTS; i++)
		if (l->slots[i].question == question)
			return &l->slots[i];
	return NULL;
}

/* ---- asking --------------------------------------------------------------------------
 */

static int
send_ask(struct helper_link *l, const struct msg_ask *m)
{
	uint8_t octets[1024 + 12288 + 128];
	struct buf b = buf_over(octets, sizeof(octets));

	msg_ask_put(m, &b);
	CHECK(!b.full);
	int r = channel_send(l->source.fd, buf_view(&b), NULL, 0);
	explicit_bzero(octets, b.n);
	return r;
}

static void
wait_for(struct attempt *a, enum attempt_phase phase)
{
	struct auth *auth = a->auth;
	uint64_t at_ms = loop_now_ms(auth->loop) + auth->helper_timeout_ms;

	attempts_remove(a);
	a->phase = phase;
	attempts_add(&auth->asking, a, at_ms);
	if (!auth->ask_timer.slot)
		(void)!loop_timer_set(auth->loop, &auth->ask_timer, at_ms);
}

/* NULL, or why it cannot be said to this one. */
static const char *
ask_link(struct helper_link *l, struct attempt *a)
{
	struct auth *auth = a->auth;
	struct helper_slot *slot = slot_of(l, 0);
	uint8_t octets[1024];
	struct buf name = buf_over(octets, sizeof(octets));
	bool step = a->ask == ASK_STEP;

	/* Steps of conversations come when clients answer, and to this one alone. */
	if (!slot)
		return "too_many_questions_of_helper_open";
	if (a->ask == ASK_LOOKUP || a->ask == ASK_VERIFY)
		(void)core_asked_name(&auth->core, a, &name);
	else if (a->ask == ASK_TOKEN)
		buf_put_view(&name, a->name);
	const struct msg_ask m = {
		.question = ++auth->questions,
		.kind = (uint8_t)a->ask,
		.mechanism = a->mechanism,
		.talk = step ? a->talk_number : 0,
		.name = buf_view(&name),
		.secret = a->ask == ASK_LOOKUP ? (struct view){octets, 0} : a->secret,
		.address = {a->address, sizeof(a->address)},
	};
	if (name.full || send_ask(l, &m) < 0)
		return "helper_takes_nothing";
	*slot = (struct helper_slot){.question = m.question, .attempt = a};
	l->asked++;
	a->helper = l->incarnation;
	wait_for(a, ATTEMPT_ASKED);
	return NULL;
}

static struct queue_lane *
lane_of(struct attempt *a)
{
	return a->front ? &a->front->helper_lanes[a->ask_backend][a->lane]
			: &a->auth->why_lanes[a->ask_backend];
}

static struct queue *
queue_of(struct attempt *a)
{
	return &a->auth->waiting[a->ask_backend].queues[a->lane];
}

/* Guesses do not hold up those who are known, here as little as at the hashes. */
static enum defence_lane
lane_for(const struct attempt *a)
{
	struct auth *auth = a->auth;

	switch (a->want) {
	case WANT_WHY: return DEFENCE_KNOWN;
	case WANT_DELIVERY: return DEFENCE_UNKNOWN;
	case WANT_CHECK:
	case WANT_STORED:
	case WANT_PERMIT: break;
	}
	return defence_lane(
		auth->core.defence, a->address, a->name, loop_now_ms(auth->loop));
}

static bool
anybody_waits(const struct auth *auth, uint8_t backend)
{
	for (size_t i = 0; i < DEFENCE_LANES; i++)
		if (auth->waiting[backend].queues[i].n > 0)
			return true;
	return false;
}

/* The best lane first; but a worse one that waits gets a turn after some. */
static struct attempt *
take_waiting(struct auth *auth, uint8_t backend)
{
	struct helper_waiting *w = &auth->waiting[backend];

	for (size_t i = 0; i < DEFENCE_LANES; i++) {
		bool others = false;
		if (w->queues[i].n == 0)
			continue;
		for (size_t worse = i + 1; worse < DEFENCE_LANES; worse++)
			others = others || w->queues[worse].n > 0;
		bool passes = others && w->turns[i] >= POOL_TURNS;
		w->turns[i] = others && !passes ? w->turns[i] + 1 : 0;
		if (!passes)
			return (struct attempt *)queue_take(&w->queues[i]);
	}
	return NULL;
}

const char *
helper_ask(struct attempt *a)
{
	struct auth *auth = a->auth;

	a->code = REFUSAL_TEMPORARY;
	/* A conversation stays with whom it began. */
	if (a->ask == ASK_STEP && a->helper != 0) {
		struct helper_link *l = link_of(auth, a->helper);
		return l ? ask_link(l, a) : "helper_of_conversation_is_gone";
	}
	if (!helper_is_there(auth, (enum backend)a->ask_backend))
		return "no_helper";
	if (!has_one_in_time(auth, a->ask_backend))
		return "helpers_do_not_answer";
	struct helper_link *l = least_busy(auth, a->ask_backend);
	/* Who waits already comes first. */
	if (l && !anybody_waits(auth, a->ask_backend))
		return ask_link(l, a);
	a->lane = lane_for(a);
	if (queue_put(queue_of(a), lane_of(a), &a->item) != QUEUE_TAKEN) {
		stat_add(STAT_QUEUE_FULL, 1);
		if (a->want != WANT_DELIVERY)
			a->code = REFUSAL_BUSY;
		return "queue_of_helper_full";
	}
	wait_for(a, ATTEMPT_QUEUED);
	pump(auth, a->ask_backend);
	return NULL;
}

/* What waits goes to whoever is free. */
static void
pump(struct auth *auth, uint8_t backend)
{
	struct helper_link *l;
	struct attempt *a;

	while ((l = least_busy(auth, backend)) && (a = take_waiting(auth, backend))) {
		const char *why = ask_link(l, a);
		if (!why)
			continue;
		attempts_remove(a);
		a->phase = ATTEMPT_RUNS;
		login_perform(a, walk_answered(a, NULL, why));
	}
}

static void
end_conversation(struct attempt *a)
{
	struct helper_link *l = link_of(a->auth, a->helper);
	const struct msg_ask m = {
		.question = ++a->auth->questions,
		.kind = ASK_END,
		.mechanism = a->mechanism,
		.talk = a->talk_number,
		.name = VIEW(""),
		.secret = VIEW(""),
		.address = {a->address, sizeof(a->address)},
	};

	/* Lost, it is no more than a conversation that the helper ends by itself. */
	if (l)
		(void)!send_ask(l, &m);
	a->talk_number = 0;
}

void
helper_forget(struct attempt *a)
{
	struct auth *auth = a->auth;

	attempts_remove(a);
	if (a->phase == ATTEMPT_QUEUED)
		queue_remove(queue_of(a), lane_of(a), &a->item);
	if (a->phase == ATTEMPT_ASKED) {
		struct helper_link *l = link_of(auth, a->helper);
		for (size_t i = 0; l && i < HELPER_SLOTS; i++)
			if (l->slots[i].attempt == a)
				l->slots[i].attempt = NULL;
	}
	a->phase = ATTEMPT_RUNS;
	if (a->talk_number != 0 && a->helper != 0)
		end_conversation(a);
}

/* ---- answers -------------------------------------------------------------------------
 */

/*
 * A helper that was replaced leaves questions behind that it did not come to. Another one
 * is asked, once: a question that ends its helper must not end them all.
 */
static void
ask_another(struct attempt *lost)
{
	const char *why = "helper_is_gone";

	if (lost->ask != ASK_STEP && !lost->asked_again && !lost->cancelled) {
		lost->asked_again = true;
		why = helper_ask(lost);
	}
	if (why)
		login_perform(lost, walk_answered(lost, NULL, why));
}

static void
link_end(struct helper_link *l)
{
	struct auth *a = l->auth;
	struct helper_link **at = &a->helpers;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	a->helpers_n--;
	loop_remove(a->loop, &l->source);
	(void)close(l->source.fd);
	l->source.fd = -1;
	for (size_t i = 0; i < HELPER_SLOTS; i++) {
		struct attempt *lost = l->slots[i].attempt;
		if (!lost)
			continue;
		attempts_remove(lost);
		lost->phase = ATTEMPT_RUNS;
		lost->helper = 0;
		ask_another(lost);
	}
	loop_defer_free(a->loop, l);
	/* With nobody left to answer, nobody waits. */
	struct attempt *w;
	while (!helper_is_there(a, (enum backend)l->backend) &&
		(w = take_waiting(a, l->backend))) {
		attempts_remove(w);
		w->phase = ATTEMPT_RUNS;
		login_perform(w, walk_answered(w, NULL, "no_helper"));
	}
	offer_renew(a);
}

/* False: it broke the protocol. */
static bool
one_answer(struct helper_link *l, const struct received *r)
{
	struct msg_answer m;
	struct view payload;

	if (r->truncated || message_number(r->message, &payload) != MSG_ANSWER ||
		!msg_answer_get(&m, payload) || m.question == 0)
		return false;
	struct helper_slot *slot = slot_of(l, m.question);
	if (!slot)
		return false;
	struct attempt *a = slot->attempt;
	if (a && !chain_may_answer(a->ask, m.outcome))
		return false;
	*slot = (struct helper_slot){0};
	l->asked--;
	if (!a)
		return true;
	attempts_remove(a);
	a->phase = ATTEMPT_RUNS;
	if (a->ask == ASK_STEP && m.outcome != ANSWER_CHALLENGE && m.octets.n == 0)
		a->talk_number = 0;
	login_perform(a, walk_answered(a, &m, NULL));
	return true;
}

static void
link_ready(struct source *s, uint32_t events)
{
	struct helper_link *l = (struct helper_link *)s;
	struct auth *a = l->auth;
	uint8_t backend = l->backend;

	(void)events;
	for (int i = 0; i < MESSAGES_A_TURN && l->source.fd >= 0; i++) {
		int got = channel_recv(l->source.fd, a->received, 0);
		if (got == -EAGAIN)
			break;
		bool good = got == 0 && one_answer(l, a->received);
		if (got == 0)
			explicit_bzero(a->received->octets, a->received->message.n);
		if (good)
			continue;
		if (got == 0) {
			stat_add(STAT_PROTOCOL_FAULTS, 1);
			helper_log_line(l, LOG_LEVEL_ERROR, "protocol_fault",
				"an answer that is none; its channel is closed");
		}
		if (l->source.fd >= 0)
			link_end(l);
		break;
	}
	pump(a, backend);
}

void
helper_timeout(struct timer *t, uint64_t now_ms)
{
	struct auth *auth =
		(struct auth *)(void *)((char *)t - offsetof(struct auth, ask_timer));
	struct attempt *a;

	while ((a = auth->asking.first) && a->deadline_ms <= now_ms) {
		bool asked = a->phase == ATTEMPT_ASKED;
		struct helper_link *l = asked ? link_of(auth, a->helper) : NULL;
		for (size_t i = 0; l && i < HELPER_SLOTS; i++)
			if (l->slots[i].attempt == a)
				l->slots[i].late = true;
		if (l)
			helper_log_line(l, LOG_LEVEL_WARNING, "helper_late",
				"it did not answer in time; it is asked no more until it "
				"does");
		helper_forget(a);
		login_perform(a,
			walk_answered(a, NULL,
				asked ? "helper_did_not_answer_in_time"
				      : "no_helper_was_free_in_time"));
	}
	if (auth->asking.first)
		(void)!loop_timer_set(auth->loop, t, auth->asking.first->deadline_ms);
}

/* ---- processes come and go -----------------------------------------------------------
 */

int
helper_add(struct auth *a, const struct msg_auth_helper *m, int take_fd)
{
	struct helper_link *l = a->helpers_n < HELPERS_MAX && m->backend < BACKENDS_END &&
			m->backend > BACKEND_FILE && m->helper != 0
		? calloc(1, sizeof(*l))
		: NULL;

	if (!l) {
		(void)close(take_fd);
		return -ENOMEM;
	}
	*l = (struct helper_link){.auth = a,
		.incarnation = m->helper,
		.instance = m->instance,
		.backend = m->backend};
	l->source = (struct source){.fd = take_fd, .ready = link_ready};
	int r = loop_add(a->loop, &l->source, EPOLLIN);
	if (r < 0) {
		(void)close(take_fd);
		free(l);
		return r;
	}
	l->next = a->helpers;
	a->helpers = l;
	a->helpers_n++;
	/* It may have other settings than the one that was there before. */
	unseen_clear(a->unseen);
	pump(a, l->backend);
	offer_renew(a);
	return 0;
}

void
helper_gone(struct auth *a, uint64_t incarnation)
{
	struct helper_link *l = link_of(a, incarnation);

	/* What it has answered before its end counts. */
	if (l)
		link_ready(&l->source, 0);
	l = link_of(a, incarnation);
	if (l)
		link_end(l);
}
