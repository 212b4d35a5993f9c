#include "auth/pool.h"
#include "base/check.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define THREADS_MAX 64
/* Whoever hashes stands back for who serves mail. */
#define NICE 10
/* libargon2 and crypt keep little on it; the default of 8 MiB would be reserved for each.
 */
#define STACK_OCTETS ((size_t)1024 * 1024)

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct queue queues[DEFENCE_LANES];
	unsigned turns[DEFENCE_LANES];	       /* taken of it while a worse one waited */
	struct attempt *suspects[THREADS_MAX]; /* being hashed; NULL: free */
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
	for (size_t i = 0; i < DEFENCE_LANES; i++) {
		/* The worse a lane, the shorter: half as long each time. */
		size_t max = queue_max >> i;
		queue_init(&p->queues[i], max < 1 ? 1 : max);
	}
	p->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bool ok = p->event >= 0;
	for (size_t i = 0; i < p->threads_n; i++) {
		p->work[i] = scheme_work_new();
		ok = ok && p->work[i];
	}
	/* With default attributes these two cannot fail in glibc. */
	mutex_init(&p->lock);
	CHECK(pthread_cond_init(&p->wake, NULL) == 0);
	if (!ok)
		pool_free(&p);
	return p;
}

static bool
same_network(const uint8_t a[16], const uint8_t b[16])
{
	static const uint8_t v4_mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	bool v4 = memcmp(a, v4_mapped, sizeof(v4_mapped)) == 0;

	return memcmp(a, b, v4 ? 16 : 8) == 0;
}

static bool
network_is_free(const struct queue_item *item, void *context)
{
	const struct pool *p = context;
	const struct attempt *a = (const struct attempt *)item;

	for (size_t i = 0; i < p->threads_n; i++)
		if (p->suspects[i] && same_network(p->suspects[i]->address, a->address))
			return false;
	return true;
}

/* Guesses never have more than half of the threads, nor of the processors. */
static bool
suspects_have_half(const struct pool *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->threads_n; i++)
		n += p->suspects[i] != NULL;
	return n > 0 && 2 * n >= p->threads_n;
}

static struct queue_item *
take_suspect(struct pool *p)
{
	struct queue *q = &p->queues[DEFENCE_SUSPECT];
	struct queue_item *item = suspects_have_half(p)
		? NULL
		: queue_take_if(q, network_is_free, p, q->max);

	for (size_t i = 0; item && i < p->threads_n; i++)
		if (!p->suspects[i]) {
			p->suspects[i] = (struct attempt *)item;
			break;
		}
	return item;
}

static struct queue_item *
take_of(struct pool *p, size_t lane)
{
	return lane == DEFENCE_SUSPECT ? take_suspect(p) : queue_take(&p->queues[lane]);
}

/* The best lane first; but a worse one that waits gets a turn after some. */
static struct queue_item *
take_next(struct pool *p)
{
	struct queue_item *item;

	for (size_t i = 0; i + 1 < DEFENCE_LANES; i++) {
		if (p->turns[i] < POOL_TURNS)
			continue;
		p->turns[i] = 0;
		for (size_t worse = i + 1; worse < DEFENCE_LANES; worse++)
			if ((item = take_of(p, worse)))
				return item;
	}
	for (size_t i = 0; i < DEFENCE_LANES; i++) {
		bool others = false;
		if (!(item = take_of(p, i)))
			continue;
		for (size_t worse = i + 1; worse < DEFENCE_LANES; worse++)
			others = others || p->queues[worse].n > 0;
		p->turns[i] = others ? p->turns[i] + 1 : 0;
		return item;
	}
	return NULL;
}

/* The next attempt, or NULL when the pool ends. */
static struct attempt *
wait_for_attempt(struct pool *p)
{
	struct queue_item *item = NULL;

	mutex_lock(&p->lock);
	while (!p->stop && !(item = take_next(p)))
		CHECK(pthread_cond_wait(&p->wake, &p->lock) == 0);
	mutex_unlock(&p->lock);
	return (struct attempt *)item;
}

static void
hand_back(struct pool *p, struct attempt *a)
{
	uint64_t one = 1;

	mutex_lock(&p->lock);
	for (size_t i = 0; i < p->threads_n; i++)
		if (p->suspects[i] == a) {
			p->suspects[i] = NULL;
			/* Another of its network may go on now. */
			CHECK(pthread_cond_signal(&p->wake) == 0);
		}
	a->item.next = p->done;
	p->done = &a->item;
	mutex_unlock(&p->lock);
	/* Fails only where the counter is full, and then the main thread is woken anyway.
	 */
	(void)!fd_write_all(p->event, &one, sizeof(one));
}

static struct scheme_work *
take_work(struct pool *p)
{
	struct scheme_work *w = NULL;

	mutex_lock(&p->lock);
	for (size_t i = 0; i < p->threads_n && !w; i++) {
		w = p->work[i];
		p->work[i] = NULL;
	}
	mutex_unlock(&p->lock);
	return w;
}

static void *
thread_main(void *arg)
{
	struct pool *p = arg;
	struct scheme_work *w = take_work(p);
	struct attempt *a;

	CHECK(w);
	/* 0 is the calling thread, on Linux. Refused, it is as before: no more than fair.
	 */
	(void)setpriority(PRIO_PROCESS, 0, NICE);
	while ((a = wait_for_attempt(p))) {
		if (a->derives)
			sasl_derive(a->talk);
		else
			a->answer = scheme_verify(&a->user.stored, a->secret, w);
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
pool_put(struct pool *p, enum defence_lane of, struct queue_lane *lane, struct attempt *a)
{
	mutex_lock(&p->lock);
	enum queue_put put = queue_put(&p->queues[of], lane, &a->item);
	mutex_unlock(&p->lock);
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
	mutex_lock(&p->lock);
	struct queue_item *done = p->done;
	p->done = NULL;
	mutex_unlock(&p->lock);
	return done;
}

struct queue_item *
pool_take_lane(struct pool *p, enum defence_lane of, struct queue_lane *lane)
{
	mutex_lock(&p->lock);
	struct queue_item *items = queue_take_lane(&p->queues[of], lane);
	mutex_unlock(&p->lock);
	return items;
}

void
pool_free(struct pool **pp)
{
	struct pool *p = *pp;

	*pp = NULL;
	if (!p)
		return;
	mutex_lock(&p->lock);
	p->stop = true;
	mutex_unlock(&p->lock);
	CHECK(pthread_cond_broadcast(&p->wake) == 0);
	for (size_t i = 0; i < p->running; i++)
		CHECK(pthread_join(p->threads[i], NULL) == 0);
	for (size_t i = 0; i < p->threads_n; i++)
		scheme_work_free(&p->work[i]);
	if (p->event >= 0)
		(void)close(p->event);
	(void)pthread_cond_destroy(&p->wake);
	mutex_destroy(&p->lock);
	free(p);
}
