#include "unit.h"

#include "base/check.h"
#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int pair[2];
static struct received r;

/* Descriptors that this process has open. */
static size_t
open_descriptors(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void
fill(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = open("/dev/null", O_RDONLY);
		assert_true(fds[i] >= 0);
	}
}

static void
drop(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_int_equal(close(fds[i]), 0);
}

static void
messages_keep_their_edges(void **state)
{
	(void)state;
	assert_int_equal(channel_recv(pair[1], &r, 0), -EAGAIN);
	assert_int_equal(channel_send(pair[0], VIEW("one"), NULL, 0), 0);
	assert_int_equal(channel_send(pair[0], VIEW("three"), NULL, 0), 0);
	assert_int_equal(channel_recv(pair[1], &r, 0), 0);
	assert_int_equal(r.message.n, 3);
	assert_memory_equal(r.message.p, "one", 3);
	assert_int_equal(channel_recv(pair[1], &r, 1), 0);
	assert_int_equal(r.message.n, 5);
	assert_int_equal(r.nfds, 0);
	assert_false(r.truncated);
	assert_int_equal(channel_recv(pair[1], &r, 0), -EAGAIN);
}

static void
the_largest_message_fits_and_no_more(void **state)
{
	(void)state;
	static uint8_t octets[MESSAGE_OCTETS_MAX + 1];

	octets[MESSAGE_OCTETS_MAX - 1] = 'z';
	assert_int_equal(
		channel_send(pair[0], (struct view){octets, MESSAGE_OCTETS_MAX}, NULL, 0),
		0);
	assert_int_equal(channel_recv(pair[1], &r, 0), 0);
	assert_int_equal(r.message.n, MESSAGE_OCTETS_MAX);
	assert_int_equal(r.message.p[MESSAGE_OCTETS_MAX - 1], 'z');
	assert_false(r.truncated);
	int fd = 0;
	assert_int_equal(
		channel_send(pair[0], (struct view){octets, sizeof(octets)}, &fd, 1), 0);
	size_t before = open_descriptors();
	assert_int_equal(channel_recv(pair[1], &r, 1), 0);
	assert_true(r.truncated);
	assert_int_equal(r.nfds, 0);
	assert_int_equal(open_descriptors(), before);
}

static void
descriptors_come_with_their_message(void **state)
{
	(void)state;
	size_t before = open_descriptors();
	int fds[MESSAGE_FDS_MAX];

	fill(fds, MESSAGE_FDS_MAX);
	assert_int_equal(channel_send(pair[0], VIEW("m"), fds, MESSAGE_FDS_MAX), 0);
	assert_int_equal(channel_recv(pair[1], &r, MESSAGE_FDS_MAX), 0);
	assert_int_equal(r.nfds, MESSAGE_FDS_MAX);
	assert_false(r.truncated);
	drop(fds, MESSAGE_FDS_MAX);
	int one = received_take(&r, 5);
	assert_int_equal(fcntl(one, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	received_done(&r);
	assert_int_equal(open_descriptors(), before + 1);
	assert_int_equal(close(one), 0);
	received_done(&r);
}

/* For every number that a message may carry: one more is too many, and none leaks. */
static void
too_many_descriptors_are_all_closed(void **state)
{
	(void)state;
	size_t before = open_descriptors();
	int fds[MESSAGE_FDS_MAX];

	fill(fds, MESSAGE_FDS_MAX);
	for (size_t max = 0; max < MESSAGE_FDS_MAX; max++) {
		assert_int_equal(channel_send(pair[0], VIEW("m"), fds, max + 1), 0);
		assert_int_equal(channel_recv(pair[1], &r, max), 0);
		assert_int_equal(r.nfds, 0);
		/* Plain messages do not even notice. */
		assert_int_equal(r.truncated, max > 0);
		assert_int_equal(r.message.n, 1);
		assert_int_equal(open_descriptors(), before + MESSAGE_FDS_MAX);
	}
	drop(fds, MESSAGE_FDS_MAX);
}

/* A peer that is not ours may put them into several control messages. */
static void
descriptors_in_pieces(void **state)
{
	(void)state;
	size_t before = open_descriptors();
	union {
		struct cmsghdr align;
		char space[2 * CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {(char[]){"m"}, 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};

	memset(&control, 0, sizeof(control));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	for (int i = 0; i < 2; i++, c = CMSG_NXTHDR(&m, c)) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &(int){0}, sizeof(int));
	}
	assert_int_equal(sendmsg(pair[0], &m, 0), 1);
	assert_int_equal(channel_recv(pair[1], &r, 2), 0);
	assert_int_equal(r.nfds, 2);
	received_done(&r);
	assert_int_equal(sendmsg(pair[0], &m, 0), 1);
	assert_int_equal(channel_recv(pair[1], &r, 1), 0);
	assert_true(r.truncated);
	assert_int_equal(r.nfds, 0);
	assert_int_equal(open_descriptors(), before);
}

/* Where this process has no number left for what came. */
static void
no_room_for_a_descriptor(void **state)
{
	(void)state;
	struct rlimit saved, none;
	int fds[2] = {0, 1};

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &saved), 0);
	none = saved;
	none.rlim_cur = (rlim_t)open("/dev/null", O_RDONLY);
	assert_int_equal(close((int)none.rlim_cur), 0);
	assert_int_equal(channel_send(pair[0], VIEW("m"), fds, 2), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int err = channel_recv(pair[1], &r, 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &saved), 0);
	assert_int_equal(err, 0);
	assert_true(r.truncated);
	assert_int_equal(r.nfds, 0);
}

static void
a_full_channel_says_so(void **state)
{
	(void)state;
	unsigned int sent = 0;
	int err;

	while ((err = channel_send(pair[0], VIEW("message"), NULL, 0)) == 0)
		assert_true(++sent < 1000000);
	assert_int_equal(err, -EAGAIN);
	while (sent-- > 0)
		assert_int_equal(channel_recv(pair[1], &r, 0), 0);
	assert_int_equal(channel_recv(pair[1], &r, 0), -EAGAIN);
}

static void
the_end_is_told_after_what_was_said(void **state)
{
	(void)state;
	int other[2];

	assert_int_equal(channel_pair(other), 0);
	assert_int_equal(fcntl(other[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(other[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(channel_send(other[0], VIEW("last"), NULL, 0), 0);
	assert_int_equal(close(other[0]), 0);
	assert_int_equal(channel_recv(other[1], &r, 4), 0);
	assert_int_equal(r.message.n, 4);
	assert_int_equal(channel_recv(other[1], &r, 4), -EPIPE);
	assert_int_equal(channel_recv(other[1], &r, 0), -EPIPE);
	/* No SIGPIPE. */
	assert_int_equal(channel_send(other[1], VIEW("x"), NULL, 0), -EPIPE);
	assert_int_equal(close(other[1]), 0);
	/* Closed with something unread: the peer's reset is an end, too. */
	assert_int_equal(channel_pair(other), 0);
	assert_int_equal(channel_send(other[1], VIEW("x"), NULL, 0), 0);
	assert_int_equal(close(other[0]), 0);
	assert_int_equal(channel_recv(other[1], &r, 0), -EPIPE);
	assert_int_equal(close(other[1]), 0);
}

static void
an_empty_message_is_the_end(void **state)
{
	(void)state;
	size_t before = open_descriptors();
	int fd = 0;

	assert_int_equal(channel_send(pair[0], VIEW(""), &fd, 1), 0);
	assert_int_equal(channel_recv(pair[1], &r, 1), -EPIPE);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(channel_recv(-1, &r, 0), -EBADF);
}

static int
set_up(void **state)
{
	(void)state;
	return channel_pair(pair);
}

static int
tear_down(void **state)
{
	(void)state;
	return close(pair[0]) + close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_keep_their_edges),
		cmocka_unit_test(the_largest_message_fits_and_no_more),
		cmocka_unit_test(descriptors_come_with_their_message),
		cmocka_unit_test(too_many_descriptors_are_all_closed),
		cmocka_unit_test(descriptors_in_pieces),
		cmocka_unit_test(no_room_for_a_descriptor),
		cmocka_unit_test(a_full_channel_says_so),
		cmocka_unit_test(the_end_is_told_after_what_was_said),
		cmocka_unit_test(an_empty_message_is_the_end),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
