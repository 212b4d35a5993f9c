/*
 * collect_gain.h: what a session has come to, for the run; and which messages have failed
 * in this run, for its next sessions.
 */
#ifndef FETCH_COLLECT_GAIN_H
#define FETCH_COLLECT_GAIN_H

#include <stddef.h>
#include <stdint.h>

struct collect;
struct schedule_gain;

struct failed_list {
	struct failed {
		uint8_t *uid;
		size_t n;
		uint8_t times;
	} * at;
	size_t n, cap;
};

/* What is put aside is told where it was not yet. */
void collect_gain(struct collect *c, struct schedule_gain *ret);
/* Once the state has the marks of the session. */
void collect_remember_failed(struct collect *c);
/* Into what is known, when that was loaded. */
void collect_recall_failed(struct collect *c);
/* Another run begins, or none. */
void collect_forget_failed(struct collect *c);

#endif
