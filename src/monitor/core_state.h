/*
 * core_state.h: what the monitor's decisions (core.h) know: plain, to be looked at.
 */
#ifndef MONITOR_CORE_STATE_H
#define MONITOR_CORE_STATE_H

#include "monitor/core_drops.h"
#include "monitor/core_limits.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORE_FRONTS    48 /* living at a time: each has one of the 64 service uids */
#define CORE_INSTANCES 4  /* of one helper */
/* Of each: those that serve, and those that take their place while they still do. */
#define CORE_SIDES	    2
#define CORE_OF_BACKEND	    (CORE_SIDES * CORE_INSTANCES)
#define CORE_HELPERS	    (CORE_BACKENDS * CORE_OF_BACKEND)
#define CORE_KEEPERS	    20000
#define CORE_SEEN	    (1U << 16) /* sessions of a front whose grant is remembered */
#define CORE_ACTIONS	    256
#define CORE_BUCKETS	    4096
#define CORE_BACKOFF_MIN_MS 100
#define CORE_BACKOFF_MAX_MS 30000
#define CORE_STEADY_MS	    60000 /* alive for so long: the back-off starts anew */
/*
 * SIGKILL that we did not send comes from outside (an operator, a machine short of
 * memory), never from what a client says. After such a death the wait is this much longer
 * than the one before, less a tenth of the time alive. A death of its own doubles it: who
 * can crash a process must not get to try many address layouts in a minute.
 */
#define CORE_KILLED_MS	  10
#define CORE_READY_MS	  60000 /* a process that is not ready by then is ended */
#define CORE_GRACE_MS	  2000	/* between the end of a channel and SIGKILL */
#define CORE_STARTS_BURST 2000	/* keepers started at once, */
#define CORE_STARTS_PER_S 500	/* and from then on */
#define CORE_SERVICE_UIDS 64
#define CORE_SPOOLS_BURST 256 /* files for lmtpd made at once, */
#define CORE_SPOOLS_PER_S 256 /* and from then on */

enum core_slot {
	CORE_LOG = 0,
	CORE_CONTROL = 1,
	CORE_AUTH = 2,
	CORE_KEYS = 3,
	CORE_HELPER =
		4, /* CORE_OF_BACKEND of each backend, one backend after the other */
	CORE_LMTPD = CORE_HELPER + CORE_HELPERS,
	CORE_FRONT,
	CORE_KEEPER = CORE_FRONT + CORE_FRONTS,
	CORE_SLOTS = CORE_KEEPER + CORE_KEEPERS,
	CORE_NONE = CORE_SLOTS,
};

enum core_state {
	CORE_FREE = 0,
	CORE_WAITING,  /* to be started when due */
	CORE_STARTING, /* started, not ready; ended when due */
	CORE_READY,
	CORE_DRAINING, /* a front, or lmtpd, that takes no new connections */
	CORE_ENDING,   /* its channel is closed; killed when due */
};

struct core_process {
	uint64_t incarnation; /* never used twice */
	uint64_t started_ms, due_ms;
	uint64_t attached; /* keeper: sessions handed to it */
	uint32_t live;	   /* of them, those that are not known to have ended */
	int32_t pid;
	uint32_t backoff_ms;
	uint32_t replaces; /* front: the slot that it renews, or CORE_NONE */
	uint32_t next;	   /* keeper: of its bucket, or of the free ones */
	uint32_t uid, gid, root, shard, generation; /* keeper: what it is for */
	uint8_t state;
	uint8_t asserts;  /* front: what its listeners' connections may claim, for all its
			     life */
	bool full;	  /* front: takes no more connections */
	bool one_session; /* keeper: not shared */
	bool closing;	  /* its channel is closed, or about to be */
	bool expected;	  /* its end was asked for: replace it at once */
	bool blamed;	  /* we kill it, for a fault of its own */
	bool starved;	  /* we kill it, for what lacked and may be there later */
};

enum core_end {
	CORE_END_CLEAN,	 /* exit status 0 */
	CORE_END_FAULT,	 /* another status or signal, or it could not be started */
	CORE_END_KILLED, /* SIGKILL, whoever sent it */
};

enum core_mode { CORE_MODE_START, CORE_MODE_SERVE, CORE_MODE_DRAIN, CORE_MODE_END };

enum core_act {
	CORE_ACT_START, /* the process of slot; then core_started or core_start_failed */
	CORE_ACT_DRAIN, /* tell the front, or lmtpd */
	CORE_ACT_CLOSE, /* close the channel of slot */
	CORE_ACT_KILL,	/* SIGKILL */
	CORE_ACT_FRONTS_FULL, /* tell all fronts of class slot: value */
	CORE_ACT_SERVING,     /* everything is ready for the first time */
	CORE_ACT_FINISH,      /* end everything, exit with value; slot: whose fault, or
				 CORE_NONE */
};

struct core_action {
	enum core_act act;
	uint32_t slot;
	uint32_t value;
};

/* By a hash of the number; the latest of those that meet in one place, 0: none. */
struct core_seen {
	uint64_t sessions[CORE_SEEN];
};

/* So many at once, and so many a second from then on. */
struct core_bucket {
	uint64_t left, at_ms; /* left: in thousandths */
};

/* Large: one, on the heap, zeroed. */
struct core {
	struct core_limits limits;
	enum core_mode mode;
	uint64_t incarnations;
	uint64_t deadline_ms; /* of the start or of the drain */
	uint64_t renew_not_before_ms;
	uint32_t generation; /* of the configuration */
	bool fronts_full[CORE_CLASSES];
	uint8_t helper_side[CORE_BACKENDS]; /* whose instances are wanted */
	uint32_t keepers, keepers_due, keeper_top, keeper_free;
	struct core_bucket starts, spools;
	size_t actions_first, actions_n;
	struct core_action actions[CORE_ACTIONS];
	uint32_t buckets[CORE_BUCKETS]; /* slot, 0: none (no keeper has slot 0) */
	struct core_process at[CORE_SLOTS];
	struct core_seen seen[CORE_KEEPER - CORE_LMTPD];
	struct core_drops drops;
};

#endif
