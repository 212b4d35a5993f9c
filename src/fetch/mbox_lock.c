#include "fetch/mbox_lock.h"

#include "base/num.h"
#include "fetch/durable.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OUR_WORD      " restante-fetch "
#define BOOT_ID_MAX   40
#define LOCK_TEXT_MAX 160

static void
pause_a_little(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 20L * 1000 * 1000}, NULL);
}

/* Of this start of the machine; "-" where the kernel does not tell. */
static void
boot_id(char ret[BOOT_ID_MAX])
{
	AUTO_FD fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, BOOT_ID_MAX - 1);

	while (n > 0 && ret[n - 1] == '\n')
		n--;
	if (n <= 0)
		ret[0] = '-';
	ret[n <= 0 ? 1 : n] = 0;
}

/* When the process began, in ticks of this start of the machine (field 22 of proc(5)'s
 * stat, behind a name that may hold anything). False: nobody says. */
static bool
began(uint64_t pid, uint64_t *ret)
{
	enum { FIELDS_FROM_STATE = 19 };
	char path[40], text[1024];

	(void)snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	const char *at = strrchr(text, ')');
	for (int i = 0; at && i <= FIELDS_FROM_STATE; i++)
		at = strchr(at + 1, ' ');
	if (!at)
		return false;
	size_t digits = strspn(at + 1, "0123456789");
	return num_decimal(
		(struct view){(const uint8_t *)at + 1, digits}, UINT64_MAX, ret);
}

/* What stands behind the number: "restante-fetch HOST BOOT", ours and now. The length
 * up to the host's end. */
static size_t
our_words(char *ret, size_t cap)
{
	char host[DURABLE_HOST_MAX], boot[BOOT_ID_MAX];

	durable_hostname(host);
	boot_id(boot);
	int n = snprintf(ret, cap, OUR_WORD "%s %s", host, boot);
	return (size_t)n - strlen(boot) - 1;
}

/* The process has another beginning than the one that made the lock: only its number is
 * the same. Older locks do not say. */
static bool
is_another(uint64_t pid, const char *text)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t then, now;

	return num_decimal(
		       (struct view){(const uint8_t *)text, digits}, UINT64_MAX, &then) &&
		began(pid, &now) && then != now;
}

/* "PID restante-fetch HOST BOOT BEGAN\n": the number first, for programs that read one. A
 * lock that a power cut left is of another start of the machine. */
static bool
is_ours_and_gone(int fd)
{
	char text[LOCK_TEXT_MAX], expected[LOCK_TEXT_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t pid;

	if (n <= 0)
		return false;
	text[n] = 0;
	const char *word = strstr(text, OUR_WORD);
	if (!word ||
		!num_decimal((struct view){(const uint8_t *)text, (size_t)(word - text)},
			INT32_MAX, &pid) ||
		pid == 0)
		return false;
	size_t host_n = our_words(expected, sizeof(expected));
	const char *boot = word + host_n;
	if (strncmp(word, expected, host_n) != 0 || (*boot != ' ' && *boot != '\n'))
		return false;
	size_t boot_n = *boot == ' ' ? strlen(expected + host_n) : 0;
	if (strncmp(boot, expected + host_n, boot_n) != 0)
		return true;
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
		return true;
	return boot[boot_n] == ' ' && is_another(pid, boot + boot_n + 1);
}

/* Moves a stale dot lock out of the way, and back where another one came in between.
 * only_ours: one that is merely old may stay. */
static void
remove_stale(int dir, const char *dot, const char *aside, bool only_ours)
{
	struct stat st, moved;
	AUTO_FD fd = openat(dir, dot, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	uint64_t now = clock_unix_s();
	bool old = now > (uint64_t)st.st_mtime + MBOX_LOCK_STALE_S && !only_ours;
	if (!old && !is_ours_and_gone(fd))
		return;
	if (renameat(dir, dot, dir, aside) < 0)
		return;
	if (fstatat(dir, aside, &moved, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (moved.st_ino != st.st_ino && durable_publish(dir, aside, dir, dot) == 0)
		return;
	(void)unlinkat(dir, aside, 0);
}

/* A file without a name gets the lock's: a killed process leaves nothing else behind. */
static int
make_dot_of_nameless(struct mbox_lock *l, const char *text, size_t n)
{
	char path[40];
	struct stat st;
	AUTO_FD fd = openat(l->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		return errno == EACCES || errno == EPERM || errno == EROFS ? -errno
									   : -ENOTSUP;
	int r = fd_write_all(fd, text, n);
	/* A lock without its text, left by a power cut, would be nobody's. */
	if (r == 0)
		r = durable_sync(fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	l->dot_inode = st.st_ino;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, l->dir, l->dot, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return errno == EEXIST ? -EEXIST : -ENOTSUP;
}

static int
make_dot(struct mbox_lock *l, const char *own)
{
	char text[LOCK_TEXT_MAX], words[LOCK_TEXT_MAX - 48];
	struct stat st;
	char since[24] = "";
	uint64_t ticks;

	(void)our_words(words, sizeof(words));
	if (began((uint64_t)getpid(), &ticks))
		(void)snprintf(since, sizeof(since), " %llu", (unsigned long long)ticks);
	int n = snprintf(text, sizeof(text), "%ld%s%s\n", (long)getpid(), words, since);
	int done = make_dot_of_nameless(l, text, (size_t)n);
	if (done != -ENOTSUP)
		return done;
	AUTO_FD fd = openat(l->dir, own, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	int r = fd_write_all(fd, text, (size_t)n);
	if (r == 0)
		r = durable_sync(fd);
	if (r == 0 && linkat(l->dir, own, l->dir, l->dot, 0) < 0)
		r = -errno;
	/* Over NFS the answer may be lost, the count of links is not. */
	if (fstat(fd, &st) < 0)
		st.st_nlink = 0;
	else
		l->dot_inode = st.st_ino;
	(void)unlinkat(l->dir, own, 0);
	return st.st_nlink == 2 ? 0 : r < 0 ? r : -EEXIST;
}

static int
take_dot(struct mbox_lock *l, const char *name, uint64_t until_ms)
{
	char own[256], aside[256], hex[17];
	uint8_t random[8];
	int n = snprintf(l->dot, sizeof(l->dot), "%s.lock", name);
	int r = durable_random(random, sizeof(random));

	if (r < 0)
		return r;
	durable_hex(random, sizeof(random), hex);
	int m = snprintf(own, sizeof(own), "%s.lock.%s", name, hex);
	int k = snprintf(aside, sizeof(aside), "%s.lock.%s.old", name, hex);
	if (n >= (int)sizeof(l->dot) || m >= (int)sizeof(own) || k >= (int)sizeof(aside))
		return -ENAMETOOLONG;
	for (;;) {
		r = make_dot(l, own);
		if (r == 0)
			return 0;
		if (r == -EACCES || r == -EPERM || r == -EROFS) {
			l->dot[0] = 0;
			return 0;
		}
		if (r != -EEXIST)
			break;
		remove_stale(l->dir, l->dot, aside, false);
		if (clock_ms() >= until_ms) {
			r = -EWOULDBLOCK;
			break;
		}
		pause_a_little();
	}
	l->dot[0] = 0;
	return r;
}

/*
 * A link is followed only where nobody but us and root can have laid it: in a directory
 * like /var/mail it might lead us to write into a file of somebody else.
 */
static int
open_file(int dir, const char *name)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK;
	struct stat st;
	int fd = openat(dir, name, flags | O_NOFOLLOW, 0600);

	if (fd >= 0 || errno != ELOOP)
		return fd < 0 ? -errno : fd;
	if (fstat(dir, &st) < 0)
		return -errno;
	if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
		st.st_mode & (S_IWGRP | S_IWOTH))
		return -ELOOP;
	fd = openat(dir, name, flags, 0600);
	return fd < 0 ? -errno : fd;
}

/* The file under the name, locked; again where it was replaced meanwhile. */
static int
take_file(struct mbox_lock *l, const char *name, uint64_t until_ms)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat st, named;

	for (;;) {
		fd_close(&l->fd);
		int fd = open_file(l->dir, name);
		if (fd < 0)
			return fd;
		l->fd = fd;
		if (fstat(l->fd, &st) < 0)
			return -errno;
		if (!S_ISREG(st.st_mode))
			return -EINVAL;
		while (fcntl(l->fd, F_OFD_SETLK, &whole) < 0) {
			if (errno != EAGAIN && errno != EACCES && errno != EINTR)
				return -errno;
			if (clock_ms() >= until_ms)
				return -EWOULDBLOCK;
			pause_a_little();
		}
		if (fstatat(l->dir, name, &named, 0) == 0 && named.st_ino == st.st_ino &&
			named.st_dev == st.st_dev)
			return 0;
		if (clock_ms() >= until_ms)
			return -EWOULDBLOCK;
	}
}

int
mbox_lock(const char *path, uint64_t until_ms, struct mbox_lock *ret)
{
	struct mbox_lock l = {.dir = -1, .fd = -1};
	const char *name;
	int r = durable_parent(path, &l.dir, &name);

	if (r == 0)
		r = take_dot(&l, name, until_ms);
	if (r == 0)
		r = take_file(&l, name, until_ms);
	if (r < 0) {
		mbox_unlock(&l);
		return r;
	}
	*ret = l;
	return 0;
}

void
mbox_unlock(struct mbox_lock *l)
{
	struct stat st;

	fd_close(&l->fd);
	/* One that another program took for stale and replaced is not ours. */
	if (l->dot[0] && fstatat(l->dir, l->dot, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_ino == l->dot_inode && unlinkat(l->dir, l->dot, 0) < 0)
		/* Others would wait for a lock that stays: once more. */
		(void)unlinkat(l->dir, l->dot, 0);
	l->dot[0] = 0;
	fd_close(&l->dir);
}

int
mbox_lock_sweep(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char dir_path[PATH_MAX], dot[256], aside[256], hex[17];
	uint8_t random[8];
	size_t n = slash ? (size_t)(slash - path) + 1 : 0;
	int r = n < sizeof(dir_path) ? durable_random(random, sizeof(random))
				     : -ENAMETOOLONG;

	if (r < 0)
		return r;
	memcpy(dir_path, path, n);
	dir_path[n] = 0;
	AUTO_FD dir = open(n ? dir_path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return 0; /* there is none, or it is told of when it is needed */
	durable_hex(random, sizeof(random), hex);
	int k = snprintf(dot, sizeof(dot), "%s.lock", name);
	int m = snprintf(aside, sizeof(aside), "%s.lock.%s.old", name, hex);
	if (k >= (int)sizeof(dot) || m >= (int)sizeof(aside))
		return 0;
	remove_stale(dir, dot, aside, true);
	return 0;
}
