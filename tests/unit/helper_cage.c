/* The cages of helpers: what asks a database, what runs programs, and PAM's. */
#include "os/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define OWN_ID 65533

static bool
enter(struct sandbox_plan plan, uint32_t *ret_parts)
{
	const char *step;

	plan.profile = SANDBOX_HELPER;
	plan.empty_dir = -1;
	plan.fsize_max = UINT64_MAX;
	plan.connects = true;
	if (geteuid() == 0 && !plan.stays_root)
		plan.uid = plan.gid = OWN_ID;
	return sandbox_enter(&plan, ret_parts, &step) == 0;
}

/* Runs it in a child; its exit status is the line that failed, or 0. */
static int
in_a_child(int (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define MUST(cond)                                                                       \
	do {                                                                             \
		if (!(cond))                                                             \
			return __LINE__;                                                 \
	} while (0)

static int
asks_a_database(void)
{
	char *const words[] = {(char *)(uintptr_t) "true", NULL};
	int root = open("/", O_PATH | O_CLOEXEC);
	uint32_t parts;

	MUST(root >= 0);
	MUST(enter((struct sandbox_plan){.landlock_dirs = &root, .landlock_dirs_n = 1},
		&parts));
	MUST(parts & SANDBOX_SECCOMP);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(s >= 0);
	MUST(open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0);
	if (parts & SANDBOX_LANDLOCK)
		MUST(open("/dev/shm/restante-cage", O_CREAT | O_WRONLY | O_CLOEXEC,
			     0600) < 0);
#ifndef RESTANTE_SANITIZED
	MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
#endif
	MUST(memfd_create("x", MFD_CLOEXEC) < 0 && errno == EPERM);
	MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 && errno == EPERM);
	MUST(fork() < 0);
	MUST(execv("/bin/true", words) < 0 && errno == EPERM);
	return 0;
}

static int
run_programs(void)
{
	char *const words[] = {(char *)(uintptr_t) "true", NULL};
	uint32_t parts;

	MUST(enter((struct sandbox_plan){.runs_programs = true}, &parts));
	MUST(!(parts & (SANDBOX_SECCOMP | SANDBOX_LANDLOCK)));
	MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	MUST(geteuid() != 0);
	pid_t pid = fork();
	MUST(pid >= 0);
	if (pid > 0) {
		int status;
		MUST(waitpid(pid, &status, 0) == pid);
		return status == 0 ? 0 : __LINE__;
	}
	(void)execv("/bin/true", words);
	return __LINE__;
}

static int
stay_root(void)
{
	uint32_t parts;

	MUST(enter((struct sandbox_plan){.stays_root = true, .runs_programs = true},
		&parts));
	MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	MUST(geteuid() == 0);
	MUST(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0);
	MUST(prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE, 0, 0, 0) == 0);
	MUST(prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0);
	cap_t have = cap_get_proc();
	cap_flag_value_t value = CAP_SET;
	MUST(have);
	MUST(cap_get_flag(have, CAP_SYS_ADMIN, CAP_PERMITTED, &value) == 0);
	MUST(value == CAP_CLEAR);
	MUST(cap_get_flag(have, CAP_NET_BIND_SERVICE, CAP_EFFECTIVE, &value) == 0);
	MUST(value == CAP_CLEAR);
	(void)cap_free(have);
	/* What PAM's modules read and become. */
	MUST(open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0);
	MUST(setresuid((uid_t)-1, OWN_ID, (uid_t)-1) == 0);
	return 0;
}

static void
what_asks_a_database_runs_nothing_and_writes_nothing(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(asks_a_database), 0);
}

static void
what_runs_programs_gains_nothing_by_them(void **state)
{
	(void)state;
	assert_int_equal(in_a_child(run_programs), 0);
}

static void
what_stays_root_keeps_few_capabilities(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(in_a_child(stay_root), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_asks_a_database_runs_nothing_and_writes_nothing),
		cmocka_unit_test(what_runs_programs_gains_nothing_by_them),
		cmocka_unit_test(what_stays_root_keeps_few_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
