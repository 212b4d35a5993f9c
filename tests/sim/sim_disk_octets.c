/* What lies in files, and what goes wrong with them. */
#include "sim_disk.h"

#include <errno.h>
#include <string.h>

int
disk_fault(bool needs_room)
{
	if (k_world.calm)
		return 0;
	if (k_world.disk_eio > 0 && --k_world.disk_eio == 0) {
		k_world.harmed = true;
		k_trace("the disk fails");
		return EIO;
	}
	if (needs_room && k_world.disk_full) {
		k_world.harmed = true;
		return ENOSPC;
	}
	return 0;
}

uint64_t
disk_size(const struct inode *i)
{
	return i->n;
}

static void
put_octets(struct inode *i, const void *p, size_t n, size_t at)
{
	if (at + n > i->cap) {
		i->cap = 2 * (at + n);
		uint8_t *grown = k_new(i->cap);
		if (i->n > 0)
			memcpy(grown, i->p, i->n);
		i->p = grown;
	}
	if (at > i->n)
		memset(i->p + i->n, 0, at - i->n);
	if (n > 0)
		memcpy(i->p + at, p, n);
	disk_dirty(i, at < i->n ? at : i->n, at + n);
	if (at + n > i->n)
		i->n = at + n;
	i->mtime_ns = i->ctime_ns = disk_time();
}

void
disk_append(struct inode *i, const void *p, size_t n)
{
	put_octets(i, p, n, i->n);
}

ssize_t
disk_write(struct file *f, const void *p, size_t n, uint64_t at)
{
	struct inode *i = f->inode;
	int e = disk_fault(at + n > i->n);

	if (S_ISDIR(i->mode))
		return k_fail(EISDIR);
	if (e)
		return k_fail(e);
	/* A short write, as a signal or a disk that is almost full makes it. */
	if (n > 1 && !k_world.calm && k_chance(10))
		n = 1 + k_below(n - 1);
	put_octets(i, p, n, (size_t)at);
	return (ssize_t)n;
}

ssize_t
disk_read(struct file *f, void *p, size_t n, uint64_t at)
{
	const struct inode *i = f->inode;

	if (S_ISDIR(i->mode))
		return k_fail(EISDIR);
	if (at >= i->n)
		return 0;
	if (n > i->n - at)
		n = i->n - (size_t)at;
	memcpy(p, i->p + at, n);
	return (ssize_t)n;
}

int
disk_truncate(struct file *f, uint64_t n)
{
	struct inode *i = f->inode;

	if (n > i->n)
		put_octets(i, NULL, 0, (size_t)n);
	if (i->n > n)
		disk_dirty(i, (size_t)n, (size_t)n);
	i->n = (size_t)n;
	i->synced = false;
	i->mtime_ns = i->ctime_ns = disk_time();
	return 0;
}

void
disk_stat(const struct inode *i, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_dev = 7;
	st->st_ino = i->number;
	st->st_mode = i->mode;
	st->st_nlink = i->links;
	st->st_uid = st->st_gid = 1000;
	st->st_size = (off_t)i->n;
	st->st_blksize = 4096;
	st->st_mtim =
		(struct timespec){(time_t)(i->mtime_ns / K_S), (long)(i->mtime_ns % K_S)};
	st->st_ctim =
		(struct timespec){(time_t)(i->ctime_ns / K_S), (long)(i->ctime_ns % K_S)};
}
