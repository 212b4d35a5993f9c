#include "base/check.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <string.h>

#define AGAIN_MS 20

static struct view
name_of(uint32_t slot)
{
	const char *name =
		slot < CORE_SLOTS ? program_names[program_of(slot)] : "restanted";

	return (struct view){(const uint8_t *)name, strlen(name)};
}

/* Counted from 0 among the processes of one program. */
static uint32_t
index_of(uint32_t slot)
{
	if (slot >= CORE_SLOTS)
		return 0;
	if (slot >= CORE_KEEPER)
		return slot - CORE_KEEPER;
	if (core_is_helper(slot))
		return core_instance(slot);
	return core_is_front(slot) ? slot - CORE_FRONT : 0;
}

static struct child *
child_of(struct monitor *m, uint32_t slot)
{
	return slot < CORE_SLOTS ? &m->children[slot] : &m->self;
}

static int
send_log_source(struct monitor *m, int fd, int32_t pid, struct view program)
{
	uint8_t storage[128];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_log_source source = {.pid = (uint32_t)pid, .program = program};

	msg_log_source_put(&source, &out);
	CHECK(!out.full);
	return channel_send(m->children[CORE_LOG].source.fd, buf_view(&out), &fd, 1);
}

static int
send_stat_source(struct monitor *m, uint32_t slot, bool gone)
{
	struct child *c = child_of(m, slot);
	uint8_t storage[128];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_stat_source source = {.pid = (uint32_t)c->pid,
		.index = index_of(slot),
		.gone = gone,
		.program = name_of(slot)};
	AUTO_FD page = gone ? -1 : memfd_read_only(c->stat_fd);

	msg_stat_source_put(&source, &out);
	CHECK(!out.full);
	if (!gone && page < 0)
		return page;
	return channel_send(
		m->children[CORE_CONTROL].source.fd, buf_view(&out), &page, !gone);
}

/* The table of sessions that a front writes; control reads it. */
static int
send_who_source(struct monitor *m, uint32_t slot, bool gone)
{
	uint8_t storage[64];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_who_source source = {.index = index_of(slot),
		.front = m->core->at[slot].incarnation,
		.gone = gone};
	AUTO_FD table = gone ? -1 : memfd_read_only(m->children[slot].who_fd);

	msg_who_source_put(&source, &out);
	CHECK(!out.full);
	if (!gone && table < 0)
		return table;
	return channel_send(
		m->children[CORE_CONTROL].source.fd, buf_view(&out), &table, !gone);
}

static bool
announce_who(struct monitor *m, uint32_t slot)
{
	struct child *c = child_of(m, slot);

	if (slot >= CORE_SLOTS || c->who_told || c->who_fd < 0)
		return true;
	c->who_told = send_who_source(m, slot, false) == 0;
	return c->who_told;
}

/* slot CORE_NONE is the monitor itself. False: no room, stop. */
static bool
announce_one(struct monitor *m, uint32_t target, uint32_t slot)
{
	struct child *c = child_of(m, slot);
	bool *told = target == CORE_LOG ? &c->log_told : &c->control_told;

	if (c->pid == 0)
		return true;
	if (target == CORE_CONTROL && !announce_who(m, slot))
		return false;
	if (*told)
		return true;
	int rc = target == CORE_LOG
		? send_log_source(m, c->log_end, c->pid, name_of(slot))
		: send_stat_source(m, slot, false);
	*told = rc == 0;
	return rc == 0;
}

static bool
listens(const struct monitor *m, uint32_t target)
{
	return m->children[target].source.fd >= 0;
}

/*
 * What could not be told is tried again after a while, not when the channel has room: it
 * often has. What lacked is then a descriptor, memory, or too many are in flight.
 */
static void
set_backlog(struct monitor *m, uint32_t target, bool backlog)
{
	m->children[target].backlog = backlog;
	if (!backlog || m->announce.slot > 0)
		return;
	if (loop_timer_set(m->loop, &m->announce, clock_ms() + AGAIN_MS) < 0)
		child_fault(m, target, "no memory to tell it of others");
}

static bool
announce_orphans(struct monitor *m)
{
	while (m->orphans_n > 0) {
		struct orphan *o = &m->orphans[0];
		const char *name = program_names[o->program];
		if (send_log_source(m, o->log_end, o->pid,
			    (struct view){(const uint8_t *)name, strlen(name)}) < 0)
			return false;
		fd_close(&o->log_end);
		m->orphans_n--;
		memmove(m->orphans, m->orphans + 1, m->orphans_n * sizeof(*o));
	}
	return true;
}

void
announce_all(struct monitor *m, uint32_t target)
{
	uint32_t top = CORE_KEEPER + m->core->keeper_top;

	if (!listens(m, target))
		return;
	bool all = target != CORE_LOG || announce_orphans(m);
	all = all && announce_one(m, target, CORE_NONE);
	for (uint32_t s = 0; s < top && all; s++)
		if (core_lives(m->core, s))
			all = announce_one(m, target, s);
	set_backlog(m, target, !all);
}

void
announce_due(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)((char *)t - offsetof(struct monitor, announce));

	(void)now_ms;
	for (uint32_t target = CORE_LOG; target <= CORE_CONTROL; target++)
		if (m->children[target].backlog)
			announce_all(m, target);
	monitor_act(m);
}

static void
forget_all(struct monitor *m, uint32_t target)
{
	for (uint32_t s = 0; s <= CORE_SLOTS; s++) {
		struct child *c = child_of(m, s);
		if (target == CORE_LOG)
			c->log_told = false;
		else
			c->control_told = c->who_told = false;
	}
}

void
announce_child(struct monitor *m, uint32_t slot)
{
	m->children[slot].log_told = m->children[slot].control_told = false;
	m->children[slot].who_told = false;
	for (uint32_t target = CORE_LOG; target <= CORE_CONTROL; target++) {
		if (slot == target) {
			forget_all(m, target);
			announce_all(m, target);
		} else if (listens(m, target) && !m->children[target].backlog) {
			set_backlog(m, target, !announce_one(m, target, slot));
		}
	}
}

void
announce_gone(struct monitor *m, uint32_t slot)
{
	struct child *c = &m->children[slot];

	if (c->control_told && listens(m, CORE_CONTROL) &&
		send_stat_source(m, slot, true) < 0)
		child_fault(m, CORE_CONTROL, "does not read its channel");
	if (c->who_told && listens(m, CORE_CONTROL) && send_who_source(m, slot, true) < 0)
		child_fault(m, CORE_CONTROL, "does not read its channel");
	fd_close(&c->who_fd);
	fd_close(&c->stat_fd);
	if (!c->log_told && c->log_end >= 0 && m->orphans_n < ORPHANS_MAX) {
		m->orphans[m->orphans_n++] =
			(struct orphan){fd_take(&c->log_end), c->pid, program_of(slot)};
		if (listens(m, CORE_LOG))
			set_backlog(m, CORE_LOG, true);
	}
	fd_close(&c->log_end);
	c->log_told = c->control_told = c->who_told = false;
}
