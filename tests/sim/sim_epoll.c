/* Waiting for descriptors: epoll, poll, and the small ones that are only waited for. */
#include "sim.h"
#include "sim_calls.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

static const char polling; /* what threads in poll wait for: anything */

static uint32_t
channel_events(const struct file *f)
{
	uint32_t e = 0;

	if (f->first || f->peer_gone || f->reset)
		e |= EPOLLIN;
	if (f->peer_gone)
		return e | EPOLLOUT | EPOLLHUP | EPOLLRDHUP;
	if (f->peer->queued == 0 || f->peer->queued + 4096 < f->limit)
		e |= EPOLLOUT;
	return e;
}

static uint32_t
stream_events(const struct file *f)
{
	uint32_t e = 0;

	if (f->in->reset)
		return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP;
	if (f->in->arrived > 0 || (f->in->fin_came && f->in->n == 0))
		e |= EPOLLIN;
	if (f->in->fin_came)
		e |= EPOLLRDHUP;
	if (k_pipe_room(f->out) > k_world.window / 3)
		e |= EPOLLOUT;
	if (f->in->fin_came && f->out->fin)
		e |= EPOLLHUP;
	return e;
}

uint32_t
k_events(const struct file *f)
{
	switch (f->kind) {
	case FILE_CHANNEL: return channel_events(f);
	case FILE_STREAM: return stream_events(f);
	case FILE_LISTENER: return f->waiting_n > 0 ? EPOLLIN : 0;
	case FILE_EVENT: return (f->count > 0 ? EPOLLIN : 0U) | EPOLLOUT;
	case FILE_SIGNAL:
		return f->owner->child_died || f->owner->terminated ? EPOLLIN : 0;
	case FILE_EPOLL:
	case FILE_MEMORY:
	case FILE_DISK:
	case FILE_NULL:
	case FILE_OTHER: break;
	}
	return EPOLLIN | EPOLLOUT;
}

void
k_notify(struct file *f)
{
	for (struct watch *w = f->watches; w; w = w->next_of_file)
		k_wake(w->epoll);
	k_wake(&polling);
}

static void
drop_watch(struct watch *w)
{
	struct watch **at = &w->file->watches;

	while (*at != w)
		at = &(*at)->next_of_file;
	*at = w->next_of_file;
	at = &w->epoll->watches;
	while (*at != w)
		at = &(*at)->next_of_epoll;
	*at = w->next_of_epoll;
}

void
k_epoll_forget(struct file *f)
{
	while (f->watches)
		drop_watch(f->watches);
}

int
sim_epoll_create1(int flags)
{
	return k_fd(k_file(FILE_EPOLL, flags), 0);
}

static struct watch *
find_watch(struct file *epoll, const struct file *f, int fd)
{
	for (struct watch *w = epoll->watches; w; w = w->next_of_epoll)
		if (w->file == f && w->fd == fd)
			return w;
	return NULL;
}

int
sim_epoll_ctl(int epfd, int op, int fd, struct epoll_event *e)
{
	struct file *ep = k_get(epfd), *f = k_get(fd);

	if (!ep || !f)
		return -1;
	struct watch *w = find_watch(ep, f, fd);
	if (op == EPOLL_CTL_ADD ? w != NULL : w == NULL)
		return k_fail(w ? EEXIST : ENOENT);
	if (op == EPOLL_CTL_DEL) {
		drop_watch(w);
		return 0;
	}
	if (op == EPOLL_CTL_ADD) {
		w = k_new(sizeof(*w));
		*w = (struct watch){.next_of_file = f->watches,
			.next_of_epoll = ep->watches,
			.file = f,
			.epoll = ep,
			.fd = fd};
		f->watches = ep->watches = w;
	}
	w->events = e->events;
	w->data = e->data.u64;
	w->is_off = false;
	k_wake(ep);
	return 0;
}

static int
collect(struct file *ep, struct epoll_event *got, int max)
{
	struct watch *all[K_FDS];
	size_t n = 0;
	int count = 0;

	for (struct watch *w = ep->watches; w && n < K_FDS; w = w->next_of_epoll)
		if (!w->is_off && (k_events(w->file) & (w->events | EPOLLERR | EPOLLHUP)))
			all[n++] = w;
	size_t first = k_below(n);
	for (size_t i = 0; i < n && count < max; i++) {
		struct watch *w = all[(first + i) % n];
		got[count].events = k_events(w->file) & (w->events | EPOLLERR | EPOLLHUP);
		got[count++].data.u64 = w->data;
		w->is_off = (w->events & EPOLLONESHOT) != 0;
	}
	return count;
}

static uint64_t
until(int timeout_ms)
{
	return timeout_ms < 0 ? K_NEVER : k_world.now_ns + (uint64_t)timeout_ms * K_MS;
}

int
sim_epoll_wait(int epfd, struct epoll_event *got, int max, int timeout_ms)
{
	struct file *ep = k_get(epfd);
	uint64_t end = until(timeout_ms);

	k_enter();
	if (!ep)
		return -1;
	for (;;) {
		int n = collect(ep, got, max);
		if (n > 0 || k_world.now_ns >= end)
			return n;
		if (k_wait(ep, end))
			return collect(ep, got, max);
	}
}

int
sim_poll(struct pollfd *p, unsigned long n, int timeout_ms)
{
	uint64_t end = until(timeout_ms);

	k_enter();
	for (;;) {
		int count = 0;
		for (unsigned long i = 0; i < n; i++) {
			struct file *f = k_get(p[i].fd);
			uint32_t e = f ? k_events(f) : POLLNVAL;
			p[i].revents = (short)(e &
				((uint16_t)p[i].events | POLLERR | POLLHUP | POLLNVAL));
			count += p[i].revents != 0;
		}
		if (count > 0 || k_world.now_ns >= end)
			return count;
		(void)k_wait(&polling, end);
	}
}

int
sim_eventfd(unsigned value, int flags)
{
	struct file *f = k_file(FILE_EVENT, flags);

	f->count = value;
	return k_fd(f, 0);
}

int
sim_signalfd(int fd, const sigset_t *set, int flags)
{
	struct file *f = k_file(FILE_SIGNAL, flags);

	(void)fd, (void)set;
	f->owner = k_proc();
	return k_fd(f, 0);
}

ssize_t
signal_read(struct file *f, void *p, size_t n)
{
	struct signalfd_siginfo *got = p;

	if (n < sizeof(*got))
		return k_fail(EINVAL);
	memset(got, 0, sizeof(*got));
	if (f->owner->terminated) {
		f->owner->terminated = false;
		got->ssi_signo = SIGTERM;
	} else if (f->owner->child_died) {
		f->owner->child_died = false;
		got->ssi_signo = SIGCHLD;
	} else {
		return k_fail(EAGAIN);
	}
	return sizeof(*got);
}
