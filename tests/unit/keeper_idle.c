/*
 * When a keeper says that it may be ended: its main thread as it is, with the test in the
 * place of all other threads, and a store that holds one of them within its last write.
 */
#include "unit.h"

#include "ipc/message.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/mutex.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEADLINE_MS 10000
#define PAST_MS	    1 /* a deadline that is over */

static struct keeper k;
static int monitor; /* the other end of the keeper's channel */
static bool told_while_it_wrote, was_closed;

static void *
watch(void *arg)
{
	(void)arg;
	keeper_watch(&k);
}

/* Without the lock: the main thread looks at all that may be due. When it looks next. */
static uint64_t
looks_next(void)
{
	uint64_t until = clock_ms() + DEADLINE_MS, next = PAST_MS;

	mutex_lock(&k.lock);
	keeper_deadline(&k, PAST_MS);
	while (next <= PAST_MS) {
		mutex_unlock(&k.lock);
		assert_true(clock_ms() < until);
		(void)poll(NULL, 0, 1);
		mutex_lock(&k.lock);
		next = k.main_wakes_ms;
	}
	mutex_unlock(&k.lock);
	return next;
}

static void
expect_idle(uint64_t attached)
{
	static struct received in;
	struct pollfd p = {.fd = monitor, .events = POLLIN};
	struct msg_keeper_idle m;
	struct view payload;

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	assert_int_equal(channel_recv(monitor, &in, 1), 0);
	assert_int_equal(message_number(in.message, &payload), MSG_KEEPER_IDLE);
	assert_true(msg_keeper_idle_get(&m, payload));
	assert_int_equal(m.attached, attached);
}

/* A retired keeper, that has said so. */
static int
keeper_begin(void **state)
{
	int pair[2];
	pthread_t thread;
	(void)state;

	assert_int_equal(channel_pair(pair), 0);
	monitor = fcntl(pair[0], F_DUPFD_CLOEXEC, 20);
	assert_true(monitor >= 0);
	assert_int_equal(dup2(pair[1], FD_MONITOR), FD_MONITOR);
	k.epoll = epoll_create1(EPOLL_CLOEXEC);
	k.watch = epoll_create1(EPOLL_CLOEXEC);
	k.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	mutex_init(&k.lock);
	k.o = (struct keeper_options){.idle_s = 0, .sessions_max = 2};
	assert_int_equal(keeper_pool_start(&k), 0);
	assert_int_equal(pthread_create(&thread, NULL, watch, NULL), 0);
	assert_int_equal(pthread_detach(thread), 0);
	expect_idle(0);
	return 0;
}

static void
flush(struct store *s)
{
	(void)s;
	assert_true(looks_next() == KEEPER_NEVER);
	told_while_it_wrote = k.idle_told;
}

static void
close_store(struct store **s)
{
	*s = NULL;
	was_closed = true;
}

static const struct store_ops ops = {.flush = flush, .close = close_store};

static void
not_while_a_drop_is_freed(void **state)
{
	struct drop *d = calloc(1, sizeof(*d));
	static char store;
	(void)state;

	assert_non_null(d);
	d->ops = &ops;
	d->store = (struct store *)&store; /* only ops look into it */
	d->snapshot = -1;
	d->memory = KEEPER_MEMORY_MAX + 1;
	mutex_lock(&k.lock);
	k.attached++;
	k.idle_told = false;
	k.buckets[0] = k.newest = k.oldest = d;
	k.drops = 1;
	k.memory = d->memory;
	keeper_drops_trim(&k);
	mutex_unlock(&k.lock);
	assert_true(was_closed);
	assert_false(told_while_it_wrote);
	expect_idle(1);
}

/* It looks when the session ends, and not before. */
static void
not_while_there_is_a_session(void **state)
{
	struct session *s = calloc(1, sizeof(*s));
	(void)state;

	assert_non_null(s);
	s->fd = -1;
	s->user = strdup("u");
	assert_non_null(s->user);
	mutex_lock(&k.lock);
	k.attached++;
	k.idle_told = false;
	assert_int_equal(keeper_session_place(&k, s), 0);
	mutex_unlock(&k.lock);
	assert_true(looks_next() == KEEPER_NEVER);
	mutex_lock(&k.lock);
	assert_false(k.idle_told);
	keeper_session_free(&k, s);
	mutex_unlock(&k.lock);
	expect_idle(2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_while_a_drop_is_freed),
		cmocka_unit_test(not_while_there_is_a_session),
	};

	return cmocka_run_group_tests(tests, keeper_begin, NULL);
}
