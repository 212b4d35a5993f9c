/*
 * keeper.h: the parts of restante-keeper, for its own files only.
 *
 * Threads wait together on one epoll set. An event belongs to a session, a session to a
 * maildrop (a drop); one thread at a time runs a drop. Who finds the drop busy leaves the
 * session in its queue and goes back to wait: a maildrop that hangs holds one thread.
 *
 * Fields are either under keeper.lock ("lock"), or belong to the thread that runs the
 * drop ("runner"). A runner does its work without the lock.
 */
#ifndef KEEPER_KEEPER_H
#define KEEPER_KEEPER_H

#include "ipc/channel.h"
#include "keeper/core.h"
#include "store/store.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEEPER_SESSIONS_MAX 4096U
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
#define KEEPER_NEVER	    UINT64_MAX

struct keeper_options {
	uint32_t threads, idle_s, takeover_s, connections_max, delay_s;
	bool mark_seen;
};

/* One message on its way to the front, kept while the front does not read. */
struct outgoing {
	uint8_t octets[1040]; /* the largest is SLICES */
	size_t n;	      /* 0: none */
	int fds[SLICES_BATCH_MAX];
	size_t nfds;
	bool borrowed;	   /* the descriptor is the drop's snapshot */
	uint64_t since_ms; /* first refused then; 0: not yet tried */
};

struct open_file {
	uint32_t msgno; /* 0: none */
	int fd;
	uint64_t length;
	uint64_t used;
};

enum step {
	STEP_READ,  /* wait for the front's next message */
	STEP_WRITE, /* wait until it reads; by wait_until_ms it is cut */
	STEP_WAIT,  /* look again at wait_until_ms */
	STEP_END,
};

struct session {
	uint32_t slot, turn; /* lock: place in keeper.slots, and which tenant of it */
	int fd;
	struct drop *drop;
	struct session *next; /* lock: in the drop's queue */
	bool queued;	      /* lock */
	bool armed;	      /* lock: in the epoll set */
	bool cut_when_due;    /* lock */
	bool counts;	      /* lock: for connections_per_user */
	uint64_t due_ms;      /* lock; 0: never */
	uint64_t id;	      /* the front's number, for the log */
	uint8_t rights;
	char *user;
	struct lock_holder who;
	/* runner */
	enum keeper_state state;
	uint64_t wait_until_ms;
	uint64_t ask_until_ms;	/* the holder was asked to yield; 0: not */
	uint64_t busy_until_ms; /* another process held the lock; 0: not */
	const struct store_table *table;
	struct keeper_wants wants;
	struct keeper_marks marks;
	struct outgoing out;
	struct open_file files[KEEPER_FILES_OPEN];
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
	struct session *current; /* holds the maildrop */
	uint32_t waiters;	 /* sessions that wait until it goes */
	int snapshot;		 /* sealed; -1: none */
	uint64_t snapshot_generation;
	uint64_t last_login_ms;
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
	uint32_t slots_used; /* no slot from here on was ever used */
	uint32_t sessions;
	uint64_t attached; /* ATTACH read so far */
	uint64_t idle_since_ms;
	bool idle_told;
	struct drop *buckets[KEEPER_BUCKETS];
	struct drop *newest, *oldest;
	uint32_t drops;
	uint64_t memory;
	uint64_t flushes;
};

/* ---- keeper_pool.c: threads, events, time ------------------------------------------ */

/* The threads' work until the end of the process; and the main thread's. */
[[nodiscard]] int keeper_pool_start(struct keeper *k);
[[gnu::noreturn]] void keeper_watch(struct keeper *k);
/* Runs what is queued on the drop. Called and returns with the lock. */
void keeper_run_drop(struct keeper *k, struct drop *d, struct received *r);
/* The main thread must look at the time by then; with the lock. */
void keeper_deadline(struct keeper *k, uint64_t at_ms);

/* ---- drops.c: maildrops at hand, and the sessions' places; all with the lock --- */

/* NULL: no memory, or a kind that does not exist. */
struct drop *keeper_drop_get(struct keeper *k, const char *path, uint8_t kind);
/* Closes what was not used for longest until the budget holds; lets go of the lock
 * meanwhile. */
void keeper_drops_trim(struct keeper *k);
/* Saves caches before the keeper may be ended; lets go of the lock meanwhile. */
void keeper_drops_flush(struct keeper *k, struct received *r);
void keeper_drop_measure(struct keeper *k, struct drop *d);
void keeper_queue(struct drop *d, struct session *s);
/* -EMFILE: all places are taken. Takes the session. */
[[nodiscard]] int keeper_session_place(struct keeper *k, struct session *s);
void keeper_session_free(struct keeper *k, struct session *s);
/* Sessions of the same user but s and its drop's holder. */
uint32_t keeper_session_others(const struct keeper *k, const struct session *s);

/* ---- attach.c ---------------------------------------------------------------- */

/*
 * ATTACH, with the lock: a session in its drop's queue, or none in *ret where it was
 * refused at once. -EINVAL: the message is none.
 */
[[nodiscard]] int keeper_attach(
	struct keeper *k, struct received *r, struct view payload, struct session **ret);
/* A step of KEEPER_ATTACHING. Goes on (state and out are set) if *ret_on. */
enum step keeper_attach_step(
	struct keeper *k, struct session *s, struct received *r, bool *ret_on);

/* ---- serve.c ----------------------------------------------------------------- */

/* As far as the session comes without waiting for its front. */
enum step keeper_step(struct keeper *k, struct session *s, struct received *r);
/* Gives the maildrop back and closes all but the socket. */
void keeper_session_leave(struct session *s);
/* Whether the front has closed its end. */
bool keeper_hung_up(int fd);

/* ---- pieces.c: messages as descriptors ----------------------------------------- */

void keeper_slices_build(struct session *s);
void keeper_fetch(struct session *s, const struct msg_fetch *m);
/* The snapshot of this table, at hand or made. 0 or -errno. */
[[nodiscard]] int keeper_snapshot(struct drop *d, const struct store_table *t);
/* Begins the session's outgoing message; octets are put to the result. */
struct buf keeper_out_begin(struct session *s);
void keeper_out_end(struct session *s, const struct buf *b);
void keeper_out_fd(struct session *s, int take_fd);
void keeper_out_drop(struct session *s);

#endif
