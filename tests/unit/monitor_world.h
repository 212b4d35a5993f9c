/* monitor_world.h: a core with a clock and pids of its own, for the tests of monitor. */
#ifndef MONITOR_WORLD_H
#define MONITOR_WORLD_H

#include "monitor/core.h"

#include <stdlib.h>
#include <string.h>

struct world {
	struct core *c;
	struct core_limits limits;
	uint64_t now;
	int32_t pids;
	uint32_t started[CORE_ACTIONS], started_n; /* since they were last cleared */
	uint32_t drained, closed, killed, serving;
	int full;     /* last FRONTS_FULL, -1: none */
	int finished; /* exit status, -1: goes on */
};

static inline void
world_act(struct world *w)
{
	struct core_action a;

	while (core_take(w->c, &a)) {
		switch (a.act) {
		case CORE_ACT_START:
			w->started[w->started_n++ % CORE_ACTIONS] = a.slot;
			core_started(w->c, a.slot, ++w->pids, w->now);
			break;
		case CORE_ACT_DRAIN: w->drained++; break;
		case CORE_ACT_CLOSE: w->closed++; break;
		case CORE_ACT_KILL: w->killed++; break;
		case CORE_ACT_FRONTS_FULL: w->full = (int)a.value; break;
		case CORE_ACT_SERVING: w->serving++; break;
		case CORE_ACT_FINISH: w->finished = (int)a.value; break;
		}
	}
}

static inline struct core_limits
world_limits(void)
{
	return (struct core_limits){.privileged = true,
		.uid_min = 500,
		.uid_max = 60000,
		.service_uids = 50000,
		.fronts = {2},
		.front_renew_ms = 0,
		.drain_timeout_ms = 30000,
		.keepers_max = 100,
		.keepers_per_owner = 2,
		.roots_n = 3,
		.roots = {{"/srv", true}, {"/srv/mail", true}, {"/gone", false}}};
}

static inline void
world_begin(struct world *w, const struct core_limits *limits)
{
	*w = (struct world){.c = calloc(1, sizeof(struct core)),
		.now = 1000,
		.full = -1,
		.finished = -1};
	core_begin(w->c, limits, w->now);
	world_act(w);
}

static inline void
world_ready(struct world *w, uint32_t slot)
{
	if (!core_ready(w->c, slot, w->now))
		abort();
	world_act(w);
}

/* Everything is ready: the world serves. */
static inline void
world_serve(struct world *w, const struct core_limits *limits)
{
	world_begin(w, limits);
	for (uint32_t s = 0; s < CORE_KEEPER; s++)
		if (core_lives(w->c, s))
			world_ready(w, s);
	w->started_n = 0;
}

static inline void
world_die(struct world *w, uint32_t slot, bool clean)
{
	core_died(w->c, slot, clean ? CORE_END_CLEAN : CORE_END_FAULT, w->now);
	world_act(w);
}

/* Lets the time pass until what is due next; false if that is never. */
static inline bool
world_wait(struct world *w)
{
	uint64_t next = core_deadline(w->c);

	if (next == UINT64_MAX)
		return false;
	if (next > w->now)
		w->now = next;
	core_tick(w->c, w->now);
	world_act(w);
	return true;
}

static inline void
world_end(struct world *w)
{
	free(w->c);
}

#endif
