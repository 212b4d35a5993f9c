/*
 * evil.h: what the programs in this directory share. Each takes the place of a program of
 * ours, does its start-up as that would, and then does what a taken-over one might.
 */
#ifndef EVIL_H
#define EVIL_H

#include "ipc/channel.h"
#include "ipc/message.h"

#include <stdbool.h>

/* Sends with these descriptors; the result is channel_send's. */
int evil_send(int fd, struct buf *message, const int *fds, size_t nfds);
/* Waits up to ms for a message; its number, 0 at the time-out, -errno (-EPIPE: the end).
 */
int evil_receive(int fd, struct received *r, struct view *payload, int ms);
/* Where the real program is: beside this one, with ".real" behind its name. */
void evil_become_real(void);
/* Enters the cage that the real program would: uid and empty directory from the set-up.
 */
void evil_cage(int profile, uint32_t uid, int empty_dir);
/* READY on the channel to the monitor. */
void evil_ready(void);

/* A message in storage of its own: EVIL(m, login, {...}) declares buf m. */
#define EVIL(out, name, ...)                                                             \
	uint8_t out##_storage[MESSAGE_OCTETS_MAX];                                       \
	struct buf out = buf_over(out##_storage, sizeof(out##_storage));                 \
	msg_##name##_put(&(struct msg_##name)__VA_ARGS__, &out)

#endif
