#include "base/check.h"
#include "monitor/core_parts.h"

#include <string.h>

void
core_queue(struct core *c, enum core_act act, uint32_t slot, uint32_t value)
{
	CHECK(c->actions_n < CORE_ACTIONS);
	size_t i = (c->actions_first + c->actions_n++) % CORE_ACTIONS;
	c->actions[i] = (struct core_action){act, slot, value};
}

bool
core_take(struct core *c, struct core_action *ret)
{
	if (c->actions_n == 0)
		return false;
	*ret = c->actions[c->actions_first];
	c->actions_first = (c->actions_first + 1) % CORE_ACTIONS;
	c->actions_n--;
	return true;
}

/* Keepers that have something due are counted, so that ticks need not look at all of
 * them. */
void
core_set_state(struct core *c, uint32_t slot, enum core_state state, uint64_t due_ms)
{
	struct core_process *p = &c->at[slot];

	if (slot >= CORE_KEEPER) {
		c->keepers_due -= p->due_ms != UINT64_MAX && p->state != CORE_FREE;
		c->keepers_due += due_ms != UINT64_MAX && state != CORE_FREE;
	}
	p->state = (uint8_t)state;
	p->due_ms = due_ms;
}

static void
finish(struct core *c, uint32_t status, uint32_t slot)
{
	if (c->mode == CORE_MODE_END)
		return;
	c->mode = CORE_MODE_END;
	core_queue(c, CORE_ACT_FINISH, slot, status);
}

void
core_start(struct core *c, uint32_t slot, uint64_t now)
{
	struct core_process *p = &c->at[slot];

	CHECK(p->pid == 0);
	p->incarnation = ++c->incarnations;
	p->full = false;
	p->expected = false;
	p->blamed = false;
	p->starved = false;
	p->closing = false;
	if (core_has_sessions(slot))
		core_seen_clear(c, slot);
	/* What an auth that lied has marked must not stand in the way of the next. */
	for (uint32_t s = CORE_LMTPD; s < CORE_KEEPER && slot == CORE_AUTH; s++)
		if (core_lives(c, s))
			core_seen_clear(c, s);
	core_set_state(c, slot, CORE_STARTING, now + CORE_READY_MS);
	core_queue(c, CORE_ACT_START, slot, 0);
}

/* ---- lives ---- */

void
core_begin(struct core *c, const struct core_limits *limits, uint64_t now)
{
	c->limits = *limits;
	c->mode = CORE_MODE_START;
	c->deadline_ms = now + CORE_READY_MS;
	core_bucket_fill(&c->starts, CORE_STARTS_BURST, now);
	core_bucket_fill(&c->spools, CORE_SPOOLS_BURST, now);
	core_start(c, CORE_LOG, now);
	core_start(c, CORE_CONTROL, now);
	core_start(c, CORE_AUTH, now);
	core_fit_helpers(c, now);
	core_fit_lmtpd(c, now);
	core_fill_fronts(c, now);
}

void
core_started(struct core *c, uint32_t slot, int32_t pid, uint64_t now)
{
	CHECK(pid > 0);
	CHECK(c->at[slot].pid == 0);
	c->at[slot].pid = pid;
	c->at[slot].started_ms = now;
}

static uint32_t
backoff_after_kill(const struct core_process *p, uint64_t lived)
{
	uint64_t wait = p->backoff_ms + CORE_KILLED_MS;
	uint64_t less = lived / 10;

	if (wait < less + CORE_KILLED_MS)
		return CORE_KILLED_MS;
	wait -= less;
	return wait < CORE_BACKOFF_MAX_MS ? (uint32_t)wait : CORE_BACKOFF_MAX_MS;
}

/* Doubles with each failure that comes soon after a start. */
void
core_wait_for_restart(struct core *c, uint32_t slot, enum core_end how, uint64_t now)
{
	struct core_process *p = &c->at[slot];
	uint64_t lived = p->started_ms > 0 ? now - p->started_ms : 0;

	if (p->expected)
		p->backoff_ms = 0;
	else if (how == CORE_END_KILLED && !p->blamed)
		p->backoff_ms = backoff_after_kill(p, lived);
	else if (lived >= CORE_STEADY_MS || p->backoff_ms < CORE_BACKOFF_MIN_MS)
		p->backoff_ms = CORE_BACKOFF_MIN_MS;
	else if (p->backoff_ms < CORE_BACKOFF_MAX_MS / 2)
		p->backoff_ms *= 2;
	else
		p->backoff_ms = CORE_BACKOFF_MAX_MS;
	p->started_ms = 0;
	core_set_state(c, slot, CORE_WAITING, now + p->backoff_ms);
}

/* Not one of those that only the configuration before asked for. lmtpd knows that itself.
 */
static bool
may_stay(const struct core *c, uint32_t slot)
{
	return slot >= CORE_LMTPD || core_wanted(c, slot);
}

static void
gone(struct core *c, uint32_t slot, enum core_end how, uint64_t now)
{
	struct core_process *p = &c->at[slot];

	if (slot >= CORE_KEEPER) {
		core_set_state(c, slot, CORE_FREE, UINT64_MAX);
		core_keeper_free(c, slot);
		return;
	}
	if (c->mode == CORE_MODE_START && !p->expected && !p->starved) {
		/* At the start a process that fails is a fault for the operator to see.
		 */
		core_set_state(c, slot, CORE_FREE, UINT64_MAX);
		finish(c, 1, slot);
		return;
	}
	if (c->mode == CORE_MODE_END || !may_stay(c, slot))
		core_set_state(c, slot, CORE_FREE, UINT64_MAX);
	else if (core_is_front(slot))
		core_front_died(c, slot, how, now);
	else if (slot == CORE_LMTPD)
		core_lmtpd_died(c, how, now);
	else
		core_wait_for_restart(c, slot, how, now);
	if (c->mode == CORE_MODE_DRAIN && !core_anyone_serves(c))
		finish(c, 0, CORE_NONE);
}

void
core_start_failed(struct core *c, uint32_t slot, uint64_t now)
{
	CHECK(c->at[slot].pid == 0);
	gone(c, slot, CORE_END_FAULT, now);
}

void
core_died(struct core *c, uint32_t slot, enum core_end how, uint64_t now)
{
	CHECK(c->at[slot].pid > 0);
	c->at[slot].pid = 0;
	gone(c, slot, how, now);
}

static void
check_serving(struct core *c)
{
	uint32_t ready[CORE_CLASSES] = {0};

	if (c->mode != CORE_MODE_START)
		return;
	for (uint32_t s = CORE_LOG; s < CORE_FRONT; s++)
		if (c->at[s].state != CORE_READY && core_wanted(c, s))
			return;
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		ready[core_class(c, s)] += c->at[s].state == CORE_READY;
	for (uint32_t i = 0; i < CORE_CLASSES; i++)
		if (ready[i] < c->limits.fronts[i])
			return;
	c->mode = CORE_MODE_SERVE;
	core_queue(c, CORE_ACT_SERVING, CORE_NONE, 0);
}

bool
core_ready(struct core *c, uint32_t slot, uint64_t now)
{
	struct core_process *p = &c->at[slot];

	if (p->state == CORE_DRAINING || p->state == CORE_ENDING)
		return true; /* it crossed with the order to end */
	if (p->state != CORE_STARTING || p->pid == 0)
		return false;
	core_set_state(c, slot, CORE_READY, UINT64_MAX);
	uint32_t old = p->replaces;
	p->replaces = CORE_NONE;
	if (core_is_front(slot) && old != CORE_NONE)
		core_drain_one(c, old, UINT64_MAX);
	check_serving(c);
	if (core_is_helper(slot))
		core_fit_helpers(c, now);
	if (core_is_front(slot)) {
		core_fill_fronts(c, now);
		core_tell_fullness(c);
	}
	return true;
}

void
core_hangup(struct core *c, uint32_t slot, uint64_t now)
{
	struct core_process *p = &c->at[slot];

	if (p->pid == 0 || p->closing)
		return;
	p->closing = true;
	if (p->state == CORE_DRAINING) {
		/* Stays so, that its death is known to be in order. */
		core_set_state(c, slot, CORE_DRAINING, now + CORE_GRACE_MS);
	} else if (core_is_front(slot) && p->replaces != CORE_NONE) {
		core_set_state(c, slot, CORE_STARTING, now + CORE_GRACE_MS);
	} else {
		core_set_state(c, slot, CORE_ENDING, now + CORE_GRACE_MS);
	}
	core_queue(c, CORE_ACT_CLOSE, slot, 0);
}

void
core_blame(struct core *c, uint32_t slot, uint64_t now)
{
	c->at[slot].blamed = true;
	core_hangup(c, slot, now);
}

void
core_starve(struct core *c, uint32_t slot, uint64_t now)
{
	c->at[slot].starved = true;
	core_blame(c, slot, now);
}

void
core_replace(struct core *c, uint32_t slot, uint64_t now)
{
	CHECK(slot < CORE_LMTPD);
	if (c->at[slot].pid == 0)
		return; /* the one to come has the new configuration anyway */
	c->at[slot].expected = true;
	core_hangup(c, slot, now);
}

void
core_keeper_idle(struct core *c, uint32_t slot, uint64_t attached, uint64_t now)
{
	if (slot >= CORE_KEEPER && c->at[slot].attached == attached)
		core_hangup(c, slot, now);
}

void
core_reload(struct core *c, const struct core_limits *limits, uint64_t now)
{
	c->limits = *limits;
	c->generation++;
	core_fit_helpers(c, now);
	core_fit_lmtpd(c, now);
	core_fill_fronts(c, now);
	core_tell_fullness(c);
}

bool
core_is_retired(const struct core *c, uint32_t slot)
{
	const struct core_process *p = &c->at[slot];

	return slot >= CORE_KEEPER && core_lives(c, slot) && !p->closing &&
		p->generation != c->generation;
}

void
core_drain(struct core *c, uint64_t now)
{
	if (c->mode == CORE_MODE_DRAIN || c->mode == CORE_MODE_START) {
		finish(c, 0, CORE_NONE);
		return;
	}
	if (c->mode == CORE_MODE_END)
		return;
	c->mode = CORE_MODE_DRAIN;
	c->deadline_ms = now + c->limits.drain_timeout_ms;
	for (uint32_t s = CORE_LMTPD; s < CORE_KEEPER; s++) {
		if (c->at[s].state == CORE_DRAINING)
			core_queue(
				c, CORE_ACT_DRAIN, s, 0); /* the deadline is nearer now */
		else
			core_drain_one(c, s, UINT64_MAX);
	}
	if (!core_anyone_serves(c))
		finish(c, 0, CORE_NONE);
}

/* ---- time ---- */

static void
tick_slot(struct core *c, uint32_t slot, uint64_t now)
{
	struct core_process *p = &c->at[slot];

	if (p->state == CORE_FREE || p->due_ms > now)
		return;
	if (p->state == CORE_WAITING) {
		core_start(c, slot, now);
		return;
	}
	/* Not ready in time, or not gone in time. Again later, should the signal be lost.
	 */
	p->blamed = true;
	if (p->pid > 0 && c->actions_n < CORE_ACTIONS / 2)
		core_queue(c, CORE_ACT_KILL, slot, 0);
	core_set_state(c, slot, p->state, now + CORE_GRACE_MS);
}

void
core_tick(struct core *c, uint64_t now)
{
	if (c->mode == CORE_MODE_END)
		return;
	if (c->mode != CORE_MODE_SERVE && now >= c->deadline_ms) {
		uint32_t late = CORE_NONE;
		for (uint32_t s = CORE_KEEPER; s-- > 0;)
			if (c->at[s].state == CORE_STARTING ||
				c->at[s].state == CORE_WAITING)
				late = s;
		finish(c, c->mode == CORE_MODE_START,
			c->mode == CORE_MODE_START ? late : CORE_NONE);
		return;
	}
	for (uint32_t s = 0; s < CORE_KEEPER; s++)
		tick_slot(c, s, now);
	for (uint32_t s = CORE_KEEPER;
		s < CORE_KEEPER + c->keeper_top && c->keepers_due > 0; s++)
		tick_slot(c, s, now);
	core_renew_fronts(c, now);
}

uint64_t
core_deadline(const struct core *c)
{
	uint64_t next = c->mode == CORE_MODE_START || c->mode == CORE_MODE_DRAIN
		? c->deadline_ms
		: UINT64_MAX;
	uint64_t renew = core_renew_deadline(c);
	uint32_t top = CORE_KEEPER + (c->keepers_due > 0 ? c->keeper_top : 0);

	for (uint32_t s = 0; s < top; s++)
		if (c->at[s].state != CORE_FREE && c->at[s].due_ms < next)
			next = c->at[s].due_ms;
	return renew < next ? renew : next;
}

uint32_t
core_of_pid(const struct core *c, int32_t pid)
{
	for (uint32_t s = 0; s < CORE_KEEPER + c->keeper_top; s++)
		if (c->at[s].pid == pid)
			return s;
	return CORE_NONE;
}
