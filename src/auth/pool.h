/*
 * pool.h: threads that compute slow hashes, and nothing else.
 *
 * Everything but a hash runs in the main thread. There is a queue for each lane of
 * defence.h, fair among fronts and bounded (queue.h); the better lane comes first, and of
 * suspects one at a time of a network, on half of the threads at most. The threads run
 * below normal priority. A thread touches only `user.stored`, `secret`, `answer` and
 * `talk` of the attempt that it holds.
 */
#ifndef AUTH_POOL_H
#define AUTH_POOL_H

#include "auth/core.h"

/* After so many of a better lane one of the next is taken: nobody waits for ever. */
#define POOL_TURNS 8

struct pool;

/* Before the cage (it needs an eventfd). NULL where there is no memory or descriptor. */
struct pool *pool_new(size_t threads, size_t queue_max);
/* After it. 0 or -errno. */
[[nodiscard]] int pool_start(struct pool *p);
/* Readable when there is something for pool_take_done. */
int pool_fd(const struct pool *p);
enum queue_put pool_put(
	struct pool *p, enum defence_lane of, struct queue_lane *lane, struct attempt *a);
/* Attempts whose answer is there, linked by item.next. */
struct queue_item *pool_take_done(struct pool *p);
/* What waits in a lane whose front is gone; what is being hashed comes by pool_take_done.
 */
struct queue_item *pool_take_lane(
	struct pool *p, enum defence_lane of, struct queue_lane *lane);
/* Waits for the threads; what is queued is not checked. */
void pool_free(struct pool **p);

#endif
