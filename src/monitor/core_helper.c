/*
 * core_helper.c: the processes that are there only where the configuration asks for them:
 * the one that signs, and the helpers of auth. Each is replaced alone, and while one is
 * away everything else lives.
 */
#include "monitor/core_parts.h"

static uint32_t
side_of(uint32_t slot)
{
	return (slot - CORE_HELPER) % CORE_OF_BACKEND / CORE_INSTANCES;
}

/* The first slot of a side of a backend's helpers. */
static uint32_t
first_of(uint32_t backend, uint32_t side)
{
	return CORE_HELPER + backend * CORE_OF_BACKEND + side * CORE_INSTANCES;
}

static bool
are_ready(const struct core *c, uint32_t backend)
{
	uint32_t first = first_of(backend, c->helper_side[backend]);

	for (uint32_t i = 0; i < c->limits.helpers[backend]; i++)
		if (c->at[first + i].state != CORE_READY)
			return false;
	return true;
}

/* It serves until others can: a helper that does not start takes nothing away. */
static bool
serves_on(const struct core *c, uint32_t slot)
{
	return core_is_helper(slot) && c->at[slot].state == CORE_READY &&
		c->limits.helpers[core_backend(slot)] > 0 &&
		!are_ready(c, core_backend(slot));
}

bool
core_wanted(const struct core *c, uint32_t slot)
{
	if (slot == CORE_KEYS)
		return c->limits.keys;
	if (slot == CORE_LMTPD)
		return c->limits.lmtp;
	if (!core_is_helper(slot))
		return true;
	return side_of(slot) == c->helper_side[core_backend(slot)] &&
		core_instance(slot) < c->limits.helpers[core_backend(slot)];
}

void
core_fit_helpers(struct core *c, uint64_t now)
{
	if (c->mode >= CORE_MODE_DRAIN)
		return;
	for (uint32_t s = CORE_KEYS; s < CORE_LMTPD; s++) {
		struct core_process *p = &c->at[s];
		bool wanted = core_wanted(c, s);

		if (wanted && p->state == CORE_FREE) {
			*p = (struct core_process){.replaces = CORE_NONE};
			core_start(c, s, now);
		} else if (!wanted && p->state == CORE_WAITING) {
			core_set_state(c, s, CORE_FREE, UINT64_MAX);
		} else if (!wanted && p->state != CORE_FREE && !serves_on(c, s)) {
			core_replace(c, s, now);
		}
	}
}

void
core_renew_helpers(struct core *c, uint32_t backend, uint64_t now)
{
	uint32_t side = c->helper_side[backend];
	uint32_t other = first_of(backend, 1 - side), own = first_of(backend, side);
	bool is_free = true;

	for (uint32_t i = 0; i < CORE_INSTANCES; i++)
		is_free = is_free && c->at[other + i].state == CORE_FREE;
	/* Renewed again before the last time was over: those to come begin anew. */
	for (uint32_t i = 0; !is_free && i < CORE_INSTANCES; i++)
		if (c->at[own + i].pid > 0)
			core_replace(c, own + i, now);
	if (is_free)
		c->helper_side[backend] = (uint8_t)(1 - side);
	core_fit_helpers(c, now);
}
