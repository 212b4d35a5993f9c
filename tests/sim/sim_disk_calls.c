/* The calls that name files. */
#include "sim_calls.h"
#include "sim_disk.h"
#include "sim_ledger.h"

#include <dirent.h>
#include <errno.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>

/* ---- names
 * ------------------------------------------------------------------------------ */

int
disk_parent(struct inode *from, const char *path, struct inode **ret, char *ret_name)
{
	struct inode *dir = path[0] == '/' ? disk_root() : from;

	ret_name[0] = '\0';
	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		if (n > DISK_NAME_MAX)
			return ENAMETOOLONG;
		if (n > 0 && ret_name[0] != '\0') {
			dir = disk_find(dir, ret_name);
			if (!dir)
				return ENOENT;
			if (!S_ISDIR(dir->mode))
				return ENOTDIR;
		}
		if (n > 0) {
			memcpy(ret_name, p, n);
			ret_name[n] = '\0';
		}
		p += n + (p[n] == '/');
	}
	*ret = dir;
	return 0;
}

static struct inode *
start_of(int dirfd, const char *path)
{
	if (path[0] == '/' || dirfd == AT_FDCWD)
		return disk_root();
	struct file *f = k_get(dirfd);
	if (f && f->kind != FILE_DISK)
		errno = ENOTDIR;
	return f && f->kind == FILE_DISK ? f->inode : NULL;
}

/* 0 or -1 and errno. */
static int
find_parent(int dirfd, const char *path, struct inode **ret, char *ret_name)
{
	struct inode *from = start_of(dirfd, path);
	int e = from ? disk_parent(from, path, ret, ret_name) : errno;

	return e ? k_fail(e) : 0;
}

struct inode *
k_disk_walk(struct inode *from, const char *path)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;

	if (disk_parent(from ? from : disk_root(), path, &dir, name) != 0)
		return NULL;
	return disk_find(dir, name);
}

struct inode *
disk_mkdirs(const char *path)
{
	struct inode *dir = disk_root();

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		char name[DISK_NAME_MAX + 1];
		memcpy(name, p, n);
		name[n] = '\0';
		p += n + (p[n] == '/');
		if (n == 0)
			continue;
		struct inode *next = disk_find(dir, name);
		if (!next)
			next = disk_make(dir, name, S_IFDIR | 0755);
		disk_sync(dir);
		dir = next;
	}
	return dir;
}

void
disk_put_all(const char *path, const void *octets, size_t n)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;

	if (disk_parent(disk_root(), path, &dir, name) != 0)
		abort();
	struct inode *i = disk_make(dir, name, S_IFREG | 0644);
	disk_append(i, octets, n);
	disk_sync(i);
	disk_sync(dir);
}

/* ---- opening
 * ------------------------------------------------------------------------------ */

static int
open_inode(struct inode *i, int flags)
{
	if ((flags & O_DIRECTORY) && !S_ISDIR(i->mode))
		return k_fail(ENOTDIR);
	if (S_ISDIR(i->mode) && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH))
		return k_fail(EISDIR);
	struct file *f =
		k_file(FILE_DISK, flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC));
	f->inode = i;
	int fd = k_fd(f, 0);
	if (fd >= 0 && (flags & O_TRUNC) && i->n > 0)
		(void)disk_truncate(f, 0);
	return fd;
}

/* /proc/self/fd/N: what is open there, opened anew. */
static int
open_again(const char *path, int flags)
{
	struct file *old = k_get(atoi(path + 14));

	if (!old)
		return k_fail(ENOENT);
	struct file *f = k_file(old->kind, flags & ~O_CLOEXEC);
	f->memory = old->memory;
	f->inode = old->inode;
	return k_fd(f, 0);
}

static int
open_at(int dirfd, const char *path, int flags, mode_t mode)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;

	k_enter();
	if (strcmp(path, "/dev/null") == 0)
		return k_fd(k_file(FILE_NULL, flags), 0);
	if (strncmp(path, "/proc/self/fd/", 14) == 0)
		return open_again(path, flags);
	if (find_parent(dirfd, path, &dir, name) < 0)
		return -1;
	struct inode *i = disk_find(dir, name);
	if ((flags & O_TMPFILE) == O_TMPFILE && i) {
		struct inode *fresh = k_new(sizeof(*fresh));
		fresh->mode = S_IFREG | mode;
		fresh->path = "nameless";
		return open_inode(fresh, flags & ~O_TMPFILE);
	}
	if (i && (flags & O_CREAT) && (flags & O_EXCL))
		return k_fail(EEXIST);
	if (i)
		return open_inode(i, flags);
	if (!(flags & O_CREAT))
		return k_fail(ENOENT);
	int e = disk_fault(true);
	if (e)
		return k_fail(e);
	k_trace("%s %d makes %s/%s", k_proc()->name, k_proc()->pid, dir->path, name);
	return open_inode(disk_make(dir, name, S_IFREG | (mode & 0777)), flags);
}

int
sim_openat64(int dirfd, const char *path, int flags, mode_t mode)
{
	return open_at(dirfd, path, flags, mode);
}

int
sim_open64(const char *path, int flags, mode_t mode)
{
	return open_at(AT_FDCWD, path, flags, mode);
}

int
sim_openat64_2(int dirfd, const char *path, int flags)
{
	return open_at(dirfd, path, flags, 0);
}

long
sim_syscall(long number, long a, long b, long c)
{
	const struct open_how *how = (const struct open_how *)c;

	if (number != SYS_openat2)
		return k_fail(ENOSYS);
	return open_at((int)a, (const char *)b, (int)how->flags, (mode_t)how->mode);
}

/* ---- looking
 * ---------------------------------------------------------------------------------- */

static int
stat_at(int dirfd, const char *path, struct stat *st)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;

	k_enter();
	if (find_parent(dirfd, path, &dir, name) < 0)
		return -1;
	struct inode *i = disk_find(dir, name);
	if (!i)
		return k_fail(ENOENT);
	disk_stat(i, st);
	return 0;
}

int
sim_fstatat64(int dirfd, const char *path, struct stat *st, int flags)
{
	if (path[0] == '\0' && (flags & AT_EMPTY_PATH))
		return sim_fstat64(dirfd, st);
	return stat_at(dirfd, path, st);
}

int
sim_stat64(const char *path, struct stat *st)
{
	return stat_at(AT_FDCWD, path, st);
}

int
sim_statx(int dirfd, const char *path, int flags, unsigned mask, struct statx *x)
{
	struct stat st;

	(void)mask;
	if (sim_fstatat64(dirfd, path, &st, flags) < 0)
		return -1;
	memset(x, 0, sizeof(*x));
	x->stx_mask = STATX_BASIC_STATS;
	x->stx_mode = (uint16_t)st.st_mode;
	x->stx_nlink = (uint32_t)st.st_nlink;
	x->stx_uid = x->stx_gid = 1000;
	x->stx_ino = st.st_ino;
	x->stx_size = (uint64_t)st.st_size;
	x->stx_blksize = 4096;
	x->stx_dev_minor = (uint32_t)st.st_dev;
	x->stx_mtime.tv_sec = st.st_mtim.tv_sec;
	x->stx_mtime.tv_nsec = (uint32_t)st.st_mtim.tv_nsec;
	x->stx_ctime.tv_sec = st.st_ctim.tv_sec;
	x->stx_ctime.tv_nsec = (uint32_t)st.st_ctim.tv_nsec;
	return 0;
}

static struct packet *
list_of(const struct inode *dir)
{
	size_t n = 0, at = 0;

	for (struct entry *e = dir->entries; e; e = e->next)
		n++;
	struct entry **order = k_new((n + 1) * sizeof(struct entry *));
	for (struct entry *e = dir->entries; e; e = e->next)
		order[at++] = e;
	for (size_t i = n; i > 1; i--) {
		size_t j = k_below(i);
		struct entry *e = order[i - 1];
		order[i - 1] = order[j];
		order[j] = e;
	}
	struct packet *p = k_new(sizeof(*p) + (n + 1) * sizeof(struct dirent64));
	for (size_t i = 0; i < n; i++) {
		struct dirent64 *d = (struct dirent64 *)(void *)(p->octets + p->n);
		size_t name_n = strlen(order[i]->name) + 1;
		d->d_ino = order[i]->inode->number;
		d->d_reclen =
			(uint16_t)((offsetof(struct dirent64, d_name) + name_n + 7) &
				~7U);
		d->d_type = S_ISDIR(order[i]->inode->mode) ? DT_DIR : DT_REG;
		memcpy(d->d_name, order[i]->name, name_n);
		p->n += d->d_reclen;
	}
	return p;
}

ssize_t
sim_getdents64(int fd, void *buffer, size_t n)
{
	struct file *f = k_get(fd);
	size_t all = 0;

	k_enter();
	if (!f)
		return -1;
	if (f->kind != FILE_DISK || !S_ISDIR(f->inode->mode))
		return k_fail(ENOTDIR);
	if (f->at == 0)
		f->first = list_of(f->inode);
	while (f->at < f->first->n) {
		const struct dirent64 *d =
			(const struct dirent64 *)(const void *)(f->first->octets + f->at);
		if (all + d->d_reclen > n)
			break;
		memcpy((char *)buffer + all, d, d->d_reclen);
		all += d->d_reclen;
		f->at += d->d_reclen;
	}
	return (ssize_t)all;
}

off_t
sim_lseek64(int fd, off_t at, int whence)
{
	struct file *f = k_get(fd);

	if (!f)
		return -1;
	f->at = (uint64_t)at;
	return whence == SEEK_SET ? at : k_fail(EINVAL);
}

/* ---- changing
 * ------------------------------------------------------------------------------------ */

static void
tell(const char *what, const struct inode *dir, const char *name)
{
	k_trace("%s %d %s %s/%s", k_proc()->name, k_proc()->pid, what, dir->path, name);
}

int
sim_mkdirat(int dirfd, const char *path, mode_t mode)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;
	int e;

	k_enter();
	if (find_parent(dirfd, path, &dir, name) < 0)
		return -1;
	if (disk_find(dir, name))
		return k_fail(EEXIST);
	if ((e = disk_fault(true)))
		return k_fail(e);
	tell("mkdir", dir, name);
	(void)disk_make(dir, name, S_IFDIR | mode);
	return 0;
}

int
sim_mkdir(const char *path, mode_t mode)
{
	return sim_mkdirat(AT_FDCWD, path, mode);
}

int
disk_bind(const char *path)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;

	if (find_parent(AT_FDCWD, path, &dir, name) < 0)
		return -1;
	if (disk_find(dir, name))
		return k_fail(EADDRINUSE);
	int e = disk_fault(true);
	if (e)
		return k_fail(e);
	tell("bind", dir, name);
	(void)disk_make(dir, name, S_IFSOCK | 0600);
	return 0;
}

int
sim_unlinkat(int dirfd, const char *path, int flags)
{
	char name[DISK_NAME_MAX + 1];
	struct inode *dir;

	k_enter();
	if (find_parent(dirfd, path, &dir, name) < 0)
		return -1;
	struct inode *i = disk_find(dir, name);
	if (!i)
		return k_fail(ENOENT);
	if (S_ISDIR(i->mode) != ((flags & AT_REMOVEDIR) != 0))
		return k_fail(S_ISDIR(i->mode) ? EISDIR : ENOTDIR);
	if (S_ISDIR(i->mode) && i->entries)
		return k_fail(ENOTEMPTY);
	int e = disk_fault(false);
	if (e)
		return k_fail(e);
	tell("unlink", dir, name);
	if (i->links == 1 && !S_ISDIR(i->mode))
		ledger_unlinked(dir->path, i->p, i->n);
	(void)disk_unlink(dir, name);
	return 0;
}

int
sim_unlink(const char *path)
{
	return sim_unlinkat(AT_FDCWD, path, 0);
}

int
sim_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	char name[DISK_NAME_MAX + 1], as[DISK_NAME_MAX + 1];
	struct inode *dir, *to_dir;

	(void)flags;
	k_enter();
	if (find_parent(from_fd, from, &dir, name) < 0 ||
		find_parent(to_fd, to, &to_dir, as) < 0)
		return -1;
	struct inode *i = disk_find(dir, name);
	if (!i)
		return k_fail(ENOENT);
	int e = disk_find(to_dir, as) ? EEXIST : disk_fault(true);
	if (e)
		return k_fail(e);
	tell("link", to_dir, as);
	return disk_link(to_dir, as, i) ? k_fail(EEXIST) : 0;
}

int
sim_renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	char name[DISK_NAME_MAX + 1], as[DISK_NAME_MAX + 1];
	struct inode *dir, *to_dir;

	k_enter();
	if (find_parent(from_fd, from, &dir, name) < 0 ||
		find_parent(to_fd, to, &to_dir, as) < 0)
		return -1;
	if (!disk_find(dir, name))
		return k_fail(ENOENT);
	if ((flags & 1) && disk_find(to_dir, as))
		return k_fail(EEXIST);
	int e = disk_fault(dir != to_dir);
	if (e)
		return k_fail(e);
	tell("rename to", to_dir, as);
	e = disk_rename(dir, name, to_dir, as);
	return e ? k_fail(e) : 0;
}

int
sim_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return sim_renameat2(from_fd, from, to_fd, to, 0);
}

int
sim_fsync(int fd)
{
	struct file *f = k_get(fd);

	k_enter();
	if (!f)
		return -1;
	if (f->kind != FILE_DISK)
		return 0;
	int e = disk_fault(false);
	if (e)
		return k_fail(e);
	if (k_plant(S_ISDIR(f->inode->mode) ? "unsynced-directory" : "unsynced-file",
		    300))
		return 0;
	k_trace("%s %d fsync %s", k_proc()->name, k_proc()->pid, f->inode->path);
	disk_sync(f->inode);
	return 0;
}
