/*
 * collect_tell.h: what deletions came to, as a person or a program is told.
 */
#ifndef FETCH_COLLECT_TELL_H
#define FETCH_COLLECT_TELL_H

#include <stdbool.h>
#include <stdint.h>

struct collect;

/* What the server refused to delete. */
struct undeleted {
	uint32_t n;
	bool unwanted;	/* some were never fetched: a filter wants them deleted */
	char said[160]; /* the server, to the first of a session */
};

/* A session is over: what it deleted is told; what it could not is kept for the end of
 * the run, as the next session tries the same again. */
void collect_tell_deleted(struct collect *c);
/* The run is over, and so is what was kept. */
void collect_tell_undeleted(struct collect *c);

#endif
