/* sim_proc.h: processes and their threads, as the simulation runs them. */
#ifndef SIM_PROC_H
#define SIM_PROC_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#define K_FDS 512

struct file;

struct k_thread {
	struct k_thread *next; /* of all */
	struct proc *proc;
	ucontext_t context; /* of its beginning */
	jmp_buf place;
	bool has_begun;
	void *stack;
	bool runs, is_done, timed_out;
	const void *on; /* what it waits for */
	uint64_t until_ns;
	void *(*fn)(void *);
	void *arg;
	int error; /* errno */
	uint32_t turn_calls;
};

struct proc {
	struct proc *next, *parent;
	int pid;
	const char *name;
	int (*main)(int, char **);
	char **arguments; /* NULL: those of restanted */
	bool calm_run;	  /* the faults were over when it started */
	struct file *fds[K_FDS];
	bool is_dead, is_reaped;
	int code, status; /* as waitid has them */
	bool child_died;  /* SIGCHLD is pending */
	bool terminated;  /* SIGTERM is pending */
	uint64_t calls, kill_at_call;
	bool power_fails_at_call;
	uint64_t stalled_until_ns;
	void *fake_stack; /* of the sanitizer */
	int log_fd;
	uint64_t log_lost, log_untold, *stat_page;
};

extern struct k_thread *k_current;
extern struct proc *k_procs;
struct proc *k_spawn(const char *name, int (*fn)(int, char **), struct proc *parent);
struct proc *k_proc(void); /* of the current thread */
void k_exit(int status);
void k_kill(struct proc *p, int signal);
/* Every process ends, and the disk keeps what it was told to. */
void k_power_fail(void);
struct proc *k_find(const char *name, uint32_t which);
struct k_thread *k_thread_new(struct proc *p, void *(*fn)(void *), void *arg);
/* True: it was the time. */
bool k_wait(const void *on, uint64_t until_ns);
void k_wake(const void *on);
/* At the beginning of a call: others may run, or the process may end here. */
void k_enter(void);
/* Runs one thread, if one can. */
bool k_run_one(void);
uint64_t k_next_deadline(void);
void k_wake_due(void);

#endif
