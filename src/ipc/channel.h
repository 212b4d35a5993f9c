/*
 * channel.h: moving messages over SOCK_SEQPACKET socket pairs. The one part of ipc that
 * touches the outside.
 *
 * Results are 0 or -errno. All sockets are non-blocking unless a program says otherwise;
 * -EAGAIN means the peer's queue is full (or nothing has come): the caller decides
 * whether to wait for EPOLLOUT, to drop, or to end the peer.
 */
#ifndef IPC_CHANNEL_H
#define IPC_CHANNEL_H

#include "base/buf.h"
#include "ipc/message.h"

#include <stdbool.h>
#include <stdint.h>

/* Fixed descriptors of every program that the monitor starts. */
enum channel_fd {
	FD_MONITOR = 3, /* SEQPACKET to the monitor */
	FD_LOG = 4,	/* SEQPACKET to restante-log, write only */
	FD_STAT = 5,	/* memfd with this process's counters (stat/stat.h) */
};

/*
 * Auth that ended is replaced, and a new channel to it comes. One that closed ours is
 * still there and brings none: after so long the end of a front, or of lmtpd, is what
 * brings another of them, and that one a channel. (Helpers have a time of their own.)
 */
#define CHANNEL_ALONE_MS 10000

struct received {
	uint8_t octets[MESSAGE_OCTETS_MAX];
	struct view message;	  /* within octets */
	int fds[MESSAGE_FDS_MAX]; /* owned by the caller; -1 where taken */
	size_t nfds;
	bool truncated; /* MSG_CTRUNC or MSG_TRUNC: something was lost, descriptors are
			   closed */
};

/* A connected pair, close-on-exec, non-blocking. */
[[nodiscard]] int channel_pair(int ret[2]);

/* Sends one message with nfds descriptors, which stay the caller's. -ETOOMANYREFS: retry
 * later. */
[[nodiscard]] int channel_send(int fd, struct view message, const int *fds, size_t nfds);

/*
 * Receives one message; -EAGAIN where none is there, -EPIPE at the end of the channel.
 * With fds_max 0 plain recv is used: descriptors that a peer attaches are discarded by
 * the kernel. More than fds_max: all are closed and `truncated` is set.
 */
[[nodiscard]] int channel_recv(int fd, struct received *r, size_t fds_max);

/*
 * How many messages to take in one turn. Mostly one is there, and a look for a second one
 * finds nothing: so most turns take one, every eighth looks for more, and as long as it
 * finds them each turn takes twice as many. What is left over makes the next turn. Zeroed
 * at first.
 */
struct channel_pace {
	uint16_t most, rest;
};
unsigned channel_pace_begin(struct channel_pace *p, unsigned max);
/* asked: what begin gave; dry: fewer were there. */
void channel_pace_end(struct channel_pace *p, unsigned asked, bool dry);

/* Takes descriptor i out of *r: the caller's from now on. */
int received_take(struct received *r, size_t i);
/* Closes what was not taken. */
void received_done(struct received *r);

#endif
