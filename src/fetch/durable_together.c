/*
 * Many files synced at once. A sync ends with a flush of the disk's cache, and flushes
 * that are asked for at the same time are one: so many threads, so many fewer flushes.
 * Writing is begun for all of them first, so that the disk has all of it at hand and no
 * sync waits for the writing of its own file alone.
 */
#include "fetch/durable.h"

#include "base/check.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define THREADS_MAX 16
#define FILES_EACH  3 /* fewer are not worth a thread */
#define STACK	    (64 * 1024)

struct together {
	const int *fds;
	int *ret;
	size_t n;
	atomic_size_t begun, next;
};

static void *
sync_some(void *arg)
{
	struct together *t = arg;
	size_t i;

	/* A hint: what it fails at the sync is told of. */
	while ((i = atomic_fetch_add(&t->begun, 1)) < t->n)
		(void)!sync_file_range(t->fds[i], 0, 0, SYNC_FILE_RANGE_WRITE);
	while ((i = atomic_fetch_add(&t->next, 1)) < t->n)
		t->ret[i] = durable_sync(t->fds[i]);
	return NULL;
}

/* How many were started: without any the caller does all. */
static size_t
start(struct together *t, pthread_t *threads, size_t n)
{
	pthread_attr_t attr;
	sigset_t all, before;
	size_t started = 0;

	if (pthread_attr_init(&attr) != 0)
		return 0;
	(void)pthread_attr_setstacksize(&attr, STACK);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (started < n && pthread_create(&threads[started], &attr, sync_some, t) == 0)
		started++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	return started;
}

void
durable_sync_together(const int *fds, size_t n, int *ret)
{
	struct together t = {.fds = fds, .ret = ret, .n = n};
	pthread_t threads[THREADS_MAX];
	size_t helpers = n / FILES_EACH;

	if (helpers > THREADS_MAX)
		helpers = THREADS_MAX;
	helpers = helpers > 0 ? start(&t, threads, helpers) : 0;
	sync_some(&t);
	for (size_t i = 0; i < helpers; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}
