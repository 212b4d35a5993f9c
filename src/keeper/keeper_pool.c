/* Threads that wait together, a queue for each maildrop, and the time. */
#include "base/check.h"
#include "ipc/log.h"
#include "ipc/start.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mutex.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY_MONITOR UINT64_MAX
#define KEY_WAKE    (UINT64_MAX - 1)
#define STACK	    262144

void
keeper_deadline(struct keeper *k, uint64_t at_ms)
{
	uint64_t one = 1;

	if (at_ms >= k->main_wakes_ms)
		return;
	k->main_wakes_ms = at_ms;
	(void)!fd_write_all(k->wake, &one, sizeof(one));
}

/* Without memory for it the session would hang: its front is to see the end. */
static void
cut(const struct session *s, int error)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "session_cut");
	log_str(&r, "user", s->user);
	log_number(&r, "session", s->id);
	log_error(&r, "error", error);
	log_send(&r);
	(void)shutdown(s->fd, SHUT_RDWR);
}

/*
 * The session waits for this; one shot, so that one thread gets it. False: it cannot, and
 * no event would ever come for it.
 */
static bool
arm(struct keeper *k, struct session *s, enum step step)
{
	uint32_t events = step == STEP_READ ? EPOLLIN
		: step == STEP_WRITE	    ? EPOLLOUT
					    : EPOLLRDHUP;
	struct epoll_event e = {.events = events | EPOLLONESHOT,
		.data.u64 = (uint64_t)s->turn << 32 | s->slot};
	int op = s->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	s->due_ms = s->wait_until_ms;
	s->cut_when_due = step == STEP_WRITE;
	if (s->due_ms != 0)
		keeper_deadline(k, s->due_ms);
	if (epoll_ctl(k->epoll, op, s->fd, &e) == 0) {
		s->armed = true;
		return true;
	}
	cut(s, -errno);
	s->due_ms = 0;
	return false;
}

/* The holder is gone: who waits for it looks again. */
static void
queue_waiters(struct keeper *k, struct drop *d)
{
	for (uint32_t i = 0; i < k->slots_used; i++) {
		struct session *s = k->slots[i];
		if (s && s->drop == d && s->state == KEEPER_ATTACHING &&
			s->ask_until_ms > 0)
			keeper_queue(d, s);
	}
}

/* Called and returns with the lock, as below. */
static void
run_session(struct keeper *k, struct session *s, struct received *r)
{
	mutex_unlock(&k->lock);
	enum step step = keeper_step(k, s, r);
	/* Thousands of them are idle. */
	if (step == STEP_READ)
		keeper_out_done(s);
	mutex_lock(&k->lock);
	if (step == STEP_HOLD || (step != STEP_END && arm(k, s, step)))
		return;
	mutex_unlock(&k->lock);
	keeper_session_leave(s);
	mutex_lock(&k->lock);
	/*
	 * Two events may have come for it: one that a thread had before it was due, and
	 * the one by which it was told so. The second finds it run, and queues it.
	 */
	keeper_unqueue(s->drop, s);
	keeper_session_free(k, s);
}

/* What is queued meanwhile makes the next group: the slower the disk, the larger. */
static void
run_group(struct keeper *k, struct drop *d, struct received *r)
{
	struct session *s, *behind;

	mutex_unlock(&k->lock);
	keeper_group_store(d);
	mutex_lock(&k->lock);
	s = d->group;
	d->group = NULL;
	d->group_n = 0;
	for (; s; s = behind) {
		behind = s->behind; /* it may end */
		run_session(k, s, r);
	}
}

void
keeper_run_drop(struct keeper *k, struct drop *d, struct received *r)
{
	bool held = d->current != NULL;
	struct session *s;

	d->busy = true;
	for (;;) {
		if (keeper_group_is_due(d, d->first))
			run_group(k, d, r);
		s = d->first;
		if (!s)
			break;
		d->first = s->next;
		if (!d->first)
			d->last = NULL;
		s->queued = false;
		run_session(k, s, r);
		if (held && !d->current && d->waiters > 0)
			queue_waiters(k, d);
		held = d->current != NULL;
	}
	d->busy = false;
	keeper_drop_measure(k, d);
	keeper_drops_trim(k);
}

static void
session_event(struct keeper *k, uint64_t key, struct received *r)
{
	uint32_t slot = (uint32_t)key;

	CHECK(slot < KEEPER_SESSIONS_MAX);
	struct session *s = k->slots[slot];
	/* It may have ended, and another may sit in its place, since the event was made.
	 */
	if (!s || s->turn != (uint32_t)(key >> 32))
		return;
	keeper_queue(s->drop, s);
	if (!s->drop->busy)
		keeper_run_drop(k, s->drop, r);
}

[[gnu::noreturn]] static void
monitor_is_wrong(const char *what)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "monitor_fault");
	log_str(&r, "what", what);
	log_send(&r);
	_exit(70);
}

static void
watch_monitor(struct keeper *k, int op)
{
	struct epoll_event e = {
		.events = EPOLLIN | EPOLLONESHOT, .data.u64 = KEY_MONITOR};

	if (epoll_ctl(k->epoll, op, FD_MONITOR, &e) < 0)
		monitor_is_wrong("epoll_ctl");
}

/* Nobody comes any more: there is nothing to wait for. */
static void
retire(struct keeper *k, struct received *r, struct view payload)
{
	struct msg_keeper_retire m;

	if (r->truncated || r->nfds != 0 || !msg_keeper_retire_get(&m, payload))
		monitor_is_wrong("malformed KEEPER_RETIRE");
	k->o.idle_s = 0;
	keeper_deadline(k, clock_ms());
	watch_monitor(k, EPOLL_CTL_MOD);
}

/* One message; then another thread may take the next while this one works. */
static void
monitor_event(struct keeper *k, struct received *r)
{
	struct view payload;
	int e = channel_recv(FD_MONITOR, r, 1);

	/* The monitor's end is ours: at once, whatever other threads do. */
	if (e == -EPIPE)
		_exit(0);
	if (e < 0 && e != -EAGAIN)
		monitor_is_wrong("receive");
	if (e < 0) {
		watch_monitor(k, EPOLL_CTL_MOD);
		return;
	}
	uint16_t number = message_number(r->message, &payload);
	if (number == MSG_KEEPER_RETIRE) {
		retire(k, r, payload);
		return;
	}
	/* Without a descriptor it is load (keeper_attach), with others it is a fault. */
	if (number != MSG_ATTACH || (r->truncated ? r->nfds != 0 : r->nfds != 1))
		monitor_is_wrong("unexpected message");
	struct session *s = NULL;
	e = keeper_attach(k, r, payload, &s);
	received_done(r);
	if (e == -EINVAL)
		monitor_is_wrong("malformed ATTACH");
	/* busy keeps the drop ours; who is woken for the next message finds no lock. */
	struct drop *d = s && !s->drop->busy ? s->drop : NULL;
	if (d)
		d->busy = true;
	mutex_unlock(&k->lock);
	watch_monitor(k, EPOLL_CTL_MOD);
	mutex_lock(&k->lock);
	if (d)
		keeper_run_drop(k, d, r);
}

/* Of a thread's own, for all its life. */
static struct received *
room_for_messages(void)
{
	struct received *r = malloc(sizeof(*r));

	if (r)
		return r;
	start_fail(&start_words, "memory for a thread", -ENOMEM);
	_exit(70);
}

static void *
worker(void *arg)
{
	struct keeper *k = arg;
	struct received *r = room_for_messages();
	struct epoll_event e;

	mutex_lock(&k->lock);
	for (;;) {
		k->waiting++;
		k->stuck_since_ms = 0;
		mutex_unlock(&k->lock);
		int n = epoll_wait(k->epoll, &e, 1, -1);
		mutex_lock(&k->lock);
		if (--k->waiting == 0) {
			k->stuck_since_ms = clock_ms();
			keeper_deadline(k, k->stuck_since_ms + KEEPER_STUCK_MS);
		}
		if (n < 1)
			continue;
		if (e.data.u64 == KEY_MONITOR)
			monitor_event(k, r);
		else
			session_event(k, e.data.u64, r);
	}
	return NULL;
}

static int
thread_start(struct keeper *k)
{
	pthread_attr_t attr;
	pthread_t thread;
	int e = pthread_attr_init(&attr);

	if (e != 0)
		return -e;
	(void)pthread_attr_setstacksize(&attr, STACK);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	e = pthread_create(&thread, &attr, worker, k);
	(void)pthread_attr_destroy(&attr);
	if (e == 0)
		k->threads++;
	return -e;
}

int
keeper_pool_start(struct keeper *k)
{
	struct epoll_event monitor = {.events = 0, .data.u64 = KEY_MONITOR};
	struct epoll_event wake = {.events = EPOLLIN, .data.u64 = KEY_WAKE};
	int r = 0;

	if (epoll_ctl(k->watch, EPOLL_CTL_ADD, FD_MONITOR, &monitor) < 0 ||
		epoll_ctl(k->watch, EPOLL_CTL_ADD, k->wake, &wake) < 0)
		return -errno;
	mutex_lock(&k->lock);
	watch_monitor(k, EPOLL_CTL_ADD);
	for (uint32_t i = 0; i < k->o.threads && r == 0; i++)
		r = thread_start(k);
	/* With fewer threads than asked for it still serves. */
	if (k->threads > 0)
		r = 0;
	mutex_unlock(&k->lock);
	return r;
}

/* What a session waited for is due: let a thread look, or cut a front that does not read.
 */
static uint64_t
sessions_due(struct keeper *k, uint64_t now)
{
	uint64_t next = KEEPER_NEVER;

	for (uint32_t i = 0; i < k->slots_used; i++) {
		struct session *s = k->slots[i];
		if (!s || s->due_ms == 0 || s->queued)
			continue;
		if (s->due_ms > now) {
			next = s->due_ms < next ? s->due_ms : next;
			continue;
		}
		s->due_ms = 0;
		struct epoll_event e = {.events = EPOLLOUT | EPOLLONESHOT,
			.data.u64 = (uint64_t)s->turn << 32 | s->slot};
		if (s->cut_when_due)
			(void)shutdown(s->fd, SHUT_RDWR);
		else if (epoll_ctl(k->epoll, EPOLL_CTL_MOD, s->fd, &e) < 0)
			cut(s, -errno);
	}
	return next;
}

static uint64_t
stuck_due(struct keeper *k, uint64_t now)
{
	if (k->waiting > 0 || k->stuck_since_ms == 0)
		return KEEPER_NEVER;
	if (now < k->stuck_since_ms + KEEPER_STUCK_MS)
		return k->stuck_since_ms + KEEPER_STUCK_MS;
	if (k->threads >= k->o.threads + KEEPER_THREADS_MORE || thread_start(k) < 0)
		return KEEPER_NEVER;
	k->stuck_since_ms = now;
	return now + KEEPER_STUCK_MS;
}

/* No session for idle_s: everything is saved, and the monitor may end us. */
static uint64_t
idle_due(struct keeper *k, uint64_t now, struct received *r)
{
	uint64_t idle_ms = UINT64_C(1000) * k->o.idle_s;
	uint8_t storage[32];
	struct buf b = buf_over(storage, sizeof(storage));

	/* The end of the last of them calls keeper_idle_look. */
	if (k->sessions > 0 || k->freeing > 0)
		return KEEPER_NEVER;
	if (k->idle_told)
		return KEEPER_NEVER;
	if (now < k->idle_since_ms + idle_ms)
		return k->idle_since_ms + idle_ms;
	uint64_t attached = k->attached;
	keeper_drops_flush(k, r);
	if (k->sessions > 0 || k->freeing > 0)
		return KEEPER_NEVER;
	/* Who came and went meanwhile may have left something to save. */
	if (k->attached != attached)
		return now;
	struct msg_keeper_idle m = {.attached = k->attached};
	msg_keeper_idle_put(&m, &b);
	k->idle_told = channel_send(FD_MONITOR, buf_view(&b), NULL, 0) == 0;
	return k->idle_told ? KEEPER_NEVER : now + 1000;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void
keeper_watch(struct keeper *k)
{
	struct received *r = room_for_messages();
	struct epoll_event e;
	uint64_t woken;

	for (;;) {
		mutex_lock(&k->lock);
		uint64_t now = clock_ms();
		k->main_wakes_ms = 0; /* no wake while we look */
		uint64_t next = idle_due(k, now, r);
		next = least(next, keeper_left_tell(k, now));
		next = least(next, sessions_due(k, now));
		next = least(next, stuck_due(k, now));
		k->main_wakes_ms = next;
		mutex_unlock(&k->lock);
		int wait = next == KEEPER_NEVER ? -1
			: next <= now		? 0
						: (int)least(next - now, 3600000);
		int n = epoll_wait(k->watch, &e, 1, wait);
		if (n == 1 && e.data.u64 == KEY_MONITOR)
			_exit(0);
		if (n == 1)
			(void)!read(k->wake, &woken, sizeof(woken));
	}
}
