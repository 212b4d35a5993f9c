#include "unit.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char place[64];
static int dir;

static int
new_file(const char *name, const char *text)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
	return fd;
}

static void
close_keeps_errno_and_is_idempotent(void **state)
{
	(void)state;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), number = fd;

	errno = ENOTTY;
	fd_close(&fd);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(fd, -1);
	assert_int_equal(fcntl(number, F_GETFD), -1);
	errno = ENOTTY;
	fd_close(&fd);
	assert_int_equal(errno, ENOTTY);
}

static int
take_from_scope(int *ret_closed)
{
	AUTO_FD kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
	AUTO_FD lost = open("/dev/null", O_RDONLY | O_CLOEXEC);

	*ret_closed = lost;
	return fd_take(&kept);
}

static void
taken_descriptors_outlive_their_scope(void **state)
{
	(void)state;
	int closed, kept = take_from_scope(&closed);

	assert_true(fcntl(kept, F_GETFD) >= 0);
	assert_int_equal(fcntl(closed, F_GETFD), -1);
	fd_close(&kept);
}

static void
all_octets_at_their_place(void **state)
{
	(void)state;
	char got[8] = "";
	AUTO_FD fd = new_file("a", "0123456789");

	assert_int_equal(fd_pwrite_all(fd, "XY", 2, 4), 0);
	assert_int_equal(fd_pread_all(fd, got, 4, 3), 0);
	assert_memory_equal(got, "3XY6", 4);
	/* An early end of the file is not a short success. */
	assert_int_equal(fd_pread_all(fd, got, 4, 8), -EIO);
	assert_int_equal(fd_pread_all(fd, got, 2, UINT64_MAX), -EOVERFLOW);
	assert_int_equal(fd_pread_all(fd, got, 2, INT64_MAX), -EOVERFLOW);
	assert_int_equal(fd_pwrite_all(fd, got, 2, INT64_MAX), -EOVERFLOW);
	assert_int_equal(fd_pread_all(-1, got, 2, 0), -EBADF);
	assert_int_equal(fd_write_all(-1, got, 2), -EBADF);
	assert_int_equal(unlinkat(dir, "a", 0), 0);
}

static void
whole_files_up_to_a_limit(void **state)
{
	(void)state;
	AUTO_FD fd = new_file("a", "0123456789");
	AUTO_FREE uint8_t *p = NULL;
	AUTO_FREE uint8_t *empty = NULL;
	size_t n;

	assert_int_equal(fd_read_file(fd, 9, &p, &n), -EFBIG);
	assert_null(p);
	assert_int_equal(fd_read_file(fd, 10, &p, &n), 0);
	assert_int_equal(n, 10);
	assert_string_equal((char *)p, "0123456789");
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(fd_read_file(fd, 10, &empty, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(empty[0], 0);
	assert_int_equal(unlinkat(dir, "a", 0), 0);
}

/* Its size is 0 by stat, and it is larger than the first guess where there is much to
 * say. */
static void
files_that_hide_their_size(void **state)
{
	(void)state;
	AUTO_FD fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	AUTO_FREE uint8_t *p = NULL;
	AUTO_FREE uint8_t *q = NULL;
	size_t n;

	assert_int_equal(fd_read_file(fd, 1 << 20, &p, &n), 0);
	assert_true(n > 100);
	assert_memory_equal(p, "Name:", 5);
	assert_int_equal(fd_read_file(fd, 20, &q, &n), -EFBIG);
}

static void
nothing_leads_out(void **state)
{
	(void)state;
	AUTO_FD file = new_file("a", "x");
	assert_true(file >= 0);
	assert_int_equal(mkdirat(dir, "sub", 0700), 0);
	assert_int_equal(symlinkat("a", dir, "link"), 0);
	assert_int_equal(symlinkat("/", dir, "sub/out"), 0);
	AUTO_FD ok = fd_open_beneath(dir, "sub/../a", O_RDONLY, 0);

	assert_true(ok >= 0);
	assert_int_equal(fcntl(ok, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fd_open_beneath(dir, "link", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fd_open_beneath(dir, "sub/out/etc/passwd", O_RDONLY, 0), -ELOOP);
	assert_int_equal(fd_open_beneath(dir, "..", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fd_open_beneath(dir, "sub/../../x", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fd_open_beneath(dir, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	assert_int_equal(fd_open_beneath(dir, "none", O_RDONLY, 0), -ENOENT);
	AUTO_FD made = fd_open_beneath(dir, "sub/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	assert_true(made >= 0);
	assert_int_equal(
		fd_open_beneath(dir, "sub/new", O_WRONLY | O_CREAT | O_EXCL, 0640),
		-EEXIST);
	static const char *const names[] = {"sub/new", "sub/out", "link", "a"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(unlinkat(dir, names[i], 0), 0);
	assert_int_equal(unlinkat(dir, "sub", AT_REMOVEDIR), 0);
}

static void
nonblock_is_set_once(void **state)
{
	(void)state;
	int pair[2];
	char octet;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(fd_nonblock(pair[0]), 0);
	assert_int_equal(fd_nonblock(pair[0]), 0);
	assert_int_equal(read(pair[0], &octet, 1), -1);
	assert_int_equal(errno, EAGAIN);
	fd_close(&pair[0]);
	fd_close(&pair[1]);
	assert_int_equal(fd_nonblock(-1), -EBADF);
}

static void
clocks_agree_with_the_system(void **state)
{
	(void)state;
	uint64_t before = (uint64_t)time(NULL), ms = clock_ms();

	assert_true(clock_unix_s() >= before);
	assert_true(clock_unix_ns() / 1000000000 >= before);
	/* time() is told by the last tick, some milliseconds behind: not before `now`. */
	uint64_t now = clock_unix_s();
	assert_true(now <= (uint64_t)time(NULL) + 1);
	assert_true(clock_ms() >= ms);
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(place, sizeof(place), "/tmp/os_fd.XXXXXX");
	CHECK(mkdtemp(place));
	dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fd_close(&dir);
	return rmdir(place);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(close_keeps_errno_and_is_idempotent),
		cmocka_unit_test(taken_descriptors_outlive_their_scope),
		cmocka_unit_test(all_octets_at_their_place),
		cmocka_unit_test(whole_files_up_to_a_limit),
		cmocka_unit_test(files_that_hide_their_size),
		cmocka_unit_test(nothing_leads_out),
		cmocka_unit_test(nonblock_is_set_once),
		cmocka_unit_test(clocks_agree_with_the_system),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
