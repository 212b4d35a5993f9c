/*
 * queue.h: a bounded queue with one lane for each front, served in turn. Pure: the items
 * are embedded in what waits.
 *
 * No lane may hold more than half of the places, so that a front that was taken over
 * cannot shut out the others.
 */
#ifndef AUTH_QUEUE_H
#define AUTH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

struct queue_item {
	struct queue_item *next;
};

struct queue_lane {
	struct queue_item *first, *last;
	size_t n;
	struct queue_lane *next; /* the ring of lanes that hold something */
};

struct queue {
	size_t n, max;
	struct queue_lane
		*served; /* last; its next is in turn. NULL: all lanes are empty */
};

enum [[nodiscard]] queue_put{
	QUEUE_TAKEN, QUEUE_FULL, /* all places are taken */
	QUEUE_LANE_FULL,	 /* this lane has its half */
};

/* max is at least 1. */
void queue_init(struct queue *q, size_t max);
enum queue_put queue_put(
	struct queue *q, struct queue_lane *lane, struct queue_item *item);
/* The first of the lane in turn, or NULL. */
struct queue_item *queue_take(struct queue *q);
/*
 * The first in turn of which `accepts` says yes, where it may not be the turn of the very
 * first; NULL: none. Looks at `look_max` items at most.
 */
struct queue_item *queue_take_if(struct queue *q,
	bool (*accepts)(const struct queue_item *item, void *context), void *context,
	size_t look_max);
/* Takes this one out, which waits in this lane. */
void queue_remove(struct queue *q, struct queue_lane *lane, struct queue_item *item);
/* All of one lane, linked by next, oldest first; NULL where it is empty. */
struct queue_item *queue_take_lane(struct queue *q, struct queue_lane *lane);

#endif
