#include "auth/queue.h"
#include "base/check.h"

void
queue_init(struct queue *q, size_t max)
{
	CHECK(max > 0);
	*q = (struct queue){.max = max};
}

static void
ring_add(struct queue *q, struct queue_lane *lane)
{
	if (!q->served) {
		lane->next = lane;
	} else {
		/* Behind the last served would be in turn at once: a lane waits a round.
		 */
		lane->next = q->served->next;
		q->served->next = lane;
	}
	q->served = lane;
}

static void
ring_remove(struct queue *q, struct queue_lane *lane)
{
	struct queue_lane *before = lane;

	while (before->next != lane)
		before = before->next;
	before->next = lane->next;
	if (q->served == lane)
		q->served = before == lane ? NULL : before;
	lane->next = NULL;
}

enum queue_put
queue_put(struct queue *q, struct queue_lane *lane, struct queue_item *item)
{
	if (q->n == q->max)
		return QUEUE_FULL;
	if (lane->n >= (q->max + 1) / 2)
		return QUEUE_LANE_FULL;
	item->next = NULL;
	if (lane->last) {
		lane->last->next = item;
	} else {
		lane->first = item;
		ring_add(q, lane);
	}
	lane->last = item;
	lane->n++;
	q->n++;
	return QUEUE_TAKEN;
}

/* before NULL: it is the lane's first. */
static void
unlink_item(struct queue *q, struct queue_lane *lane, struct queue_item *before,
	struct queue_item *item)
{
	if (before)
		before->next = item->next;
	else
		lane->first = item->next;
	if (lane->last == item)
		lane->last = before;
	item->next = NULL;
	lane->n--;
	q->n--;
	if (!lane->first)
		ring_remove(q, lane);
}

struct queue_item *
queue_take(struct queue *q)
{
	if (!q->served)
		return NULL;
	struct queue_lane *lane = q->served->next;
	struct queue_item *item = lane->first;
	CHECK(item);
	q->served = lane;
	unlink_item(q, lane, NULL, item);
	return item;
}

struct queue_item *
queue_take_if(struct queue *q,
	bool (*accepts)(const struct queue_item *item, void *context), void *context,
	size_t look_max)
{
	struct queue_lane *end = q->served;

	if (!end)
		return NULL;
	for (struct queue_lane *lane = end->next;; lane = lane->next) {
		struct queue_item *before = NULL;
		for (struct queue_item *i = lane->first; i; before = i, i = i->next) {
			if (look_max-- == 0)
				return NULL;
			if (!accepts(i, context))
				continue;
			q->served = lane;
			unlink_item(q, lane, before, i);
			return i;
		}
		if (lane == end)
			return NULL;
	}
}

void
queue_remove(struct queue *q, struct queue_lane *lane, struct queue_item *item)
{
	struct queue_item *before = NULL;

	for (struct queue_item *i = lane->first; i != item; i = i->next) {
		CHECK(i);
		before = i;
	}
	unlink_item(q, lane, before, item);
}

struct queue_item *
queue_take_lane(struct queue *q, struct queue_lane *lane)
{
	struct queue_item *first = lane->first;

	if (!first)
		return NULL;
	CHECK(q->n >= lane->n);
	q->n -= lane->n;
	lane->first = NULL;
	lane->last = NULL;
	lane->n = 0;
	ring_remove(q, lane);
	return first;
}
