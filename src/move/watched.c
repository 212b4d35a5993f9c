#include "move/watched.h"

#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS	 50
#define GRACE_MS 1000

/* ---- in the child ---- */

int
watched_limits(void)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
#ifndef RESTANTE_SANITIZED /* whose shadow memory counts */
	struct rlimit data;
	if (getrlimit(RLIMIT_DATA, &data) < 0)
		return -errno;
	if (data.rlim_max == RLIM_INFINITY || data.rlim_max > WATCHED_DATA_MAX)
		data.rlim_max = WATCHED_DATA_MAX;
	data.rlim_cur = data.rlim_max;
	if (setrlimit(RLIMIT_DATA, &data) < 0)
		return -errno;
#endif
	return 0;
}

/* ---- in the parent ---- */

/* In nanoseconds. One that is stopped, or waits for a file, uses none; nobody but the
 * kernel can say otherwise. */
static int64_t
processor_time(pid_t pid)
{
	clockid_t clock;
	struct timespec t;

	if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* 1: it has ended. */
static int
look(pid_t pid, int *ret_status)
{
	pid_t got = waitpid(pid, ret_status, WNOHANG);

	if (got < 0)
		return errno == EINTR ? 0 : -errno;
	return got == pid;
}

static void
pause_for(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	(void)poll(&p, 1, TICK_MS);
}

static int
end_it(pid_t pid, int pidfd)
{
	int status;

	/* Its number is its own as long as it was not waited for. */
	if (kill(pid, SIGKILL) < 0)
		return -errno;
	uint64_t until = clock_ms() + GRACE_MS;
	while (look(pid, &status) == 0 && clock_ms() < until)
		pause_for(pidfd);
	return -ETIME;
}

int
watched_wait(pid_t pid, uint32_t silence_ms, int *ret_status)
{
	AUTO_FD pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	uint64_t silent = 0, then = clock_ms();
	int64_t used = -1;
	int r;

	while ((r = look(pid, ret_status)) == 0) {
		int64_t uses = processor_time(pid);
		uint64_t now = clock_ms(), passed = now - then;
		/* Whoever stopped all of us did not stop the child alone. */
		silent += passed < 10 * TICK_MS ? passed : 10 * TICK_MS;
		then = now;
		if (uses != used)
			silent = 0;
		used = uses;
		if (silent >= silence_ms)
			return end_it(pid, pidfd);
		pause_for(pidfd);
	}
	return r < 0 ? r : 0;
}
