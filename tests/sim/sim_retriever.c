/*
 * The retriever: restante-fetch itself, started again and again, which collects one
 * maildrop into a Maildir of its own and has it deleted.
 */
#include "sim_actor.h"
#include "sim_ledger.h"
#include "sim_program.h"

static struct proc *run;
static bool collected;

static void
start(void *arg)
{
	(void)arg;
	if (k_world.calm)
		return;
	k_after(K_S + k_below(5 * K_S), start, NULL);
	if (!run || run->is_dead)
		run = program_fetch();
}

void
retriever_begin(void)
{
	k_after(K_S + k_below(3 * K_S), start, NULL);
}

/* Until it says that all went well. */
static void
again(void *arg)
{
	(void)arg;
	if (run && run->is_dead && run->calm_run && run->code == 1 && run->status == 0) {
		collected = true;
		return;
	}
	if (!run || run->is_dead) {
		run = program_fetch();
		run->calm_run = true;
	}
	k_after(10 * K_S, again, NULL);
}

void
retriever_settle(void)
{
	again(NULL);
}

bool
retriever_settled(void)
{
	return collected;
}
