/* longjmp goes to another stack here, which its check would not believe. */
#undef _FORTIFY_SOURCE

/* Processes and their threads: stacks of their own, one at a time, in an order by the
 * seed. */
#include "sim.h"
#include "sim_statics.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#ifdef RESTANTE_SANITIZED
void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t n);
void __sanitizer_finish_switch_fiber(void *save, const void **bottom, size_t *n);
#define STACK ((size_t)4 << 20)
#else
#define STACK ((size_t)1 << 20)
#endif
#define THREADS	       512
#define TURN_CALLS_MAX 200000 /* without waiting for anything */

struct k_thread *k_current;
struct proc *k_procs;
static struct k_thread *threads;
static void *spare[THREADS];
static size_t spare_n;
static int pids = 100;

struct proc *
k_proc(void)
{
	return k_current->proc;
}

/* ---- switching --------------------------------------------------------------------- */

/* A place to come back to, on a stack of its own. */
#ifdef RESTANTE_SANITIZED
/* The sanitizer must know which stack is in use. */
static ucontext_t scheduler;
static const void *scheduler_stack;
static size_t scheduler_n;

static void
leave(struct k_thread *t)
{
	void *fake = NULL;

	__sanitizer_start_switch_fiber(
		t->is_done ? NULL : &fake, scheduler_stack, scheduler_n);
	(void)swapcontext(&t->context, &scheduler);
	__sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_n);
}

static void
enter(struct k_thread *t)
{
	void *fake = NULL;

	__sanitizer_start_switch_fiber(&fake, t->stack, STACK);
	(void)swapcontext(&scheduler, &t->context);
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

static void
has_entered(void)
{
	__sanitizer_finish_switch_fiber(NULL, &scheduler_stack, &scheduler_n);
}
#else
/* Without the system call that swapcontext makes. */
static jmp_buf scheduler;

static void
leave(struct k_thread *t)
{
	if (_setjmp(t->place) == 0)
		_longjmp(scheduler, 1);
}

static void
enter(struct k_thread *t)
{
	bool is_first = !t->has_begun;

	t->has_begun = true;
	if (_setjmp(scheduler) != 0)
		return;
	if (is_first)
		(void)setcontext(&t->context);
	_longjmp(t->place, 1);
}

static void
has_entered(void)
{
}
#endif

static void
to_scheduler(void)
{
	struct k_thread *t = k_current;

	t->error = errno;
	leave(t);
	errno = t->error;
}

static void
entry(void)
{
	struct k_thread *t = k_current;

	has_entered();
	(void)t->fn(t->arg);
	t->is_done = true;
	k_wake(t);
	to_scheduler();
	abort();
}

struct k_thread *
k_thread_new(struct proc *p, void *(*fn)(void *), void *arg)
{
	struct k_thread *t = k_new(sizeof(*t));

	t->proc = p;
	t->fn = fn;
	t->arg = arg;
	t->runs = true;
	t->until_ns = K_NEVER;
	t->stack = spare_n > 0 ? spare[--spare_n]
			       : mmap(NULL, STACK, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->stack == MAP_FAILED || getcontext(&t->context) < 0)
		abort();
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK;
	makecontext(&t->context, entry, 0);
	t->next = threads;
	threads = t;
	return t;
}

static void
switch_to(struct k_thread *t)
{
	k_current = t;
	t->turn_calls = 0;
	statics_load(t->proc);
	enter(t);
	statics_save(t->proc);
	k_current = NULL;
}

/* ---- waiting ------------------------------------------------------------------------
 */

bool
k_wait(const void *on, uint64_t until_ns)
{
	struct k_thread *t = k_current;

	t->runs = false;
	t->timed_out = false;
	t->on = on;
	t->until_ns = until_ns;
	to_scheduler();
	t->until_ns = K_NEVER;
	return t->timed_out;
}

void
k_wake(const void *on)
{
	for (struct k_thread *t = threads; t; t = t->next)
		if (!t->runs && t->on == on)
			t->runs = true;
}

void
k_wake_due(void)
{
	for (struct k_thread *t = threads; t; t = t->next)
		if (!t->runs && t->until_ns <= k_world.now_ns)
			t->runs = t->timed_out = true;
}

uint64_t
k_next_deadline(void)
{
	uint64_t next = K_NEVER;

	for (struct k_thread *t = threads; t; t = t->next) {
		uint64_t at = t->runs ? t->proc->stalled_until_ns : t->until_ns;
		if (at < next && at > k_world.now_ns)
			next = at;
	}
	return next;
}

static void
sweep(void)
{
	for (struct k_thread **at = &threads; *at;) {
		struct k_thread *t = *at;
		if (!t->is_done && !t->proc->is_dead) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->runs = false;
		if (spare_n < THREADS)
			spare[spare_n++] = t->stack;
	}
}

bool
k_run_one(void)
{
	struct k_thread *ready[THREADS];
	size_t n = 0;

	for (struct k_thread *t = threads; t && n < THREADS; t = t->next)
		if (t->runs && t->proc->stalled_until_ns <= k_world.now_ns)
			ready[n++] = t;
	if (n == 0)
		return false;
	struct k_thread *t = ready[k_below(n)];
	switch_to(t);
	if (t->is_done || t->proc->is_dead)
		sweep();
	return true;
}

/* ---- processes ------------------------------------------------------------------------
 */

static void *
proc_entry(void *arg)
{
	struct proc *p = arg;
	char config[] = "/etc/restante.conf", name[] = "restanted", flag[] = "-c";
	char *argv[] = {name, flag, config, NULL};

	int n = 0;

	while (p->arguments && p->arguments[n])
		n++;
	k_exit(p->arguments ? p->main(n, p->arguments) : p->main(3, argv));
	return NULL;
}

struct proc *
k_spawn(const char *name, int (*fn)(int, char **), struct proc *parent)
{
	struct proc *p = k_new(sizeof(*p));

	p->pid = ++pids;
	p->name = name;
	p->main = fn;
	p->parent = parent;
	statics_fresh(p);
	p->next = k_procs;
	k_procs = p;
	(void)k_thread_new(p, proc_entry, p);
	k_trace("%s %d starts", name, p->pid);
	return p;
}

static void
end(struct proc *p, int code, int status)
{
	if (p->is_dead)
		return;
	p->is_dead = true;
	p->code = code;
	p->status = status;
	k_trace("%s %d ends %d %d", p->name, p->pid, code, status);
	k_close_all(p);
	/* PR_SET_PDEATHSIG */
	for (struct proc *c = k_procs; c; c = c->next)
		if (c->parent == p && !c->is_dead)
			end(c, CLD_KILLED, SIGKILL);
	if (p->parent && !p->parent->is_dead) {
		p->parent->child_died = true;
		k_wake(&p->parent->child_died);
		for (int i = 0; i < K_FDS; i++)
			if (p->parent->fds[i] && p->parent->fds[i]->kind == FILE_SIGNAL)
				k_notify(p->parent->fds[i]);
	}
}

void
k_exit(int status)
{
	if (status != 0 && !k_world.calm)
		k_trace("%s %d: status %d", k_proc()->name, k_proc()->pid, status);
	end(k_proc(), CLD_EXITED, status);
	to_scheduler();
	abort();
}

void
k_kill(struct proc *p, int signal)
{
	end(p, CLD_KILLED, signal);
	if (!k_current)
		sweep();
	else if (k_current->proc->is_dead)
		to_scheduler();
}

void
k_power_fail(void)
{
	for (struct proc *p = k_procs; p; p = p->next)
		if (!p->parent)
			end(p, CLD_KILLED, SIGKILL);
	k_disk_crash();
	if (k_current)
		to_scheduler();
	else
		sweep();
}

struct proc *
k_find(const char *name, uint32_t which)
{
	uint32_t n = 0;

	for (struct proc *p = k_procs; p; p = p->next)
		n += !p->is_dead && strcmp(p->name, name) == 0;
	if (n == 0)
		return NULL;
	which %= n;
	for (struct proc *p = k_procs; p; p = p->next)
		if (!p->is_dead && strcmp(p->name, name) == 0 && which-- == 0)
			return p;
	return NULL;
}

void
k_enter(void)
{
	struct proc *p = k_proc();

	k_world.now_ns += 300;
	if (++k_current->turn_calls > TURN_CALLS_MAX)
		k_violation("%s %d runs in circles", p->name, p->pid);
	if (++p->calls == p->kill_at_call) {
		bool power = p->power_fails_at_call;
		k_trace("%s %d is killed at call %llu", p->name, p->pid,
			(unsigned long long)p->calls);
		k_world.kills++;
		if (power)
			k_power_fail();
		else
			k_kill(p, SIGKILL);
	}
	if (k_chance(k_world.preempt))
		to_scheduler();
}
