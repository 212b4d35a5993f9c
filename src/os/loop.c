#include "os/loop.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define EVENTS_A_ROUND 128

struct loop {
	int epoll;
	bool stop;
	uint64_t now_ms;
	/* What epoll gave in this round; an entry whose source was removed is NULL. */
	struct epoll_event got[EVENTS_A_ROUND];
	int got_n;
	/* A binary heap by at_ms; timer->slot - 1 is its index. */
	struct timer **heap;
	size_t heap_n, heap_cap;
	void **dead;
	size_t dead_n, dead_cap;
};

struct loop *
loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0) {
		free(l);
		return NULL;
	}
	l->now_ms = clock_ms();
	return l;
}

static void
free_the_dead(struct loop *l)
{
	for (size_t i = 0; i < l->dead_n; i++)
		free(l->dead[i]);
	l->dead_n = 0;
}

void
loop_free(struct loop **l)
{
	if (!*l)
		return;
	free_the_dead(*l);
	fd_close(&(*l)->epoll);
	free((*l)->heap);
	free((*l)->dead);
	free(*l);
	*l = NULL;
}

/* ---- sources ------------------------------------------------------------------ */

static int
control(struct loop *l, int op, struct source *s, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	return epoll_ctl(l->epoll, op, s->fd, &e) < 0 ? -errno : 0;
}

int
loop_add(struct loop *l, struct source *s, uint32_t events)
{
	CHECK(!s->on);
	CHECK(s->ready);
	int err = control(l, EPOLL_CTL_ADD, s, events);
	if (err < 0)
		return err;
	s->events = events;
	s->on = true;
	return 0;
}

int
loop_change(struct loop *l, struct source *s, uint32_t events)
{
	int err;

	CHECK(s->on);
	if (s->events == events)
		return 0;
	if ((s->events | events) & EPOLLEXCLUSIVE) {
		/* The kernel refuses to modify to or from an exclusive entry. */
		err = control(l, EPOLL_CTL_DEL, s, 0);
		if (err == 0)
			err = control(l, EPOLL_CTL_ADD, s, events);
	} else {
		err = control(l, EPOLL_CTL_MOD, s, events);
	}
	if (err == 0)
		s->events = events;
	return err;
}

void
loop_remove(struct loop *l, struct source *s)
{
	if (!s->on)
		return;
	(void)control(l, EPOLL_CTL_DEL, s, 0);
	loop_forget(l, s);
}

void
loop_forget(struct loop *l, struct source *s)
{
	s->on = false;
	for (int i = 0; i < l->got_n; i++)
		if (l->got[i].data.ptr == s)
			l->got[i].data.ptr = NULL;
}

/* ---- timers -------------------------------------------------------------------- */

static void
heap_put(struct loop *l, size_t idx, struct timer *t)
{
	l->heap[idx] = t;
	t->slot = idx + 1;
}

static void
heap_up(struct loop *l, size_t idx)
{
	struct timer *t = l->heap[idx];

	while (idx > 0) {
		size_t above = (idx - 1) / 2;
		if (l->heap[above]->at_ms <= t->at_ms)
			break;
		heap_put(l, idx, l->heap[above]);
		idx = above;
	}
	heap_put(l, idx, t);
}

static void
heap_down(struct loop *l, size_t idx)
{
	struct timer *t = l->heap[idx];

	for (;;) {
		size_t below = 2 * idx + 1;
		if (below >= l->heap_n)
			break;
		if (below + 1 < l->heap_n &&
			l->heap[below + 1]->at_ms < l->heap[below]->at_ms)
			below++;
		if (t->at_ms <= l->heap[below]->at_ms)
			break;
		heap_put(l, idx, l->heap[below]);
		idx = below;
	}
	heap_put(l, idx, t);
}

int
loop_timer_set(struct loop *l, struct timer *t, uint64_t at_ms)
{
	if (t->slot) {
		size_t idx = t->slot - 1;
		CHECK(l->heap[idx] == t);
		t->at_ms = at_ms;
		heap_up(l, idx);
		heap_down(l, t->slot - 1);
		return 0;
	}
	CHECK(t->fire);
	if (l->heap_n == l->heap_cap) {
		size_t cap = l->heap_cap ? 2 * l->heap_cap : 64;
		struct timer **grown = reallocarray(l->heap, cap, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->heap = grown;
		l->heap_cap = cap;
	}
	t->at_ms = at_ms;
	l->heap[l->heap_n++] = t;
	heap_up(l, l->heap_n - 1);
	return 0;
}

void
loop_timer_clear(struct loop *l, struct timer *t)
{
	if (!t->slot)
		return;
	size_t idx = t->slot - 1;
	CHECK(idx < l->heap_n);
	CHECK(l->heap[idx] == t);
	t->slot = 0;
	struct timer *last = l->heap[--l->heap_n];
	if (last == t)
		return;
	heap_put(l, idx, last);
	heap_up(l, idx);
	heap_down(l, last->slot - 1);
}

/* A timer that sets itself to a moment that has passed waits for the next round. */
static void
fire_timers(struct loop *l)
{
	for (size_t n = l->heap_n; n > 0 && l->heap_n > 0; n--) {
		struct timer *t = l->heap[0];
		if (t->at_ms > l->now_ms)
			return;
		loop_timer_clear(l, t);
		t->fire(t, l->now_ms);
	}
}

/* ---- rounds -------------------------------------------------------------------- */

void
loop_defer_free(struct loop *l, void *p)
{
	if (!p)
		return;
	if (l->dead_n == l->dead_cap) {
		size_t cap = l->dead_cap ? 2 * l->dead_cap : 64;
		void **grown = reallocarray(l->dead, cap, sizeof(*grown));
		if (!grown)
			return; /* lost memory is better than memory used after its end */
		l->dead = grown;
		l->dead_cap = cap;
	}
	l->dead[l->dead_n++] = p;
}

uint64_t
loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

static int
wait_ms(const struct loop *l, int max_wait_ms)
{
	if (l->heap_n == 0)
		return max_wait_ms;
	uint64_t now = clock_ms(), at = l->heap[0]->at_ms;
	uint64_t wait = at > now ? at - now : 0;
	if (wait > INT32_MAX)
		wait = INT32_MAX;
	return max_wait_ms >= 0 && (uint64_t)max_wait_ms < wait ? max_wait_ms : (int)wait;
}

static void
deliver(struct loop *l)
{
	for (int i = 0; i < l->got_n; i++) {
		struct source *s = l->got[i].data.ptr;
		if (!s)
			continue;
		/* It may have been changed since; what it no longer asks for is not told.
		 */
		uint32_t events = l->got[i].events & (s->events | EPOLLERR | EPOLLHUP);
		l->got[i].data.ptr = NULL;
		if (events)
			s->ready(s, events);
	}
	l->got_n = 0;
}

int
loop_once(struct loop *l, int max_wait_ms)
{
	int n = epoll_wait(l->epoll, l->got, EVENTS_A_ROUND, wait_ms(l, max_wait_ms));

	if (n < 0 && errno != EINTR)
		return -errno;
	l->now_ms = clock_ms();
	l->got_n = n < 0 ? 0 : n;
	deliver(l);
	fire_timers(l);
	free_the_dead(l);
	return 0;
}

int
loop_run(struct loop *l)
{
	int err = 0;

	while (!l->stop && err == 0)
		err = loop_once(l, -1);
	l->stop = false;
	return err;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}
