/* Many files synced at a time: each result in its place, from several callers at once. */
#include "fetch/durable_together.h"
#include "scratch.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES	100
#define CALLERS 4
#define TURNS	20

/* A disk on which helpers are the slowest: each holds a file until the caller has done
 * all that nobody holds. */
static struct {
	bool on;
	pthread_t caller;
	atomic_size_t held, by_caller;
} slow;

/* A disk that tells of a file when its writing is begun, and never again. */
static struct {
	bool on;
	atomic_size_t told;
} once;

int sync_file_range(int fd, off_t at, off_t n, unsigned flags);

int
sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
	if (once.on && fd % 5 == 0) {
		atomic_fetch_add(&once.told, 1);
		errno = ENOSPC;
		return -1;
	}
	return (int)syscall(SYS_sync_file_range, fd, at, n, flags);
}

int fsync(int fd);

int
fsync(int fd)
{
	if (slow.on && pthread_equal(slow.caller, pthread_self())) {
		while (atomic_load(&slow.held) == 0)
			sched_yield();
		atomic_fetch_add(&slow.by_caller, 1);
	} else if (slow.on) {
		atomic_fetch_add(&slow.held, 1);
		while (atomic_load(&slow.held) + atomic_load(&slow.by_caller) < FILES)
			sched_yield();
		for (size_t i = 0; i < 1000; i++)
			sched_yield();
	}
	return (int)syscall(SYS_fsync, fd);
}

struct caller {
	struct together *together;
	int fds[FILES];
	bool good;
};

static void
open_files(struct caller *c)
{
	for (size_t i = 0; i < FILES; i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s/together-XXXXXX", scratch());
		c->fds[i] = mkstemp(path);
		assert_true(c->fds[i] >= 0);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(write(c->fds[i], "x", 1), 1);
	}
}

static void
close_files(struct caller *c)
{
	for (size_t i = 0; i < FILES; i++)
		assert_int_equal(close(c->fds[i]), 0);
}

static int
expected(int fd, int pipe_fd)
{
	if (fd == -1)
		return -EBADF;
	return fd == pipe_fd ? -EINVAL : 0;
}

/* Every seventh is no file, every eleventh one that cannot be synced. */
static bool
sync_all(struct caller *c, size_t n, int pipe_fd)
{
	struct to_sync files[FILES] = {0};
	bool good = true;

	for (size_t i = 0; i < n; i++) {
		files[i].fd = i % 7 == 3 ? -1 : i % 11 == 5 ? pipe_fd : c->fds[i];
		files[i].result = 1;
	}
	together_sync(c->together, files, n);
	for (size_t i = 0; i < n; i++)
		good = good && files[i].result == expected(files[i].fd, pipe_fd);
	return good;
}

static void *
call(void *arg)
{
	struct caller *c = arg;
	int ends[2];

	c->good = pipe(ends) == 0;
	for (size_t i = 0; c->good && i < TURNS; i++)
		c->good = sync_all(c, (i * 31) % (FILES + 1), ends[0]);
	if (c->good)
		c->good = close(ends[0]) == 0 && close(ends[1]) == 0;
	return NULL;
}

static void
alone(void **state)
{
	struct caller c = {.together = NULL};

	(void)state;
	open_files(&c);
	call(&c);
	assert_true(c.good);
	assert_int_equal(together_new(&c.together), 0);
	call(&c);
	assert_true(c.good);
	together_free(&c.together);
	assert_null(c.together);
	together_free(&c.together);
	close_files(&c);
}

static void
several(void **state)
{
	struct caller callers[CALLERS];
	pthread_t threads[CALLERS];
	struct together *together = NULL;

	(void)state;
	assert_int_equal(together_new(&together), 0);
	for (size_t i = 0; i < CALLERS; i++) {
		callers[i].together = together;
		open_files(&callers[i]);
	}
	for (size_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
	for (size_t i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	together_free(&together);
	for (size_t i = 0; i < CALLERS; i++) {
		assert_true(callers[i].good);
		close_files(&callers[i]);
	}
}

/* The results are all there, also those of helpers that were last. */
static void
helpers_last(void **state)
{
	struct caller c = {.together = NULL};

	(void)state;
	open_files(&c);
	assert_int_equal(together_new(&c.together), 0);
	slow.caller = pthread_self();
	slow.on = true;
	assert_true(sync_all(&c, FILES, -1));
	slow.on = false;
	assert_true(atomic_load(&slow.held) > 0);
	together_free(&c.together);
	close_files(&c);
}

static void
tells_once(struct together *together)
{
	struct caller c = {.together = together};
	struct to_sync files[FILES] = {0};
	size_t failed = 0;

	open_files(&c);
	atomic_store(&once.told, 0);
	once.on = true;
	for (size_t i = 0; i < FILES; i++)
		files[i].fd = c.fds[i];
	together_sync(together, files, FILES);
	once.on = false;
	for (size_t i = 0; i < FILES; i++) {
		assert_int_equal(files[i].result, c.fds[i] % 5 == 0 ? -ENOSPC : 0);
		failed += files[i].result != 0;
	}
	assert_int_equal(atomic_load(&once.told), failed);
	assert_true(failed > 0);
	close_files(&c);
}

/* An error of which fsync says nothing is the file's result. */
static void
an_error_that_is_told_once(void **state)
{
	struct together *together = NULL;

	(void)state;
	tells_once(NULL);
	assert_int_equal(together_new(&together), 0);
	tells_once(together);
	together_free(&together);
}

/* Threads that nobody needed were never started. */
static void
unused(void **state)
{
	struct together *together = NULL;

	(void)state;
	assert_int_equal(together_new(&together), 0);
	together_sync(together, NULL, 0);
	together_free(&together);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone),
		cmocka_unit_test(several),
		cmocka_unit_test(helpers_last),
		cmocka_unit_test(an_error_that_is_told_once),
		cmocka_unit_test(unused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
