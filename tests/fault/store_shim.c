/*
 * store_shim: preloaded into store_drive with file_shim.c; adds the calls that only look:
 * opens by openat2, stat, reads, directories, locks.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "file_shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- stat ---- */

int
fstat64(int fd, struct stat64 *st)
{
	return shim_counts_fd(fd) && !shim_passes(STAT) ? -1 : REAL(fstat64)(fd, st);
}

int
fstat(int fd, struct stat *st)
{
	return shim_counts_fd(fd) && !shim_passes(STAT) ? -1 : REAL(fstat)(fd, st);
}

int
fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
	if (shim_counts_name(dir, path) && !shim_passes(STAT))
		return -1;
	return REAL(fstatat64)(dir, path, st, flags);
}

int
fstatat(int dir, const char *path, struct stat *st, int flags)
{
	if (shim_counts_name(dir, path) && !shim_passes(STAT))
		return -1;
	return REAL(fstatat)(dir, path, st, flags);
}

int
statx(int dir, const char *path, int flags, unsigned mask, struct statx *x)
{
	if (shim_counts_name(dir, path) && !shim_passes(STAT))
		return -1;
	return REAL(statx)(dir, path, flags, mask, x);
}

/* ---- reading ---- */

static ssize_t
read_at(int fd, void *p, size_t n, off64_t at)
{
	if (!shim_counts_fd(fd))
		return REAL(pread64)(fd, p, n, at);
	shim_lock();
	enum verdict v = shim_judge(READ);
	shim_unlock();
	shim_judged(v);
	if (v == FAIL) {
		errno = shim_error();
		return -1;
	}
	return REAL(pread64)(fd, p, v == SHORT && n > 1 ? n / 2 : n, at);
}

ssize_t
pread64(int fd, void *p, size_t n, off64_t at)
{
	return read_at(fd, p, n, at);
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	return read_at(fd, p, n, at);
}

/* As the checks of sizes call it. */
ssize_t __pread64_chk(int fd, void *p, size_t n, off64_t at, size_t room);
ssize_t
__pread64_chk(int fd, void *p, size_t n, off64_t at, [[maybe_unused]] size_t room)
{
	return read_at(fd, p, n, at);
}

ssize_t
getdents64(int fd, void *p, size_t n)
{
	if (shim_counts_fd(fd) && !shim_passes(DIRECTORY_READ))
		return -1;
	return REAL(getdents64)(fd, p, n);
}

/* ---- locks ---- */

static int
control(int fd, int what, void *arg)
{
	bool locks = what == F_OFD_SETLK || what == F_SETLK || what == F_OFD_SETLKW;

	if (locks && shim_counts_fd(fd) && !shim_passes(LOCK))
		return -1;
	return REAL(fcntl64)(fd, what, arg);
}

int
fcntl64(int fd, int what, ...)
{
	va_list args;

	va_start(args, what);
	void *arg = va_arg(args, void *);
	va_end(args);
	return control(fd, what, arg);
}

int
fcntl(int fd, int what, ...)
{
	va_list args;

	va_start(args, what);
	void *arg = va_arg(args, void *);
	va_end(args);
	return control(fd, what, arg);
}

int
flock(int fd, int what)
{
	if (what != LOCK_UN && shim_counts_fd(fd) && !shim_passes(LOCK))
		return -1;
	return REAL(flock)(fd, what);
}

/* ---- openat2, which has no function of its own ---- */

long
syscall(long number, ...)
{
	va_list args;
	long a[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && shim_counts_name((int)a[0], (const char *)a[1]) &&
		!shim_passes(OPEN))
		return -1;
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Without a mode, and with flags that the compiler did not know. */
int __openat64_2(int dir, const char *path, int flags);
int
__openat64_2(int dir, const char *path, int flags)
{
	return openat64(dir, path, flags);
}
