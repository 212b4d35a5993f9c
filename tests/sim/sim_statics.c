/* The two files that have mutable statics, within reach. */
#include "sim_statics.h"
#include "sim.h"
#include "sim_calls.h"

#include <sys/mman.h>
#undef mmap
#define mmap sim_mmap64
#include "../../src/ipc/log.c"
#include "../../src/stat/stat.c"

void
statics_fresh(struct proc *p)
{
	p->log_fd = FD_LOG;
	p->stat_page = nowhere;
}

void
statics_load(const struct proc *p)
{
	log_fd = p->log_fd;
	dropped = p->log_lost;
	untold = p->log_untold;
	page = p->stat_page;
}

void
statics_save(struct proc *p)
{
	p->log_fd = log_fd;
	p->log_lost = dropped;
	p->log_untold = untold;
	p->stat_page = page;
}
