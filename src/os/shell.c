#include "os/shell.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int
set_files(posix_spawn_file_actions_t *actions, const int files[3])
{
	int rc = 0;

	for (int i = 0; i < 3 && rc == 0; i++) {
		if (files[i] >= 0)
			rc = posix_spawn_file_actions_adddup2(actions, files[i], i);
		else
			rc = posix_spawn_file_actions_addopen(
				actions, i, "/dev/null", O_RDWR, 0);
	}
	if (rc == 0) /* no socket, journal, lock or secret for a stranger's program */
		rc = posix_spawn_file_actions_addclosefrom_np(actions, 3);
	return rc;
}

static int
set_attributes(posix_spawnattr_t *attr, bool own_group)
{
	sigset_t none, all;
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	int rc;

	/* We may block or ignore signals; the command must not. */
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	rc = posix_spawnattr_setsigmask(attr, &none);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(attr, &all);
	if (own_group)
		flags |= POSIX_SPAWN_SETPGROUP; /* group 0: its own pid */
	if (rc == 0)
		rc = posix_spawnattr_setflags(attr, flags);
	return rc;
}

int
shell_start(const char *command, char *const *env, const int files[3], bool own_group,
	pid_t *ret_pid, int *ret_pidfd)
{
	char shell[] = "sh", c[] = "-c";
	char *const argv[] = {shell, c, (char *)(uintptr_t)command, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc != 0)
		return -rc;
	rc = posix_spawnattr_init(&attr);
	if (rc == 0) {
		rc = set_files(&actions, files);
		if (rc == 0)
			rc = set_attributes(&attr, own_group);
		if (rc == 0)
			rc = posix_spawn(ret_pid, "/bin/sh", &actions, &attr, argv,
				env ? env : environ);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		return -rc;
	*ret_pidfd = (int)syscall(SYS_pidfd_open, *ret_pid, 0);
	if (*ret_pidfd >= 0)
		return 0;
	/* Without it nobody could wait with a limit of time. */
	rc = -errno;
	(void)kill(own_group ? -*ret_pid : *ret_pid, SIGKILL);
	(void)waitpid(*ret_pid, NULL, 0);
	return rc;
}
