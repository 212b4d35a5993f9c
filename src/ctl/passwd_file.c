#include "ctl/passwd_file.h"
#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES    200
#define LOCK_PAUSE_NS 50000000 /* 200 times that are ten seconds */

/* The directory and the name in it, and the new file's name. */
struct place {
	int dir;
	char directory[PATH_MAX];
	char name[NAME_MAX + 1];
	char new_name[NAME_MAX + 1];
};

/* Through links: what is replaced is the file, not a link to it. */
static int
resolve(const char *path, char real[PATH_MAX])
{
	if (realpath(path, real))
		return 0;
	if (errno != ENOENT)
		return -errno;
	size_t n = strlen(path);
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(real, path, n + 1);
	return 0;
}

static int
open_place(const char *path, struct place *ret)
{
	char real[PATH_MAX];
	int r = resolve(path, real);

	if (r < 0)
		return r;
	char *slash = strrchr(real, '/');
	const char *name = slash ? slash + 1 : real;
	const char *directory = slash ? (slash == real ? "/" : real) : ".";
	if (slash)
		*slash = 0;
	if (name[0] == 0)
		return -EISDIR;
	int n = snprintf(ret->new_name, sizeof(ret->new_name), ".%s.new", name);
	if (n < 0 || (size_t)n >= sizeof(ret->new_name))
		return -ENAMETOOLONG;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	ret->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return ret->dir < 0 ? -errno : 0;
}

static int
lock(int fd)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		(void)nanosleep(&pause, NULL);
	}
	return -EAGAIN;
}

/* Does the name still lead to what is locked? Another one may have replaced it meanwhile.
 */
static bool
is_current(const struct place *at, int fd)
{
	struct stat named;
	struct stat held;

	return fstat(fd, &held) == 0 &&
		fstatat(at->dir, at->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
		named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

static int
open_locked(const struct place *at, bool create, int *ret)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		AUTO_FD fd = openat(at->dir, at->name,
			O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
				(create ? O_CREAT : 0),
			0600);
		if (fd < 0)
			return -errno;
		struct stat st;
		if (fstat(fd, &st) < 0)
			return -errno;
		if (!S_ISREG(st.st_mode))
			return -EINVAL;
		int r = lock(fd);
		if (r < 0)
			return r;
		if (is_current(at, fd)) {
			*ret = fd_take(&fd);
			return 0;
		}
	}
	return -EAGAIN;
}

static int
write_new(const struct place *at, int old, struct view octets, const char **step)
{
	struct stat st;

	*step = "making a new file beside it";
	if (fstat(old, &st) < 0)
		return -errno;
	/* One that a crash left behind; we hold the lock. */
	(void)unlinkat(at->dir, at->new_name, 0);
	AUTO_FD fd = openat(at->dir, at->new_name,
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	*step = "giving the new file the owner of the old one";
	if (fchown(fd, st.st_uid, st.st_gid) < 0 || fchmod(fd, st.st_mode & 07777) < 0)
		return -errno;
	*step = "writing";
	int r = fd_write_all(fd, octets.p, octets.n);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	*step = "renaming";
	if (renameat(at->dir, at->new_name, at->dir, at->name) < 0)
		return -errno;
	*step = "syncing the directory";
	return fsync(at->dir) < 0 ? -errno : 0;
}

static int
change(const struct place *at, int old, const struct passwd_change *c,
	enum passwd_edit *ret, const char **step)
{
	uint8_t *octets;
	size_t n;

	*step = "reading";
	int r = fd_read_file(old, PASSWD_FILE_MAX, &octets, &n);
	if (r < 0)
		return r;
	struct buf out = buf_over(malloc(n + PASSWD_GROWTH_MAX), n + PASSWD_GROWTH_MAX);
	if (out.p) {
		*ret = passwd_edit((struct view){octets, n}, c, &out);
		if (*ret == PASSWD_CHANGED || *ret == PASSWD_ADDED ||
			*ret == PASSWD_REMOVED)
			r = write_new(at, old, buf_view(&out), step);
		if (r < 0)
			(void)unlinkat(at->dir, at->new_name, 0);
		explicit_bzero(out.p, out.cap);
	} else {
		r = -ENOMEM;
	}
	explicit_bzero(octets, n);
	free(octets);
	free(out.p);
	return r;
}

int
passwd_file_change(const char *path, const struct passwd_change *c, enum passwd_edit *ret,
	const char **ret_step)
{
	struct place at = {.dir = -1};
	AUTO_FD fd = -1;

	*ret_step = "opening";
	int r = open_place(path, &at);
	if (r < 0)
		return r;
	AUTO_FD dir = at.dir;
	CHECK(dir >= 0);
	r = open_locked(&at, !c->remove, &fd);
	return r < 0 ? r : change(&at, fd, c, ret, ret_step);
}
