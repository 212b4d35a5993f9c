/* Socket pairs between processes: whole messages, in order, with descriptors. */
#include "sim.h"
#include "sim_calls.h"
#include "sim_watch.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define OVERHEAD 512 /* what a message costs beyond its octets */

int
sim_socketpair(int domain, int type, int protocol, int ret[2])
{
	struct file *a = k_file(FILE_CHANNEL, 04002), *b = k_file(FILE_CHANNEL, 04002);

	(void)domain, (void)type, (void)protocol;
	k_enter();
	a->peer = b;
	b->peer = a;
	a->limit = b->limit = 212992;
	ret[0] = k_fd(a, 0);
	ret[1] = k_fd(b, 0);
	if (ret[0] >= 0 && ret[1] >= 0)
		return 0;
	if (ret[0] >= 0)
		(void)sim_close(ret[0]);
	return k_fail(EMFILE);
}

void
k_channel_close(struct file *f)
{
	struct file *peer = f->peer;

	watch_channel_closed(f);
	if (peer) {
		/* What was not read is a reset for the other side. */
		peer->reset = f->first != NULL;
		peer->peer_gone = true;
		peer->peer = NULL;
		k_notify(peer);
	}
	for (struct packet *p = f->first; p; p = p->next)
		for (size_t i = 0; i < p->nfds; i++)
			k_put(p->fds[i]);
	f->first = NULL;
}

static size_t
fds_of(const struct msghdr *msg, const int **ret)
{
	struct cmsghdr *c = CMSG_FIRSTHDR((struct msghdr *)(uintptr_t)msg);

	if (!c)
		return 0;
	*ret = (const int *)(const void *)CMSG_DATA(c);
	return (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
}

ssize_t
sim_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct file *f = k_get(fd);
	const int *fds = NULL;
	size_t n = msg->msg_iov[0].iov_len, nfds = fds_of(msg, &fds);

	(void)flags;
	k_enter();
	if (!f)
		return -1;
	if (f->kind != FILE_CHANNEL)
		return k_fail(ENOTSOCK);
	if (f->peer_gone)
		return k_fail(EPIPE);
	struct file *to = f->peer;
	if (to->queued > 0 && to->queued + n + OVERHEAD > f->limit)
		return k_fail(EAGAIN);
	struct packet *p = k_new(sizeof(*p) + n);
	p->n = n;
	memcpy(p->octets, msg->msg_iov[0].iov_base, n);
	if (nfds > 0)
		p->fds = k_new(nfds * sizeof(struct file *));
	for (size_t i = 0; i < nfds; i++) {
		struct file *g = k_get(fds[i]);
		if (!g)
			return -1;
		g->refs++;
		p->fds[p->nfds++] = g;
	}
	watch_message(f, p);
	*(to->last ? &to->last->next : &to->first) = p;
	to->last = p;
	to->queued += n + OVERHEAD;
	k_notify(to);
	return (ssize_t)n;
}

ssize_t
sim_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct file *f = k_get(fd);

	k_enter();
	if (!f)
		return -1;
	if (f->kind != FILE_CHANNEL)
		return k_fail(ENOTSOCK);
	if (f->reset) {
		f->reset = false;
		return k_fail(ECONNRESET);
	}
	struct packet *p = f->first;
	if (!p && !f->peer_gone)
		return k_fail(EAGAIN);
	msg->msg_controllen = p ? msg->msg_controllen : 0;
	if (!p)
		return 0;
	f->first = p->next;
	if (!f->first)
		f->last = NULL;
	f->queued -= p->n + OVERHEAD;
	if (f->peer)
		k_notify(f->peer);
	size_t n = p->n;
	msg->msg_flags = 0;
	if (n > msg->msg_iov[0].iov_len) {
		n = msg->msg_iov[0].iov_len;
		msg->msg_flags |= MSG_TRUNC;
	}
	memcpy(msg->msg_iov[0].iov_base, p->octets, n);
	struct cmsghdr *c = msg->msg_control ? CMSG_FIRSTHDR(msg) : NULL;
	if (c && p->nfds > 0) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * p->nfds);
		for (size_t i = 0; i < p->nfds; i++) {
			int got = k_fd(p->fds[i], 0);
			memcpy(CMSG_DATA(c) + i * sizeof(int), &got, sizeof(got));
		}
		msg->msg_controllen = CMSG_SPACE(sizeof(int) * p->nfds);
	} else {
		for (size_t i = 0; i < p->nfds; i++)
			k_put(p->fds[i]);
		msg->msg_controllen = 0;
	}
	return (flags & MSG_TRUNC) ? (ssize_t)p->n : (ssize_t)n;
}

int
sim_shutdown(int fd, int how)
{
	struct file *f = k_get(fd);

	k_enter();
	if (!f)
		return -1;
	if (f->kind == FILE_STREAM) {
		if (how != SHUT_RD)
			k_pipe_fin(f->out);
		return 0;
	}
	if (f->kind != FILE_CHANNEL)
		return k_fail(ENOTSOCK);
	struct file *peer = f->peer;
	if (peer) {
		peer->peer_gone = f->peer_gone = true;
		peer->peer = f->peer = NULL;
		k_notify(peer);
		k_notify(f);
	}
	return 0;
}
