/*
 * call_shim: preloaded into any program of ours, it counts system calls and allocations
 * in a page that a test shares with it, and lets the n-th fail with one of the errors
 * that this call may have, or pass fewer octets. The page works through the program's
 * cage: a test arms it and looks at it while the program serves.
 *
 *     CALL_SHIM_PAGE=FILE     the page; without it all passes
 *
 * test_call_table.py holds that each function which a program imports is here, or on the
 * list of those that make no system call.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#define _FILE_OFFSET_BITS 64
#include "call_shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/* ---- names and files ---- */

#define PLACE EMFILE, ENFILE, ENOMEM, EIO

CALL(int, chdir, (const char *path), (path), EIO, ENOMEM)
CALL(int, fchdir, (int fd), (fd), EIO)
CALL(int, chroot, (const char *path), (path), EPERM, ENOMEM)
CALL(int, chmod, (const char *path, mode_t mode), (path, mode), EIO, EROFS)
CALL(int, fchownat, (int dir, const char *path, uid_t u, gid_t g, int flags),
	(dir, path, u, g, flags), EPERM, EIO)
CALL(int, fchmod, (int fd, mode_t mode), (fd, mode), EIO)
CALL(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), EPERM)
CALL(int, access, (const char *path, int mode), (path, mode), EIO, ENOMEM)
CALL(int, faccessat, (int dir, const char *path, int mode, int flags),
	(dir, path, mode, flags), EIO)
CALL(int, fsync, (int fd), (fd), EIO, ENOSPC, EDQUOT)
CALL(int, fdatasync, (int fd), (fd), EIO, ENOSPC)
CALL(int, syncfs, (int fd), (fd), EIO)
CALL(int, ftruncate64, (int fd, off64_t n), (fd, n), EIO, EINTR)
CALL(int, fallocate64, (int fd, int mode, off64_t at, off64_t n), (fd, mode, at, n),
	ENOSPC)
CALL(int, linkat, (int a, const char *old, int b, const char *new, int flags),
	(a, old, b, new, flags), ENOSPC, EIO, EDQUOT, EMLINK)
CALL(int, renameat, (int a, const char *old, int b, const char *new), (a, old, b, new),
	ENOSPC, EIO)
CALL(int, renameat2, (int a, const char *old, int b, const char *new, unsigned flags),
	(a, old, b, new, flags), ENOSPC, EIO)
CALL(int, unlink, (const char *path), (path), EIO, EROFS)
CALL(int, unlinkat, (int dir, const char *path, int flags), (dir, path, flags), EIO,
	EROFS)
CALL(int, mkdir, (const char *path, mode_t mode), (path, mode), ENOSPC, EIO)
CALL(int, mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode), ENOSPC,
	EDQUOT)
CALL(ssize_t, readlink, (const char *path, char *p, size_t n), (path, p, n), EIO)
CALL(ssize_t, getdents64, (int fd, void *p, size_t n), (fd, p, n), EIO)
CALL(int, fstat64, (int fd, struct stat64 *st), (fd, st), EIO)
CALL(int, stat64, (const char *path, struct stat64 *st), (path, st), EIO, ENOMEM)
CALL(int, lstat64, (const char *path, struct stat64 *st), (path, st), EIO)
CALL(int, fstatat64, (int dir, const char *path, struct stat64 *st, int flags),
	(dir, path, st, flags), EIO, ENOMEM)
CALL(int, statx, (int dir, const char *path, int flags, unsigned mask, struct statx *x),
	(dir, path, flags, mask, x), EIO, ENOMEM)
CALL(int, flock, (int fd, int what), (fd, what), ENOLCK, EINTR)
CALL(int, sync_file_range, (int fd, off64_t at, off64_t n, unsigned flags),
	(fd, at, n, flags), EIO, ENOSPC)
CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), EMFILE, ENFILE,
	ENOMEM)
CALL(int, fstatfs64, (int fd, struct statfs64 *s), (fd, s), EIO, ENOMEM)
CALL(int, dup, (int fd), (fd), EMFILE)
CALL(int, dup3, (int a, int b, int flags), (a, b, flags), EMFILE)
CALL(int, dup2, (int a, int b), (a, b), EINTR, EMFILE)
CALL(int, pipe2, (int ret[2], int flags), (ret, flags), EMFILE, ENFILE)

static int
open_with(const char *name, int dir, const char *path, int flags, mode_t mode)
{
	static const int errors[] = {PLACE, EINTR};
	static const int creating[] = {PLACE, ENOSPC, EDQUOT};
	bool creates = flags & O_CREAT;

	if (shim_fails(name, creates ? creating : errors,
		    creates ? ARRAY_SIZE(creating) : ARRAY_SIZE(errors)))
		return -1;
	return SHIM_NEXT(openat64)(dir, path, flags, mode);
}

static mode_t
mode_of(int flags, va_list args)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t)
								   : 0;
}

int
open64(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_with("open", AT_FDCWD, path, flags, mode);
}

int
openat64(int dir, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_with("openat", dir, path, flags, mode);
}

/* With flags that the compiler did not know. */
int __openat64_2(int dir, const char *path, int flags);
int
__openat64_2(int dir, const char *path, int flags)
{
	return open_with("openat", dir, path, flags, 0);
}

/* A descriptor is closed, whatever close says of it. */
int
close(int fd)
{
	static const int errors[] = {EIO, EINTR};
	bool fails = shim_fails("close", errors, ARRAY_SIZE(errors));
	int error = errno;

	shim_is_stream(fd, false);
	int r = SHIM_NEXT(close)(fd);
	if (!fails)
		return r;
	errno = error;
	return -1;
}

int
fcntl64(int fd, int what, ...)
{
	static const int copies[] = {EMFILE}, locks[] = {ENOLCK, EINTR},
			 others[] = {EPERM};
	bool copying = what == F_DUPFD_CLOEXEC || what == F_DUPFD;
	bool locking = what == F_OFD_SETLK || what == F_SETLK;
	va_list args;

	va_start(args, what);
	void *arg = va_arg(args, void *);
	va_end(args);
	if (shim_fails("fcntl",
		    copying	      ? copies
			    : locking ? locks
				      : others,
		    locking ? ARRAY_SIZE(locks) : 1))
		return -1;
	return SHIM_NEXT(fcntl64)(fd, what, arg);
}

/* ---- octets ---- */

OCTETS(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), false, EIO, EINTR)
ssize_t
write(int fd, const void *p, size_t n)
{
	static const int errors[] = {EINTR, ENOSPC, EIO};
	struct stat st;
	/* An eventfd, which has no disk behind it, has no kind. */
	bool known = syscall(SYS_fstat, fd, &st) == 0;
	bool event = known && (st.st_mode & S_IFMT) == 0;

	switch (shim_octets("write", errors, event ? 1 : ARRAY_SIZE(errors),
		known && S_ISREG(st.st_mode))) {
	case SHIM_FAIL: return -1;
	case SHIM_SHORT: n = n > 1 ? n / 2 : n; break;
	case SHIM_PASS: break;
	}
	return SHIM_NEXT(write)(fd, p, n);
}

OCTETS(ssize_t, pread64, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at), n > 1,
	EIO, EINTR)
OCTETS(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at),
	n > 1, ENOSPC, EIO, EINTR, EDQUOT)
/* The other end of a channel lives: only a stream's may have gone. */
ssize_t
recv(int fd, void *p, size_t n, int flags)
{
	static const int errors[] = {EINTR, EAGAIN, ENOMEM, ECONNRESET};
	bool stream = shim_is_stream_now(fd);

	switch (shim_octets("recv", errors, stream ? 4 : 3, stream)) {
	case SHIM_FAIL: return -1;
	case SHIM_SHORT: n = n > 1 ? n / 2 : n; break;
	case SHIM_PASS: break;
	}
	return SHIM_NEXT(recv)(fd, p, n, flags);
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	static const int errors[] = {EINTR, EAGAIN, ENOBUFS, EPIPE, ECONNRESET};
	bool stream = shim_is_stream_now(fd);

	switch (shim_octets("send", errors, stream ? 5 : 3, stream)) {
	case SHIM_FAIL: return -1;
	case SHIM_SHORT: n = n > 1 ? n / 2 : n; break;
	case SHIM_PASS: break;
	}
	return SHIM_NEXT(send)(fd, p, n, flags);
}

OCTETS(ssize_t, sendto,
	(int fd, const void *p, size_t n, int flags, const struct sockaddr *to,
		socklen_t to_n),
	(fd, p, n, flags, to, to_n), false, EINTR, EAGAIN, ENOBUFS)
OCTETS(ssize_t, copy_file_range,
	(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags),
	(in, in_at, out, out_at, n, flags), n > 1, ENOSPC, EIO)
OCTETS(ssize_t, sendfile64, (int out, int in, off64_t *at, size_t n), (out, in, at, n),
	n > 1, EIO, EAGAIN, EPIPE, EINTR)
CALL(ssize_t, splice,
	(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags),
	(in, in_at, out, out_at, n, flags), ENOMEM, EAGAIN)
CALL(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n), EIO, EINTR)
CALL(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n), EIO, EINTR)
CALL(ssize_t, preadv64v2, (int fd, const struct iovec *v, int n, off64_t at, int flags),
	(fd, v, n, at, flags), EIO, EINTR, EAGAIN, EOPNOTSUPP)

/* ---- sockets and waiting ---- */

CALL(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n), EADDRINUSE,
	EACCES)
CALL(int, listen, (int fd, int n), (fd, n), EADDRINUSE)
CALL(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n),
	ECONNREFUSED, ETIMEDOUT, ENETUNREACH)
CALL(int, getsockname, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), ENOBUFS)
CALL(int, getpeername, (int fd, struct sockaddr *a, socklen_t *n), (fd, a, n), ENOTCONN)
CALL(int, getsockopt, (int fd, int level, int name, void *p, socklen_t *n),
	(fd, level, name, p, n), ENOMEM)
CALL(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n),
	(fd, level, name, p, n), ENOMEM, ENOPROTOOPT)
CALL(int, shutdown, (int fd, int how), (fd, how), ENOTCONN)
CALL(int, socketpair, (int domain, int type, int protocol, int ret[2]),
	(domain, type, protocol, ret), EMFILE, ENFILE, ENOMEM)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), EINTR,
	EAGAIN, ENOMEM)
CALL(int, epoll_create1, (int flags), (flags), EMFILE, ENOMEM)
CALL(int, epoll_wait, (int e, struct epoll_event *p, int n, int ms), (e, p, n, ms), EINTR)
CALL(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms), EINTR, ENOMEM)
CALL(int, eventfd, (unsigned n, int flags), (n, flags), EMFILE, ENOMEM)
CALL(int, timerfd_create, (__clockid_t which, int flags), (which, flags), EMFILE, ENOMEM)
CALL(int, signalfd, (int fd, const sigset_t *s, int flags), (fd, s, flags), EMFILE,
	ENOMEM)

ssize_t
sendmsg(int fd, const struct msghdr *m, int flags)
{
	static const int errors[] = {EINTR, EAGAIN, ENOBUFS, ETOOMANYREFS};

	/* The last only where descriptors are passed. */
	if (shim_fails("sendmsg", errors, m->msg_controllen > 0 ? 4 : 3))
		return -1;
	return SHIM_NEXT(sendmsg)(fd, m, flags);
}

int
epoll_ctl(int epoll, int op, int fd, struct epoll_event *e)
{
	static const int errors[] = {ENOMEM, ENOSPC};

	/* What is in it can be taken out. */
	if (op != EPOLL_CTL_DEL && shim_fails("epoll_ctl", errors, ARRAY_SIZE(errors)))
		return -1;
	return SHIM_NEXT(epoll_ctl)(epoll, op, fd, e);
}

int
accept4(int fd, struct sockaddr *from, socklen_t *n, int flags)
{
	static const int errors[] = {EMFILE, ENFILE, ENOMEM, ECONNABORTED, EINTR, EAGAIN};

	if (shim_fails("accept4", errors, ARRAY_SIZE(errors)))
		return -1;
	int r = SHIM_NEXT(accept4)(fd, from, n, flags);
	shim_is_stream(r, true);
	return r;
}

int
socket(int domain, int type, int protocol)
{
	static const int errors[] = {EMFILE, ENFILE, ENOMEM};

	if (shim_fails("socket", errors, ARRAY_SIZE(errors)))
		return -1;
	int r = SHIM_NEXT(socket)(domain, type, protocol);
	shim_is_stream(r, (type & 15) == SOCK_STREAM);
	return r;
}

/* ---- processes and their limits ---- */

CALL(int, setgroups, (size_t n, const gid_t *groups), (n, groups), EPERM, ENOMEM)
CALL(int, setresuid, (uid_t a, uid_t b, uid_t c), (a, b, c), EPERM, EAGAIN)
CALL(int, setresgid, (gid_t a, gid_t b, gid_t c), (a, b, c), EPERM)
CALL(int, setpriority, (__priority_which_t which, id_t who, int nice), (which, who, nice),
	EPERM)
CALL(int, setrlimit64, (__rlimit_resource_t what, const struct rlimit64 *to), (what, to),
	EPERM)
CALL(int, unshare, (int flags), (flags), EPERM, ENOSPC)
CALL(int, mlockall, (int flags), (flags), ENOMEM, EPERM)
CALL(int, madvise, (void *p, size_t n, int how), (p, n, how), EAGAIN)
CALL(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left), EINTR)
CALL(ssize_t, getrandom, (void *p, size_t n, unsigned flags), (p, n, flags), EINTR)
CALL(pid_t, fork, (void), (), EAGAIN, ENOMEM)
CALL(int, close_range, (unsigned a, unsigned b, int flags), (a, b, flags), ENOMEM)

int
pthread_create(
	pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	static const int errors[] = {EAGAIN};

	if (shim_fails("pthread_create", errors, 1))
		return errno;
	return SHIM_NEXT(pthread_create)(ret, attr, run, arg);
}

int
prctl(int what, ...)
{
	static const int errors[] = {EPERM};
	unsigned long a[4];
	va_list args;

	va_start(args, what);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(args, unsigned long);
	va_end(args);
	if (shim_fails("prctl", errors, 1))
		return -1;
	return SHIM_NEXT(prctl)(what, a[0], a[1], a[2], a[3]);
}

/* seccomp, Landlock, openat2: what has no function of its own. */
long
syscall(long number, ...)
{
	static const int opens[] = {PLACE, EINTR, EAGAIN}, others[] = {EPERM, ENOMEM};
	va_list args;
	long a[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 ? shim_fails("openat2", opens, ARRAY_SIZE(opens))
				  : shim_fails("syscall", others, ARRAY_SIZE(others)))
		return -1;
	return SHIM_NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

void *
mmap64(void *at, size_t n, int prot, int flags, int fd, off64_t offset)
{
	static const int errors[] = {ENOMEM};

	if (shim_fails("mmap", errors, 1))
		return MAP_FAILED;
	return SHIM_NEXT(mmap64)(at, n, prot, flags, fd, offset);
}

/* ---- allocations ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

void *
malloc(size_t n)
{
	return shim_starves("malloc", SHIM_CALLER) ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t each)
{
	return shim_starves("calloc", SHIM_CALLER) ? NULL : __libc_calloc(n, each);
}

void *
realloc(void *p, size_t n)
{
	return shim_starves("realloc", SHIM_CALLER) ? NULL : __libc_realloc(p, n);
}

void *
reallocarray(void *p, size_t n, size_t each)
{
	size_t all;

	if (__builtin_mul_overflow(n, each, &all)) {
		errno = ENOMEM;
		return NULL;
	}
	return shim_starves("reallocarray", SHIM_CALLER) ? NULL : __libc_realloc(p, all);
}

void *
aligned_alloc(size_t align, size_t n)
{
	return shim_starves("aligned_alloc", SHIM_CALLER) ? NULL
							  : __libc_memalign(align, n);
}

int
posix_memalign(void **ret, size_t align, size_t n)
{
	if (shim_starves("posix_memalign", SHIM_CALLER))
		return ENOMEM;
	*ret = __libc_memalign(align, n);
	return *ret ? 0 : ENOMEM;
}
