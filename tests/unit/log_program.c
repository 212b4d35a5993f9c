/*
 * The whole of restante-log, in a child with the descriptors that the monitor would give
 * it, cage and all.
 */
#include "unit.h"

int log_main(void);
#define main log_main
#include "log/main.c"
#undef main

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 65534

static struct {
	int monitor, out;
	uint64_t *counters;
	pid_t pid;
	char dir[64], text[1 << 20];
	size_t n;
} the;

static void
be_the_log(int monitor, int counters)
{
	/* Out of the way of the numbers that they shall have. */
	int m = fcntl(monitor, F_DUPFD, 20), s = fcntl(counters, F_DUPFD, 20);

	CHECK(dup2(m, FD_MONITOR) == FD_MONITOR);
	CHECK(dup2(s, FD_STAT) == FD_STAT);
	for (int fd = FD_STAT + 1; fd < 64; fd++)
		(void)close(fd);
	_exit(log_main());
}

static void
send_setup(int level, int out)
{
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	AUTO_FD empty = open(the.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct msg_log_setup m = {
		.uid = geteuid() == 0 ? NOBODY : 0, .level = (uint8_t)level};

	msg_log_setup_put(&m, &b);
	assert_int_equal(
		channel_send(the.monitor, buf_view(&b), (int[]){empty, out}, 2), 0);
}

/* A channel as some program has it; log has the other end. */
static int
new_source(struct view program, uint32_t pid)
{
	int pair[2];
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_log_source m = {.pid = pid, .program = program};

	assert_int_equal(channel_pair(pair), 0);
	msg_log_source_put(&m, &b);
	assert_int_equal(channel_send(the.monitor, buf_view(&b), &pair[1], 1), 0);
	fd_close(&pair[1]);
	return pair[0];
}

static void
say(int source, const char *event, const char *value)
{
	struct log_record r;

	log_to(source);
	log_begin(&r, LOG_LEVEL_INFO, event);
	log_str(&r, "value", value);
	log_send(&r);
}

/* Waits until the lines so far hold this; what was there stays. */
static void
await(const char *wanted)
{
	uint64_t until = clock_ms() + 20000;

	while (!strstr(the.text, wanted)) {
		struct pollfd p = {.fd = the.out, .events = POLLIN};
		if (clock_ms() > until || poll(&p, 1, 1000) < 0)
			fail_msg("no \"%s\" in \"%s\"", wanted, the.text);
		if (!(p.revents & (POLLIN | POLLHUP)))
			continue;
		ssize_t n = read(the.out, the.text + the.n, sizeof(the.text) - 1 - the.n);
		if (n <= 0)
			fail_msg("the end before \"%s\" in \"%s\"", wanted, the.text);
		the.n += (size_t)n;
		the.text[the.n] = 0;
	}
}

static void
forget(void)
{
	the.n = 0;
	the.text[0] = 0;
}

static int
start(void **state)
{
	(void)state;
	int channel[2], out[2];
	static struct received r;
	struct view payload;
	struct msg_ready ready;

	(void)snprintf(the.dir, sizeof(the.dir), "/tmp/log_program.XXXXXX");
	CHECK(mkdtemp(the.dir));
	CHECK(chmod(the.dir, 0755) == 0);
	CHECK(channel_pair(channel) == 0);
	CHECK(pipe2(out, O_CLOEXEC) == 0);
	size_t octets = sizeof(uint64_t) * STAT_COUNT;
	AUTO_FD counters = memfd_create("counters", MFD_CLOEXEC);
	CHECK(ftruncate(counters, (off_t)octets) == 0);
	the.counters = mmap(NULL, octets, PROT_READ, MAP_SHARED, counters, 0);
	CHECK(the.counters != MAP_FAILED);
	the.pid = fork();
	if (the.pid == 0)
		be_the_log(channel[1], counters);
	fd_close(&channel[1]);
	the.monitor = channel[0];
	the.out = out[0];
	forget();
	send_setup(LOG_LEVEL_INFO, out[1]);
	fd_close(&out[1]);
	struct pollfd p = {.fd = the.monitor, .events = POLLIN};
	CHECK(poll(&p, 1, 20000) == 1);
	CHECK(channel_recv(the.monitor, &r, 0) == 0);
	CHECK(message_number(r.message, &payload) == MSG_READY);
	CHECK(msg_ready_get(&ready, payload));
	CHECK(ready.cage & SANDBOX_SECCOMP);
	return 0;
}

/* It ends when the monitor's channel does, with status 0. */
static int
stop(void **state)
{
	(void)state;
	int status;

	fd_close(&the.monitor);
	CHECK(waitpid(the.pid, &status, 0) == the.pid);
	fd_close(&the.out);
	CHECK(munmap(the.counters, sizeof(uint64_t) * STAT_COUNT) == 0);
	CHECK(rmdir(the.dir) == 0);
	return status;
}

static void
records_become_lines_of_their_source(void **state)
{
	(void)state;
	AUTO_FD a = new_source(VIEW("restante-auth"), 11);
	AUTO_FD b = new_source(VIEW("restante-front"), 12);

	say(a, "login", "one two");
	say(b, "logout", "x");
	await(" level=info program=restante-auth pid=11 event=login value=\"one two\"\n");
	await(" level=info program=restante-front pid=12 event=logout value=x\n");
}

static void
what_a_source_said_last_is_written(void **state)
{
	(void)state;
	int a = new_source(VIEW("restante-keeper"), 13);

	say(a, "last", "words");
	fd_close(&a);
	await("pid=13 event=last value=words\n");
}

static void
malformed_records_are_told_of(void **state)
{
	(void)state;
	AUTO_FD a = new_source(VIEW("restante-front"), 14);
	AUTO_FD b = new_source(VIEW("restante-auth"), 15);

	/* No record at all, a message that is not for here, one that claims to be
	 * another's. */
	assert_int_equal(channel_send(a, VIEW("\x52"), NULL, 0), 0);
	assert_int_equal(channel_send(a, VIEW("\x01\x00\0\0\0\0"), NULL, 0), 0);
	assert_int_equal(
		channel_send(a, VIEW("\x52\x00\x03\5\0login\6\0\3p=d\0\0"), NULL, 0), 0);
	say(b, "fine", "still");
	await("pid=15 event=fine value=still\n");
	await("pid=14 event=dropped records=0 malformed=3 ");
	assert_int_equal(the.counters[STAT_PROTOCOL_FAULTS], 3);
}

static void
levels_are_kept_and_changed(void **state)
{
	(void)state;
	AUTO_FD a = new_source(VIEW("restante-front"), 16);
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	say(a, "before", "x");
	await("event=before");
	send_setup(LOG_LEVEL_WARNING, out[1]);
	fd_close(&out[1]);
	/* The order between two channels is not given: wait until the old output is
	 * closed. */
	struct pollfd p = {.fd = the.out};
	assert_int_equal(poll(&p, 1, 20000), 1);
	fd_close(&the.out);
	the.out = out[0];
	say(a, "hidden", "x");
	struct log_record r;
	log_begin(&r, LOG_LEVEL_WARNING, "shown");
	log_send(&r);
	await("pid=16 event=shown\n");
	assert_null(strstr(the.text, "hidden"));
}

/* One that fills its channel, and the pipe behind it, does not drown another. */
static void
others_are_heard_beside_a_flood(void **state)
{
	(void)state;
	AUTO_FD a = new_source(VIEW("restante-front"), 17);
	AUTO_FD b = new_source(VIEW("restante-auth"), 18);
	uint64_t dropped = log_dropped();

	for (int i = 0; i < 100000 && log_dropped() == dropped; i++)
		say(a, "flood", "x");
	assert_true(log_dropped() > dropped);
	say(b, "fine", "still");
	/* This process lost one record, on whichever channel; its next one says so. */
	await("pid=18 event=fine value=still lost=1\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			records_become_lines_of_their_source, start, stop),
		cmocka_unit_test_setup_teardown(
			what_a_source_said_last_is_written, start, stop),
		cmocka_unit_test_setup_teardown(
			malformed_records_are_told_of, start, stop),
		cmocka_unit_test_setup_teardown(levels_are_kept_and_changed, start, stop),
		cmocka_unit_test_setup_teardown(
			others_are_heard_beside_a_flood, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
