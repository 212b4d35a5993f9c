/*
 * Many files synced at once. A sync ends with a flush of the disk's cache, and flushes
 * that are asked for at the same time are one: so many threads, so many fewer flushes.
 * Writing is begun for all of them first, so that the disk has all of it at hand and no
 * sync waits for the writing of its own file alone.
 */
#include "fetch/durable_together.h"

#include "base/check.h"
#include "fetch/durable.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define THREADS_MAX 16
#define FILES_EACH  3 /* fewer are not worth a thread */
#define STACK	    (64 * 1024)

/* The files of one caller, on its stack. */
struct heap {
	struct to_sync *files;
	size_t n;
	atomic_size_t begun, next;
	/* Under the lock: */
	size_t wanted; /* helpers that may come yet */
	size_t inside; /* helpers that are at it */
	pthread_cond_t left;
	struct heap *after;
};

struct together {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct heap *heaps; /* that want helpers */
	pthread_t threads[THREADS_MAX];
	size_t threads_n;
	bool stop;
};

static void
sync_some(struct heap *h)
{
	size_t i;

	/* The sync of a file may run beside its beginning, on another thread. */
	while ((i = atomic_fetch_add(&h->begun, 1)) < h->n)
		h->files[i].begun = fd_sync_range(h->files[i].fd, SYNC_FILE_RANGE_WRITE);
	while ((i = atomic_fetch_add(&h->next, 1)) < h->n)
		h->files[i].result = durable_sync(h->files[i].fd);
}

static void
withdraw(struct together *t, struct heap *h)
{
	struct heap **at = &t->heaps;

	while (*at && *at != h)
		at = &(*at)->after;
	if (*at)
		*at = h->after;
}

static void *
helper(void *arg)
{
	struct together *t = arg;

	mutex_lock(&t->lock);
	while (!t->stop) {
		struct heap *h = t->heaps;

		if (!h) {
			CHECK(pthread_cond_wait(&t->more, &t->lock) == 0);
			continue;
		}
		h->inside++;
		if (--h->wanted == 0)
			withdraw(t, h);
		mutex_unlock(&t->lock);
		sync_some(h);
		mutex_lock(&t->lock);
		if (--h->inside == 0)
			CHECK(pthread_cond_signal(&h->left) == 0);
	}
	mutex_unlock(&t->lock);
	return NULL;
}

/* Up to n threads; without any the caller does all. */
static void
start(struct together *t, size_t n)
{
	pthread_attr_t attr;
	sigset_t all, before;

	if (t->threads_n >= n || pthread_attr_init(&attr) != 0)
		return;
	(void)pthread_attr_setstacksize(&attr, STACK);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (t->threads_n < n &&
		pthread_create(&t->threads[t->threads_n], &attr, helper, t) == 0)
		t->threads_n++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
}

int
together_new(struct together **ret)
{
	struct together *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	mutex_init(&t->lock);
	CHECK(pthread_cond_init(&t->more, NULL) == 0);
	*ret = t;
	return 0;
}

void
together_free(struct together **tp)
{
	struct together *t = *tp;

	if (!t)
		return;
	mutex_lock(&t->lock);
	CHECK(!t->heaps);
	t->stop = true;
	CHECK(pthread_cond_broadcast(&t->more) == 0);
	mutex_unlock(&t->lock);
	for (size_t i = 0; i < t->threads_n; i++)
		CHECK(pthread_join(t->threads[i], NULL) == 0);
	pthread_cond_destroy(&t->more);
	mutex_destroy(&t->lock);
	free(t);
	*tp = NULL;
}

static void
offer(struct together *t, struct heap *h, size_t helpers)
{
	mutex_lock(&t->lock);
	start(t, helpers);
	h->wanted = helpers < t->threads_n ? helpers : t->threads_n;
	if (h->wanted > 0) {
		h->after = t->heaps;
		t->heaps = h;
	}
	for (size_t i = 0; i < h->wanted; i++)
		CHECK(pthread_cond_signal(&t->more) == 0);
	mutex_unlock(&t->lock);
}

static void
sync_with_helpers(struct together *t, struct heap *h, size_t helpers)
{
	CHECK(pthread_cond_init(&h->left, NULL) == 0);
	offer(t, h, helpers);
	sync_some(h);
	mutex_lock(&t->lock);
	withdraw(t, h);
	while (h->inside > 0)
		CHECK(pthread_cond_wait(&h->left, &t->lock) == 0);
	mutex_unlock(&t->lock);
	pthread_cond_destroy(&h->left);
}

void
together_sync(struct together *t, struct to_sync *files, size_t n)
{
	struct heap h = {.files = files, .n = n};
	size_t helpers = t ? n / FILES_EACH : 0;

	if (helpers > THREADS_MAX)
		helpers = THREADS_MAX;
	if (helpers == 0)
		sync_some(&h);
	else
		sync_with_helpers(t, &h, helpers);
	for (size_t i = 0; i < n; i++)
		if (files[i].result == 0)
			files[i].result = files[i].begun;
}
