/* Bad luck, by the seed: kills, losses of power, disks that fail or fill, stalls. */
#include "sim_actor.h"
#include "sim_program.h"

#include <signal.h>

static const char *const names[] = {"restante-front", "restante-auth", "restante-keeper",
	"restante-keeper", "restante-lmtpd", "restante-log", "restante-control",
	"restanted"};

#define NAMES (sizeof(names) / sizeof(names[0]))

static struct proc *
anyone(void)
{
	return k_find(names[k_below(NAMES)], (uint32_t)k_below(8));
}

static void
disk_recovers(void *arg)
{
	(void)arg;
	k_world.disk_full = false;
	k_world.disk_eio = 0;
}

static void
kill_now(struct proc *p)
{
	k_trace("%s %d is killed", p->name, p->pid);
	k_world.kills++;
	k_kill(p, SIGKILL);
}

static void
kill_later(struct proc *p, bool power)
{
	p->kill_at_call = p->calls + 1 + k_below(k_chance(500) ? 20 : 300);
	p->power_fails_at_call = power;
}

static void
stall(struct proc *p)
{
	p->stalled_until_ns =
		k_world.now_ns + k_below(k_chance(100) ? 40 * K_S : 2 * K_S);
	k_trace("%s %d stalls", p->name, p->pid);
}

static void
drain(struct proc *p)
{
	while (p->parent)
		p = p->parent;
	p->terminated = true;
	for (int i = 0; i < K_FDS; i++)
		if (p->fds[i] && p->fds[i]->kind == FILE_SIGNAL)
			k_notify(p->fds[i]);
	k_trace("restanted is to drain");
}

static void
strike(void *arg)
{
	uint64_t mean = *(const uint64_t *)arg, what = k_below(100);
	struct proc *p = anyone();

	if (k_world.calm)
		return;
	k_world.harmed = true;
	k_after(1 + k_below(2 * mean), strike, arg);
	if (what < 25 && p) {
		kill_now(p);
	} else if (what < 55 && p) {
		kill_later(p, false);
	} else if (what < 60) {
		k_power_fail();
	} else if (what < 68 && p) {
		kill_later(p, true);
	} else if (what < 78) {
		k_world.disk_full = true;
		k_trace("the disk is full");
		k_after(k_below(8 * K_S), disk_recovers, NULL);
	} else if (what < 86) {
		k_world.disk_eio = 1 + k_below(40);
	} else if (what < 97 && p) {
		stall(p);
	} else if (p) {
		drain(p);
	}
}

/* What starts restanted when it has ended, as a service manager does. */
static void
guard(void *arg)
{
	if (!k_find("restanted", 0))
		program_monitor();
	k_after(K_S / 2 + k_below(K_S), guard, arg);
}

void
faults_begin(void)
{
	static uint64_t mean;

	k_after(K_S, guard, NULL);
	if (k_chance(100)) /* a seed without faults */
		return;
	mean = (1 + k_below(5)) * K_S;
	k_after(K_S + k_below(mean), strike, &mean);
}
