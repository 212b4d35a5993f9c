#include "unit.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A source that counts, and does to others what it is told. */
struct probe {
	struct source source;
	struct loop *loop;
	int peer;
	unsigned int calls;
	uint32_t events; /* of the last call */
	struct probe *victim;
	bool frees, drains, stops;
};

static void
probe_ready(struct source *s, uint32_t events)
{
	struct probe *p = (struct probe *)((char *)s - offsetof(struct probe, source));
	char octet;

	p->calls++;
	p->events = events;
	if (p->drains)
		(void)!read(s->fd, &octet, 1);
	if (p->victim) {
		loop_remove(p->loop, &p->victim->source);
		if (p->frees)
			loop_defer_free(p->loop, p->victim);
		p->victim = NULL;
	}
	if (p->stops)
		loop_stop(p->loop);
}

static struct probe *
probe_new(struct loop *l)
{
	int pair[2];
	struct probe *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->source = (struct source){.fd = pair[0], .ready = probe_ready};
	p->peer = pair[1];
	p->loop = l;
	return p;
}

static void
probe_close(struct probe *p)
{
	loop_remove(p->loop, &p->source);
	fd_close(&p->source.fd);
	fd_close(&p->peer);
}

static void poke(const struct probe *p);

/* Forgotten within a round, closed at once: not called, and its number can be used again.
 */
static void
forgotten_is_gone(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *p = probe_new(l), *next;

	assert_int_equal(loop_add(l, &p->source, EPOLLIN), 0);
	poke(p);
	int fd = p->source.fd;
	loop_forget(l, &p->source);
	fd_close(&p->source.fd);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(p->calls, 0);
	next = probe_new(l);
	assert_int_equal(next->source.fd, fd);
	assert_int_equal(loop_add(l, &next->source, EPOLLIN), 0);
	poke(next);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(next->calls, 1);
	probe_close(p);
	probe_close(next);
	free(p);
	free(next);
	loop_free(&l);
}

static void
poke(const struct probe *p)
{
	assert_int_equal(write(p->peer, "x", 1), 1);
}

static void
events_come_as_asked(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *p = probe_new(l);

	assert_int_equal(loop_add(l, &p->source, EPOLLIN), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(p->calls, 0);
	poke(p);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(p->events, EPOLLIN);
	assert_int_equal(loop_change(l, &p->source, EPOLLOUT), 0);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(p->events, EPOLLOUT);
	/* For nothing: only the hang-up is told. */
	assert_int_equal(loop_change(l, &p->source, 0), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(p->calls, 2);
	fd_close(&p->peer);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(p->events, EPOLLHUP);
	probe_close(p);
	loop_remove(l, &p->source);
	free(p);
	loop_free(&l);
	assert_null(l);
	loop_free(&l);
}

/* Both are ready in one round; whichever comes first removes and frees the other. */
static void
removal_within_a_round(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *a = probe_new(l), *b = probe_new(l);
	int fds[] = {a->source.fd, a->peer, b->source.fd, b->peer};

	assert_int_equal(loop_add(l, &a->source, EPOLLIN), 0);
	assert_int_equal(loop_add(l, &b->source, EPOLLIN), 0);
	a->victim = b;
	b->victim = a;
	poke(a), poke(b);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(a->calls + b->calls, 1);
	struct probe *left = a->calls ? a : b, *gone = a->calls ? b : a;
	assert_true(left->source.on);
	assert_false(gone->source.on);
	/* And once more, with its memory. */
	assert_int_equal(loop_add(l, &gone->source, EPOLLIN), 0);
	left->victim = gone;
	left->frees = true;
	gone->victim = NULL;
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(left->calls, 2);
	loop_remove(l, &left->source);
	free(left);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fd_close(&fds[i]);
	loop_free(&l);
}

static void
removes_itself(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *p = probe_new(l);
	int fds[] = {p->source.fd, p->peer};

	assert_int_equal(loop_add(l, &p->source, EPOLLIN), 0);
	p->victim = p;
	p->frees = true;
	poke(p);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(loop_once(l, 0), 0);
	fd_close(&fds[0]), fd_close(&fds[1]);
	loop_free(&l);
}

static void
many_sources_are_all_served(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *all[300];
	unsigned int rounds = 0, calls = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		all[i] = probe_new(l);
		all[i]->drains = true;
		assert_int_equal(loop_add(l, &all[i]->source, EPOLLIN), 0);
		poke(all[i]);
	}
	for (; rounds < 10 && calls < ARRAY_SIZE(all); rounds++) {
		assert_int_equal(loop_once(l, 0), 0);
		calls = 0;
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			calls += all[i]->calls;
	}
	assert_int_equal(calls, ARRAY_SIZE(all));
	assert_true(rounds > 1);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		probe_close(all[i]);
		free(all[i]);
	}
	loop_free(&l);
}

static void
exclusive_listeners_pause_and_go_on(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *p = probe_new(l);

	assert_int_equal(loop_add(l, &p->source, EPOLLIN | EPOLLEXCLUSIVE), 0);
	poke(p);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(p->events, EPOLLIN);
	assert_int_equal(loop_change(l, &p->source, 0), 0);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(loop_change(l, &p->source, EPOLLIN | EPOLLEXCLUSIVE), 0);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(p->calls, 2);
	probe_close(p);
	free(p);
	loop_free(&l);
}

static void
what_epoll_cannot_watch_is_refused(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct source s = {.fd = -1, .ready = probe_ready};

	assert_int_equal(loop_add(l, &s, EPOLLIN), -EBADF);
	assert_false(s.on);
	loop_remove(l, &s);
	loop_free(&l);
}

/* ---- timers --------------------------------------------------------------------------
 */

struct alarm {
	struct timer timer;
	struct loop *loop;
	unsigned int calls;
	uint64_t order; /* place among those that fired */
	bool again;
};
static uint64_t fired;

static void
alarm_fire(struct timer *t, uint64_t now_ms)
{
	struct alarm *a = (struct alarm *)((char *)t - offsetof(struct alarm, timer));

	assert_true(now_ms >= t->at_ms);
	assert_int_equal(t->slot, 0);
	a->calls++;
	a->order = ++fired;
	if (a->again)
		assert_int_equal(loop_timer_set(a->loop, t, 0), 0);
}

static void
timers_fire_in_order(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct alarm a[500];
	uint64_t now = loop_now_ms(l);

	memset(a, 0, sizeof(a));
	fired = 0;
	/* All in the past, in a scrambled order; every third is moved, every fifth
	 * cleared. */
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		a[i].timer.fire = alarm_fire;
		uint64_t at = now - 1000 + i * 7919 % 1000;
		assert_int_equal(loop_timer_set(l, &a[i].timer, at), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(a); i += 3)
		assert_int_equal(
			loop_timer_set(l, &a[i].timer, now - 1000 + i * 31 % 1000), 0);
	for (size_t i = 0; i < ARRAY_SIZE(a); i += 5)
		loop_timer_clear(l, &a[i].timer);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(fired, 400);
	for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
		assert_int_equal(a[i].calls, i % 5 ? 1 : 0);
		for (size_t k = 0; k < i && i % 5; k++)
			if (k % 5 && a[i].timer.at_ms < a[k].timer.at_ms)
				assert_true(a[i].order < a[k].order);
	}
	loop_free(&l);
}

static void
a_timer_that_sets_itself_does_not_spin(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct alarm a = {.timer = {.fire = alarm_fire}, .loop = l, .again = true};

	assert_int_equal(loop_timer_set(l, &a.timer, 0), 0);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(loop_once(l, -1), 0);
	assert_int_equal(a.calls, 2);
	loop_timer_clear(l, &a.timer);
	loop_timer_clear(l, &a.timer);
	assert_int_equal(loop_once(l, 0), 0);
	assert_int_equal(a.calls, 2);
	loop_free(&l);
}

static void
waits_for_the_next_timer(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct alarm a = {.timer = {.fire = alarm_fire}},
		     far = {.timer = {.fire = alarm_fire}};
	uint64_t start = clock_ms();

	assert_int_equal(loop_timer_set(l, &far.timer, UINT64_MAX), 0);
	assert_int_equal(loop_timer_set(l, &a.timer, start + 20), 0);
	while (a.calls == 0)
		assert_int_equal(loop_once(l, -1), 0);
	assert_true(clock_ms() >= start + 20);
	assert_int_equal(far.calls, 0);
	loop_free(&l);
}

static void
runs_until_stopped(void **state)
{
	(void)state;
	struct loop *l = loop_new();
	struct probe *p = probe_new(l);

	p->drains = p->stops = true;
	assert_int_equal(loop_add(l, &p->source, EPOLLIN), 0);
	poke(p);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(p->calls, 1);
	poke(p);
	assert_int_equal(loop_run(l), 0);
	assert_int_equal(p->calls, 2);
	/* Stopped before it runs: does not wait. */
	loop_stop(l);
	assert_int_equal(loop_run(l), 0);
	probe_close(p);
	free(p);
	loop_free(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_as_asked),
		cmocka_unit_test(removal_within_a_round),
		cmocka_unit_test(removes_itself),
		cmocka_unit_test(forgotten_is_gone),
		cmocka_unit_test(many_sources_are_all_served),
		cmocka_unit_test(exclusive_listeners_pause_and_go_on),
		cmocka_unit_test(what_epoll_cannot_watch_is_refused),
		cmocka_unit_test(timers_fire_in_order),
		cmocka_unit_test(a_timer_that_sets_itself_does_not_spin),
		cmocka_unit_test(waits_for_the_next_timer),
		cmocka_unit_test(runs_until_stopped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
