#include "front/keys_link.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define DEADLINE_MS 2000
#define LOST_MS	    10000 /* keys drops an answer that it cannot send */

void
keys_link_init(struct keys_link *k)
{
	k->fd = -1;
	k->question = 0;
	k->late = false;
}

void
keys_link_close(struct keys_link *k)
{
	fd_close(&k->fd);
}

void
keys_link_set(struct keys_link *k, int fd)
{
	keys_link_close(k);
	k->fd = fd;
	k->late = false;
}

static int
ask(struct keys_link *k, const struct msg_sign *m)
{
	uint8_t octets[576];
	struct buf b = buf_over(octets, sizeof(octets));

	msg_sign_put(m, &b);
	CHECK(!b.full);
	return channel_send(k->fd, buf_view(&b), NULL, 0);
}

/*
 * 0 and the answer, which borrows from the link; -EAGAIN: nothing came that counts. The
 * answer is never there yet, so the socket itself waits: one system call, not three.
 */
static int
take_answer(struct keys_link *k, int flags, struct msg_signed *ret)
{
	struct view payload;
	ssize_t n = recv(k->fd, k->octets, sizeof(k->octets), MSG_TRUNC | flags);

	if (n < 0)
		return errno == EINTR || errno == ENOMEM || errno == ENOBUFS ? -EAGAIN
									     : -errno;
	if (n == 0)
		return -EPIPE;
	struct view message = {k->octets, (size_t)n};
	if (message.n > sizeof(k->octets) ||
		message_number(message, &payload) != MSG_SIGNED ||
		!msg_signed_get(ret, payload))
		return -EPROTO;
	/* Another number: the answer to a question that was given up. */
	return ret->question == k->question ? 0 : -EAGAIN;
}

/* Up to wait_ms; -ETIMEDOUT: it did not come. */
static int
wait_for_answer(struct keys_link *k, uint64_t wait_ms, struct msg_signed *ret)
{
	uint64_t end = clock_ms() + wait_ms;
	int flags = wait_ms > 0 ? 0 : MSG_DONTWAIT;

	for (;;) {
		int e = take_answer(k, flags, ret);
		if (e != -EAGAIN)
			return e;
		uint64_t now = clock_ms();
		if (now >= end)
			return -ETIMEDOUT;
		/* A socket that does not wait; or one that would wait anew each time. */
		flags = MSG_DONTWAIT;
		struct pollfd p = {.fd = k->fd, .events = POLLIN};
		if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
			return -errno;
	}
}

static int
give_up(struct keys_link *k, int e)
{
	/* A queue that is full now is not tomorrow. */
	if (!k->late && e != -EAGAIN)
		keys_link_close(k);
	return e;
}

int
keys_link_sign(void *link, uint32_t generation, uint8_t index, uint16_t scheme,
	struct view content, uint8_t *sig, size_t *n)
{
	struct keys_link *k = link;
	struct msg_signed answer;

	if (k->fd < 0)
		return -ENOTCONN;
	/* One that is stuck holds up one handshake, not each. */
	int e = k->late ? wait_for_answer(k, 0, &answer) : 0;
	if (e == -ETIMEDOUT && clock_ms() - k->asked_ms >= LOST_MS)
		e = 0;
	k->late = e == -ETIMEDOUT;
	if (e < 0)
		return give_up(k, e);
	k->question++;
	struct msg_sign m = {.question = k->question,
		.generation = generation,
		.index = index,
		.scheme = scheme,
		.content = content};
	k->asked_ms = clock_ms();
	e = ask(k, &m);
	if (e == 0)
		e = wait_for_answer(k, DEADLINE_MS, &answer);
	k->late = e == -ETIMEDOUT;
	if (e < 0)
		return give_up(k, e);
	if (answer.error || answer.signature.n == 0 || answer.signature.n > *n)
		return -EIO;
	memcpy(sig, answer.signature.p, answer.signature.n);
	*n = answer.signature.n;
	return 0;
}
