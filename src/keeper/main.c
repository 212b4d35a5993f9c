/*
 * restante-keeper: reads and deletes mail, as the owner of that mail. It is told who that
 * is and gets the root of all its maildrops as a descriptor, becomes the owner and shuts
 * its cage before it reads anything that a stranger wrote.
 */
#include "base/check.h"
#include "base/cursor.h"
#include "ipc/start.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mutex.h"
#include "stat/stat.h"
#include "store/deposit_write.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct start_words words = {.event = "start_failed", .key = "step"};

[[gnu::noreturn]] static void
give_up(const char *step, int e)
{
	start_fail(&words, step, e);
	_exit(70);
}

static char *
copy_of(struct view v)
{
	char *p = malloc(v.n + 1);

	if (!p)
		give_up("set-up", -ENOMEM);
	if (v.n > 0)
		memcpy(p, v.p, v.n);
	p[v.n] = '\0';
	return p;
}

/* What all stores share, for the life of the process. */
static void
take_store_options(struct store_options *o, const struct msg_keeper_setup *m)
{
	char host[DEPOSIT_HOST_MAX];

	deposit_hostname(m->hostname, host);
	*o = (struct store_options){
		.hostname = copy_of((struct view){(const uint8_t *)host, strlen(host)}),
		.folders = {(const uint8_t *)copy_of(m->folders), m->folders.n},
		.mbox_unquote = m->mbox_unquote,
		.mbox_lengths = m->mbox_lengths,
		.mbox_rename = m->mbox_rename,
	};
}

struct owner {
	uid_t uid;
	gid_t gid, groups[16];
	size_t groups_n;
};

static void
take_owner(struct owner *o, const struct msg_keeper_setup *m)
{
	struct cursor c = cursor_over(m->groups);

	*o = (struct owner){.uid = m->uid, .gid = m->gid};
	while (c.n > 0 && o->groups_n < sizeof(o->groups) / sizeof(o->groups[0]))
		o->groups[o->groups_n++] = cursor_u32(&c);
	if (c.n > 0 || c.bad)
		give_up("set-up", -EPROTO);
}

/* The first message; the monitor sent it before it started us. */
static void
read_setup(struct keeper *k, struct received *r, struct owner *owner)
{
	struct msg_keeper_setup m;
	struct view payload;
	int e = start_receive(MSG_KEEPER_SETUP, 1, r, &payload);

	if (e == -EPIPE)
		_exit(0);
	if (e == 0 && (r->nfds != 1 || !msg_keeper_setup_get(&m, payload)))
		e = -EPROTO;
	if (e < 0)
		give_up("set-up", e);
	uint32_t threads = m.threads;
	if (threads < KEEPER_THREADS_MIN)
		threads = KEEPER_THREADS_MIN;
	if (threads > KEEPER_THREADS_MAX)
		threads = KEEPER_THREADS_MAX;
	k->o = (struct keeper_options){.threads = threads,
		.idle_s = m.idle_s,
		.sessions_max = m.sessions_max < 1 || m.sessions_max > KEEPER_SESSIONS_MAX
			? KEEPER_SESSIONS_MAX
			: m.sessions_max,
		.takeover_s = m.lock_takeover_s,
		.mark_seen = m.mark_seen,
		.utf8_downgrade = m.utf8_downgrade};
	take_store_options(&k->o.store, &m);
	k->root = received_take(r, 0);
	take_owner(owner, &m);
}

static void
open_own(struct keeper *k)
{
	mutex_init(&k->lock);
	k->epoll = epoll_create1(EPOLL_CLOEXEC);
	k->watch = epoll_create1(EPOLL_CLOEXEC);
	k->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (k->epoll < 0 || k->watch < 0 || k->wake < 0)
		give_up("epoll", -errno);
	k->idle_since_ms = clock_ms();
	k->main_wakes_ms = KEEPER_NEVER;
}

int
main(void)
{
	sandbox_first();
	/* Threads that wait for disks need no arena each, of which each keeps its own. */
	(void)mallopt(M_ARENA_MAX, 1);

	struct keeper *k = calloc(1, sizeof(*k));
	struct received *r = malloc(sizeof(*r));
	struct owner owner;
	uint32_t parts = 0;

	if (!k || !r)
		return 70;
	read_setup(k, r, &owner);
	received_done(r);
	free(r);
	int e = stat_open(FD_STAT);
	if (e < 0)
		give_up("counters", e);
	open_own(k);
	/* Becomes the owner; the whole of the file system but the maildrops goes away. */
	struct sandbox_plan plan = {.profile = SANDBOX_KEEPER,
		.uid = owner.uid,
		.gid = owner.gid,
		.groups = owner.groups,
		.groups_n = owner.groups_n,
		.empty_dir = -1,
		.landlock_dirs = &k->root,
		.landlock_dirs_n = 1,
		.landlock_write = true,
		.fsize_max = UINT64_MAX};
	if (start_cage(&plan, &words, &parts) < 0)
		_exit(70);
	e = keeper_pool_start(k);
	if (e < 0)
		give_up("threads", e);
	/* Should this fail, the monitor is gone, and so are we soon. */
	(void)!start_ready(parts);
	keeper_watch(k);
}
