/*
 * restante-control: keeps the counters of all programs, answers the operator and
 * Prometheus, hands reload and drain to the monitor.
 */
#include "base/check.h"
#include "control/client.h"
#include "control/core.h"
#include "ipc/channel.h"
#include "ipc/log.h"
#include "ipc/start.h"
#include "os/fd.h"
#include "os/loop.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>

#define SETUP_FDS_MAX 3
#define PAGE_OCTETS   (sizeof(uint64_t) * STAT_COUNT)

struct control {
	struct loop *loop;
	struct core core;
	struct desk operator, metrics;
	struct tables tables;
	struct source monitor, auth;
	struct received received;
	bool failed;
};

/* Written by programs that may be taken over, made by the monitor: it cannot shrink. */
static int
map_page(int fd, const uint64_t **ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)PAGE_OCTETS)
		return -EINVAL;
	void *map = mmap(NULL, PAGE_OCTETS, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret = map;
	return 0;
}

static void
source_drop(struct core_source *s)
{
	if (!s)
		return;
	/* Cannot fail for what was mapped; and nothing could be done. */
	(void)munmap((void *)(uintptr_t)s->page, PAGE_OCTETS);
	free(s);
}

static int
source_add(struct control *c, const struct msg_stat_source *m, int fd)
{
	struct core_source *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->pid = m->pid;
	s->index = m->index;
	int r = map_page(fd, &s->page);
	if (r < 0) {
		free(s);
		return r;
	}
	/* A number used again before its end was told: the older process has ended. */
	source_drop(core_remove(&c->core, m->pid));
	if (core_add(&c->core, m->program, s) != CORE_ADDED) {
		source_drop(s);
		return -EINVAL;
	}
	return 0;
}

/* ---- the monitor ------------------------------------------------------------------ */

static void
log_fault(const char *event, struct view program, int error)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, event);
	log_text(&r, "program", program);
	log_error(&r, "error", error);
	log_send(&r);
}

/* False, here and below: malformed. */
static bool
got_stat_source(struct control *c, struct view payload, struct received *r)
{
	struct msg_stat_source m;

	if (!msg_stat_source_get(&m, payload))
		return false;
	if (m.gone) {
		source_drop(core_remove(&c->core, m.pid));
		return true;
	}
	int e = r->nfds == 1 ? source_add(c, &m, r->fds[0]) : -EPROTO;
	if (e < 0)
		log_fault("counters_not_taken", m.program, e);
	return true;
}

static bool
got_who_source(struct control *c, struct view payload, struct received *r)
{
	struct msg_who_source m;

	if (!msg_who_source_get(&m, payload) || r->nfds != !m.gone)
		return false;
	if (m.gone) {
		tables_remove(&c->tables, m.front);
		return true;
	}
	int e = tables_add(&c->tables, m.front, received_take(r, 0));
	if (e < 0)
		log_fault("sessions_not_taken", VIEW("restante-front"), e);
	return true;
}

/* ---- auth ------------------------------------------------------------------------- */

static void
auth_close(struct control *c)
{
	if (c->auth.fd < 0)
		return;
	loop_remove(c->loop, &c->auth);
	fd_close(&c->auth.fd);
	desk_auth_gone(&c->operator);
}

static void
auth_message(struct control *c, struct received *r)
{
	struct view payload;
	struct msg_why_answer m;

	if (!r->truncated && message_number(r->message, &payload) == MSG_WHY_ANSWER &&
		msg_why_answer_get(&m, payload) && desk_told(&c->operator, & m))
		return;
	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_fault("bad_message", VIEW("restante-auth"), -EPROTO);
	auth_close(c);
}

static void
auth_ready(struct source *s, uint32_t events)
{
	struct control *c =
		(struct control *)(void *)((char *)s - offsetof(struct control, auth));

	(void)events;
	while (c->auth.fd >= 0) {
		int r = channel_recv(c->auth.fd, &c->received, 0);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			auth_close(c);
			return;
		}
		auth_message(c, &c->received);
		received_done(&c->received);
	}
}

static bool
got_auth_control(struct control *c, struct view payload, struct received *r)
{
	struct msg_auth_control m;

	if (!msg_auth_control_get(&m, payload) || r->nfds != 1)
		return false;
	auth_close(c);
	c->auth = (struct source){.fd = received_take(r, 0), .ready = auth_ready};
	int e = loop_add(c->loop, &c->auth, EPOLLIN);
	if (e < 0) {
		log_fault("channel_not_taken", VIEW("restante-auth"), e);
		fd_close(&c->auth.fd);
	}
	return true;
}

static const struct {
	uint16_t number;
	bool (*got)(struct control *c, struct view payload, struct received *r);
} rows[] = {
	{MSG_STAT_SOURCE, got_stat_source},
	{MSG_WHO_SOURCE, got_who_source},
	{MSG_AUTH_CONTROL, got_auth_control},
};

static void
monitor_message(struct control *c, struct received *r)
{
	struct view payload = {NULL, 0};
	uint16_t number = r->truncated ? 0 : message_number(r->message, &payload);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (number == rows[i].number && rows[i].got(c, payload, r))
			return;
	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_fault("bad_message", VIEW("monitor"), -EPROTO);
}

/* Without the monitor there is nothing to tell and nobody to tell it. */
static void
monitor_ready(struct source *s, uint32_t events)
{
	struct control *c =
		(struct control *)(void *)((char *)s - offsetof(struct control, monitor));

	(void)events;
	for (;;) {
		int r = channel_recv(FD_MONITOR, &c->received, 1);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			c->failed = r != -EPIPE;
			loop_stop(c->loop);
			return;
		}
		monitor_message(c, &c->received);
		received_done(&c->received);
	}
}

/* ---- start ------------------------------------------------------------------------ */

static int
receive_setup(struct control *c, struct msg_control_setup *ret)
{
	struct view payload;
	int r = start_receive(MSG_CONTROL_SETUP, SETUP_FDS_MAX, &c->received, &payload);

	if (r < 0)
		return r;
	bool sound = c->received.nfds >= 2 && msg_control_setup_get(ret, payload);
	return sound ? 0 : -EPROTO;
}

static int
open_desks(struct control *c, const struct msg_control_setup *m)
{
	c->loop = loop_new();
	if (!c->loop)
		return -ENOMEM;
	c->monitor = (struct source){.fd = FD_MONITOR, .ready = monitor_ready};
	c->auth.fd = -1;
	c->operator.tables = & c->tables;
	c->operator.auth = & c->auth.fd;
	int r = loop_add(c->loop, &c->monitor, EPOLLIN);
	if (r < 0)
		return r;

	c->operator.loop = c->metrics.loop = c->loop;
	c->operator.core = c->metrics.core = & c->core;
	c->operator.operator_uid = m->operator_uid;
	c->metrics.metrics = true;
	c->operator.source.fd = c->metrics.source.fd = - 1;
	r = desk_open(&c->operator, received_take(&c->received, 1));
	if (r < 0 || c->received.nfds < SETUP_FDS_MAX)
		return r;
	return desk_open(&c->metrics, received_take(&c->received, 2));
}

static int
fail(const char *what, int error)
{
	start_fail(&start_words, what, error);
	return EX_OSERR;
}

/* 0, or the status to end with. */
static int
enter_cage(struct control *c, const struct msg_control_setup *m)
{
	struct sandbox_plan plan = {
		.profile = SANDBOX_CONTROL,
		.uid = m->uid,
		.gid = m->uid,
		.empty_dir = c->received.fds[0],
		.fsize_max = 0,
		.required = SANDBOX_NO_NEW_PRIVS | SANDBOX_SECCOMP |
			(m->uid ? SANDBOX_USER | SANDBOX_CHROOT : 0),
	};
	uint32_t parts;

	if (start_cage(&plan, &start_words, &parts) < 0)
		return EX_OSERR;
	c->operator.is_in_user_namespace = parts & SANDBOX_USERNS;
	int r = start_ready(parts);
	return r < 0 ? fail("ready", r) : EX_OK;
}

int
main(void)
{
	struct msg_control_setup setup;

	sandbox_first();
	int r = stat_open(FD_STAT);
	if (r < 0)
		return fail("counters", r);
	struct control *c = calloc(1, sizeof(*c));
	if (!c)
		return fail("memory", -ENOMEM);
	r = receive_setup(c, &setup);
	if (r < 0)
		return r == -EPIPE ? EX_OK : fail("set-up", r);
	r = open_desks(c, &setup);
	if (r < 0)
		return fail("sockets", r);
	int status = enter_cage(c, &setup);
	received_done(&c->received);
	if (status != EX_OK)
		return status;
	r = loop_run(c->loop);
	if (r < 0)
		return fail("event loop", r);
	desk_close(&c->operator);
	desk_close(&c->metrics);
	auth_close(c);
	return c->failed ? EX_PROTOCOL : EX_OK;
}
