#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXIT_FIRST 110 /* a step that failed: EXIT_FIRST + its place */
#define FD_SPARE   64  /* above all that dup2 overwrites */

static const char *const steps[] = {
	"its descriptors could not be placed",
	"its capabilities could not be bounded",
	"the monitor had ended",
	"it could not be executed",
};
enum step { STEP_FDS, STEP_BOUND, STEP_PARENT, STEP_EXEC, STEPS };

const char *
spawn_failure(int exit_status)
{
	_Static_assert(
		sizeof(steps) / sizeof(steps[0]) == STEPS, "each step has its words");

	if (exit_status < EXIT_FIRST || exit_status >= EXIT_FIRST + STEPS)
		return NULL;
	return steps[exit_status - EXIT_FIRST];
}

[[gnu::noreturn]] static void
fail(enum step step)
{
	_exit(EXIT_FIRST + (int)step);
}

/* All sources go above the targets first: a source may have the number of a target. */
static int
place_descriptors(const struct spawn_plan *plan)
{
	int spare[3];
	int exe = fcntl(plan->exe, F_DUPFD_CLOEXEC, FD_SPARE);
	int null = fcntl(plan->dev_null, F_DUPFD_CLOEXEC, FD_SPARE);

	if (exe < 0 || null < 0)
		fail(STEP_FDS);
	for (int i = 0; i < 3; i++)
		if ((spare[i] = fcntl(plan->fds[i], F_DUPFD_CLOEXEC, FD_SPARE)) < 0)
			fail(STEP_FDS);
	for (int i = 0; i < 3; i++)
		if (dup2(spare[i], FD_MONITOR + i) < 0)
			fail(STEP_FDS);
#ifdef RESTANTE_SANITIZED
	int last_null = STDOUT_FILENO; /* stderr stays for the sanitizers' reports */
#else
	int last_null = STDERR_FILENO;
#endif
	for (int i = 0; i <= last_null; i++)
		if (dup2(null, i) < 0)
			fail(STEP_FDS);
	if (close_range(FD_STAT + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		fail(STEP_FDS);
	return exe;
}

static char *const *
environment(void)
{
	static char *none[] = {NULL};
#ifdef RESTANTE_SANITIZED
	static char *kept[8];
	size_t n = 0;
	for (char **e = environ; *e && n < 7; e++)
		if (strncmp(*e, "ASAN_OPTIONS=", 13) == 0 ||
			strncmp(*e, "TSAN_OPTIONS=", 13) == 0 ||
			strncmp(*e, "UBSAN_OPTIONS=", 14) == 0)
			kept[n++] = *e;
	return n > 0 ? kept : none;
#else
	return none;
#endif
}

[[gnu::noreturn]] static void
run_child(const struct spawn_plan *plan, pid_t parent)
{
	char name[32];
	char *argv[] = {name, NULL};
	sigset_t none;

	(void)snprintf(name, sizeof(name), "%s", plan->name);
	int exe = place_descriptors(plan);
	if (plan->bound && privileges_bound_child(plan->pam) < 0)
		fail(STEP_BOUND);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		fail(STEP_PARENT);
	(void)setsid(); /* a Ctrl-C is for the monitor, which lets sessions finish */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)fexecve(exe, argv, environment());
	fail(STEP_EXEC);
}

int
spawn(const struct spawn_plan *plan, int32_t *ret_pid)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		run_child(plan, parent);
	*ret_pid = pid;
	return 0;
}
