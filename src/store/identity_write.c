/* The identity log grows: under its lock, by one write and one sync; or is made anew. */
#include "base/check.h"
#include "base/cursor.h"
#include "os/fd.h"
#include "store/identity_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS_MAX 16 /* the file may be made or replaced under us so often */

/* The octets of the rows from `from` on, before them the header where from is 0. */
static int
encode(const struct identity *log, uint32_t from, bool header, uint64_t *sum,
	struct buf *ret)
{
	uint64_t n = header ? IDENTITY_HEADER : 0;

	for (uint32_t i = from; i < log->count; i++)
		n += identity_record_octets(&log->rows[i].row);
	if (n > IDENTITY_FILE_MAX || log->count > IDENTITY_ROWS_MAX)
		return -EFBIG;
	void *p = malloc((size_t)n + 1);
	if (!p)
		return -ENOMEM;
	*ret = buf_over(p, (size_t)n);
	if (header) {
		identity_put_header(ret);
		int r = identity_get_header((struct view){ret->p, ret->n}, sum);
		CHECK(r == 0);
	}
	for (uint32_t i = from; i < log->count; i++)
		identity_put_record(ret, &log->rows[i].row, sum);
	return 0;
}

static void
is_written(struct identity *log, int fd, uint64_t size, uint64_t sum)
{
	struct stat st;

	log->there = true;
	log->anew = false;
	/* An unknown stamp is that of no file: the log will be read again. */
	log->stamp = fstat(fd, &st) == 0 ? identity_stamp_from(&st)
					 : (struct identity_stamp){.ino = 0};
	log->sound = size;
	log->sum = sum;
	log->synced = log->count;
}

/* Where it fails, nothing is written into that file again. */
static int
sync_data(struct identity *log, int fd)
{
	if (fdatasync(fd) == 0)
		return 0;
	log->anew = true;
	return -errno;
}

/*
 * A crash may leave any sectors of it: what lies in more than one becomes part of the log
 * by its first octets, which come when the others are there.
 */
static int
write_batch(struct identity *log, int fd, const uint8_t *p, size_t n, uint64_t at)
{
	size_t first = identity_commit_octets(at);
	int r = 0;

	if (at / IDENTITY_SECTOR == (at + n - 1) / IDENTITY_SECTOR)
		first = n;
	if (first < n) {
		r = fd_pwrite_all(fd, p + first, n - first, at + first);
		if (r == 0)
			r = sync_data(log, fd);
	}
	if (r == 0)
		r = fd_pwrite_all(fd, p, first, at);
	return r < 0 ? r : sync_data(log, fd);
}

/* Behind the records that are known; cut back where it does not become durable. */
static int
append(struct identity *log, int fd, const struct stat *st)
{
	struct buf b = {0};
	uint64_t sum = log->sum, size = log->sound;
	int r = encode(log, log->synced, false, &sum, &b);

	if (r < 0)
		return r;
	AUTO_FREE uint8_t *octets = b.p;
	if (size + b.n > IDENTITY_FILE_MAX)
		return -EFBIG;
	/* A torn record of a crash: nothing of it was ever shown. Once it is gone for
	 * good there are zeros where the next begins. */
	if ((uint64_t)st->st_size > size &&
		(ftruncate(fd, (off_t)size) < 0 || fsync(fd) < 0))
		return -errno;
	r = write_batch(log, fd, octets, b.n, size);
	if (r < 0) {
		/* Where this fails too, the next append takes it for torn. */
		if (ftruncate(fd, (off_t)size) == 0)
			(void)!sync_data(log, fd);
		return r;
	}
	is_written(log, fd, size + b.n, sum);
	return 0;
}

/* A crash between link and unlink left both names: it is the log itself, whose lock we
 * may hold. */
static void
drop_second_name(int dir, const char *name, const char *temporary)
{
	struct stat a, b;

	if (fstatat(dir, name, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
		fstatat(dir, temporary, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
		a.st_ino == b.st_ino && a.st_dev == b.st_dev)
		(void)unlinkat(dir, temporary, 0);
}

/* Publishes without replacing; where the file system lacks the call, by link. */
static int
publish(int dir, const char *temporary, const char *name)
{
	if (renameat2(dir, temporary, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (linkat(dir, temporary, dir, name, 0) < 0)
		return -errno;
	return unlinkat(dir, temporary, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/*
 * The temporary name is locked while it is in use: two processes that begin a log at once
 * do not mix, and what a crash left behind is used again.
 */
int
identity_write_anew(struct identity *log, bool replace)
{
	char temporary[IDENTITY_NAME_MAX + 1];
	struct buf b = {0};
	struct stat st;
	uint64_t sum = 0;
	int r = identity_name_with(log->name, "~", temporary);

	if (r == 0)
		r = encode(log, 0, true, &sum, &b);
	if (r < 0)
		return r;
	AUTO_FREE uint8_t *octets = b.p;
	drop_second_name(log->dir, log->name, temporary);
	AUTO_FD fd = identity_open_locked(log->dir, temporary, O_CREAT, &st);
	/* Something that is not ours lies there. */
	if (fd == -EISDIR || fd == -ELOOP || fd == -EBADMSG)
		return -EACCES;
	if (fd < 0)
		return fd;
	if (st.st_nlink != 1)
		r = -EEXIST;
	if (r == 0 && ftruncate(fd, 0) < 0)
		r = -errno;
	if (r == 0)
		r = fd_pwrite_all(fd, octets, b.n, 0);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && replace && renameat(log->dir, temporary, log->dir, log->name) < 0)
		r = -errno;
	if (r == 0 && !replace)
		r = publish(log->dir, temporary, log->name);
	if (r < 0) {
		(void)unlinkat(log->dir, temporary, 0);
		return r;
	}
	r = identity_sync_dir(log->dir);
	if (r == 0) {
		is_written(log, fd, b.n, sum);
		return 0;
	}
	/* Whether it would be there after a crash is unknown: the next attempt begins
	 * with a file of its own. */
	log->there = true;
	log->stamp = identity_stamp_from(&st);
	log->anew = true;
	return r;
}

/* Others' rows come before ours, as they do in the file. */
static int
catch_up(struct identity *log, int fd, const struct stat *st)
{
	uint32_t count = log->count, synced = log->synced, pending = count - synced;
	AUTO_FREE struct identity_entry *ours =
		calloc((size_t)pending + 1, sizeof(*ours));
	int r = ours ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	memcpy(ours, log->rows + synced, pending * sizeof(*ours));
	r = identity_cut(log, synced);
	if (r < 0)
		return r;
	r = identity_read_on(log, fd, (uint64_t)st->st_size);
	uint32_t theirs = log->count;
	log->synced = theirs;
	for (uint32_t i = 0; i < pending; i++) {
		/* Said already by the other. */
		if (identity_holds(log, &ours[i].row, synced) &&
			!identity_holds(log, &ours[i].row, theirs))
			continue;
		int e = identity_take(log, &ours[i].row);
		if (r == 0)
			r = e;
	}
	return r;
}

/* What is pending, into the file; st NULL: there is none. */
static int
write_out(struct identity *log, int fd, const struct stat *st)
{
	bool done = false;
	int r = 0;

	if (identity_is_due(log))
		r = identity_compact(log, st != NULL, &done);
	if (done || r == -EEXIST)
		return r;
	/* Where it failed the log can mostly grow still. */
	r = identity_is_full(log) ? identity_leave_out(log) : 0;
	if (r == 0 && identity_is_full(log))
		r = -EFBIG;
	if (r < 0 || (log->synced == log->count && !log->anew))
		return r;
	return st && !log->anew ? append(log, fd, st)
				: identity_write_anew(log, st != NULL);
}

/*
 * Inode numbers are used again: a log written anew may have that of the one we know. The
 * checksum of our last record stands for all before it.
 */
static int
ends_where_known(const struct identity *log, int fd)
{
	uint8_t octets[sizeof(log->sum)];

	if (log->sound <= IDENTITY_HEADER)
		return 0;
	ssize_t n = pread(fd, octets, sizeof(octets), (off_t)log->sound - 8);
	if (n < 0)
		return -errno;
	struct cursor c = cursor_over((struct view){octets, (size_t)n});
	uint64_t sum = cursor_u64(&c);
	return !c.bad && sum == log->sum ? 0 : -ESTALE;
}

static int
sync_existing(struct identity *log)
{
	struct stat st;
	AUTO_FD fd = identity_open_locked(log->dir, log->name, 0, &st);

	if (fd < 0)
		return fd == -ELOOP ? -EBADMSG : fd;
	/* Another file than the one that was read: its rows are not known. */
	if (log->there && (st.st_ino != log->stamp.ino || st.st_dev != log->stamp.dev))
		return -ESTALE;
	int same = log->there ? ends_where_known(log, fd) : 0;
	if (same < 0)
		return same;
	if ((uint64_t)st.st_size != log->stamp.size || !log->there) {
		log->there = true;
		log->stamp = identity_stamp_from(&st);
		int r = catch_up(log, fd, &st);
		/* Damaged, or another file with the same inode: to be opened again. */
		if (r < 0)
			return r == -EBADMSG ? -ESTALE : r;
	}
	if (log->synced == log->count && !log->anew)
		return fdatasync(fd) < 0 ? -errno : 0;
	return write_out(log, fd, &st);
}

int
identity_sync(struct identity *log)
{
	int r = -ENOENT;

	if (log->synced == log->count)
		return 0;
	if (log->dir < 0)
		return -EBADF;
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		r = sync_existing(log);
		if (r != -ENOENT || log->there)
			break;
		r = write_out(log, -1, NULL);
		if (r != -EEXIST)
			break;
	}
	/* Removed under us: it is no longer the log that was read. */
	return r == -ENOENT ? -ESTALE : r;
}
