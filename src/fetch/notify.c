#include "fetch/notify.h"

#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WATCHDOG_MAX_US UINT64_C(86400000000)

void
notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = path ? strlen(path) : 0;

	if (n < 2 || n >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@') /* of the abstract kind */
		to.sun_path[0] = 0;
	AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
		(const struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

void
notify_reloading(void)
{
	struct timespec t;
	char text[80];

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)t.tv_sec * 1000000 +
			(unsigned long long)t.tv_nsec / 1000);
	notify(text);
}

/* ---- watchdog
 * ---------------------------------------------------------------------------- */

static struct watchdog {
	struct timer timer; /* first */
	struct loop *loop;
	uint64_t every_ms;
} watchdog;

static void
alive(struct timer *t, uint64_t now_ms)
{
	notify("WATCHDOG=1");
	/* Its place in the heap was free a moment ago. */
	(void)!loop_timer_set(watchdog.loop, t, now_ms + watchdog.every_ms);
}

static uint64_t
number_of(const char *name)
{
	const char *text = getenv(name);
	uint64_t n = 0;

	for (; text && *text >= '0' && *text <= '9' && n <= WATCHDOG_MAX_US; text++)
		n = 10 * n + (uint64_t)(*text - '0');
	return n;
}

int
notify_watchdog(struct loop *l)
{
	uint64_t us = number_of("WATCHDOG_USEC"), pid = number_of("WATCHDOG_PID");

	if (us < 2000 || us > WATCHDOG_MAX_US || (pid && pid != (uint64_t)getpid()))
		return 0;
	watchdog = (struct watchdog){{.fire = alive}, l, us / 2000};
	return loop_timer_set(l, &watchdog.timer, clock_ms() + watchdog.every_ms);
}
