/*
 * core.h: the monitor's decisions. Pure: events and the time go in, actions come out.
 *
 * A process lives in a slot; log, control and auth have one each, fronts and keepers a
 * range. An event function may queue actions; the caller takes and performs them with
 * core_take until none is left. Times are monotonic milliseconds.
 */
#ifndef MONITOR_CORE_H
#define MONITOR_CORE_H

#include "ipc/message.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_FRONTS	    56 /* living at a time: each has one of the 64 service uids */
#define CORE_KEEPERS	    20000
#define CORE_ROOTS	    16
#define CORE_WINDOW	    (1U << 19) /* sessions of a front whose grant is remembered */
#define CORE_ACTIONS	    256
#define CORE_BUCKETS	    4096
#define CORE_BACKOFF_MIN_MS 100
#define CORE_BACKOFF_MAX_MS 30000
#define CORE_STEADY_MS	    60000 /* alive for so long: the back-off starts anew */
#define CORE_READY_MS	    60000 /* a process that is not ready by then is ended */
#define CORE_GRACE_MS	    2000  /* between the end of a channel and SIGKILL */
#define CORE_STARTS_BURST   2000  /* keepers started at once, */
#define CORE_STARTS_PER_S   500	  /* and from then on */
#define CORE_SERVICE_UIDS   64

enum core_slot {
	CORE_LOG = 0,
	CORE_CONTROL = 1,
	CORE_AUTH = 2,
	CORE_FRONT = 3,
	CORE_KEEPER = CORE_FRONT + CORE_FRONTS,
	CORE_SLOTS = CORE_KEEPER + CORE_KEEPERS,
	CORE_NONE = CORE_SLOTS,
};

enum core_state {
	CORE_FREE = 0,
	CORE_WAITING,  /* to be started when due */
	CORE_STARTING, /* started, not ready; ended when due */
	CORE_READY,
	CORE_DRAINING, /* a front that takes no new connections */
	CORE_ENDING,   /* its channel is closed; killed when due */
};

struct core_process {
	uint64_t incarnation; /* never used twice */
	uint64_t started_ms, due_ms;
	uint64_t attached; /* keeper: sessions handed to it */
	int32_t pid;
	uint32_t backoff_ms;
	uint32_t replaces; /* front: the slot that it renews, or CORE_NONE */
	uint32_t next;	   /* keeper: of its bucket, or of the free ones */
	uint32_t uid, gid, root, shard, generation; /* keeper: what it is for */
	uint8_t state;
	bool full;	  /* front: takes no more connections */
	bool one_session; /* keeper: not shared */
	bool closing;	  /* its channel is closed, or about to be */
	bool expected;	  /* its end was asked for: replace it at once */
};

struct core_root {
	const char *path;
	bool there;
};

/* What the configuration and the caller allow. Borrowed texts live until the next reload.
 */
struct core_limits {
	bool privileged; /* may change users; else every process stays the caller */
	uint32_t caller_uid;
	uint32_t uid_min, uid_max;
	uint32_t service_uids; /* first of CORE_SERVICE_UIDS; 0: none */
	uint32_t fronts;
	bool one_shot; /* a front serves one connection and ends */
	uint64_t front_renew_ms, drain_timeout_ms;
	uint32_t keepers_max, keepers_per_owner;
	bool keeper_per_session;
	size_t roots_n;
	struct core_root roots[CORE_ROOTS];
};

enum core_mode { CORE_MODE_START, CORE_MODE_SERVE, CORE_MODE_DRAIN, CORE_MODE_END };

enum core_act {
	CORE_ACT_START, /* the process of slot; then core_started or core_start_failed */
	CORE_ACT_DRAIN, /* tell the front */
	CORE_ACT_CLOSE, /* close the channel of slot */
	CORE_ACT_KILL,	/* SIGKILL */
	CORE_ACT_FRONTS_FULL, /* tell all fronts: value */
	CORE_ACT_SERVING,     /* everything is ready for the first time */
	CORE_ACT_FINISH,      /* end everything, exit with value; slot: whose fault, or
				 CORE_NONE */
};

struct core_action {
	enum core_act act;
	uint32_t slot;
	uint32_t value;
};

struct core_window {
	uint64_t top; /* one above the highest session granted */
	uint64_t bits[CORE_WINDOW / 64];
};

/* Large: one, on the heap, zeroed. */
struct core {
	struct core_limits limits;
	enum core_mode mode;
	uint64_t incarnations;
	uint64_t deadline_ms; /* of the start or of the drain */
	uint64_t renew_not_before_ms;
	uint32_t generation; /* of the configuration */
	bool fronts_full;
	uint32_t keepers, keepers_due, keeper_top, keeper_free;
	uint64_t starts_left, starts_at_ms; /* in thousandths of a start */
	size_t actions_first, actions_n;
	struct core_action actions[CORE_ACTIONS];
	uint32_t buckets[CORE_BUCKETS]; /* slot, 0: none (no keeper has slot 0) */
	struct core_process at[CORE_SLOTS];
	struct core_window windows[CORE_FRONTS];
};

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
/* It is dead. clean: exit status 0. */
void core_died(struct core *c, uint32_t slot, bool clean, uint64_t now);
/* End it now and start another one at once, as for a change of its configuration. */
void core_replace(struct core *c, uint32_t slot, uint64_t now);
/* False: not a front that may say so. */
[[nodiscard]] bool core_full(struct core *c, uint32_t slot, bool full, uint64_t now);
/* All its sessions are gone, after `attached` of them. */
void core_keeper_idle(struct core *c, uint32_t slot, uint64_t attached, uint64_t now);
void core_reload(struct core *c, const struct core_limits *limits, uint64_t now);
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

/* ---- core_grant.c: permits ---- */

enum core_verdict {
	CORE_GRANT_DEAD,   /* for a front that has ended: drop it */
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
	bool start;
	struct view below; /* the maildrop below the keeper's root; within the grant */
};

struct core_decision core_grant(struct core *c, const struct msg_grant *g, uint64_t now);
/* The keeper was sent the session. */
void core_attached(struct core *c, uint32_t slot);

/* ---- for core*.c only ---- */

void core_queue(struct core *c, enum core_act act, uint32_t slot, uint32_t value);
void core_window_clear(struct core *c, uint32_t front);
void core_keeper_free(struct core *c, uint32_t slot);
void core_set_state(
	struct core *c, uint32_t slot, enum core_state state, uint64_t due_ms);
void core_start(struct core *c, uint32_t slot, uint64_t now);
void core_wait_for_restart(struct core *c, uint32_t slot, uint64_t now);
/* core_front.c */
void core_fill_fronts(struct core *c, uint64_t now);
void core_drain_front(struct core *c, uint32_t slot);
void core_renew_fronts(struct core *c, uint64_t now);
uint64_t core_renew_deadline(const struct core *c);
void core_tell_fullness(struct core *c);
void core_front_died(struct core *c, uint32_t slot, bool clean, uint64_t now);
bool core_any_front_lives(const struct core *c);

#endif
