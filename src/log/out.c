#include "log/out.h"

#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long a reader may take before its lines are lost. */
#define WAIT_MS 1000

void
log_out_set(struct log_out *o, int fd, bool syslog)
{
	struct stat st;
	uint64_t lost = o->lost;

	if (o->fd != fd)
		fd_close(&o->fd);
	*o = (struct log_out){.fd = fd, .lost = lost};
	o->form = syslog ? LOG_FORM_SYSLOG : LOG_FORM_LINE;
	if (fstat(fd, &st) < 0)
		return;
	o->is_socket = S_ISSOCK(st.st_mode);
	/* The descriptor is shared with the monitor: its mode is not ours to change. */
	o->can_stick = S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode);
}

/* Whether there is room now; a pipe that says so takes LOG_LINE_MAX in one piece. */
static bool
has_room(const struct log_out *o, int wait_ms)
{
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};

	return poll(&p, 1, wait_ms) > 0;
}

/* Octets written; -EAGAIN where that would wait. */
static ssize_t
put(const struct log_out *o, struct view v)
{
	ssize_t n;

	if (o->can_stick && !has_room(o, 0))
		return -EAGAIN;
	do {
		if (o->is_socket)
			n = send(o->fd, v.p, v.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		else
			n = write(o->fd, v.p, v.n);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static bool
put_all(struct log_out *o, struct view line)
{
	uint64_t until = clock_ms() + (o->stuck ? 0 : WAIT_MS);
	size_t whole = line.n;

	while (line.n > 0) {
		ssize_t n = put(o, line);
		uint64_t now = clock_ms();
		if (n > 0) {
			line.p += n;
			line.n -= (size_t)n;
		} else if (n == -EAGAIN && now < until) {
			(void)has_room(o, (int)(until - now));
		} else {
			o->stuck = n == -EAGAIN;
			o->refused = n == -ECONNREFUSED || n == -ENOTCONN;
			o->torn = o->torn || line.n < whole;
			return false;
		}
	}
	o->stuck = o->refused = false;
	return true;
}

bool
log_out_write(struct log_out *o, struct view line)
{
	bool ok = true;

	if (o->torn && o->form == LOG_FORM_LINE) {
		o->torn = false;
		ok = put_all(o, VIEW("\n"));
		o->torn = !ok;
	}
	ok = ok && put_all(o, line);
	if (!ok)
		o->lost++;
	return ok;
}
