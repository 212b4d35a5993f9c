/* A child that works is waited for; one that does nothing is ended. */
#include "unit.h"

#include "move/watched.h"
#include "os/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t
child(void (*work)(void))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		work();
		_exit(7);
	}
	return pid;
}

static void
work_long(void)
{
	uint64_t until = clock_ms() + 1000;

	while (clock_ms() < until)
		;
}

static void
stop(void)
{
	(void)raise(SIGSTOP);
}

static void
refuse_to_end(void)
{
	(void)signal(SIGTERM, SIG_IGN);
	(void)pause();
}

static void
nothing(void)
{
}

static void
one_that_works(void **state)
{
	int status = 0;

	(void)state;
	assert_int_equal(watched_wait(child(work_long), 500, &status), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(watched_wait(child(nothing), 500, &status), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	assert_int_equal(watched_wait(child(abort), 500, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void
one_that_does_nothing(void **state)
{
	void (*const works[])(void) = {stop, refuse_to_end};
	int status = 0;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = child(works[i]);
		assert_int_equal(watched_wait(pid, 200, &status), -ETIME);
		assert_int_equal(waitpid(pid, &status, 0), -1);
		assert_int_equal(errno, ECHILD);
	}
}

static void
one_that_is_none(void **state)
{
	int status = 0;

	(void)state;
	assert_int_equal(watched_wait(getpid(), 200, &status), -ECHILD);
}

static void
eat(void)
{
	struct rlimit core;

	if (watched_limits() < 0 || getrlimit(RLIMIT_CORE, &core) < 0)
		_exit(1);
	void *volatile small = malloc((size_t)256 << 20);
	if (!small || core.rlim_max != 0)
		_exit(2);
#ifndef RESTANTE_SANITIZED
	void *volatile large = malloc((size_t)WATCHED_DATA_MAX);
	if (large)
		_exit(3);
#endif
}

static void
limits(void **state)
{
	int status = 0;

	(void)state;
	assert_int_equal(watched_wait(child(eat), 5000, &status), 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_works),
		cmocka_unit_test(one_that_does_nothing),
		cmocka_unit_test(one_that_is_none),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
