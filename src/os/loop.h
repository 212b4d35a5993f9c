/*
 * loop.h: one epoll set and one timer heap for a program's single thread.
 *
 * A source is embedded in the object that owns the descriptor; the loop keeps only
 * pointers and calls `ready` with the events. An object may remove itself, or any other,
 * from within `ready`: removed sources are not called again, not even for events that
 * were already fetched in this round (so memory may be freed at the end of the round,
 * loop_defer_free, not before).
 */
#ifndef OS_LOOP_H
#define OS_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

struct source {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT, ... as registered */
	void (*ready)(struct source *s, uint32_t events);
	bool on; /* registered; kept by the loop */
};

struct timer {
	uint64_t at_ms; /* monotonic */
	void (*fire)(struct timer *t, uint64_t now_ms);
	size_t slot; /* place in the heap plus 1, 0: not set; kept by the loop */
};

/* NULL where there is no memory or descriptor. One loop a program. */
struct loop *loop_new(void);
void loop_free(struct loop **l);

/* events 0 keeps the source registered for nothing but EPOLLHUP/EPOLLERR. 0 or -errno. */
[[nodiscard]] int loop_add(struct loop *l, struct source *s, uint32_t events);
[[nodiscard]] int loop_change(struct loop *l, struct source *s, uint32_t events);
/* Before the descriptor is closed. Nothing if it is not registered. */
void loop_remove(struct loop *l, struct source *s);
/*
 * The same without a system call, for a descriptor that is closed in this very round and
 * of which no duplicate exists in any process: closing it takes it out of the epoll set.
 */
void loop_forget(struct loop *l, struct source *s);

/* Sets or moves the timer; it fires once. -ENOMEM. */
[[nodiscard]] int loop_timer_set(struct loop *l, struct timer *t, uint64_t at_ms);
void loop_timer_clear(struct loop *l, struct timer *t);

/* free(p) after this round's events were all delivered. */
void loop_defer_free(struct loop *l, void *p);

/* The time at the start of this round. */
uint64_t loop_now_ms(const struct loop *l);

/* Waits for the next events or timer and delivers them; runs until loop_stop. */
[[nodiscard]] int loop_run(struct loop *l);
/* One round that waits at most max_wait_ms (-1: as long as it takes). 0 or -errno. */
[[nodiscard]] int loop_once(struct loop *l, int max_wait_ms);
void loop_stop(struct loop *l);

#endif
