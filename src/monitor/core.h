/*
 * core.h: the monitor's decisions. Pure: events and the time go in, actions come out.
 *
 * A process lives in a slot; log, control, auth, keys and lmtpd have one each, helpers,
 * fronts and keepers a range. An event function may queue actions; the caller takes and
 * performs them with core_take until none is left. Times are monotonic milliseconds.
 */
#ifndef MONITOR_CORE_H
#define MONITOR_CORE_H

#include "ipc/message.h"
#include "monitor/core_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *c is zeroed before. Queues the first starts. */
void core_begin(struct core *c, const struct core_limits *limits, uint64_t now);
/* The next action; false when there is none. */
bool core_take(struct core *c, struct core_action *ret);

void core_started(struct core *c, uint32_t slot, int32_t pid, uint64_t now);
void core_start_failed(struct core *c, uint32_t slot, uint64_t now);
/* False: it was not waited for, which is a fault of the process. */
[[nodiscard]] bool core_ready(struct core *c, uint32_t slot, uint64_t now);
/* Its channel has ended, or must be ended for a fault; the process follows or is killed.
 */
void core_hangup(struct core *c, uint32_t slot, uint64_t now);
/* As core_hangup, for a process that did wrong; the caller kills it. */
void core_blame(struct core *c, uint32_t slot, uint64_t now);
/* As core_blame, for one that could not be told what it needs, for a want that passes:
 * also at the start it is tried again. */
void core_starve(struct core *c, uint32_t slot, uint64_t now);
/* It is dead. */
void core_died(struct core *c, uint32_t slot, enum core_end how, uint64_t now);
/* End it now and start another one at once, as for a change of its configuration. */
void core_replace(struct core *c, uint32_t slot, uint64_t now);
/* The same for lmtpd, which may finish what it has begun before. */
void core_renew_lmtpd(struct core *c, uint64_t now);
/* Whether lmtpd gets another file for a spool now. */
[[nodiscard]] bool core_may_spool(struct core *c, uint64_t now);
/* False: not a front that may say so. */
[[nodiscard]] bool core_full(struct core *c, uint32_t slot, bool full, uint64_t now);
/*
 * Others take the place of a backend's helpers: they are started, and once all of them
 * are ready, those that served until then are ended.
 */
void core_renew_helpers(struct core *c, uint32_t backend, uint64_t now);
/* All its sessions are gone, after `attached` of them. */
void core_keeper_idle(struct core *c, uint32_t slot, uint64_t attached, uint64_t now);
void core_reload(struct core *c, const struct core_limits *limits, uint64_t now);
/* A keeper of a configuration before: nobody comes to it any more, so that it is told to
 * end as soon as it has no session. */
bool core_is_retired(const struct core *c, uint32_t slot);
/* The first time: let sessions finish. The second time: end now. */
void core_drain(struct core *c, uint64_t now);
/* What is due; and when it is to be called next (UINT64_MAX: never). */
void core_tick(struct core *c, uint64_t now);
uint64_t core_deadline(const struct core *c);
/* CORE_NONE if no process of ours has that pid. */
uint32_t core_of_pid(const struct core *c, int32_t pid);
/* A process runs in this slot (from core_started to core_died). */
static inline bool
core_lives(const struct core *c, uint32_t slot)
{
	return c->at[slot].pid > 0;
}
static inline bool
core_is_front(uint32_t slot)
{
	return slot >= CORE_FRONT && slot < CORE_KEEPER;
}
static inline bool
core_is_helper(uint32_t slot)
{
	return slot >= CORE_HELPER && slot < CORE_LMTPD;
}
/* Of a helper: its place among the backends, and among the processes of that one. */
static inline uint32_t
core_backend(uint32_t slot)
{
	return (slot - CORE_HELPER) / CORE_OF_BACKEND;
}
static inline uint32_t
core_instance(uint32_t slot)
{
	return (slot - CORE_HELPER) % CORE_INSTANCES;
}
/*
 * What the connections of this front's listeners may claim on its word alone (bits of
 * enum assertion): it serves those that may claim just that, and no others, so that a
 * front that a proxy reaches can never claim a certificate.
 */
static inline uint32_t
core_class(const struct core *c, uint32_t slot)
{
	return c->at[slot].asserts;
}
/* A front or lmtpd: its sessions are granted by auth and served by keepers. */
static inline bool
core_has_sessions(uint32_t slot)
{
	return slot >= CORE_LMTPD && slot < CORE_KEEPER;
}

/* ---- core_grant.c: permits ---- */

enum core_verdict {
	CORE_GRANT_DEAD,   /* for a front (or an lmtpd) that has ended: drop it */
	CORE_GRANT_TWICE,  /* that session was granted before: drop it */
	CORE_GRANT_REFUSE, /* tell the front `code`; `why` is for the log */
	CORE_GRANT_ATTACH, /* hand the session to keeper; start: it is to be started first
			    */
};

struct core_decision {
	enum core_verdict verdict;
	uint8_t code;	 /* enum refusal */
	const char *why; /* static text */
	uint32_t front, keeper;
	uint32_t place; /* of the maildrop, for core_left; 0: none */
	bool start;
	struct view below; /* the maildrop below the keeper's root; within the grant */
};

struct core_decision core_grant(struct core *c, const struct msg_grant *g, uint64_t now);
/* The keeper was sent the session. */
void core_attached(struct core *c, uint32_t slot);
/* A session of this place has ended, or could not be sent. False: there was none. */
[[nodiscard]] bool core_left(struct core *c, uint32_t slot, uint32_t place);

#endif
