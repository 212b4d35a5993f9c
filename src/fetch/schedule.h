/*
 * schedule.h: what follows a session: another one at once, later, or the end; and with
 * which exit status. Pure.
 */
#ifndef FETCH_SCHEDULE_H
#define FETCH_SCHEDULE_H

#include "fetch/session_action.h"

/* What a run has seen of one account so far. */
struct schedule {
	uint32_t sessions; /* in this run */
	uint32_t cuts;	   /* broken connections in a row without anything won */
	uint32_t quarantined, temporary;
	int status;   /* the worst exit status */
	bool renews;  /* each session gets another secret (token_command) */
	bool let_in;  /* one of the sessions was logged in */
	bool renewed; /* a refused one was said again with another secret */
};

enum schedule_next { SCHEDULE_AGAIN, SCHEDULE_DONE };

/* What a session won: messages committed, tries; left: for the next run. */
struct schedule_gain {
	uint32_t committed, tried, quarantined, temporary, left;
	bool logged_in;
};

/* After each session of a run. */
enum schedule_next schedule_after(struct schedule *s, const struct session_outcome *o,
	const struct schedule_gain *g);
/* sysexits of an outcome: 0, 66 no such file, 69 unreachable, 75 temporary, 76 protocol,
 * 77 refused. */
int schedule_status(const struct session_outcome *o);
/* Of two exit statuses the one that matters more to who runs the program. */
int schedule_worse(int a, int b);

/*
 * Daemon: the unix time of the next poll, and in r->interval_ms what was learnt. `won`:
 * something new was there. random: any number. 0: never again (the login was refused for
 * good: somebody must look at it).
 */
uint64_t schedule_poll(const struct fetch_account *a, struct remembered *r,
	const struct session_outcome *o, bool won, uint64_t now_s, uint64_t random);
/* How often in a row it went wrong, and how; after each session, before schedule_poll. */
void schedule_count(struct remembered *r, const struct session_outcome *o);
/* The unix time before which the server wants no login (LOGIN-DELAY); 0: it said
 * nothing. */
uint64_t schedule_not_before(const struct remembered *r, uint64_t now_s);
/* Seconds until next_s. */
uint64_t schedule_wait_s(const struct fetch_account *a, uint64_t next_s, uint64_t now_s);
/* What is gone since before that unix time is forgotten; 0: nothing is. */
uint64_t schedule_forget_before(const struct fetch_account *a, uint64_t now_s);

#endif
