/*
 * account_run_parts.h: an account on its way through a run, among account_run.c (its
 * life), account_secret.c (what it logs in with) and account_runs.c (all of them).
 */
#ifndef FETCH_ACCOUNT_RUN_PARTS_H
#define FETCH_ACCOUNT_RUN_PARTS_H

#include "fetch/account_run.h"

enum account_phase { PHASE_IDLE, PHASE_OPEN, PHASE_SECRET, PHASE_SESSION, PHASE_CLOSE };

struct account_run {
	struct collect collect; /* first: collect_finished finds us by it */
	struct account_runs *all;
	struct configuration *configuration; /* in which its settings lie */
	struct account_run *next;	     /* that waits to run, or that retired */
	struct schedule schedule;
	struct session_outcome outcome; /* of the last session */
	struct schedule_gain gain;
	struct work_job job;
	struct timer poll;
	enum account_phase phase;
	bool waits;   /* for others to end, as `parallel` says */
	bool retired; /* another reading of the configuration took its place */
	bool begun;   /* it was polled since the program was started */
	bool won, refresh_secret;
	uint64_t interval_ms; /* as it was before this poll */
	int result;
	bool no_file; /* it is for a file that its settings name */
	char why[LETTER_WHY_MAX], warning[LETTER_WHY_MAX];
};

/* Its poll begins now. */
void account_run_start(struct account_run *a);
/* What its next session logs in with, into `collect`; result, why and warning of `a` say
 * how it went. Blocking. */
void account_run_secret(struct account_run *a);
/* Sets the timer to when the state says; nothing where that is never. */
void account_run_poll_later(struct account_run *a, uint64_t next_s);
void account_run_free(struct account_run *a);
/* Where it is new under a name that is not: what is there comes again. */
void account_run_tell_former(struct account_run *a);
/* Told when its poll has ended; it may free it at the end of this round. */
void account_runs_over(struct account_run *a);

#endif
