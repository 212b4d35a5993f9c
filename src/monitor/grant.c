#include "base/check.h"
#include "ipc/permit.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Of one second; those beyond are counted in one line. */
#define REFUSED_LINES_MAX 10

static void
report_grant(struct monitor *m, const struct msg_grant *g, enum log_level level,
	const char *event, const char *why)
{
	struct log_record r;

	log_begin(&r, level, event);
	log_text(&r, "user", g->user);
	log_number(&r, "session", g->session);
	log_number(&r, "uid", g->uid);
	log_number(&r, "gid", g->gid);
	log_text(&r, "maildrop", g->maildrop);
	log_str(&r, "reason", why);
	report(m, &r);
}

static void
refused_second_over(struct timer *t, uint64_t now_ms)
{
	struct monitor *m =
		(struct monitor *)(void *)((char *)t - offsetof(struct monitor, refused));
	struct log_record r;

	(void)now_ms;
	if (m->refused_untold == 0)
		return;
	log_begin(&r, LOG_LEVEL_WARNING, "grants_refused");
	log_number(&r, "more", m->refused_untold);
	report(m, &r);
	m->refused_untold = 0;
}

/* A storm of logins is a few lines, and the number of those that were refused, too. */
static void
report_refused(struct monitor *m, const struct msg_grant *g, const char *why)
{
	if (!m->refused.slot) {
		m->refused.fire = refused_second_over;
		m->refused_told = 0;
		/* Without memory for a timer the next refusal tries again. */
		(void)!loop_timer_set(m->loop, &m->refused, clock_ms() + 1000);
	}
	if (m->refused_told < REFUSED_LINES_MAX || !m->refused.slot) {
		m->refused_told++;
		report_grant(m, g, LOG_LEVEL_WARNING, "grant_refused", why);
		return;
	}
	m->refused_untold++;
}

/*
 * Hundreds of logins may be answered before a front has its next turn. A queue that is
 * full is load, not a fault: the session goes without its answer, which its front does
 * not wait for longer than some seconds; its others go on.
 */
static int
tell_front(
	struct monitor *m, uint32_t front, struct view message, const int *fds, size_t n)
{
	int fd = m->children[front].source.fd;
	int rc = fd < 0 ? -EPIPE : channel_send(fd, message, fds, n);

	if (rc == -EPIPE || rc == -ECONNRESET)
		core_hangup(m->core, front, clock_ms());
	return rc;
}

static void
refuse(struct monitor *m, uint32_t front, uint64_t session, uint8_t code)
{
	uint8_t storage[64];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_session_refused refused = {.session = session, .code = code};

	msg_session_refused_put(&refused, &out);
	CHECK(!out.full);
	/* A front that is gone needs none. */
	(void)tell_front(m, front, buf_view(&out), NULL, 0);
}

/* None of his own: as many as everybody. */
static uint32_t
connections_of(const struct monitor *m, const struct msg_grant *g)
{
	return g->connections > 0 ? g->connections
				  : (uint32_t)m->settings.conf->connections_per_user;
}

static int
send_attach(struct monitor *m, const struct msg_grant *g, const struct core_decision *d,
	int fd)
{
	uint8_t storage[4096];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_attach a = {.session = g->session,
		.rights = g->rights,
		.store = g->store,
		.tls = g->tls,
		.address = g->address,
		.port = g->port,
		.user = g->user,
		.maildrop = d->below,
		.connections = connections_of(m, g),
		.login_delay_s = g->login_delay_s,
		.place = d->place};

	msg_attach_put(&a, &out);
	CHECK(!out.full);
	int keeper = m->children[d->keeper].source.fd;
	/* A queue that is full is load, not a fault: this session is refused, others go
	 * on. */
	return keeper < 0 ? -EPIPE : channel_send(keeper, buf_view(&out), &fd, 1);
}

/* *ret_fd is the front's end. */
static int
give_to_keeper(struct monitor *m, const struct msg_grant *g,
	const struct core_decision *d, int *ret_fd)
{
	int pair[2];

	if (d->start)
		child_start(m, d->keeper);
	if (!core_lives(m->core, d->keeper))
		return -EAGAIN;
	int rc = channel_pair(pair);
	if (rc < 0)
		return rc;
	AUTO_FD for_keeper = pair[0], for_front = pair[1];
	rc = send_attach(m, g, d, for_keeper);
	if (rc == 0)
		*ret_fd = fd_take(&for_front);
	return rc;
}

static int
attach(struct monitor *m, const struct msg_grant *g, const struct core_decision *d)
{
	uint8_t storage[1280];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_session_attached attached = {.session = g->session,
		.expire_days = g->expire_days,
		.login_delay_s = g->login_delay_s,
		.user = g->user};
	AUTO_FD for_front = -1;
	int rc = give_to_keeper(m, g, d, &for_front);

	if (rc < 0) {
		/* A keeper that could not be started has taken its places with it. */
		(void)!core_left(m->core, d->keeper, d->place);
		return rc;
	}
	core_attached(m->core, d->keeper);
	msg_session_attached_put(&attached, &out);
	CHECK(!out.full);
	/* Should this fail, the keeper sees the other end close. */
	return tell_front(m, d->front, buf_view(&out), &for_front, 1);
}

void
grant_received(struct monitor *m, const struct msg_grant *g)
{
	struct core_decision d = core_grant(m->core, g, clock_ms());
	int rc;

	switch (d.verdict) {
	case CORE_GRANT_DEAD:
		stat_add(STAT_GRANTS_DROPPED, 1);
		report_grant(m, g, LOG_LEVEL_INFO, "grant_dropped", d.why);
		return;
	case CORE_GRANT_TWICE:
		stat_add(STAT_GRANTS_DROPPED, 1);
		report_grant(m, g, LOG_LEVEL_WARNING, "grant_dropped", d.why);
		return;
	case CORE_GRANT_REFUSE:
		stat_add(STAT_GRANTS_REFUSED, 1);
		report_refused(m, g, d.why);
		refuse(m, d.front, g->session, d.code);
		return;
	case CORE_GRANT_ATTACH:
		rc = attach(m, g, &d);
		if (rc == 0) {
			stat_add(STAT_GRANTS, 1);
			return;
		}
		stat_add(STAT_GRANTS_REFUSED, 1);
		report_refused(m, g, strerrordesc_np(-rc));
		refuse(m, d.front, g->session, REFUSAL_TEMPORARY);
		return;
	}
	UNREACHABLE();
}
