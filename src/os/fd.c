#include "os/fd.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2 gives EAGAIN while somebody renames above the path; a few tries are enough. */
#define OPEN_TRIES 64

void
fd_close(int *fd)
{
	int saved = errno;

	/* Linux frees the number even where close reports EINTR: never a second try. */
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

int
fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

void
free_ptr(void *pp)
{
	void **p = pp;

	free(*p);
	*p = NULL;
}

int
fd_pread_all(int fd, void *p, size_t n, uint64_t offset)
{
	uint8_t *to = p;

	if (offset > INT64_MAX || n > INT64_MAX - offset)
		return -EOVERFLOW;
	while (n > 0) {
		ssize_t got = pread(fd, to, n, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		to += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int
fd_pwrite_all(int fd, const void *p, size_t n, uint64_t offset)
{
	const uint8_t *from = p;

	if (offset > INT64_MAX || n > INT64_MAX - offset)
		return -EOVERFLOW;
	while (n > 0) {
		ssize_t put = pwrite(fd, from, n, (off_t)offset);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		from += put;
		n -= (size_t)put;
		offset += (uint64_t)put;
	}
	return 0;
}

int
fd_write_all(int fd, const void *p, size_t n)
{
	const uint8_t *from = p;

	while (n > 0) {
		ssize_t put = write(fd, from, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -EIO;
		from += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Reads until the end of the file or room octets; the count or -errno. */
static ssize_t
read_until_end(int fd, uint8_t *to, size_t room, size_t offset)
{
	size_t have = 0;

	while (have < room) {
		ssize_t got = pread(fd, to + have, room - have, (off_t)(offset + have));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		have += (size_t)got;
	}
	return (ssize_t)have;
}

int
fd_read_file(int fd, size_t max, uint8_t **ret, size_t *ret_n)
{
	struct stat st;
	size_t have = 0, cap;
	AUTO_FREE uint8_t *p = NULL;

	CHECK(max < INT32_MAX);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size > 0 && (uint64_t)st.st_size > max)
		return -EFBIG;
	/* The size is a hint: files of /proc say 0, others grow while they are read. */
	cap = (st.st_size > 0 ? (size_t)st.st_size : 4096) + 1;
	for (;;) {
		uint8_t *grown = realloc(p, cap + 1);
		if (!grown)
			return -ENOMEM;
		p = grown;
		ssize_t got = read_until_end(fd, p + have, cap - have, have);
		if (got < 0)
			return (int)got;
		have += (size_t)got;
		if (have > max)
			return -EFBIG;
		if (have < cap)
			break;
		cap *= 2;
	}
	p[have] = 0;
	*ret = p;
	*ret_n = have;
	p = NULL;
	return 0;
}

int
fd_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.mode = makes ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	for (int i = 0;; i++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if ((errno != EAGAIN && errno != EINTR) || i == OPEN_TRIES)
			return -errno;
	}
}

int
fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (flags & O_NONBLOCK)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int
fd_sync_range(int fd, unsigned flags)
{
	int r;

	do
		r = sync_file_range(fd, 0, 0, flags);
	while (r < 0 && errno == EINTR);
	if (r == 0 || errno == EINVAL || errno == ENOSYS || errno == ESPIPE)
		return 0;
	return -errno;
}
