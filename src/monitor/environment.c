#include "base/num.h"
#include "monitor/monitor.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define GIVEN_FIRST  3 /* SD_LISTEN_FDS_START */
#define NOTIFY_TRIES 4 /* after 1, 2, 4 and 8 ms */

static bool
number_of(const char *name, uint64_t max, uint64_t *ret)
{
	const char *text = getenv(name);

	return text &&
		num_decimal((struct view){(const uint8_t *)text, strlen(text)}, max, ret);
}

static void
take_given(struct monitor *m)
{
	const char *names = getenv("LISTEN_FDNAMES");
	uint64_t n, pid;

	if (!number_of("LISTEN_PID", INT32_MAX, &pid) || pid != (uint64_t)getpid() ||
		!number_of("LISTEN_FDS", LISTEN_SOCKETS_MAX, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		size_t name_n = names ? strcspn(names, ":") : 0;
		m->given[i] = GIVEN_FIRST + (int)i;
		(void)fcntl(m->given[i], F_SETFD,
			FD_CLOEXEC); /* a closed one shows when used */
		if (name_n <= CONF_NAME_OCTETS_MAX && name_n > 0)
			memcpy(m->given_names[i], names, name_n);
		if (names)
			names += name_n + (names[name_n] == ':');
	}
	m->given_n = n;
}

void
environment_take(struct monitor *m)
{
	const char *notify = getenv("NOTIFY_SOCKET");
	uint64_t us, pid = (uint64_t)getpid();

	if (notify && (notify[0] == '/' || notify[0] == '@') && notify[1] &&
		strlen(notify) < sizeof(m->notify))
		memcpy(m->notify, notify, strlen(notify) + 1);
	if (getenv("WATCHDOG_PID") && !number_of("WATCHDOG_PID", INT32_MAX, &pid))
		pid = 0;
	/* Half of the time that the service manager waits for. */
	if (pid == (uint64_t)getpid() &&
		number_of("WATCHDOG_USEC", UINT32_MAX * UINT64_C(1000), &us))
		m->watchdog_ms = us / 2000;
	take_given(m);
#ifndef RESTANTE_SANITIZED
	(void)clearenv();
#endif
}

static int
notify_once(const char *state, const struct sockaddr_un *to, socklen_t to_n)
{
	AUTO_FD fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
		    (const struct sockaddr *)to, to_n) < 0)
		return -errno;
	return 0;
}

void
notify_send(struct monitor *m, const char *state)
{
	struct timespec wait = {.tv_nsec = 1000 * 1000};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	socklen_t to_n;
	size_t n = strlen(m->notify);

	if (n == 0)
		return;
	memcpy(to.sun_path, m->notify, n);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	int rc = notify_once(state, &to, to_n);
	for (int i = 0; i < NOTIFY_TRIES && rc < 0; i++) {
		(void)nanosleep(&wait, NULL); /* a signal is as good a reason to try */
		wait.tv_nsec *= 2;
		rc = notify_once(state, &to, to_n);
	}
	/* It ends those of whom it does not hear, so this may be the last word on why. */
	if (rc < 0 && rc != m->notify_told)
		report_text(m, LOG_LEVEL_WARNING,
			"the service manager at %s cannot be told that %.*s: %s",
			m->notify, (int)strcspn(state, "\n"), state,
			strerrordesc_np(-rc));
	m->notify_told = rc;
}
