/*
 * durable_together.h: many files synced at a time, on threads that are kept for the next
 * ones. The threads start when they are first needed.
 */
#ifndef FETCH_DURABLE_TOGETHER_H
#define FETCH_DURABLE_TOGETHER_H

#include <stddef.h>

struct together;

/* -ENOMEM. */
[[nodiscard]] int together_new(struct together **ret);
/* When nobody syncs any more; waits for the threads. */
void together_free(struct together **t);
/*
 * ret[i] is the result of fsync over EINTR of fds[i]. From any thread, from several at a
 * time. Without t the caller does all alone.
 */
void together_sync(struct together *t, const int *fds, size_t n, int *ret);

#endif
