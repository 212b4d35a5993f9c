/*
 * shell.h: a command line of the user's, run by /bin/sh -c, never with data of others in
 * it.
 */
#ifndef OS_SHELL_H
#define OS_SHELL_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Starts it with these standard files (-1: /dev/null) and nothing else open, no signal
 * blocked or ignored, and where own_group in a process group of its own. env NULL: ours.
 * 0 or -errno; the caller waits for *ret_pid and closes *ret_pidfd, which is readable
 * once the command has ended.
 */
[[nodiscard]] int shell_start(const char *command, char *const *env, const int files[3],
	bool own_group, pid_t *ret_pid, int *ret_pidfd);

#endif
