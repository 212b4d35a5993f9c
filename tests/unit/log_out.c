#include "unit.h"

#include "base/check.h"
#include "log/out.h"
#include "os/clock.h"
#include "os/fd.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
a_file_gets_line_after_line(void **state)
{
	(void)state;
	char path[] = "/tmp/log_out.XXXXXX";
	struct log_out o = {.fd = -1};
	char got[32] = "";
	AUTO_FD fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	log_out_set(&o, dup(fd), false);
	assert_true(log_out_write(&o, VIEW("one\n")));
	assert_true(log_out_write(&o, VIEW("two\n")));
	assert_int_equal(fd_pread_all(fd, got, 8, 0), 0);
	assert_string_equal(got, "one\ntwo\n");
	fd_close(&o.fd);
}

/* A pipe that nobody reads: one wait, then lines are lost at once; later all is well
 * again. */
static void
a_reader_that_stops_costs_lines_alone(void **state)
{
	(void)state;
	int pair[2];
	struct log_out o = {.fd = -1};
	char line[1000], back[4096];
	uint64_t written = 0, start = clock_ms();

	memset(line, 'x', sizeof(line));
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	log_out_set(&o, pair[1], false);
	while (log_out_write(&o, (struct view){(uint8_t *)line, sizeof(line)}))
		assert_true(++written < 1000);
	for (int i = 0; i < 1000; i++)
		assert_false(
			log_out_write(&o, (struct view){(uint8_t *)line, sizeof(line)}));
	/* 1001 waits would take as many seconds. */
	assert_true(clock_ms() - start < 30000);
	assert_int_equal(o.lost, 1001);
	/* The monitor's mode of the descriptor is as it was. */
	assert_int_equal(fcntl(pair[1], F_GETFL) & O_NONBLOCK, 0);
	for (uint64_t n = 0; n < written * sizeof(line);) {
		ssize_t got = read(pair[0], back, sizeof(back));
		assert_true(got > 0);
		n += (uint64_t)got;
	}
	assert_true(log_out_write(&o, VIEW("again\n")));
	assert_int_equal(read(pair[0], back, sizeof(back)), 6);
	fd_close(&o.fd);
	fd_close(&pair[0]);
}

static void
a_reader_that_is_gone_costs_nothing(void **state)
{
	(void)state;
	int pair[2];
	struct log_out o = {.fd = -1};

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	log_out_set(&o, pair[1], false);
	fd_close(&pair[0]);
	uint64_t start = clock_ms();
	for (int i = 0; i < 100; i++)
		assert_false(log_out_write(&o, VIEW("line\n")));
	assert_true(clock_ms() - start < 900);
	assert_int_equal(o.lost, 100);
	fd_close(&o.fd);
}

/* A stream socket takes a part of a line; the next line does not run on behind it. */
static void
a_torn_line_stands_alone(void **state)
{
	(void)state;
	int pair[2], small = 4096;
	struct log_out o = {.fd = -1};
	static char back[1 << 20];
	size_t n = 0;
	char line[4000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(
		setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	log_out_set(&o, pair[1], false);
	while (log_out_write(&o, (struct view){(uint8_t *)line, sizeof(line)}))
		;
	bool torn = o.torn;
	for (ssize_t got = 1; got > 0; n += (size_t)(got > 0 ? got : 0))
		got = recv(pair[0], back + n, sizeof(back) - n, MSG_DONTWAIT);
	assert_true(log_out_write(&o, VIEW("next\n")));
	assert_int_equal(recv(pair[0], back + n, sizeof(back) - n, 0), torn ? 1 : 5);
	assert_int_equal(back[n], torn ? '\n' : 'n');
	fd_close(&o.fd);
	fd_close(&pair[0]);
}

static void
a_dead_syslog_is_noticed(void **state)
{
	(void)state;
	int pair[2];
	char back[64];
	struct log_out o = {.fd = -1};

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	log_out_set(&o, pair[1], true);
	assert_int_equal(o.form, LOG_FORM_SYSLOG);
	assert_true(log_out_write(&o, VIEW("<22>one")));
	assert_int_equal(recv(pair[0], back, sizeof(back), 0), 7);
	fd_close(&pair[0]);
	assert_false(log_out_write(&o, VIEW("<22>two")));
	assert_true(o.refused);
	/* A new one from the monitor; what was lost is still to be told of. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	log_out_set(&o, pair[1], true);
	assert_int_equal(o.lost, 1);
	assert_true(log_out_write(&o, VIEW("<22>three")));
	assert_false(o.refused);
	assert_int_equal(recv(pair[0], back, sizeof(back), 0), 9);
	fd_close(&o.fd);
	fd_close(&pair[0]);
}

static int
set_up(void **state)
{
	(void)state;
	return signal(SIGPIPE, SIG_IGN) == SIG_ERR;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_gets_line_after_line),
		cmocka_unit_test(a_reader_that_stops_costs_lines_alone),
		cmocka_unit_test(a_reader_that_is_gone_costs_nothing),
		cmocka_unit_test(a_torn_line_stands_alone),
		cmocka_unit_test(a_dead_syslog_is_noticed),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
