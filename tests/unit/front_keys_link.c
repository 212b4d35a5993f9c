/* The front's question to restante-keys, and every answer that is none. */
#include "unit.h"

#include "front/keys_link.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static struct keys_link link_;
static struct received got;

/* The other end of a new link. */
static int
begin(void)
{
	int pair[2];

	assert_int_equal(channel_pair(pair), 0);
	keys_link_init(&link_);
	keys_link_set(&link_, pair[0]);
	return pair[1];
}

static void
put_answer(int fd, uint32_t question, uint8_t error, size_t n)
{
	uint8_t octets[1100], sig[1024];
	struct buf b = buf_over(octets, sizeof(octets));

	memset(sig, 'S', sizeof(sig));
	msg_signed_put(
		&(struct msg_signed){
			.question = question, .error = error, .signature = {sig, n}},
		&b);
	assert_int_equal(channel_send(fd, buf_view(&b), NULL, 0), 0);
}

static int
ask(size_t room, size_t *ret_n)
{
	static uint8_t sig[1024];

	*ret_n = room;
	return keys_link_sign(&link_, 7, 3, 0x0403, VIEW("content"), sig, ret_n);
}

static void
answers_are_matched_by_number(void **state)
{
	int fd = begin();
	struct msg_sign m;
	struct view payload;
	size_t n;

	(void)state;
	/* Ahead of time, so that nothing here waits: 1 is the first question. */
	put_answer(fd, 0, 0, 10);
	put_answer(fd, 99, 0, 20);
	put_answer(fd, 1, 0, 70);
	assert_int_equal(ask(1024, &n), 0);
	assert_int_equal(n, 70);
	assert_int_equal(channel_recv(fd, &got, 0), 0);
	assert_int_equal(message_number(got.message, &payload), MSG_SIGN);
	assert_true(msg_sign_get(&m, payload));
	assert_int_equal(m.question, 1);
	assert_int_equal(m.generation, 7);
	assert_int_equal(m.index, 3);
	assert_int_equal(m.scheme, 0x0403);
	assert_memory_equal(m.content.p, "content", 7);
	put_answer(fd, 2, 0, 1024);
	assert_int_equal(ask(1024, &n), 0);
	assert_int_equal(n, 1024);
	keys_link_close(&link_);
	fd_close(&fd);
}

/* A no is a no: the link lives. */
static void
refusals_leave_the_link(void **state)
{
	int fd = begin();
	size_t n;

	(void)state;
	put_answer(fd, 1, 4, 0);
	assert_int_equal(ask(1024, &n), -EIO);
	put_answer(fd, 2, 0, 0);
	assert_int_equal(ask(1024, &n), -EIO);
	put_answer(fd, 3, 0, 65);
	assert_int_equal(ask(64, &n), -EIO);
	put_answer(fd, 4, 0, 64);
	assert_int_equal(ask(64, &n), 0);
	keys_link_close(&link_);
	fd_close(&fd);
}

static void
a_dead_link_waits_for_the_next(void **state)
{
	size_t n;
	int fd = begin();

	(void)state;
	fd_close(&fd);
	assert_true(ask(1024, &n) < 0);
	assert_int_equal(link_.fd, -1);
	assert_int_equal(ask(1024, &n), -ENOTCONN);
	/* Nonsense ends it, too. */
	fd = begin();
	assert_int_equal(channel_send(fd, VIEW("\x93\0nonsense"), NULL, 0), 0);
	assert_int_equal(ask(1024, &n), -EPROTO);
	assert_int_equal(ask(1024, &n), -ENOTCONN);
	int pair[2];
	assert_int_equal(channel_pair(pair), 0);
	keys_link_set(&link_, pair[0]);
	put_answer(pair[1], link_.question + 1, 0, 64);
	assert_int_equal(ask(1024, &n), 0);
	keys_link_close(&link_);
	fd_close(&fd);
	fd_close(&pair[1]);
}

/* Two seconds, whatever else comes meanwhile; and nobody waits again before it answers.
 */
static void
silence_holds_up_one_handshake(void **state)
{
	int fd = begin();
	size_t n;

	(void)state;
	put_answer(fd, 77, 0, 64);
	uint64_t start = clock_ms();
	assert_int_equal(ask(1024, &n), -ETIMEDOUT);
	assert_in_range(clock_ms() - start, 2000, 30000);
	start = clock_ms();
	for (int i = 0; i < 100; i++)
		assert_int_equal(ask(1024, &n), -ETIMEDOUT);
	assert_in_range(clock_ms() - start, 0, 30000);
	assert_int_equal(link_.question, 1);
	put_answer(fd, 1, 0, 64);
	put_answer(fd, 2, 0, 70);
	assert_int_equal(ask(1024, &n), 0);
	assert_int_equal(n, 70);
	keys_link_close(&link_);
	fd_close(&fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_matched_by_number),
		cmocka_unit_test(refusals_leave_the_link),
		cmocka_unit_test(a_dead_link_waits_for_the_next),
		cmocka_unit_test(silence_holds_up_one_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
