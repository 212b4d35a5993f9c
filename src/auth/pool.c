#include "auth/pool.h"
#include "base/check.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 64
/* libargon2 and crypt keep little on it; the default of 8 MiB would be reserved for each.
 */
#define STACK_OCTETS ((size_t)1024 * 1024)

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue queue;
	struct queue_item *done;
	bool stop;
	int event;
	size_t threads_n, running;
	pthread_t threads[THREADS_MAX];
	struct scheme_work *work[THREADS_MAX];
};

struct pool *
pool_new(size_t threads, size_t queue_max)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->threads_n = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
	queue_init(&p->queue, queue_max < 1 ? 1 : queue_max);
	p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bool ok = p->event >= 0;
	for (size_t i = 0; i < p->threads_n; i++) {
		p->work[i] = scheme_work_new();
		ok = ok && p->work[i];
	}
	/* With default attributes these two cannot fail in glibc. */
	CHECK(pthread_mutex_init(&p->lock, NULL) == 0);
	CHECK(pthread_cond_init(&p->wake, NULL) == 0);
	if (!ok)
		pool_free(&p);
	return p;
}

static void
lock(struct pool *p)
{
	CHECK(pthread_mutex_lock(&p->lock) == 0);
}

static void
unlock(struct pool *p)
{
	CHECK(pthread_mutex_unlock(&p->lock) == 0);
}

/* The next attempt, or NULL when the pool ends. */
static struct attempt *
wait_for_attempt(struct pool *p)
{
	struct queue_item *item = NULL;

	lock(p);
	while (!p->stop && !(item = queue_take(&p->queue)))
		CHECK(pthread_cond_wait(&p->wake, &p->lock) == 0);
	unlock(p);
	return (struct attempt *)item;
}

static void
hand_back(struct pool *p, struct attempt *a)
{
	uint64_t one = 1;

	lock(p);
	a->item.next = p->done;
	p->done = &a->item;
	unlock(p);
	/* Fails only where the counter is full, and then the main thread is woken anyway.
	 */
	ssize_t written = write(p->event, &one, sizeof(one));
	(void)written;
}

static struct scheme_work *
take_work(struct pool *p)
{
	struct scheme_work *w = NULL;

	lock(p);
	for (size_t i = 0; i < p->threads_n && !w; i++) {
		w = p->work[i];
		p->work[i] = NULL;
	}
	unlock(p);
	return w;
}

static void *
thread_main(void *arg)
{
	struct pool *p = arg;
	struct scheme_work *w = take_work(p);
	struct attempt *a;

	CHECK(w);
	while ((a = wait_for_attempt(p))) {
		a->answer = scheme_verify(&a->user.stored, a->password, w);
		hand_back(p, a);
	}
	scheme_work_free(&w);
	return NULL;
}

int
pool_start(struct pool *p)
{
	pthread_attr_t attr;
	int r = pthread_attr_init(&attr);

	if (r == 0)
		r = pthread_attr_setstacksize(&attr, STACK_OCTETS);
	while (r == 0 && p->running < p->threads_n) {
		r = pthread_create(&p->threads[p->running], &attr, thread_main, p);
		if (r == 0)
			p->running++;
	}
	(void)pthread_attr_destroy(&attr);
	return -r;
}

int
pool_fd(const struct pool *p)
{
	return p->event;
}

enum queue_put
pool_put(struct pool *p, struct queue_lane *lane, struct attempt *a)
{
	lock(p);
	enum queue_put put = queue_put(&p->queue, lane, &a->item);
	unlock(p);
	if (put == QUEUE_TAKEN)
		CHECK(pthread_cond_signal(&p->wake) == 0);
	return put;
}

struct queue_item *
pool_take_done(struct pool *p)
{
	uint64_t count;

	ssize_t n = read(p->event, &count, sizeof(count));
	(void)n; /* -EAGAIN: somebody took all already */
	lock(p);
	struct queue_item *done = p->done;
	p->done = NULL;
	unlock(p);
	return done;
}

struct queue_item *
pool_take_lane(struct pool *p, struct queue_lane *lane)
{
	lock(p);
	struct queue_item *items = queue_take_lane(&p->queue, lane);
	unlock(p);
	return items;
}

void
pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	lock(p);
	p->stop = true;
	unlock(p);
	CHECK(pthread_cond_broadcast(&p->wake) == 0);
	for (size_t i = 0; i < p->running; i++)
		CHECK(pthread_join(p->threads[i], NULL) == 0);
	for (size_t i = 0; i < p->threads_n; i++)
		scheme_work_free(&p->work[i]);
	if (p->event >= 0)
		(void)close(p->event);
	(void)pthread_cond_destroy(&p->wake);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}
