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
struct to_sync {
	int fd;
	int begun; /* its own: what the beginning of the writing came to */
	int result;
};
/*
 * Each result is that of fsync over EINTR, or an error that came before and of which
 * fsync does not know. From any thread, from several at a time. Without t the caller does
 * all alone.
 */
void together_sync(struct together *t, struct to_sync *files, size_t n);

#endif
