/*
 * mutex.h: a mutex whose use cannot fail but by a mistake of ours, which ends the
 * program.
 */
#ifndef OS_MUTEX_H
#define OS_MUTEX_H

#include "base/check.h"

#include <pthread.h>

static inline void
mutex_init(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_init(m, NULL) == 0);
}

static inline void
mutex_lock(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_lock(m) == 0);
}

static inline void
mutex_unlock(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_unlock(m) == 0);
}

/* Nobody holds it and nobody waits. */
static inline void
mutex_destroy(pthread_mutex_t *m)
{
	CHECK(pthread_mutex_destroy(m) == 0);
}

#endif
