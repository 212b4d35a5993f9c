#include "store/mailbox_lock.h"

#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OUR_WORD " restante\n"
#define PAUSE_MS 64 /* at most, and at least a quarter of it */

static uint64_t
random_number(void)
{
	uint64_t n = 0;

	/* Where there is none, all wait equally long. */
	(void)!getrandom(&n, sizeof(n), GRND_NONBLOCK);
	return n;
}

static void
pause_a_little(void)
{
	long ms = (long)(PAUSE_MS / 4 + random_number() % (3 * PAUSE_MS / 4));

	(void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static int
kernel_lock(int fd, short type)
{
	struct flock whole = {.l_type = type, .l_whence = SEEK_SET};

	for (;;) {
		if (fcntl(fd, F_OFD_SETLK, &whole) == 0)
			return 0;
		if (errno == EACCES)
			return -EAGAIN;
		if (errno != EINTR)
			return -errno;
	}
}

static bool
is_the_one_at(int dir, const char *name, const struct stat *st)
{
	struct stat now;

	return fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
		now.st_ino == st->st_ino && now.st_dev == st->st_dev;
}

/* ---- the file ------------------------------------------------------------------ */

static int
open_mailbox(struct mailbox_lock *l, const char *name, enum mailbox_lock_kind kind)
{
	int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int mode = kind == MAILBOX_READ ? O_RDONLY : O_RDWR;

	int fd = openat(l->dir, name, flags | mode);
	if (fd >= 0 || errno != ENOENT || kind != MAILBOX_MAKE)
		return fd < 0 ? -errno : fd;
	fd = openat(l->dir, name, flags | mode | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	l->made = true;
	return fd;
}

static int
take_file(struct mailbox_lock *l, const char *name, enum mailbox_lock_kind kind)
{
	struct stat st;
	AUTO_FD fd = open_mailbox(l, name, kind);

	if (fd < 0)
		return fd_take(&fd);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	/* Another's mail under our name, or a trap for ours: a group of many may write.
	 */
	if (st.st_uid != geteuid())
		return -EPERM;
	int r = kernel_lock(fd, kind == MAILBOX_READ ? F_RDLCK : F_WRLCK);
	if (r < 0)
		return r;
	/* Replaced before it was locked: what we hold is nobody's mailbox any more. */
	if (!is_the_one_at(l->dir, name, &st))
		return -EAGAIN;
	l->fd = fd_take(&fd);
	return 0;
}

/* ---- the dot lock ---------------------------------------------------------------- */

static bool
says_ours(int fd)
{
	char text[64];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	size_t word = sizeof(OUR_WORD) - 1;

	return n > (ssize_t)word && memcmp(text + n - word, OUR_WORD, word) == 0;
}

/* Moves a lock that was left behind out of the way; back, where it was another one. */
static void
remove_left(struct mailbox_lock *l)
{
	char aside[280];
	struct stat st;
	AUTO_FD fd = openat(l->dir, l->dot_name,
		O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		fd = openat(l->dir, l->dot_name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	bool left = says_ours(fd) && kernel_lock(fd, F_WRLCK) == 0;
	if (!left && clock_unix_s() <= (uint64_t)st.st_mtime + MAILBOX_LOCK_STALE_S)
		return;
	(void)snprintf(aside, sizeof(aside), "%.200s.%016llx", l->dot_name,
		(unsigned long long)random_number());
	if (renameat(l->dir, l->dot_name, l->dir, aside) < 0)
		return;
	if (!is_the_one_at(l->dir, aside, &st))
		(void)!linkat(l->dir, aside, l->dir, l->dot_name, 0);
	(void)unlinkat(l->dir, aside, 0);
	l->cleared = true;
}

/* One that its maker left behind before it was NAME.lock. */
static void
remove_draft(struct mailbox_lock *l, const char *draft)
{
	AUTO_FD fd = openat(
		l->dir, draft, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	l->cleared = fd >= 0 && kernel_lock(fd, F_WRLCK) == 0 &&
		unlinkat(l->dir, draft, 0) == 0;
}

/*
 * It says whose it is, and is locked, before it gets its name: nobody may take it for
 * left behind, and a crash leaves none that says nothing. -EAGAIN: another one is there.
 */
static int
make_dot(struct mailbox_lock *l, const char *draft)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char text[48], other[280];
	AUTO_FD fd = openat(l->dir, draft, flags, 0644);

	if (fd < 0 && errno == EEXIST) {
		remove_draft(l, draft);
		if (l->cleared)
			return -EAGAIN;
		/* Of somebody else, who must not keep us out with it for ever. */
		(void)snprintf(other, sizeof(other), "%.230s.%016llx", draft,
			(unsigned long long)random_number());
		draft = other;
		fd = openat(l->dir, draft, flags, 0644);
	}
	if (fd < 0)
		return -errno;
	int r = kernel_lock(fd, F_WRLCK);
	int n = snprintf(text, sizeof(text), "%ld" OUR_WORD, (long)getpid());
	if (r == 0)
		r = fd_pwrite_all(fd, text, (size_t)n, 0);
	/* On a full disk people must still be able to delete: a lock without text is one.
	 */
	if (fd_is_full(r))
		r = 0;
	if (r == 0 && linkat(l->dir, draft, l->dir, l->dot_name, 0) < 0)
		r = errno == ENOENT ? -EAGAIN : -errno;
	(void)unlinkat(l->dir, draft, 0);
	if (r == -EEXIST) {
		remove_left(l);
		return -EAGAIN;
	}
	if (r < 0)
		return r;
	l->dot = fd_take(&fd);
	return 0;
}

static int
take_dot(struct mailbox_lock *l, const char *name, enum mailbox_lock_kind kind)
{
	char draft[256];
	int n = snprintf(l->dot_name, sizeof(l->dot_name), "%s.lock", name);
	int k = snprintf(draft, sizeof(draft), ".%s.restante-dot", name);
	int r = -ENAMETOOLONG;

	if (n < (int)sizeof(l->dot_name) && k < (int)sizeof(draft))
		r = make_dot(l, draft);
	/* No room for a name either: who reads must not be kept out. */
	bool full = fd_is_full(r) && kind != MAILBOX_MAKE;
	if (full || r == -EACCES || r == -EPERM || r == -EROFS || r == -ENAMETOOLONG) {
		l->dot_off = true;
		return 0;
	}
	return r;
}

static int
take_both(struct mailbox_lock *l, const char *name, enum mailbox_lock_kind kind)
{
	int r = take_file(l, name, kind);

	if (r == 0)
		r = take_dot(l, name, kind);
	if (r < 0)
		fd_close(&l->fd);
	return r;
}

int
mailbox_lock_take(struct mailbox_lock *l, int dir, const char *name,
	enum mailbox_lock_kind kind, uint64_t wait_ms)
{
	uint64_t until = clock_ms() + wait_ms;

	*l = (struct mailbox_lock){.fd = -1, .dir = dir, .dot = -1};
	for (;;) {
		int r = take_both(l, name, kind);
		if (r != -EAGAIN)
			return r;
		/* What was in the way is gone. */
		bool cleared = l->cleared;
		l->cleared = false;
		if (cleared)
			continue;
		if (clock_ms() >= until)
			return r;
		pause_a_little();
	}
}

void
mailbox_lock_release(struct mailbox_lock *l)
{
	struct stat st;

	/* One that another program took for left behind, and replaced, is not ours. */
	if (l->dot >= 0 && fstat(l->dot, &st) == 0 &&
		is_the_one_at(l->dir, l->dot_name, &st))
		(void)unlinkat(l->dir, l->dot_name, 0);
	fd_close(&l->dot);
	fd_close(&l->fd);
}
