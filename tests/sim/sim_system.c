/* The rest of what programs ask of a system: memory, time, themselves, threads. */
#include "sim.h"
#include "sim_calls.h"
#include "sim_disk.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* ---- memory
 * ---------------------------------------------------------------------------- */

int
sim_memfd_create(const char *name, unsigned flags)
{
	struct file *f = k_file(FILE_MEMORY, O_RDWR);

	(void)name;
	f->memory = k_new(sizeof(*f->memory));
	if (!(flags & MFD_ALLOW_SEALING))
		f->memory->seals = 1;
	return k_fd(f, 0);
}

void *
sim_mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	struct file *f;

	(void)at;
	if (flags & MAP_ANONYMOUS)
		return mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	f = k_get(fd);
	if (!f)
		return MAP_FAILED;
	if (f->kind == FILE_MEMORY && (flags & MAP_SHARED) && offset == 0)
		return f->memory->p;
	uint8_t *copy = k_new(n);
	(void)protection;
	if (sim_pread64(fd, copy, n, offset) < 0)
		return MAP_FAILED;
	return copy;
}

/* Nothing is ever given back: a seed is short. */
int
sim_munmap(void *p, size_t n)
{
	(void)p, (void)n;
	return 0;
}

int
sim_madvise(void *p, size_t n, int advice)
{
	(void)p, (void)n, (void)advice;
	return 0;
}

/* ---- time, chance
 * ------------------------------------------------------------------------- */

int
sim_clock_gettime(clockid_t which, struct timespec *ret)
{
	uint64_t now = k_world.now_ns;

	if (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)
		now += K_EPOCH_S * K_S;
	*ret = (struct timespec){(time_t)(now / K_S), (long)(now % K_S)};
	return 0;
}

int
sim_nanosleep(const struct timespec *t, struct timespec *left)
{
	uint64_t n = (uint64_t)t->tv_sec * K_S + (uint64_t)t->tv_nsec;

	(void)left;
	k_enter();
	(void)k_wait(NULL, k_world.now_ns + n);
	return 0;
}

ssize_t
sim_getrandom(void *p, size_t n, unsigned flags)
{
	uint8_t *octets = p;

	(void)flags;
	for (size_t i = 0; i < n; i++)
		octets[i] = (uint8_t)k_random();
	return (ssize_t)n;
}

/* ---- processes
 * ------------------------------------------------------------------------------- */

int
sim_getpid(void)
{
	return k_proc()->pid;
}

unsigned
sim_getuid(void)
{
	return 1000;
}

void
sim_exit(int status)
{
	k_exit(status);
	abort();
}

int
sim_kill(int pid, int signal)
{
	for (struct proc *p = k_procs; p; p = p->next)
		if (p->pid == pid && !p->is_dead) {
			k_kill(p, signal);
			return 0;
		}
	return k_fail(ESRCH);
}

int
sim_waitid(int kind, int id, siginfo_t *info, int flags)
{
	bool any = false;

	(void)kind, (void)id, (void)flags;
	info->si_pid = 0;
	for (struct proc *p = k_procs; p; p = p->next) {
		if (p->parent != k_proc() || p->is_reaped)
			continue;
		any = true;
		if (!p->is_dead)
			continue;
		p->is_reaped = true;
		info->si_pid = p->pid;
		info->si_code = p->code;
		info->si_status = p->status;
		return 0;
	}
	return any ? 0 : k_fail(ECHILD);
}

int
sim_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *t)
{
	uint64_t n = (uint64_t)t->tv_sec * K_S + (uint64_t)t->tv_nsec;

	(void)set, (void)info;
	if (!k_proc()->child_died)
		(void)k_wait(&k_proc()->child_died, k_world.now_ns + n);
	bool died = k_proc()->child_died;
	k_proc()->child_died = false;
	return died ? SIGCHLD : k_fail(EAGAIN);
}

int
sim_getrlimit64(int which, struct rlimit *l)
{
	*l = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
	if (which == RLIMIT_NOFILE)
		*l = (struct rlimit){K_FDS, K_FDS};
	return 0;
}

int
sim_sched_getaffinity(int pid, size_t n, cpu_set_t *set)
{
	(void)pid;
	memset(set, 0, n);
	CPU_SET_S(0, n, set);
	CPU_SET_S(1, n, set);
	return 0;
}

int
sim_gethostname(char *name, size_t n)
{
	(void)snprintf(name, n, "sim");
	return 0;
}

ssize_t
sim_readlink(const char *path, char *text, size_t n)
{
	int got = snprintf(text, n, "/usr/bin/restanted");

	(void)path;
	return got;
}

char *
sim_getenv(const char *name)
{
	(void)name;
	return NULL;
}

int
sim_fputs(const char *text, FILE *to)
{
	(void)to;
	k_trace("says %s", text);
	return 0;
}

/* What programs say to people; with and without the checks of _FORTIFY_SOURCE. */
[[gnu::format(printf, 1, 0)]] static int
says(const char *format, va_list args)
{
	char text[160];

	(void)vsnprintf(text, sizeof(text), format, args);
	k_trace("%s %d says %s", k_proc()->name, k_proc()->pid, text);
	return 0;
}

#define SAYS(to, format)                                                                 \
	va_list args;                                                                    \
	(void)to;                                                                        \
	va_start(args, format);                                                          \
	int n = says(format, args);                                                      \
	va_end(args);                                                                    \
	return n

int
sim_fprintf_chk(FILE *to, int flag, const char *format, ...)
{
	(void)flag;
	SAYS(to, format);
}

int
sim_dprintf_chk(int fd, int flag, const char *format, ...)
{
	(void)flag;
	SAYS(fd, format);
}

int
sim_fprintf(FILE *to, const char *format, ...)
{
	SAYS(to, format);
}

int
sim_dprintf(int fd, const char *format, ...)
{
	SAYS(fd, format);
}

/* All that always succeeds and changes nothing here. */
long
sim_nothing(void)
{
	return 0;
}

/* ---- threads
 * ----------------------------------------------------------------------------------- */

int
sim_pthread_create(
	pthread_t *ret, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
	(void)attr;
	*ret = (pthread_t)(uintptr_t)k_thread_new(k_proc(), fn, arg);
	return 0;
}

int
sim_pthread_tryjoin_np(pthread_t t, void **ret)
{
	(void)ret;
	return ((struct k_thread *)(uintptr_t)t)->is_done ? 0 : EBUSY;
}

int
sim_pthread_join(pthread_t t, void **ret)
{
	while (sim_pthread_tryjoin_np(t, ret) != 0)
		(void)k_wait((const void *)(uintptr_t)t, K_NEVER);
	return 0;
}

int
sim_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
	(void)attr;
	memset(m, 0, sizeof(*m));
	return 0;
}

int
sim_pthread_mutex_lock(pthread_mutex_t *m)
{
	int *held = (int *)(void *)m;

	while (*held)
		(void)k_wait(m, K_NEVER);
	*held = 1;
	return 0;
}

int
sim_pthread_mutex_unlock(pthread_mutex_t *m)
{
	*(int *)(void *)m = 0;
	k_wake(m);
	return 0;
}

int
sim_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
{
	(void)attr;
	memset(c, 0, sizeof(*c));
	return 0;
}

/* May return without reason, as the real one may. */
int
sim_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	(void)sim_pthread_mutex_unlock(m);
	(void)k_wait(c, K_NEVER);
	return sim_pthread_mutex_lock(m);
}

int
sim_pthread_cond_wake(pthread_cond_t *c)
{
	k_wake(c);
	return 0;
}
