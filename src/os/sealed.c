#include "os/sealed.h"

#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Headers of Debian 12 do not have it; kernels of 6.3 and newer do, and may insist on it.
 */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

int
sealed_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

int
sealed_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int
sealed_new(const char *name, struct view octets)
{
	AUTO_FD fd = sealed_memory(name);
	if (fd < 0)
		return fd_take(&fd);
	int err = fd_pwrite_all(fd, octets.p, octets.n, 0);
	if (err == 0)
		err = sealed_seal(fd);
	return err < 0 ? err : fd_take(&fd);
}

int
sealed_begin(const char *name, size_t n, uint8_t **ret_map)
{
	CHECK(n > 0);
	if (n > INT64_MAX)
		return -EFBIG;
	AUTO_FD fd = sealed_memory(name);
	if (fd < 0)
		return fd_take(&fd);
	if (ftruncate(fd, (off_t)n) < 0)
		return -errno;
	void *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret_map = map;
	return fd_take(&fd);
}

int
sealed_finish(int fd, uint8_t *map, size_t n)
{
	/* A writable mapping would make the seal fail with EBUSY. */
	if (munmap(map, n) < 0)
		return -errno;
	return sealed_seal(fd);
}

int
sealed_check(int fd, uint64_t *ret_size)
{
	struct stat st;
	/* Asks no file system: anything but memory gives EINVAL here, tmpfs lacks seals.
	 */
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
		return -EINVAL;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

int
sealed_map(int fd, uint64_t size_max, const uint8_t **ret, size_t *ret_n)
{
	uint64_t size;
	int err = sealed_check(fd, &size);

	if (err < 0)
		return err;
	if (size == 0)
		return -EINVAL;
	if (size > size_max || size > SIZE_MAX)
		return -EFBIG;
	/* Not MAP_SHARED: before 6.7 the kernel refuses that for what is sealed for
	 * writing. */
	void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	*ret = map;
	*ret_n = (size_t)size;
	return 0;
}

int
sealed_view(int fd, uint64_t size_max, const uint8_t **ret, size_t *ret_n)
{
	uint8_t small[SEALED_SMALL + 1];
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EINVAL;
	ssize_t n = pread(fd, small, sizeof(small), 0);
	if (n == (ssize_t)sizeof(small))
		return sealed_map(fd, size_max, ret, ret_n);
	if (n <= 0)
		return -EINVAL;
	if ((uint64_t)n > size_max)
		return -EFBIG;
	uint8_t *copy = malloc((size_t)n);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, small, (size_t)n);
	*ret = copy;
	*ret_n = (size_t)n;
	return 0;
}

void
sealed_view_done(const uint8_t *p, size_t n)
{
	if (p && n <= SEALED_SMALL)
		free((void *)(uintptr_t)p);
	else if (p)
		(void)munmap((void *)(uintptr_t)p, n);
}

ssize_t
slice_file_begin(int fd, uint64_t offset, uint64_t length, void *p, size_t n)
{
	struct iovec iov = {p, n};
	struct stat st;
	uint64_t end;
	ssize_t got;
	int flags = fcntl(fd, F_GETFL);

	/* With O_DIRECT a read waits for the disk, NOWAIT or not. */
	if (flags < 0 || (flags & O_ACCMODE) != O_RDONLY || (flags & (O_PATH | O_DIRECT)))
		return -EINVAL;
	if (__builtin_add_overflow(offset, length, &end) || end > INT64_MAX)
		return -EINVAL;
	/* FUSE, NFS and tmpfs answer EOPNOTSUPP here at once; fstat would ask them. */
	do
		got = preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno != EAGAIN)
		return -EINVAL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size < 0 || end > (uint64_t)st.st_size)
		return -ERANGE;
	return got < 0 ? -EAGAIN : got;
}

int
slice_file_check(int fd, uint64_t offset, uint64_t length)
{
	uint8_t octet;
	ssize_t got = slice_file_begin(fd, offset, length, &octet, sizeof(octet));

	return got < 0 && got != -EAGAIN ? -EINVAL : 0;
}
