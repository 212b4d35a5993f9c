#include "fetch/work.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREADS_MAX 64
#define STACK	    (512 * 1024)

struct work {
	struct loop *loop;
	struct source wake;
	pthread_mutex_t lock;
	pthread_cond_t more;
	pthread_t threads[THREADS_MAX];
	uint32_t threads_n;
	bool stop;
	struct work_lane *ready, *ready_last; /* lanes that have a job and no thread */
	struct work_job *done, *done_last;
};

static void
lane_ready(struct work *w, struct work_lane *lane)
{
	lane->next = NULL;
	if (w->ready_last)
		w->ready_last->next = lane;
	else
		w->ready = lane;
	w->ready_last = lane;
	CHECK(pthread_cond_signal(&w->more) == 0);
}

static struct work_job *
take(struct work *w)
{
	struct work_lane *lane;
	struct work_job *j;

	while (!w->ready && !w->stop)
		CHECK(pthread_cond_wait(&w->more, &w->lock) == 0);
	if (w->stop)
		return NULL;
	lane = w->ready;
	w->ready = lane->next;
	if (!w->ready)
		w->ready_last = NULL;
	j = lane->first;
	lane->first = j->next;
	if (!lane->first)
		lane->last = NULL;
	lane->busy = true;
	return j;
}

static void
wake_loop(struct work *w)
{
	uint64_t one = 1;
	ssize_t n;

	do
		n = write(w->wake.fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	CHECK(n == (ssize_t)sizeof(one));
}

static void
give_back(struct work *w, struct work_job *j)
{
	struct work_lane *lane = j->lane;
	bool first = w->done == NULL;

	lane->busy = false;
	if (lane->first)
		lane_ready(w, lane);
	j->next = NULL;
	if (w->done_last)
		w->done_last->next = j;
	else
		w->done = j;
	w->done_last = j;
	if (first)
		wake_loop(w);
}

static void *
worker(void *arg)
{
	struct work *w = arg;
	struct work_job *j;

	mutex_lock(&w->lock);
	while ((j = take(w))) {
		mutex_unlock(&w->lock);
		j->run(j);
		mutex_lock(&w->lock);
		give_back(w, j);
	}
	mutex_unlock(&w->lock);
	return NULL;
}

static void
woken(struct source *s, uint32_t events)
{
	struct work *w = (struct work *)((char *)s - offsetof(struct work, wake));
	uint64_t count;
	struct work_job *j, *next;

	(void)events;
	(void)!read(s->fd, &count, sizeof(count));
	mutex_lock(&w->lock);
	j = w->done;
	w->done = w->done_last = NULL;
	mutex_unlock(&w->lock);
	for (; j; j = next) {
		next = j->next;
		j->done(j);
	}
}

static int
thread_start(struct work *w)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int e = pthread_attr_init(&attr);

	if (e)
		return -e;
	(void)pthread_attr_setstacksize(&attr, STACK);
	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	e = pthread_create(&w->threads[w->threads_n], &attr, worker, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attr);
	if (!e)
		w->threads_n++;
	return -e;
}

int
work_start(struct loop *l, uint32_t threads, struct work **ret)
{
	struct work *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->loop = l;
	w->wake =
		(struct source){eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), 0, woken, false};
	mutex_init(&w->lock);
	CHECK(pthread_cond_init(&w->more, NULL) == 0);
	r = w->wake.fd < 0 ? -errno : loop_add(l, &w->wake, EPOLLIN);
	while (r == 0 && w->threads_n < threads && w->threads_n < THREADS_MAX)
		r = thread_start(w);
	if (w->threads_n == 0) {
		work_end(&w);
		return r ? r : -EINVAL;
	}
	*ret = w;
	return 0;
}

void
work_end(struct work **wp)
{
	struct work *w = *wp;

	if (!w)
		return;
	mutex_lock(&w->lock);
	w->stop = true;
	CHECK(pthread_cond_broadcast(&w->more) == 0);
	mutex_unlock(&w->lock);
	for (uint32_t i = 0; i < w->threads_n; i++)
		CHECK(pthread_join(w->threads[i], NULL) == 0);
	if (w->wake.fd >= 0)
		loop_remove(w->loop, &w->wake);
	fd_close(&w->wake.fd);
	pthread_cond_destroy(&w->more);
	mutex_destroy(&w->lock);
	free(w);
	*wp = NULL;
}

void
work_submit(struct work *w, struct work_lane *lane, struct work_job *j)
{
	bool first;

	j->next = NULL;
	j->lane = lane;
	mutex_lock(&w->lock);
	first = !lane->first && !lane->busy;
	if (lane->last)
		lane->last->next = j;
	else
		lane->first = j;
	lane->last = j;
	if (first)
		lane_ready(w, lane);
	mutex_unlock(&w->lock);
}
