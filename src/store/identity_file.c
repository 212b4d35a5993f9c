/* The identity log on disk: its file, its lock, and how it is read. */
#include "os/clock.h"
#include "os/fd.h"
#include "store/identity_state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_WAIT_MS 10000 /* others hold it for a write and a sync */
#define LOCK_STEP_MS 2
#define ATTEMPTS_MAX 16 /* the file may be made or replaced under us so often */

/* ---- files ------------------------------------------------------------------ */

static int
open_plain(int dir, const char *name, int flags, struct stat *ret)
{
	AUTO_FD fd = openat(
		dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (fstat(fd, ret) < 0)
		return -errno;
	if (!S_ISREG(ret->st_mode))
		return -EBADMSG;
	/* In a directory of many somebody else may have laid it there. */
	return ret->st_uid == geteuid() ? fd_take(&fd) : -EPERM;
}

/* Whether the name still leads to this open file. -ESTALE: no longer. */
static int
is_still_named(int dir, const char *name, const struct stat *file)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	return st.st_ino == file->st_ino && st.st_dev == file->st_dev ? 0 : -ESTALE;
}

static int
lock_whole(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	uint64_t end = clock_ms() + LOCK_WAIT_MS;

	while (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return -errno;
		if (clock_ms() > end)
			return -EAGAIN;
		(void)poll(NULL, 0, LOCK_STEP_MS);
	}
	return 0;
}

int
identity_open_locked(int dir, const char *name, int flags, struct stat *ret)
{
	for (int i = 0; i < ATTEMPTS_MAX; i++) {
		AUTO_FD fd = open_plain(dir, name, O_RDWR | flags, ret);
		int r = fd < 0 ? fd : lock_whole(fd);
		if (r == 0)
			r = is_still_named(dir, name, ret);
		/* Its size may have grown while we waited. */
		if (r == 0 && fstat(fd, ret) < 0)
			r = -errno;
		if (r == 0)
			return fd_take(&fd);
		if (r != -ESTALE)
			return r;
	}
	return -EAGAIN;
}

int
identity_sync_dir(int dir)
{
	/* EINVAL: a file system that cannot sync directories has no more to give. */
	return fsync(dir) < 0 && errno != EINVAL ? -errno : 0;
}

int
identity_name_with(const char *name, const char *more, char ret[IDENTITY_NAME_MAX + 1])
{
	int n = snprintf(ret, IDENTITY_NAME_MAX + 1, "%s%s", name, more);

	return n < 0 || n > IDENTITY_NAME_MAX ? -ENAMETOOLONG : 0;
}

/* ---- reading ---------------------------------------------------------------- */

/* Rows from octets that stay; what is torn at the end is left. */
static int
take_records(struct identity *log, struct view octets)
{
	struct identity_row row;
	size_t at = 0, n;

	for (;;) {
		enum identity_got got = identity_get_record(
			(struct view){octets.p + at, octets.n - at}, &log->sum, &row, &n);
		if (got == IDENTITY_DAMAGED)
			return identity_is_uncommitted(
				       (struct view){octets.p + at, octets.n - at},
				       log->sound)
				? 0
				: -EBADMSG;
		if (got == IDENTITY_NEWER)
			return -EPROTONOSUPPORT;
		if (got != IDENTITY_GOT)
			return 0;
		int r = log->count < IDENTITY_ROWS_MAX ? identity_take(log, &row)
						       : -EFBIG;
		if (r < 0)
			return r;
		at += n;
		log->sound += n;
	}
}

int
identity_read_on(struct identity *log, int fd, uint64_t size)
{
	if (size > IDENTITY_FILE_MAX)
		return -EFBIG;
	/* A log never becomes shorter: what was known must be there still. */
	if (size < log->sound || (log->sound == 0 && size < IDENTITY_HEADER))
		return -EBADMSG;
	size_t n = (size_t)(size - log->sound);
	uint8_t *octets = n > 0 ? identity_room(log, n) : NULL;
	if (n == 0)
		return 0;
	if (!octets)
		return -ENOMEM;
	int r = fd_pread_all(fd, octets, n, log->sound);
	struct view v = {octets, n};
	if (r == 0 && log->sound == 0) {
		r = identity_get_header(v, &log->sum);
		if (r == 0) {
			log->sound = IDENTITY_HEADER;
			v = (struct view){octets + IDENTITY_HEADER, n - IDENTITY_HEADER};
		}
	}
	if (r == 0)
		r = take_records(log, v);
	return r;
}

struct identity_stamp
identity_stamp_from(const struct stat *st)
{
	int64_t ns;

	/* Times beyond the range of nanoseconds only have to differ from sound ones. */
	if (__builtin_mul_overflow(st->st_ctim.tv_sec, INT64_C(1000000000), &ns))
		ns = 0;
	return (struct identity_stamp){.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.ctime_ns = ns + st->st_ctim.tv_nsec};
}

struct identity_stamp
identity_stamp_of(const struct identity *log)
{
	return log->stamp;
}

int
identity_stamp_now(int dir, const char *name, struct identity_stamp *ret)
{
	struct stat st;

	*ret = (struct identity_stamp){.ino = 0};
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	*ret = identity_stamp_from(&st);
	return 0;
}

static int
read_all(struct identity *log)
{
	struct stat st;
	AUTO_FD fd = open_plain(log->dir, log->name, O_RDONLY, &st);

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd == -ELOOP ? -EBADMSG : fd;
	log->there = true;
	log->stamp = identity_stamp_from(&st);
	int r = identity_read_on(log, fd, (uint64_t)st.st_size);
	log->synced = log->count;
	return r;
}

int
identity_lend_dir(struct identity *log, int dir)
{
	fd_close(&log->dir);
	if (dir < 0)
		return 0;
	log->dir = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return log->dir < 0 ? -errno : 0;
}

int
identity_new(int dir, const char *name, struct identity **ret)
{
	struct identity *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->bounds = (struct identity_bounds){
		.rows = IDENTITY_ROWS_MAX, .used = 65536, .kept = 32768, .gain = 16384};
	log->dir = -1;
	log->name = strdup(name);
	int r = log->name ? identity_lend_dir(log, dir) : -ENOMEM;
	if (r < 0)
		identity_close(&log);
	*ret = log;
	return r;
}

int
identity_open(int dir, const char *name, struct identity **ret)
{
	char longest[IDENTITY_NAME_MAX + 1];
	struct identity *log = NULL;
	int r = identity_name_with(name, ".damaged.9", longest);

	if (r == 0)
		r = identity_new(dir, name, &log);
	if (r == 0)
		r = read_all(log);
	if (r < 0) {
		identity_close(&log);
		return r;
	}
	*ret = log;
	return 0;
}

bool
identity_is_stale(const struct identity *log, int dir, const char *name)
{
	const struct identity_stamp *was = &log->stamp;
	struct identity_stamp now;

	if (identity_stamp_now(dir, name, &now) < 0)
		return true;
	return now.dev != was->dev || now.ino != was->ino || now.size != was->size ||
		now.ctime_ns != was->ctime_ns;
}
