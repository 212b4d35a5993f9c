#include "ipc/channel.h"
#include "base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

int
channel_pair(int ret[2])
{
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	return socketpair(AF_UNIX, type, 0, ret) < 0 ? -errno : 0;
}

/*
 * A want of the system's that passes is no fault of the channel: nothing was sent,
 * nothing was taken, and the next try may do. Like a queue that is full, or empty.
 */
static int
failure(int error)
{
	return error == ENOBUFS || error == ENOMEM ? -EAGAIN : -error;
}

int
channel_send(int fd, struct view message, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
	} control;
	struct iovec iov = {(void *)(uintptr_t)message.p, message.n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	CHECK(nfds <= MESSAGE_FDS_MAX);
	if (nfds > 0) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	for (;;) {
		if (sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
			return 0;
		if (errno != EINTR)
			return failure(errno);
	}
}

static ssize_t
receive(int fd, struct msghdr *msg)
{
	for (;;) {
		ssize_t n = recvmsg(fd, msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n >= 0 || errno != EINTR)
			return n;
	}
}

static void
collect_fds(struct msghdr *msg, struct received *r)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int got;
			memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (r->nfds < MESSAGE_FDS_MAX)
				r->fds[r->nfds++] = got;
			else
				(void)close(got); /* cannot be: the space is that large */
		}
	}
}

int
channel_recv(int fd, struct received *r, size_t fds_max)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * MESSAGE_FDS_MAX)];
	} control;
	struct iovec iov = {r->octets, sizeof(r->octets)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	CHECK(fds_max <= MESSAGE_FDS_MAX);
	if (fds_max > 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds_max);
	}
	r->nfds = 0;
	ssize_t n = receive(fd, &msg);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : failure(errno);
	collect_fds(&msg, r);
	r->message = (struct view){r->octets, (size_t)n};
	r->truncated = (msg.msg_flags & MSG_TRUNC) ||
		(fds_max > 0 && (msg.msg_flags & MSG_CTRUNC)) || r->nfds > fds_max;
	if (r->truncated)
		received_done(r);
	if (n == 0) {
		/* No message of ours is empty: this is the end of the channel. */
		received_done(r);
		return -EPIPE;
	}
	return 0;
}

#define TURNS_OF_ONE 7

unsigned
channel_pace_begin(struct channel_pace *p, unsigned max)
{
	if (p->rest > 0) {
		p->rest--;
		return 1;
	}
	if (p->most < 2)
		p->most = 2;
	return p->most < max ? p->most : max;
}

void
channel_pace_end(struct channel_pace *p, unsigned asked, bool dry)
{
	if (asked < 2)
		return;
	if (dry) {
		*p = (struct channel_pace){.rest = TURNS_OF_ONE};
		return;
	}
	if (p->most < UINT16_MAX / 2)
		p->most *= 2;
}

int
received_take(struct received *r, size_t i)
{
	CHECK(i < r->nfds);
	int fd = r->fds[i];
	r->fds[i] = -1;
	return fd;
}

void
received_done(struct received *r)
{
	for (size_t i = 0; i < r->nfds; i++)
		if (r->fds[i] >= 0)
			(void)close(r->fds[i]);
	r->nfds = 0;
}
