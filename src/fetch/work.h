/*
 * work.h: jobs for threads that may wait for disks and other servers, beside the loop.
 * Jobs of one lane run one after the other, in order; different lanes side by side.
 */
#ifndef FETCH_WORK_H
#define FETCH_WORK_H

#include "os/loop.h"

struct work;
struct work_lane;

/* Embedded in what it works on; lives until done was called. */
struct work_job {
	void (*run)(struct work_job *j);  /* on a thread */
	void (*done)(struct work_job *j); /* on the loop's thread */
	struct work_job *next;		  /* work.c's own */
	struct work_lane *lane;
};
struct work_lane {
	struct work_job *first, *last; /* waiting */
	bool busy;
	struct work_lane *next; /* lanes with something to do */
};

/* -errno. */
[[nodiscard]] int work_start(struct loop *l, uint32_t threads, struct work **ret);
/* Waits for jobs that run; those that wait are dropped without done. */
void work_end(struct work **w);
void work_submit(struct work *w, struct work_lane *lane, struct work_job *j);

#endif
