#include "fetch/child.h"

#include "fetch/stopping.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/shell.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its status; the whole group is killed when the time is over, or we are to end. */
static int
wait_for(pid_t pid, int pidfd, uint64_t timeout_ms)
{
	struct pollfd p[] = {{pidfd, POLLIN, 0}, {stopping_fd(), POLLIN, 0}};
	uint64_t until = clock_ms() + timeout_ms, now;
	bool late = false;
	int status;

	while ((now = clock_ms()) < until) {
		int r = poll(p, 2, until - now > 60000 ? 60000 : (int)(until - now));

		if (r > 0 || (r < 0 && errno != EINTR))
			break;
	}
	late = (p[0].revents & POLLIN) == 0;
	if (late)
		(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (late)
		return -ETIME;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int
child_ask(const char *command, struct view input, uint64_t timeout_ms)
{
	AUTO_FD in = memfd_create("input", MFD_CLOEXEC);
	AUTO_FD pidfd = -1;
	pid_t pid;
	int r;

	if (in < 0)
		return -errno;
	r = fd_pwrite_all(in, input.p, input.n, 0);
	if (r == 0)
		r = shell_start(command, NULL, (int[]){in, -1, -1}, true, &pid, &pidfd);
	return r == 0 ? wait_for(pid, pidfd, timeout_ms) : r;
}
