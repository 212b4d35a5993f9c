/* end.c: the end of processes, and of everything. */
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define END_MS	   2000 /* for processes whose channel was closed */
#define END_LOG_MS 1000 /* then for restante-log */

void
monitor_reap(struct monitor *m)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
			return;
		uint32_t slot = core_of_pid(m->core, info.si_pid);
		if (slot != CORE_NONE)
			child_died(m, slot, info.si_code, info.si_status);
		monitor_act(m);
	}
}

static bool
anyone_lives(const struct monitor *m, uint32_t from)
{
	for (uint32_t s = from; s < CORE_KEEPER + m->core->keeper_top; s++)
		if (core_lives(m->core, s))
			return true;
	return false;
}

/* Waits until all from slot `from` on have ended, and kills them when that takes too
 * long. */
static void
end_processes(struct monitor *m, uint32_t from, uint64_t wait_ms)
{
	uint64_t until = clock_ms() + wait_ms;
	const struct timespec step = {.tv_nsec = 50 * 1000 * 1000};
	bool killed = false;
	sigset_t child;

	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	for (uint32_t s = from; s < CORE_KEEPER + m->core->keeper_top; s++)
		child_close(m, s);
	for (monitor_reap(m); anyone_lives(m, from); monitor_reap(m)) {
		(void)sigtimedwait(&child, NULL, &step);
		if (clock_ms() < until)
			continue;
		if (killed)
			return; /* stuck in the kernel; PDEATHSIG remains */
		killed = true;
		until += wait_ms;
		for (uint32_t s = from; s < CORE_KEEPER + m->core->keeper_top; s++)
			if (core_lives(m->core, s))
				(void)kill(m->core->at[s].pid, SIGKILL);
	}
}

void
monitor_end(struct monitor *m)
{
	struct log_record r;

	listen_close(m);
	if (m->core && m->loop && m->children) {
		end_processes(m, CORE_LOG + 1, END_MS);
		log_begin(&r, LOG_LEVEL_INFO, "ended");
		log_number(&r, "exit", (uint64_t)m->status);
		report(m, &r);
		fd_close(&m->self.log_end);
		log_to(-1);
		end_processes(m, CORE_LOG, END_LOG_MS);
	}
	assets_close(m);
	settings_done(&m->settings);
	certificates_close(&m->tls_before);
}
