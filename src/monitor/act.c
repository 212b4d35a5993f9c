/* act.c: what the core has decided is performed. */
#include "base/check.h"
#include "monitor/monitor.h"
#include "os/clock.h"

#include <signal.h>

static void
tell_fronts_full(struct monitor *m, uint32_t class, bool full)
{
	uint8_t storage[16];
	struct buf out = buf_over(storage, sizeof(storage));
	struct msg_fronts_full all = {.full = full};

	msg_fronts_full_put(&all, &out);
	for (uint32_t s = CORE_FRONT; s < CORE_KEEPER; s++)
		if (core_lives(m->core, s) && core_class(m->core, s) == class)
			(void)child_send(m, s, buf_view(&out), NULL, 0);
}

static void
drain(struct monitor *m, uint32_t slot)
{
	uint8_t storage[16];
	struct buf out = buf_over(storage, sizeof(storage));
	uint64_t now = clock_ms();
	/* A front that is renewed has all the time that its sessions take; a mail server
	 * comes again. */
	struct msg_front_drain order = {.deadline_s = 7 * 86400};

	if (slot == CORE_LMTPD)
		order.deadline_s = (uint32_t)(m->core->limits.drain_timeout_ms / 1000);
	if (m->core->mode == CORE_MODE_DRAIN && m->core->deadline_ms > now)
		order.deadline_s = (uint32_t)((m->core->deadline_ms - now + 999) / 1000);
	else if (m->core->mode == CORE_MODE_DRAIN)
		order.deadline_s = 0;
	msg_front_drain_put(&order, &out);
	(void)child_send(
		m, slot, buf_view(&out), NULL, 0); /* one that is gone is drained */
}

static uint32_t
fronts_wanted(const struct core *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < CORE_CLASSES; i++)
		n += c->limits.fronts[i];
	return n;
}

static void
report_serving(struct monitor *m)
{
	char names[1024], text[128];
	struct buf b = buf_over(names, sizeof(names));
	struct log_record r;

	for (size_t i = 0; i < m->sockets_n; i++) {
		listen_name(&m->sockets[i], text, sizeof(text));
		buf_put_str(&b, i > 0 ? " " : "");
		buf_put_str(&b, m->sockets[i].name);
		buf_put_str(&b, "=");
		buf_put_str(&b, text);
	}
	log_begin(&r, LOG_LEVEL_INFO, "serving");
	log_text(&r, "listeners", buf_view(&b));
	log_number(&r, "fronts", fronts_wanted(m->core));
	report(m, &r);
}

static void
finish(struct monitor *m, const struct core_action *a)
{
	if (a->slot != CORE_NONE)
		report_text(m, LOG_LEVEL_ERROR,
			"%s did not get ready, so restanted ends; what failed stands "
			"above",
			program_names[program_of(a->slot)]);
	m->status = (int)a->value;
	m->finished = true;
	loop_stop(m->loop);
}

static void
perform(struct monitor *m, const struct core_action *a)
{
	switch (a->act) {
	case CORE_ACT_START: child_start(m, a->slot); break;
	case CORE_ACT_DRAIN: drain(m, a->slot); break;
	case CORE_ACT_CLOSE: child_close(m, a->slot); break;
	case CORE_ACT_KILL:
		if (core_lives(m->core, a->slot))
			(void)kill(
				m->core->at[a->slot].pid, SIGKILL); /* dead is as good */
		break;
	case CORE_ACT_FRONTS_FULL: tell_fronts_full(m, a->slot, a->value != 0); break;
	case CORE_ACT_SERVING:
		m->serving = true;
		report_serving(m);
		notify_send(m, "READY=1\nSTATUS=serving");
		break;
	case CORE_ACT_FINISH: finish(m, a); break;
	}
}

static void
perform_all(struct monitor *m)
{
	struct core_action a;

	while (!m->finished && core_take(m->core, &a))
		perform(m, &a);
}

void
monitor_act(struct monitor *m)
{
	certificates_settle(m);
	perform_all(m);
	if (m->reload_waits && m->serving) {
		m->reload_waits = false;
		monitor_reload(m);
		perform_all(m);
	}
	if (m->finished)
		return;
	uint64_t next = core_deadline(m->core);
	if (certificates_deadline(m) < next)
		next = certificates_deadline(m);
	if (next == UINT64_MAX)
		loop_timer_clear(m->loop, &m->tick);
	else if (loop_timer_set(m->loop, &m->tick, next) < 0)
		report_text(m, LOG_LEVEL_ERROR, "no memory for a timer");
}

void
monitor_drain(struct monitor *m)
{
	if (m->core->mode == CORE_MODE_SERVE) {
		report_text(m, LOG_LEVEL_INFO, "draining: no new connections");
		notify_send(m, "STOPPING=1\nSTATUS=draining");
		listen_close(m);
	}
	core_drain(m->core, clock_ms());
}
