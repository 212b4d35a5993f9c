/* What only the file itself tells: its inode, its size, and how many octets it has on the
 * wire. */
#include "os/fd.h"
#include "pop3/dot.h"
#include "stat/stat.h"
#include "store/maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

#define PAGE 4096 /* what the pages of all processors are multiples of */

/* Times before 1970 are one; what is below 0 in a row says something else. */
static int64_t
ns_of(int64_t s, int64_t ns)
{
	int64_t all;

	if (s < 0 || __builtin_mul_overflow(s, INT64_C(1000000000), &all) ||
		__builtin_add_overflow(all, ns, &all))
		return 0;
	return all;
}

static int
file_from(const struct statx *x, struct maildir_file *ret)
{
	*ret = (struct maildir_file){
		.dev = (uint64_t)x->stx_dev_major << 32 | x->stx_dev_minor,
		.ino = x->stx_ino,
		.size = x->stx_size,
		.mtime_ns = ns_of(x->stx_mtime.tv_sec, x->stx_mtime.tv_nsec),
		.regular = S_ISREG(x->stx_mode),
	};
	return 0;
}

int
maildir_stat(int dir, const char *name, struct maildir_file *ret)
{
	struct statx x;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		    STATX_TYPE | STATX_INO | STATX_SIZE | STATX_MTIME, &x) < 0)
		return -errno;
	return file_from(&x, ret);
}

/* Not statx, which is twice as slow on a descriptor: this is done for each message. */
int
maildir_fstat(int fd, struct maildir_file *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct maildir_file){
		.dev = (uint64_t)major(st.st_dev) << 32 | minor(st.st_dev),
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = ns_of(st.st_mtim.tv_sec, st.st_mtim.tv_nsec),
		.regular = S_ISREG(st.st_mode),
	};
	return 0;
}

/* O_NONBLOCK: what is a FIFO by now must not hold us; it changes nothing for files. */
static int
open_plainly(int dir, const char *name, int more)
{
	int fd = openat(dir, name,
		O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | more);

	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -EINVAL : -errno;
	return fd;
}

int
maildir_open_file(int dir, const char *name, struct maildir_file *ret)
{
	AUTO_FD fd = open_plainly(dir, name, 0);

	if (fd < 0)
		return fd_take(&fd);
	int r = maildir_fstat(fd, ret);
	if (r < 0)
		return r;
	return ret->regular ? fd_take(&fd) : -EINVAL;
}

/*
 * Reads the next block at *at. 0: the end. Where the file is as long as it was said to
 * be, a short block is the last, and the read that would find the end is saved.
 */
static ssize_t
read_block(int fd, uint64_t size, uint8_t *block, uint64_t at)
{
	for (;;) {
		if (at >= size && at > 0 && at % MAILDIR_BLOCK != 0)
			return 0;
		ssize_t n = pread(fd, block, MAILDIR_BLOCK, (off_t)at);
		if (n >= 0 || errno != EINTR)
			return n < 0 ? -errno : n;
	}
}

static void
take_count(struct maildir_row *row, uint64_t stored, uint64_t wire,
	const struct dot_state *end, bool broken)
{
	uint64_t missing = dot_finish_count(end);

	row->stored = stored;
	row->wire = wire + missing;
	row->flags = (uint8_t)(row->flags & ~(ROW_AS_IS | ROW_COUNTED));
	row->flags |= ROW_COUNTED | ROW_UNSAVED;
	if (!broken && missing == 0)
		row->flags |= ROW_AS_IS;
}

int
maildir_count(int fd, uint64_t size, uint8_t *block, struct maildir_row *row)
{
	const struct dot_kernel *kernel = dot_best();
	struct dot_state state = {0};
	uint64_t stored = 0, wire = 0;
	bool broken = false;
	ssize_t n;

	while ((n = read_block(fd, size, block, stored)) > 0) {
		wire += kernel->survey(&state, block, (size_t)n, &broken);
		stored += (uint64_t)n;
	}
	if (n < 0)
		return (int)n;
	take_count(row, stored, wire, &state, broken);
	stat_add(STAT_SIZED, 1);
	return 0;
}

/* The count is no access: a reader's clock of the file stays, and its inode clean. */
static int
open_unseen(int dir, const char *name)
{
	int fd = open_plainly(dir, name, O_NOATIME);

	/* For the owner alone. */
	return fd == -EPERM ? open_plainly(dir, name, 0) : fd;
}

int
maildir_count_at_once(int dir, const char *name, const struct dot_kernel *kernel,
	uint8_t *block, struct maildir_row *row)
{
	struct dot_state state = {0};
	struct maildir_file f;
	bool broken = false;
	AUTO_FD fd = open_unseen(dir, name);

	if (fd < 0)
		return fd_take(&fd);
	ssize_t n = pread(fd, block, MAILDIR_BLOCK, 0);
	if (n < 0 && errno != EINTR)
		return errno == EISDIR || errno == ESPIPE ? -EINVAL : -errno;
	/* A read that met damage ends with a page too; there may be more of it. */
	if (n < 0 || n == MAILDIR_BLOCK || (n > 0 && n % PAGE == 0)) {
		int r = maildir_fstat(fd, &f);
		if (r < 0)
			return r;
		if (!f.regular)
			return -EINVAL;
		maildir_take_file(row, &f);
		return maildir_count(fd, f.size, block, row);
	}
	uint64_t wire = kernel->survey(&state, block, (size_t)n, &broken);
	take_count(row, (uint64_t)n, wire, &state, broken);
	stat_add(STAT_SIZED, 1);
	return 0;
}

void
maildir_take_file(struct maildir_row *row, const struct maildir_file *f)
{
	row->ino = f->ino;
	row->stored = f->size;
	row->mtime_ns = f->mtime_ns;
}

int
maildir_digest(int dir, const char *name, uint64_t *ret)
{
	struct maildir_file file;
	AUTO_FD fd = maildir_open_file(dir, name, &file);

	if (fd < 0)
		return fd;
	AUTO_FREE uint8_t *block = malloc(MAILDIR_BLOCK);
	if (!block)
		return -ENOMEM;
	uint64_t digest = 0;
	for (uint64_t at = 0; at < file.size; at += MAILDIR_BLOCK) {
		uint64_t left = file.size - at;
		size_t n = left < MAILDIR_BLOCK ? (size_t)left : MAILDIR_BLOCK;
		int r = fd_pread_all(fd, block, n, at);
		if (r < 0)
			return r;
		digest = XXH3_64bits_withSeed(block, n, digest);
	}
	*ret = digest;
	return 0;
}
