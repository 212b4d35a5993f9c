#include "unit.h"

#include "base/check.h"
#include "ipc/start.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int monitor; /* its end of FD_MONITOR */
static struct received r;

static int
set_up(void **state)
{
	(void)state;
	int pair[2];

	CHECK(channel_pair(pair) == 0);
	monitor = fcntl(pair[0], F_DUPFD_CLOEXEC, 20);
	CHECK(monitor >= 0);
	int ours = fcntl(pair[1], F_DUPFD_CLOEXEC, 20);
	(void)close(pair[0]);
	(void)close(pair[1]);
	CHECK(dup2(ours, FD_MONITOR) == FD_MONITOR);
	return close(ours);
}

static int
tear_down(void **state)
{
	(void)state;
	if (monitor >= 0)
		(void)close(monitor);
	return close(FD_MONITOR);
}

static void
send_setup(const int *fds, size_t n)
{
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));

	msg_control_setup_put(&(struct msg_control_setup){.uid = 7}, &b);
	assert_int_equal(channel_send(monitor, buf_view(&b), fds, n), 0);
}

static void
the_first_message_is_waited_for(void **state)
{
	(void)state;
	struct msg_control_setup m;
	struct view payload;
	pid_t pid = fork();

	if (pid == 0) {
		int e = start_receive(MSG_CONTROL_SETUP, 3, &r, &payload);
		_exit(e == 0 && msg_control_setup_get(&m, payload) && m.uid == 7 &&
					r.nfds == 1
				? 0
				: 1);
	}
	/* Whether it waits already or not, it must get the message. */
	send_setup((int[]){STDERR_FILENO}, 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
another_message_is_refused(void **state)
{
	(void)state;
	struct view payload;

	send_setup((int[]){STDERR_FILENO}, 1);
	assert_int_equal(start_receive(MSG_AUTH_SETUP, 1, &r, &payload), -EPROTO);
	assert_int_equal(message_number(r.message, &payload), MSG_CONTROL_SETUP);
	/* Its descriptors are closed. */
	assert_int_equal(r.nfds, 0);
}

static void
too_many_descriptors_are_refused(void **state)
{
	(void)state;
	struct view payload;

	send_setup((int[]){STDERR_FILENO, STDERR_FILENO}, 2);
	assert_int_equal(start_receive(MSG_CONTROL_SETUP, 1, &r, &payload), -EPROTO);
	assert_int_equal(r.nfds, 0);
}

static void
no_message_at_all_is_the_end(void **state)
{
	(void)state;
	struct view payload;

	(void)close(monitor);
	monitor = -1;
	assert_int_equal(start_receive(MSG_CONTROL_SETUP, 1, &r, &payload), -EPIPE);
}

static void
ready_says_which_parts(void **state)
{
	(void)state;
	struct view payload;
	struct msg_ready m;

	assert_int_equal(start_ready(SANDBOX_SECCOMP | SANDBOX_CHROOT), 0);
	assert_int_equal(channel_recv(monitor, &r, 0), 0);
	assert_int_equal(message_number(r.message, &payload), MSG_READY);
	assert_true(msg_ready_get(&m, payload));
	assert_int_equal(m.cage, SANDBOX_SECCOMP | SANDBOX_CHROOT);
}

static void
keep(void *context, struct log_record *record)
{
	*(struct log_record *)context = *record;
	/* A copy's octets are its own. */
	((struct log_record *)context)->buf.p = ((struct log_record *)context)->pairs;
}

static bool
holds(const struct log_record *record, const char *text)
{
	return memmem(record->buf.p, record->buf.n, text, strlen(text)) != NULL;
}

static void
a_failed_step_is_told(void **state)
{
	(void)state;
	struct log_record told;
	struct start_words words = {
		.event = "cage", .key = "step", .send = keep, .context = &told};

	start_fail(&words, "counters", -ENOMEM);
	assert_string_equal(told.event, "cage");
	assert_int_equal(told.level, LOG_LEVEL_ERROR);
	assert_true(holds(&told, "counters") && holds(&told, "step"));
	assert_true(holds(&told, "error"));
	start_fail(&words, "libcrypt", 0);
	assert_true(holds(&told, "libcrypt"));
	assert_false(holds(&told, "error"));
}

static void
by_default_it_goes_to_the_log(void **state)
{
	(void)state;
	struct msg_log_record m;
	struct view payload;
	int pair[2];

	assert_int_equal(channel_pair(pair), 0);
	log_to(pair[0]);
	start_fail(&start_words, "threads", -EAGAIN);
	log_to(FD_LOG);
	assert_int_equal(channel_recv(pair[1], &r, 0), 0);
	assert_int_equal(message_number(r.message, &payload), MSG_LOG_RECORD);
	assert_true(msg_log_record_get(&m, payload));
	assert_int_equal(m.event.n, strlen("start_failed"));
	assert_memory_equal(m.event.p, "start_failed", m.event.n);
	assert_non_null(memmem(m.pairs.p, m.pairs.n, "threads", 7));
	(void)close(pair[0]);
	(void)close(pair[1]);
}

/* In a child: a cage that cannot be had has closed half of its doors by then. */
static void
a_cage_that_cannot_be_had_is_told(void **state)
{
	(void)state;
	pid_t pid = fork();

	if (pid == 0) {
		static struct log_record told;
		struct start_words words = {.event = "cage_failed",
			.key = "what",
			.send = keep,
			.context = &told};
		struct sandbox_plan plan = {.profile = SANDBOX_LOG,
			.empty_dir = -1,
			.fsize_max = UINT64_MAX,
			.required = UINT32_C(1) << 30};
		uint32_t parts = 0;
		int e = start_cage(&plan, &words, &parts);
		_exit(e < 0 && strcmp(told.event, "cage_failed") == 0 &&
					holds(&told, "error") && parts == 0
				? 0
				: 1);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* And READY is not sent. */
	assert_int_equal(channel_recv(monitor, &r, 0), -EAGAIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_first_message_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			another_message_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			too_many_descriptors_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			no_message_at_all_is_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			ready_says_which_parts, set_up, tear_down),
		cmocka_unit_test(a_failed_step_is_told),
		cmocka_unit_test(by_default_it_goes_to_the_log),
		cmocka_unit_test_setup_teardown(
			a_cage_that_cannot_be_had_is_told, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
