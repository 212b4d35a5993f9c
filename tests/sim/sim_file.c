/* Descriptors, and what is common to all that they stand for. */
#include "sim.h"
#include "sim_calls.h"
#include "sim_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#define SEAL_BITS 15
#define LARGE	  ((off_t)1 << 16)

int
k_fail(int error)
{
	errno = error;
	return -1;
}

struct file *
k_file(enum file_kind kind, int flags)
{
	struct file *f = k_new(sizeof(*f));

	f->kind = kind;
	f->flags = flags;
	f->refs = 1;
	return f;
}

struct file *
k_get(int fd)
{
	struct file *f = fd >= 0 && fd < K_FDS ? k_proc()->fds[fd] : NULL;

	if (!f)
		errno = EBADF;
	return f;
}

int
k_fd(struct file *take, int least)
{
	for (int i = least; i < K_FDS; i++)
		if (!k_proc()->fds[i]) {
			k_proc()->fds[i] = take;
			return i;
		}
	k_put(take);
	return k_fail(EMFILE);
}

void
k_put(struct file *f)
{
	if (--f->refs > 0)
		return;
	if (f->kind == FILE_EPOLL) {
		k_epoll_forget(f);
		return;
	}
	k_epoll_forget(f);
	switch (f->kind) {
	case FILE_CHANNEL: k_channel_close(f); break;
	case FILE_STREAM: k_stream_close(f); break;
	case FILE_LISTENER: k_listener_close(f); break;
	case FILE_DISK: k_disk_close(f); break;
	case FILE_EPOLL:
	case FILE_EVENT:
	case FILE_SIGNAL:
	case FILE_MEMORY:
	case FILE_NULL:
	case FILE_OTHER: break;
	}
}

void
k_close_all(struct proc *p)
{
	for (int i = 0; i < K_FDS; i++) {
		struct file *f = p->fds[i];
		p->fds[i] = NULL;
		if (f)
			k_put(f);
	}
}

int
sim_close(int fd)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	if (f->kind == FILE_CHANNEL)
		k_trace("%s %d closes channel %d, %d left", k_proc()->name, k_proc()->pid,
			fd, f->refs - 1);
	k_proc()->fds[fd] = NULL;
	k_put(f);
	return 0;
}

int
sim_dup_to(int fd, int least)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	f->refs++;
	return k_fd(f, least);
}

static int
add_seals(struct file *f, int seals)
{
	if (f->kind != FILE_MEMORY || (f->memory->seals & F_SEAL_SEAL))
		return k_fail(f->kind == FILE_MEMORY ? EPERM : EINVAL);
	f->memory->seals |= seals & SEAL_BITS;
	return 0;
}

int
sim_fcntl64(int fd, int cmd, long arg)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	switch (cmd) {
	case F_GETFL: return f->flags;
	case F_SETFL:
		f->flags = (f->flags & ~(O_NONBLOCK | O_APPEND)) |
			((int)arg & (O_NONBLOCK | O_APPEND));
		return 0;
	case F_GETFD:
	case F_SETFD: return 0;
	case F_DUPFD_CLOEXEC: return sim_dup_to(fd, (int)arg);
	case F_GET_SEALS:
		return f->kind == FILE_MEMORY ? f->memory->seals : k_fail(EINVAL);
	case F_ADD_SEALS: return add_seals(f, (int)arg);
	case F_OFD_SETLK:
	case F_OFD_GETLK: return disk_lock(f, cmd, (struct flock *)arg);
	default: return k_fail(EINVAL);
	}
}

int
sim_fstat64(int fd, struct stat *st)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	memset(st, 0, sizeof(*st));
	if (f->kind == FILE_DISK) {
		disk_stat(f->inode, st);
		return 0;
	}
	st->st_mode = f->kind == FILE_MEMORY ? S_IFREG | 0600
		: f->kind == FILE_NULL	     ? S_IFCHR | 0666
					     : S_IFSOCK | 0600;
	st->st_size = f->kind == FILE_MEMORY ? (off_t)f->memory->n : 0;
	return 0;
}

ssize_t
sim_pread64(int fd, void *p, size_t n, off_t at)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	if (f->kind == FILE_DISK)
		return disk_read(f, p, n, (uint64_t)at);
	if (f->kind != FILE_MEMORY)
		return k_fail(ESPIPE);
	if ((size_t)at >= f->memory->n)
		return 0;
	if (n > f->memory->n - (size_t)at)
		n = f->memory->n - (size_t)at;
	memcpy(p, f->memory->p + at, n);
	return (ssize_t)n;
}

ssize_t
sim_preadv64v2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
	struct file *f = k_get(fd);
	ssize_t all = 0;

	if (!f)
		return -1;
	if ((flags & RWF_NOWAIT) && (f->kind != FILE_DISK || k_world.nowait_unknown))
		return k_fail(EOPNOTSUPP);
	if ((flags & RWF_NOWAIT) && k_chance(k_world.cold))
		return k_fail(EAGAIN);
	for (int i = 0; i < n; i++) {
		ssize_t got = sim_pread64(fd, iov[i].iov_base, iov[i].iov_len, at + all);
		if (got < 0)
			return all > 0 ? all : got;
		all += got;
		if ((size_t)got < iov[i].iov_len)
			break;
	}
	return all;
}

static ssize_t
memory_write(struct memory *m, const void *p, size_t n, size_t at)
{
	if (m->seals & F_SEAL_WRITE)
		return k_fail(EPERM);
	if (at + n > m->n) {
		uint8_t *grown = k_new(at + n);
		if (m->n > 0)
			memcpy(grown, m->p, m->n);
		m->p = grown;
		m->n = at + n;
	}
	memcpy(m->p + at, p, n);
	return (ssize_t)n;
}

ssize_t
sim_pwrite64(int fd, const void *p, size_t n, off_t at)
{
	struct file *f = k_get(fd);

	k_enter();
	if (!f)
		return -1;
	if ((f->flags & O_ACCMODE) == O_RDONLY)
		return k_fail(EBADF);
	if (f->kind == FILE_DISK)
		return disk_write(f, p, n, (uint64_t)at);
	if (f->kind != FILE_MEMORY)
		return k_fail(ESPIPE);
	return memory_write(f->memory, p, n, (size_t)at);
}

static int
event_io(struct file *f, uint64_t *value, bool reads)
{
	if (!reads) {
		f->count += *value;
		k_notify(f);
		return sizeof(*value);
	}
	if (f->count == 0)
		return k_fail(EAGAIN);
	*value = f->count;
	f->count = 0;
	return sizeof(*value);
}

ssize_t
sim_read(int fd, void *p, size_t n)
{
	struct file *f = k_get(fd);
	ssize_t got;

	if (!f)
		return -1;
	switch (f->kind) {
	case FILE_EVENT: return event_io(f, p, true);
	case FILE_SIGNAL: return signal_read(f, p, n);
	case FILE_NULL: return 0;
	case FILE_DISK:
	case FILE_MEMORY:
		got = sim_pread64(fd, p, n, (off_t)f->at);
		if (got > 0)
			f->at += (uint64_t)got;
		return got;
	case FILE_CHANNEL:
	case FILE_STREAM:
	case FILE_LISTENER:
	case FILE_EPOLL:
	case FILE_OTHER: break;
	}
	return k_fail(EINVAL);
}

ssize_t
sim_write(int fd, const void *p, size_t n)
{
	struct file *f = k_get(fd);
	uint64_t value;

	if (!f)
		return -1;
	switch (f->kind) {
	case FILE_EVENT:
		memcpy(&value, p, sizeof(value));
		return event_io(f, &value, false);
	case FILE_NULL:
		k_trace("says %.*s", (int)(n > 0 ? n - 1 : 0), (const char *)p);
		return (ssize_t)n;
	case FILE_DISK:
	case FILE_MEMORY: {
		uint64_t at = (f->flags & O_APPEND) && f->kind == FILE_DISK
			? disk_size(f->inode)
			: f->at;
		ssize_t put = sim_pwrite64(fd, p, n, (off_t)at);
		if (put > 0)
			f->at = at + (uint64_t)put;
		return put;
	}
	case FILE_CHANNEL:
	case FILE_STREAM:
	case FILE_SIGNAL:
	case FILE_LISTENER:
	case FILE_EPOLL:
	case FILE_OTHER: break;
	}
	return k_fail(EINVAL);
}

int
sim_ftruncate64(int fd, off_t n)
{
	struct file *f = k_get(fd);

	k_enter();
	if (!f)
		return -1;
	if (f->kind == FILE_DISK)
		return disk_truncate(f, (uint64_t)n);
	if (f->kind != FILE_MEMORY || (f->memory->seals & (F_SEAL_GROW | F_SEAL_SHRINK)))
		return k_fail(f->kind == FILE_MEMORY ? EPERM : EINVAL);
	uint8_t *fresh = n >= LARGE ? k_new_pages((size_t)n) : k_new((size_t)n);
	size_t keep = f->memory->n < (size_t)n ? f->memory->n : (size_t)n;
	if (keep > 0)
		memcpy(fresh, f->memory->p, keep);
	f->memory->p = fresh;
	f->memory->n = (size_t)n;
	return 0;
}

int
sim_fallocate64(int fd, int mode, off_t at, off_t n)
{
	struct file *f = k_get(fd);

	(void)mode;
	if (!f)
		return -1;
	if (f->kind != FILE_MEMORY)
		return k_fail(EOPNOTSUPP);
	if (at != 0 || n < LARGE || (size_t)n != f->memory->n)
		return k_fail(EINVAL);
	return madvise(f->memory->p, f->memory->n, MADV_DONTNEED);
}
