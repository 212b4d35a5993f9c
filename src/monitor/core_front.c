/* core_front.c: how many fronts there are, which are renewed, and when they are full. */
#include "base/check.h"
#include "monitor/core_parts.h"

static bool
is_in_service(const struct core *c, uint32_t slot, uint32_t class)
{
	const struct core_process *p = &c->at[slot];

	if (p->state == CORE_FREE || p->state == CORE_DRAINING || p->asserts != class)
		return false;
	/* A renewal that is not ready counts as the front that it is to replace. */
	if (p->state != CORE_READY && p->replaces != CORE_NONE)
		return false;
	return !(c->limits.one_shot && p->full);
}

static uint32_t
free_front(const struct core *c)
{
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (c->at[s].state == CORE_FREE)
			return s;
	return CORE_NONE;
}

void
core_drain_one(struct core *c, uint32_t slot, uint64_t due_ms)
{
	struct core_process *p = &c->at[slot];

	if (p->state == CORE_WAITING) {
		core_set_state(c, slot, CORE_FREE, UINT64_MAX);
	} else if (p->state == CORE_STARTING || p->state == CORE_READY) {
		core_set_state(c, slot, CORE_DRAINING, due_ms);
		core_queue(c, CORE_ACT_DRAIN, slot, 0);
	}
}

static void
fill_class(struct core *c, uint32_t class, uint64_t now)
{
	uint32_t have = 0, wanted = c->limits.fronts[class];

	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		have += is_in_service(c, s, class);
	for (uint32_t s = CORE_KEEPER; s-- > CORE_FRONT && have > wanted;) {
		if (!is_in_service(c, s, class))
			continue;
		core_drain_one(c, s, UINT64_MAX);
		have--;
	}
	for (; have < wanted; have++) {
		uint32_t slot = free_front(c);
		if (slot == CORE_NONE)
			return;
		c->at[slot] = (struct core_process){
			.replaces = CORE_NONE, .asserts = (uint8_t) class};
		core_start(c, slot, now);
	}
}

/* As many fronts of each class as are wanted: starts what lacks, drains what is too much.
 */
void
core_fill_fronts(struct core *c, uint64_t now)
{
	if (c->mode >= CORE_MODE_DRAIN)
		return;
	for (uint32_t class = 0; class < CORE_CLASSES; class ++)
		fill_class(c, class, now);
}

/* One at a time, so that there is always room for one more and load moves slowly. */
void
core_renew_fronts(struct core *c, uint64_t now)
{
	uint32_t oldest = CORE_NONE;

	if (c->mode != CORE_MODE_SERVE || c->limits.front_renew_ms == 0 ||
		now < c->renew_not_before_ms)
		return;
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++) {
		const struct core_process *p = &c->at[s];
		if (p->state == CORE_STARTING && p->replaces != CORE_NONE)
			return;
		if (p->state == CORE_READY &&
			now - p->started_ms >= c->limits.front_renew_ms &&
			(oldest == CORE_NONE || p->started_ms < c->at[oldest].started_ms))
			oldest = s;
	}
	uint32_t slot = free_front(c);
	c->renew_not_before_ms = now + 1000;
	if (oldest == CORE_NONE || slot == CORE_NONE)
		return;
	c->at[slot] = (struct core_process){
		.replaces = oldest, .asserts = c->at[oldest].asserts};
	core_start(c, slot, now);
}

static void
tell_class(struct core *c, uint32_t class)
{
	uint32_t ready = 0, full = 0;

	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++) {
		if (c->at[s].state != CORE_READY || core_class(c, s) != class)
			continue;
		ready++;
		full += c->at[s].full;
	}
	bool all = ready > 0 && ready == full;
	if (all == c->fronts_full[class])
		return;
	c->fronts_full[class] = all;
	core_queue(c, CORE_ACT_FRONTS_FULL, class, all);
}

void
core_tell_fullness(struct core *c)
{
	if (c->limits.one_shot || c->mode != CORE_MODE_SERVE)
		return;
	for (uint32_t i = 0; i < CORE_CLASSES; i++)
		tell_class(c, i);
}

bool
core_full(struct core *c, uint32_t slot, bool full, uint64_t now)
{
	struct core_process *p = &c->at[slot];

	if (!core_is_front(slot))
		return false;
	/* One that drains, or whose channel is closing, may still say it: nothing
	 * follows. */
	if (p->state != CORE_READY)
		return p->state == CORE_DRAINING || p->state == CORE_ENDING;
	p->full = full;
	core_tell_fullness(c);
	core_fill_fronts(c, now);
	return true;
}

void
core_front_died(struct core *c, uint32_t slot, enum core_end how, uint64_t now)
{
	struct core_process *p = &c->at[slot];
	bool over = p->state == CORE_DRAINING || c->mode == CORE_MODE_DRAIN ||
		(c->limits.one_shot && how == CORE_END_CLEAN && p->started_ms > 0);

	if (p->replaces != CORE_NONE && p->state == CORE_STARTING) {
		/* A renewal that failed: the old one goes on, and it is tried again
		 * later. */
		c->renew_not_before_ms = now + CORE_STEADY_MS;
		over = true;
	}
	p->replaces = CORE_NONE;
	if (over)
		core_set_state(c, slot, CORE_FREE, UINT64_MAX);
	else
		core_wait_for_restart(c, slot, how, now);
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (c->at[s].replaces == slot)
			c->at[s].replaces = CORE_NONE;
	core_fill_fronts(c, now);
	core_tell_fullness(c);
}

bool
core_anyone_serves(const struct core *c)
{
	for (uint32_t s = CORE_LMTPD; s < CORE_KEEPER; s++)
		if (core_lives(c, s))
			return true;
	return false;
}

uint64_t
core_renew_deadline(const struct core *c)
{
	uint64_t next = UINT64_MAX;

	if (c->mode != CORE_MODE_SERVE || c->limits.front_renew_ms == 0)
		return next;
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++) {
		uint64_t at = c->at[s].started_ms + c->limits.front_renew_ms;
		if (c->at[s].state == CORE_READY && at < next)
			next = at;
	}
	return next < c->renew_not_before_ms ? c->renew_not_before_ms : next;
}
