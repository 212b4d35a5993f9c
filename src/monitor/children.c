#include "base/check.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

#include "front/peers.h"

#define MESSAGES_A_ROUND 64
#define STARVED_TRIES	 4 /* after 1, 2, 4 and 8 ms */

enum program
program_of(uint32_t slot)
{
	if (slot >= CORE_KEEPER)
		return PROGRAM_KEEPER;
	if (core_is_front(slot))
		return PROGRAM_FRONT;
	switch (slot) {
	case CORE_LOG: return PROGRAM_LOG;
	case CORE_CONTROL: return PROGRAM_CONTROL;
	case CORE_AUTH: return PROGRAM_AUTH;
	case CORE_KEYS: return PROGRAM_KEYS;
	case CORE_LMTPD: return PROGRAM_LMTPD;
	default: return PROGRAM_HELPER + core_backend(slot);
	}
}

static void
report_child(struct monitor *m, struct log_record *r, uint32_t slot)
{
	log_str(r, "child", program_names[program_of(slot)]);
	log_number(r, "child_pid", (uint64_t)m->children[slot].pid);
	if (slot >= CORE_KEEPER)
		log_number(r, "uid", m->core->at[slot].uid);
}

void
child_fault(struct monitor *m, uint32_t slot, const char *what)
{
	struct log_record r;
	int32_t pid = m->core->at[slot].pid;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "process_fault");
	report_child(m, &r, slot);
	log_str(&r, "what", what);
	report(m, &r);
	if (pid > 0)
		(void)kill(pid, SIGKILL); /* it may be dead already */
	core_blame(m->core, slot, clock_ms());
}

/*
 * Descriptors in flight count for each user: any process of ours, or of who started us,
 * may have so many that none of these can be sent now. That is no fault of the child: it
 * comes again, later and later.
 */
static void
child_starved(struct monitor *m, uint32_t slot)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, "process_starved");
	report_child(m, &r, slot);
	log_str(&r, "what",
		"too many descriptors of this user are in flight between processes; "
		"started again later (LimitNOFILE=, ulimit -n)");
	report(m, &r);
	if (m->core->at[slot].pid > 0)
		(void)kill(m->core->at[slot].pid, SIGKILL); /* it may be dead already */
	core_starve(m->core, slot, clock_ms());
}

static int
send_patiently(int fd, struct view message, const int *fds, size_t n)
{
	struct timespec wait = {.tv_nsec = 1000 * 1000};
	int rc = channel_send(fd, message, fds, n);

	for (int i = 0; i < STARVED_TRIES && (rc == -ETOOMANYREFS || rc == -EAGAIN);
		i++) {
		(void)nanosleep(&wait, NULL); /* a signal is as good a reason to try */
		wait.tv_nsec *= 2;
		rc = channel_send(fd, message, fds, n);
	}
	return rc;
}

int
child_send(
	struct monitor *m, uint32_t slot, struct view message, const int *fds, size_t n)
{
	struct child *c = &m->children[slot];

	if (c->source.fd < 0 || m->core->at[slot].closing)
		return -EPIPE;
	int rc = send_patiently(c->source.fd, message, fds, n);
	if (rc == -EPIPE || rc == -ECONNRESET)
		core_hangup(m->core, slot, clock_ms());
	else if (rc == -ETOOMANYREFS)
		child_starved(m, slot);
	else if (rc < 0)
		child_fault(m, slot,
			rc == -EAGAIN ? "does not read its channel"
				      : strerrordesc_np(-rc));
	return rc;
}

void
child_close(struct monitor *m, uint32_t slot)
{
	struct child *c = &m->children[slot];

	loop_remove(m->loop, &c->source);
	fd_close(&c->source.fd);
}

static void
child_ready(struct source *s, uint32_t events)
{
	struct child *c = (struct child *)s;
	struct monitor *m = c->m;
	uint32_t slot = (uint32_t)(c - m->children);
	/* Too large for the stack, which is zeroed each time; nobody comes here twice. */
	static struct received r;
	int rc = 0;

	(void)events;
	unsigned asked = channel_pace_begin(&c->pace, MESSAGES_A_ROUND);
	for (unsigned i = 0; i < asked && c->source.fd >= 0; i++) {
		rc = channel_recv(c->source.fd, &r, 0);
		if (rc < 0)
			break;
		if (r.truncated)
			child_fault(m, slot, "sent a message that is too long");
		else
			message_received(m, slot, r.message);
		/* What the core queued, before the next message could queue more. */
		monitor_act(m);
	}
	channel_pace_end(&c->pace, asked, rc == -EAGAIN);
	if (rc < 0 && rc != -EAGAIN)
		core_hangup(m->core, slot, clock_ms());
	monitor_act(m);
}

static struct spawn_plan
plan_of(struct monitor *m, uint32_t slot)
{
	enum program program = program_of(slot);
	struct spawn_plan plan = {.exe = m->programs[program],
		.name = program_names[program],
		.dev_null = m->dev_null};

	plan.bound = m->privileged;
	plan.pam = m->privileged && program == PROGRAM_HELPER;
	return plan;
}

/* The three channels and the process. *ret_fd is the monitor's end. */
static int
make_process(struct monitor *m, uint32_t slot, int32_t *ret_pid, int *ret_fd)
{
	struct child *c = &m->children[slot];
	struct spawn_plan plan = plan_of(m, slot);
	int pair[2] = {-1, -1}, log[2] = {-1, -1};
	int wanted = 1 << 20;
	int rc = channel_pair(pair);

	if (rc < 0)
		return rc;
	AUTO_FD ours = pair[0], theirs = pair[1];
	rc = channel_pair(log);
	if (rc < 0)
		return rc;
	AUTO_FD log_end = log[0], log_theirs = log[1];
	AUTO_FD page = stat_page_new();
	if (page < 0)
		return page;
	/* As much as the system allows: a set-up has many messages. */
	(void)setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
	plan.fds[0] = theirs;
	plan.fds[1] = log_theirs;
	plan.fds[2] = page;
	AUTO_FD who = core_is_front(slot) ? who_table_new(m->front_sessions) : -1;
	if (core_is_front(slot) && who < 0)
		report_text(m, LOG_LEVEL_WARNING,
			"a front has no table of its sessions (%s): restante who does "
			"not show them",
			strerrordesc_np(-who));
	rc = spawn(&plan, ret_pid);
	if (rc < 0)
		return rc;
	c->log_end = fd_take(&log_end);
	c->stat_fd = fd_take(&page);
	c->who_fd = fd_take(&who);
	*ret_fd = fd_take(&ours);
	return 0;
}

void
child_start(struct monitor *m, uint32_t slot)
{
	struct child *c = &m->children[slot];
	struct log_record r;
	int32_t pid = 0;
	int fd = -1;
	int rc = make_process(m, slot, &pid, &fd);

	if (rc < 0) {
		log_begin(&r, LOG_LEVEL_ERROR, "process_not_started");
		log_str(&r, "child", program_names[program_of(slot)]);
		log_error(&r, "reason", rc);
		report(m, &r);
		core_start_failed(m->core, slot, clock_ms());
		return;
	}
	stat_add(STAT_STARTS, 1);
	if (c->was_there && slot < CORE_KEEPER)
		stat_add(STAT_RESTARTS, 1);
	c->was_there = true;
	c->m = m;
	c->pid = pid;
	c->backlog = false;
	c->tls_refused = false;
	c->source = (struct source){.fd = fd, .ready = child_ready};
	core_started(m->core, slot, pid, clock_ms());
	stat_set(STAT_KEEPERS, m->core->keepers);
	rc = loop_add(m->loop, &c->source, EPOLLIN);
	if (rc == 0)
		rc = setup_child(m, slot);
	if (rc < 0 && rc != -EPIPE && rc != -ETOOMANYREFS)
		child_fault(m, slot, "its set-up could not be sent");
	announce_child(m, slot);
}

static enum core_end
end_of(int code, int status)
{
	if (code == CLD_EXITED)
		return status == 0 ? CORE_END_CLEAN : CORE_END_FAULT;
	return status == SIGKILL ? CORE_END_KILLED : CORE_END_FAULT;
}

static void
report_death(struct monitor *m, uint32_t slot, int code, int status)
{
	const struct core_process *p = &m->core->at[slot];
	bool clean = code == CLD_EXITED && status == 0;
	bool asked = p->state == CORE_DRAINING || p->expected ||
		m->core->limits.one_shot || slot >= CORE_KEEPER ||
		m->core->mode >= CORE_MODE_DRAIN;
	const char *failure = code == CLD_EXITED ? spawn_failure(status) : NULL;
	struct log_record r;

	log_begin(&r,
		!clean		? LOG_LEVEL_ERROR
			: asked ? LOG_LEVEL_DEBUG
				: LOG_LEVEL_WARNING,
		"process_ended");
	report_child(m, &r, slot);
	if (code == CLD_EXITED)
		log_number(&r, "status", (uint64_t)status);
	else
		log_str(&r, "signal",
			sigabbrev_np(status) ? sigabbrev_np(status) : "unknown");
	if (failure)
		log_str(&r, "what", failure);
	report(m, &r);
}

void
child_died(struct monitor *m, uint32_t slot, int code, int status)
{
	/* At the start no other log follows, and what is said now is why. */
	if (slot == CORE_LOG && m->core->mode == CORE_MODE_START)
		m->log_up = false;
	report_death(m, slot, code, status);
	child_close(m, slot);
	link_gone(m, slot);
	if (core_is_front(slot)) {
		/* Its connections count no longer; the pages are zero again. */
		(void)fallocate(m->peers[slot - CORE_FRONT],
			FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PEERS_OCTETS);
	}
	announce_gone(m, slot);
	m->children[slot].pid = 0;
	core_died(m->core, slot, end_of(code, status), clock_ms());
	stat_set(STAT_KEEPERS, m->core->keepers);
}
