/* A maildrop for the first mail, and what killed deliveries left in tmp. */
#include "os/clock.h"
#include "os/fd.h"
#include "store/maildir.h"
#include "store/maildir_deposit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdalign.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY    (O_RDONLY | O_DIRECTORY)
#define STALE_S	     UINT64_C(129600) /* 36 hours, as Maildir's own rule has it */
#define LOOK_S	     UINT64_C(86400)
#define SWEPT_NAME   "restante-swept" /* its time is that of the last look */
#define SWEEP_BUFFER 4096
#define SWEEP_READS  256 /* at one look; what is behind them comes another day */

int
maildir_sync_directory(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

/* One that may be searched but not read serves as a step on the way. */
static int
open_step(int at, const char *name)
{
	int fd = fd_open_beneath(at, name, DIRECTORY, 0);

	return fd == -EACCES ? fd_open_beneath(at, name, O_PATH | O_DIRECTORY, 0) : fd;
}

/* True in *ret_made: it was not there. Another maker may be faster; that is as good. */
static int
make_step(int at, const char *name, bool *ret_made)
{
	*ret_made = mkdirat(at, name, 0700) == 0;
	return !*ret_made && errno != EEXIST ? -errno : 0;
}

/*
 * Also where nothing was made: a maker that was killed may not have synced. A directory
 * that cannot be opened or written has nothing of ours.
 */
static int
sync_step(int at, bool made)
{
	int r = maildir_sync_directory(at);

	if (!made && (r == -EBADF || r == -EROFS || r == -EOPNOTSUPP))
		return 0;
	return r == -EBADF ? -EACCES : r;
}

static int
walk_step(int at, const char *name, int *ret_next)
{
	bool made = false;
	AUTO_FD next = open_step(at, name);

	if (next == -ENOENT) {
		int r = make_step(at, name, &made);
		if (r < 0)
			return r;
		next = open_step(at, name);
	}
	if (next < 0)
		return next;
	int r = sync_step(at, made);
	/* What may not be durable is made anew the next time, not synced again. */
	if (r < 0 && made)
		(void)unlinkat(at, name, AT_REMOVEDIR);
	if (r < 0)
		return r;
	*ret_next = fd_take(&next);
	return 0;
}

static int
make_subs(int top)
{
	static const char *const names[] = {"tmp", "new", "cur"};
	bool made[3] = {false}, any = false;
	int r = 0;

	for (size_t i = 0; i < 3 && r == 0; i++) {
		r = make_step(top, names[i], &made[i]);
		any = any || made[i];
	}
	if (r == 0)
		r = sync_step(top, any);
	for (size_t i = 0; i < 3 && r < 0; i++)
		if (made[i])
			(void)unlinkat(top, names[i], AT_REMOVEDIR);
	return r;
}

int
maildir_make(const struct store *s, int *ret_top)
{
	AUTO_FD at = open_step(s->root, ".");
	const char *p = s->path;

	if (at < 0)
		return at;
	while (*p) {
		char name[NAME_MAX + 1];
		size_t n = strcspn(p, "/");
		int next;

		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, p, n);
		name[n] = '\0';
		p += n;
		p += strspn(p, "/");
		int r = walk_step(at, name, &next);
		if (r < 0)
			return r;
		fd_close(&at);
		at = next;
	}
	int r = make_subs(at);
	if (r == 0)
		*ret_top = fd_take(&at);
	return r;
}

/* Whether a day has passed since anybody looked; then this is the look. */
static bool
is_time_to_look(int top, uint64_t now)
{
	int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;

	if (fstatat(top, SWEPT_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		uint64_t then = (uint64_t)st.st_mtim.tv_sec;
		/* A time to come is a clock that was wrong. */
		if (!S_ISREG(st.st_mode) || (then <= now && now - then < LOOK_S))
			return false;
	}
	AUTO_FD fd = openat(top, SWEPT_NAME, flags, 0600);
	return fd >= 0 && pwrite(fd, "\n", 1, 0) == 1;
}

static bool
is_stale(int tmp, const char *name, uint64_t now)
{
	struct stat st;

	if (fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	uint64_t then = (uint64_t)st.st_mtim.tv_sec;
	return st.st_mtim.tv_sec > 0 && then < now && now - then > STALE_S;
}

void
maildir_sweep(int top, int tmp)
{
	alignas(struct dirent64) char buffer[SWEEP_BUFFER];
	uint64_t now = clock_unix_s();
	ssize_t n;

	if (!is_time_to_look(top, now))
		return;
	AUTO_FD fd = openat(tmp, ".", DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; i < SWEEP_READS; i++) {
		n = getdents64(fd, buffer, sizeof(buffer));
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *e = (const void *)(buffer + at);
			if (e->d_name[0] != '.' && is_stale(tmp, e->d_name, now))
				(void)unlinkat(tmp, e->d_name, 0);
			at += e->d_reclen;
		}
		if (n <= 0)
			return;
	}
}
