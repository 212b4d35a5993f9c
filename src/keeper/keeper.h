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

#include "keeper/keeper_state.h"

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
/* Nothing where it is not queued. */
void keeper_unqueue(struct drop *d, struct session *s);
/* -EMFILE: all places are taken. Takes the session. */
[[nodiscard]] int keeper_session_place(struct keeper *k, struct session *s);
void keeper_session_free(struct keeper *k, struct session *s);
/* Where nothing is under way: by idle_s from now on it tells the monitor that. */
void keeper_idle_look(struct keeper *k);
/* A session of this place has ended, or never began. */
void keeper_left(struct keeper *k, uint32_t place);
/* Tells the monitor, now or when it is due (KEEPER_NEVER: nothing is to be told). */
uint64_t keeper_left_tell(struct keeper *k, uint64_t now_ms);
/* It is over, though not yet freed: no other of its user's any more. */
void keeper_uncount(struct keeper *k, struct session *s);
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

/* A store's error, in the log; 0: what says it all. */
void keeper_log_store(const struct session *s, const char *what, int e);
/* What the drop's store has to tell an operator. */
void keeper_log_notices(const struct session *s);

/* ---- deposits.c: mail that comes in -------------------------------------------- */

/* DEPOSIT: into the drop's group. NULL, or what is wrong with it. */
const char *keeper_take_deposit(
	struct session *s, struct view payload, struct received *r);
/* Whether the drop's group is to be stored now, before it is the turn of `next`. */
bool keeper_group_is_due(const struct drop *d, const struct session *next);
/* Stores the group; the answers are on their way, the group is the caller's. */
void keeper_group_store(struct drop *d);
void keeper_handed_drop(struct session *s);

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
void keeper_snapshot_drop(struct drop *d);
/* Begins the session's outgoing message; octets are put to the result. */
struct buf keeper_out_begin(struct session *s);
void keeper_out_end(struct session *s, const struct buf *b);
void keeper_out_fd(struct session *s, int take_fd);
void keeper_out_drop(struct session *s);
/* Room for it, which the session has while it runs; false: no memory. Given back. */
[[nodiscard]] bool keeper_out_there(struct session *s);
void keeper_out_done(struct session *s);

#endif
