/*
 * account_run.h: an account through a run: opened, collected from in as many sessions as
 * it takes, remembered; as a daemon again and again.
 */
#ifndef FETCH_ACCOUNT_RUN_H
#define FETCH_ACCOUNT_RUN_H

#include "fetch/collect.h"
#include "fetch/configuration.h"

struct account_run;

struct account_runs {
	struct run run;
	struct configuration *configuration; /* that is in force; one user is this */
	struct account_run **at;
	size_t n, running;
	struct account_run *waiting, *waiting_last; /* for their turn */
	struct account_run *retired;		    /* that still run */
	int status;				    /* the exit status so far */
	void (*idle)(
		struct account_runs *r); /* nothing runs and nothing will (or ends) */
};

/* Starts as many as may run side by side; -errno. */
[[nodiscard]] int account_runs_start(struct account_runs *r, struct configuration *c);
/*
 * SIGHUP: the accounts are those of c from now on. What runs ends as it began; an account
 * that did not change keeps its time of the next poll, a new or changed one, or one whose
 * login was refused, is polled now. -errno: nothing has changed, and c is the caller's.
 */
[[nodiscard]] int account_runs_reload(struct account_runs *r, struct configuration *c);
/* SIGTERM: sessions end in order, then idle is called. */
void account_runs_stop(struct account_runs *r);
void account_runs_free(struct account_runs *r);

#endif
