#include "unit.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static void
sealed_is_as_it_was_made(void **state)
{
	(void)state;
	AUTO_FD fd = sealed_new("test", VIEW("octets"));
	const uint8_t *map;
	uint64_t size;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(sealed_check(fd, &size), 0);
	assert_int_equal(size, 6);
	assert_int_equal(sealed_map(fd, 6, &map, &n), 0);
	assert_int_equal(n, 6);
	assert_memory_equal(map, "octets", 6);
	assert_int_equal(munmap((void *)(uintptr_t)map, n), 0);
	/* Nobody who holds it can change it. */
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(ftruncate(fd, 100), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), -1);
	assert_ptr_equal(
		mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
}

static void
maps_have_a_limit(void **state)
{
	(void)state;
	AUTO_FD fd = sealed_new("test", VIEW("octets"));
	AUTO_FD empty = sealed_new("test", VIEW(""));
	const uint8_t *map;
	uint64_t size;
	size_t n;

	assert_int_equal(sealed_map(fd, 5, &map, &n), -EFBIG);
	assert_int_equal(sealed_check(empty, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(sealed_map(empty, 5, &map, &n), -EINVAL);
}

/* Copied or mapped, by its size: the same octets, the same limits, the same refusals. */
static void
views_of_both_kinds(void **state)
{
	(void)state;
	static uint8_t octets[SEALED_SMALL + 1];
	const size_t sizes[] = {1, SEALED_SMALL, SEALED_SMALL + 1};
	AUTO_FD empty = sealed_new("test", VIEW(""));
	AUTO_FD plain = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const uint8_t *view;
	size_t n;

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i % 251);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		AUTO_FD fd = sealed_new("test", (struct view){octets, sizes[i]});
		assert_int_equal(sealed_view(fd, sizes[i], &view, &n), 0);
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(view, octets, n);
		sealed_view_done(view, n);
		assert_int_equal(sealed_view(fd, sizes[i] - 1, &view, &n), -EFBIG);
	}
	assert_int_equal(sealed_view(empty, 5, &view, &n), -EINVAL);
	assert_int_equal(sealed_view(plain, SIZE_MAX, &view, &n), -EINVAL);
	sealed_view_done(NULL, 0);
}

static void
in_steps(void **state)
{
	(void)state;
	uint8_t *map;
	uint64_t size;
	char got[4];
	AUTO_FD fd = sealed_begin("test", 100000, &map);

	assert_true(fd >= 0);
	assert_int_equal(sealed_check(fd, &size), -EINVAL);
	memcpy(map + 99996, "last", 4);
	assert_int_equal(sealed_finish(fd, map, 100000), 0);
	assert_int_equal(sealed_check(fd, &size), 0);
	assert_int_equal(size, 100000);
	assert_int_equal(fd_pread_all(fd, got, 4, 99996), 0);
	assert_memory_equal(got, "last", 4);
}

/* All but one seal, each in turn: refused. */
static void
every_seal_counts(void **state)
{
	(void)state;
	static const unsigned int seals[] = {
		F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
	uint64_t size;

	for (size_t i = 0; i < ARRAY_SIZE(seals); i++) {
		AUTO_FD fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_true(fd >= 0);
		for (size_t k = 0; k < ARRAY_SIZE(seals); k++)
			if (k != i && seals[k] != F_SEAL_SEAL)
				assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[k]), 0);
		if (seals[i] != F_SEAL_SEAL)
			assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
		assert_int_equal(sealed_check(fd, &size), -EINVAL);
	}
	AUTO_FD plain = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(sealed_check(plain, &size), -EINVAL);
	AUTO_FD null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(sealed_check(null, &size), -EINVAL);
	int pair[2];
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	assert_int_equal(sealed_check(pair[0], &size), -EINVAL);
	assert_int_equal(slice_file_check(pair[0], 0, 0), -EINVAL);
	fd_close(&pair[0]), fd_close(&pair[1]);
	assert_int_equal(sealed_check(-1, &size), -EINVAL);
}

/* ---- slices
 * ------------------------------------------------------------------------------ */

/* A file on a file system that knows NOWAIT, with 10 octets; -1 where this machine has
 * none. */
static int
nowait_file(int flags)
{
	static const char *const dirs[] = {"/var/tmp", "/tmp", "."};
	char path[64];

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		(void)snprintf(path, sizeof(path), "%s/os_sealed.XXXXXX", dirs[i]);
		AUTO_FD made = mkstemp(path);
		if (made < 0)
			continue;
		AUTO_FD fd = open(path, flags | O_CLOEXEC);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(write(made, "0123456789", 10), 10);
		char octet;
		struct iovec iov = {&octet, 1};
		if (preadv2(made, &iov, 1, 0, RWF_NOWAIT) == 1)
			return fd_take(&fd);
	}
	return -1;
}

static void
slices_lie_within_their_file(void **state)
{
	(void)state;
	AUTO_FD fd = nowait_file(O_RDONLY);
	if (fd < 0)
		skip();
	static const struct {
		uint64_t offset, length;
		bool ok;
	} rows[] = {
		{0, 10, true},
		{0, 0, true},
		{10, 0, true},
		{9, 1, true},
		{3, 4, true},
		{0, 11, false},
		{10, 1, false},
		{11, 0, false},
		{UINT64_MAX, 1, false},
		{1, UINT64_MAX, false},
		{INT64_MAX, 1, false},
		{UINT64_MAX, UINT64_MAX, false},
	};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(slice_file_check(fd, rows[i].offset, rows[i].length),
			rows[i].ok ? 0 : -EINVAL);
}

static void
slices_are_open_for_reading_alone(void **state)
{
	(void)state;
	AUTO_FD both = nowait_file(O_RDWR);
	if (both < 0)
		skip();
	AUTO_FD writer = nowait_file(O_WRONLY);
	AUTO_FD path = nowait_file(O_PATH);
	AUTO_FD dir = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	assert_int_equal(slice_file_check(both, 0, 1), -EINVAL);
	assert_int_equal(slice_file_check(writer, 0, 1), -EINVAL);
	assert_int_equal(slice_file_check(path, 0, 1), -EINVAL);
	assert_int_equal(slice_file_check(dir, 0, 0), -EINVAL);
	assert_int_equal(slice_file_check(zero, 0, 0), -EINVAL);
	assert_int_equal(slice_file_check(-1, 0, 0), -EINVAL);
}

/* The probe is the first read: it gives what is there and no more than is asked for. */
static void
slices_begin_with_their_octets(void **state)
{
	(void)state;
	AUTO_FD fd = nowait_file(O_RDONLY);
	if (fd < 0)
		skip();
	AUTO_FD both = nowait_file(O_RDWR);
	AUTO_FD zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	char got[16] = "";

	assert_int_equal(slice_file_begin(fd, 0, 10, got, sizeof(got)), 10);
	assert_memory_equal(got, "0123456789", 10);
	assert_int_equal(slice_file_begin(fd, 3, 4, got, 4), 4);
	assert_memory_equal(got, "3456", 4);
	assert_int_equal(slice_file_begin(fd, 9, 1, got, 1), 1);
	assert_memory_equal(got, "9", 1);
	assert_int_equal(slice_file_begin(fd, 0, 11, got, sizeof(got)), -ERANGE);
	assert_int_equal(slice_file_begin(fd, UINT64_MAX, 2, got, 2), -EINVAL);
	assert_int_equal(slice_file_begin(both, 0, 10, got, sizeof(got)), -EINVAL);
	assert_int_equal(slice_file_begin(zero, 0, 10, got, sizeof(got)), -EINVAL);
}

/* What would go past the memory of files may wait for the disk. */
static void
slices_are_not_direct(void **state)
{
	(void)state;
	AUTO_FD direct = nowait_file(O_RDONLY | O_DIRECT);
	if (direct < 0)
		skip();
	_Alignas(4096) char block[4096];

	assert_int_equal(slice_file_begin(direct, 0, 10, block, sizeof(block)), -EINVAL);
	assert_int_equal(slice_file_check(direct, 0, 10), -EINVAL);
}

/* What does not know NOWAIT is refused however plain it looks (tmpfs; FUSE has its own
 * test). */
static void
slices_need_nowait(void **state)
{
	(void)state;
	AUTO_FD fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	char path[64];

	assert_int_equal(slice_file_check(fd, 0, 0), -EINVAL);
	AUTO_FD memory = sealed_new("test", VIEW("octets"));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	AUTO_FD again = open(path, O_RDONLY | O_CLOEXEC);
	char octet;
	struct iovec iov = {&octet, 1};
	bool knows = preadv2(again, &iov, 1, 0, RWF_NOWAIT) == 1;
	assert_int_equal(slice_file_check(again, 0, 6), knows ? 0 : -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealed_is_as_it_was_made),
		cmocka_unit_test(maps_have_a_limit),
		cmocka_unit_test(views_of_both_kinds),
		cmocka_unit_test(in_steps),
		cmocka_unit_test(every_seal_counts),
		cmocka_unit_test(slices_lie_within_their_file),
		cmocka_unit_test(slices_are_open_for_reading_alone),
		cmocka_unit_test(slices_begin_with_their_octets),
		cmocka_unit_test(slices_are_not_direct),
		cmocka_unit_test(slices_need_nowait),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
