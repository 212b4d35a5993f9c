/*
 * core_lmtpd.c: the one process that takes mail in. It is there while somebody listens
 * for it; what changes it waits until it has finished what it began, as long as a drain
 * may take, while its listeners hold new connections.
 */
#include "monitor/core_parts.h"

static uint64_t
latest_end(const struct core *c, uint64_t now)
{
	return now + c->limits.drain_timeout_ms + CORE_GRACE_MS;
}

void
core_fit_lmtpd(struct core *c, uint64_t now)
{
	struct core_process *p = &c->at[CORE_LMTPD];

	if (c->mode >= CORE_MODE_DRAIN)
		return;
	if (!c->limits.lmtp) {
		core_drain_one(c, CORE_LMTPD, latest_end(c, now));
	} else if (p->state == CORE_FREE) {
		*p = (struct core_process){.replaces = CORE_NONE};
		core_start(c, CORE_LMTPD, now);
	}
}

void
core_renew_lmtpd(struct core *c, uint64_t now)
{
	struct core_process *p = &c->at[CORE_LMTPD];

	/* One that is to come has the new configuration anyway. */
	if (c->mode >= CORE_MODE_DRAIN || p->pid == 0 ||
		(p->state != CORE_STARTING && p->state != CORE_READY))
		return;
	core_drain_one(c, CORE_LMTPD, latest_end(c, now));
}

void
core_lmtpd_died(struct core *c, enum core_end how, uint64_t now)
{
	struct core_process *p = &c->at[CORE_LMTPD];
	bool asked = p->state == CORE_DRAINING;

	if (c->mode >= CORE_MODE_DRAIN || !c->limits.lmtp) {
		core_set_state(c, CORE_LMTPD, CORE_FREE, UINT64_MAX);
		return;
	}
	p->expected |= asked;
	core_wait_for_restart(c, CORE_LMTPD, how, now);
}

bool
core_may_spool(struct core *c, uint64_t now)
{
	return core_bucket_take(&c->spools, CORE_SPOOLS_BURST, CORE_SPOOLS_PER_S, 0, now);
}
