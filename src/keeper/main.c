/*
 * restante-keeper: reads and deletes mail, as the owner of that mail. It starts as that
 * owner, gets the root of all its maildrops as a descriptor, and shuts its cage before it
 * reads anything that a stranger wrote.
 */
#include "base/check.h"
#include "ipc/log.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/sandbox.h"
#include "stat/stat.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

[[gnu::noreturn]] static void
give_up(const char *step, int e)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "start_failed");
	log_str(&r, "step", step);
	log_error(&r, "error", e);
	log_send(&r);
	_exit(70);
}

/* The first message; the monitor sent it before it started us. */
static void
read_setup(struct keeper *k, struct received *r)
{
	struct pollfd p = {.fd = FD_MONITOR, .events = POLLIN};
	struct msg_keeper_setup m;
	struct view payload;
	int e;

	while ((e = channel_recv(FD_MONITOR, r, 1)) == -EAGAIN)
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			give_up("poll", -errno);
	if (e == -EPIPE)
		_exit(0);
	if (e < 0)
		give_up("set-up", e);
	if (r->truncated || message_number(r->message, &payload) != MSG_KEEPER_SETUP ||
		r->nfds != 1 || !msg_keeper_setup_get(&m, payload))
		give_up("set-up", -EPROTO);
	uint32_t threads = m.threads;
	if (threads < KEEPER_THREADS_MIN)
		threads = KEEPER_THREADS_MIN;
	if (threads > KEEPER_THREADS_MAX)
		threads = KEEPER_THREADS_MAX;
	k->o = (struct keeper_options){.threads = threads,
		.idle_s = m.idle_s,
		.takeover_s = m.lock_takeover_s,
		.connections_max = m.connections_per_user,
		.delay_s = m.login_delay_s,
		.mark_seen = m.mark_seen};
	k->root = received_take(r, 0);
}

static void
open_own(struct keeper *k)
{
	CHECK(pthread_mutex_init(&k->lock, NULL) == 0);
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	k->watch = epoll_create1(EPOLL_CLOEXEC);
	k->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->epoll < 0 || k->watch < 0 || k->wake < 0)
		give_up("epoll", -errno);
	k->idle_since_ms = clock_ms();
	k->main_wakes_ms = KEEPER_NEVER;
}

static void
tell_ready(uint32_t parts)
{
	uint8_t storage[16];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_ready m = {.cage = parts};

	msg_ready_put(&m, &b);
	(void)!channel_send(FD_MONITOR, buf_view(&b), NULL, 0);
}

int
main(void)
{
	sandbox_first();

	struct keeper *k = calloc(1, sizeof(*k));
	struct received *r = malloc(sizeof(*r));
	const char *step = "";
	uint32_t parts = 0;

	if (!k || !r)
		return 70;
	read_setup(k, r);
	received_done(r);
	free(r);
	int e = stat_open(FD_STAT);
	if (e < 0)
		give_up("counters", e);
	open_own(k);
	/* The owner already; the whole of the file system but the maildrops goes away. */
	struct sandbox_plan plan = {.profile = SANDBOX_KEEPER,
		.empty_dir = -1,
		.landlock_dirs = &k->root,
		.landlock_dirs_n = 1,
		.landlock_write = true,
		.fsize_max = UINT64_MAX};
	e = sandbox_enter(&plan, &parts, &step);
	if (e < 0)
		give_up(step, e);
	e = keeper_pool_start(k);
	if (e < 0)
		give_up("threads", e);
	tell_ready(parts);
	keeper_watch(k);
}
