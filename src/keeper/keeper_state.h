/*
 * keeper_state.h: the state that keeper.h explains.
 */
#ifndef KEEPER_KEEPER_STATE_H
#define KEEPER_KEEPER_STATE_H

#include "ipc/channel.h"
#include "ipc/snapshot.h"
#include "keeper/core.h"
#include "keeper/heads.h"
#include "keeper/keeper_places.h"
#include "keeper/outgoing.h"
#include "store/store.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEEPER_DROPS_MAX    512U
#define KEEPER_MEMORY_MAX   (UINT64_C(256) << 20)
#define KEEPER_THREADS_MIN  2U
#define KEEPER_THREADS_MAX  64U
#define KEEPER_THREADS_MORE 4U /* started when all others are stuck */
#define KEEPER_BUCKETS	    1024U
#define KEEPER_FILES_OPEN   4U /* of a session, for FETCH */
#define KEEPER_STUCK_MS	    1000U
#define KEEPER_YIELD_MS	    2000U /* a holder's time to go */
#define KEEPER_BUSY_MS	    250U /* another keeper's time to notice that its front is gone */
#define KEEPER_LOOK_MS	    10U
#define KEEPER_SEND_MS	    60000U /* a front's time to read */
#define KEEPER_AGAIN_MS	    50U	   /* after ETOOMANYREFS */
#define KEEPER_GROUP_MAX    32U	   /* deposits stored together */
#define KEEPER_LEFT_MS	    1000U  /* that a session has ended is told by then */
#define KEEPER_NEVER	    UINT64_MAX

struct keeper_options {
	uint32_t threads, idle_s, takeover_s;
	uint32_t sessions_max; /* a quarter of them is for those who read */
	bool mark_seen;
	bool utf8_downgrade;
	struct store_options store; /* its texts live as long as the process */
};

/* A message that was handed in. */
struct handed {
	int fd;
	uint64_t length;
	struct view sender, recipient; /* within texts */
	uint8_t texts[];
};

enum step {
	STEP_READ,  /* wait for the front's next message */
	STEP_WRITE, /* wait until it reads; by wait_until_ms it is cut */
	STEP_WAIT,  /* look again at wait_until_ms */
	STEP_HOLD,  /* its deposit waits for its group */
	STEP_END,
};

struct session {
	uint32_t slot, turn; /* lock: place in keeper.slots, and which tenant of it */
	uint32_t place;	     /* the monitor's number, told at its end; 0: not told */
	int fd;
	struct drop *drop;
	struct session *next;	   /* lock: in the drop's queue */
	struct session *behind;	   /* in the drop's group */
	bool armed;		   /* lock: in the epoll set */
	bool queued, cut_when_due; /* lock */
	/* For connections_per_user; its drop's runner alone writes it, with the lock:
	 * the runner may read it without. */
	bool counts;
	uint64_t due_ms; /* lock; 0: never */
	uint64_t id;	 /* the front's number, for the log */
	uint8_t rights;
	uint32_t connections_max, delay_s; /* of this user; 0: none */
	char *user;
	struct lock_holder who;
	/* runner */
	enum keeper_state state;
	uint64_t wait_until_ms;
	uint64_t ask_until_ms;	/* the holder was asked to yield; 0: not */
	uint64_t busy_until_ms; /* another process held the lock; 0: not */
	const struct store_table *table;
	struct keeper_form form;
	struct keeper_marks marks;
	struct handed *handed;	 /* KEEPER_STORING */
	struct outgoing *out;	 /* NULL while it waits with nothing to say */
	struct open_file *files; /* KEEPER_FILES_OPEN, once one is kept; else NULL */
	uint64_t files_used;
};

struct drop {
	struct drop *next;	    /* lock: in its bucket */
	struct drop *newer, *older; /* lock: in order of use */
	char *path;
	uint64_t hash;
	uint8_t kind;
	uint32_t sessions;	      /* lock */
	bool busy;		      /* lock: a thread runs it */
	struct session *first, *last; /* lock: queue */
	size_t memory;		      /* lock */
	uint64_t flushed;	      /* lock: keeper.flushes when it was last flushed */
	/* runner */
	const struct store_ops *ops;
	struct store *store;
	struct session *current;	    /* holds the maildrop */
	uint32_t waiters;		    /* sessions that wait until it goes */
	struct session *group, **group_end; /* whose deposits come next */
	uint32_t group_n;
	struct heads heads;
	int snapshot;	/* sealed; -1: none */
	uint8_t *small; /* a snapshot that goes in a message; NULL: none */
	size_t small_n;
	uint64_t snapshot_generation, snapshot_octets, last_login_ms;
	uint64_t nowait_device; /* its files take RWF_NOWAIT */
};

struct keeper {
	pthread_mutex_t lock;
	struct keeper_options o;
	int root;  /* O_PATH: all maildrops lie below */
	int epoll; /* sessions and the monitor, one shot each */
	int watch; /* the main thread: the monitor's end, and wake */
	int wake;  /* eventfd */
	uint64_t main_wakes_ms;
	uint32_t threads, waiting; /* started; of them idle */
	uint64_t stuck_since_ms;   /* no thread idle since; 0: one is */
	struct session *slots[KEEPER_SESSIONS_MAX];
	uint32_t turns[KEEPER_SESSIONS_MAX];
	uint64_t users[KEEPER_SESSIONS_MAX];  /* a hash of who counts there; 0: nobody */
	uint32_t vacant[KEEPER_SESSIONS_MAX]; /* slots that were used, a stack */
	uint32_t vacant_n;
	uint32_t slots_used;		    /* no slot from here on was ever used */
	uint32_t left[KEEPER_SESSIONS_MAX]; /* places of ended ones, not yet told */
	uint32_t left_n;
	uint64_t left_since_ms;
	uint32_t sessions, drops;
	uint32_t accepts;  /* of the sessions, with RIGHT_DELIVER */
	uint32_t freeing;  /* drops that are in no list any more, and not saved yet */
	uint64_t attached; /* ATTACH read so far */
	uint64_t idle_since_ms;
	bool idle_told;
	struct drop *buckets[KEEPER_BUCKETS];
	struct drop *newest, *oldest;
	uint64_t memory, flushes;
};

#endif
