#include "base/buf.h"
#include "os/dial.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

struct waiter {
	struct dial_done done; /* first: waiter_done */
	bool over;
	int fd;
	char *why;
	size_t why_n;
};

static void
tell(struct waiter *w, const char *why)
{
	size_t n = strlen(why);

	if (w->why_n == 0)
		return;
	n = n < w->why_n ? n : w->why_n - 1;
	memcpy(w->why, why, n);
	w->why[n] = '\0';
}

static void
waiter_done(struct dial_done *done, int fd, bool temporary, const char *why)
{
	struct waiter *w = (struct waiter *)(void *)done;

	(void)temporary;
	w->over = true;
	w->fd = fd;
	tell(w, why);
}

static int
make_blocking(int fd, uint64_t timeout_ms)
{
	struct timeval t = {
		.tv_sec = (time_t)(timeout_ms / 1000),
		.tv_usec = (suseconds_t)(timeout_ms % 1000 * 1000),
	};
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0)
		return -errno;
	return 0;
}

/* A loop of its own: the program's may run in another thread. */
static int
run(const struct dial_target *t, uint64_t timeout_ms, struct waiter *w)
{
	struct loop *l = loop_new();
	struct dial *d = NULL;
	int err = l ? dial_start(l, t, timeout_ms, &w->done, &d) : -ENOMEM;

	while (err == 0 && !w->over)
		err = loop_once(l, -1);
	if (!w->over)
		dial_cancel(&d);
	loop_free(&l);
	return err;
}

int
dial_wait(const struct dial_target *t, uint64_t timeout_ms, char *why, size_t why_n)
{
	struct waiter w = {
		.done = {.done = waiter_done}, .fd = -1, .why = why, .why_n = why_n};
	int err = run(t, timeout_ms, &w);

	if (err == 0 && w.fd < 0)
		return w.fd;
	if (err == 0)
		err = make_blocking(w.fd, timeout_ms);
	if (err == 0)
		return w.fd;
	fd_close(&w.fd);
	tell(&w, strerrordesc_np(-err) ? strerrordesc_np(-err) : "an unknown error");
	return err;
}
