/*
 * hang_fs BACKING MOUNTPOINT CONTROL: serves the files of BACKING, until the file CONTROL
 * exists: from then on every request hangs, each on a thread of its own, until CONTROL is
 * gone again. Requests that hang so have left the kernel: who made them cannot be killed.
 * With SIGSTOP it hangs the other way: requests wait in the kernel. While CONTROL.quota
 * exists, nothing new fits in: EDQUOT.
 */
#define FUSE_USE_VERSION 35

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 20000000L

static int backing;
static const char *control_name;
static char quota_name[4096];

static void
gate(void)
{
	const struct timespec tick = {.tv_nsec = TICK_NS};

	while (access(control_name, F_OK) == 0)
		(void)nanosleep(&tick, NULL);
}

static const char *
below(const char *path)
{
	gate();
	return path[1] ? path + 1 : ".";
}

static bool
is_over_quota(void)
{
	return access(quota_name, F_OK) == 0;
}

static int
result(long r)
{
	return r < 0 ? -errno : (int)r;
}

/* The daemon runs as root: what it makes belongs to who asked for it. */
static void
give(const char *path)
{
	const struct fuse_context *c = fuse_get_context();

	(void)!fchownat(backing, path + 1, c->uid, c->gid, AT_SYMLINK_NOFOLLOW);
}

static int
hang_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	return result(fstatat(backing, below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int
hang_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
	struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	int fd = openat(backing, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	(void)offset, (void)fi, (void)flags;
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		struct stat st = {.st_ino = e->d_ino, .st_mode = (mode_t)e->d_type << 12};
		if (fill(buf, e->d_name, &st, 0, 0) != 0)
			break;
	}
	(void)closedir(dir);
	return 0;
}

static int
hang_open(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(backing, below(path), fi->flags | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	return 0;
}

static int
hang_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = -1;

	errno = EDQUOT;
	if (!is_over_quota())
		fd = openat(backing, below(path), fi->flags | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	give(path);
	return 0;
}

static int
hang_read(const char *path, char *buf, size_t n, off_t at, struct fuse_file_info *fi)
{
	(void)path;
	gate();
	return result(pread((int)fi->fh, buf, n, at));
}

static int
hang_write(
	const char *path, const char *buf, size_t n, off_t at, struct fuse_file_info *fi)
{
	(void)path;
	gate();
	if (is_over_quota())
		return -EDQUOT;
	return result(pwrite((int)fi->fh, buf, n, at));
}

static int
hang_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	(void)close((int)fi->fh);
	return 0;
}

static int
hang_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path, (void)data_only;
	gate();
	return result(fsync((int)fi->fh));
}

static int
hang_unlink(const char *path)
{
	return result(unlinkat(backing, below(path), 0));
}

static int
hang_rename(const char *from, const char *to, unsigned int flags)
{
	const char *old = below(from);

	return result(renameat2(backing, old, backing, to + 1, flags));
}

static int
hang_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	(void)path;
	gate();
	return fi ? result(ftruncate((int)fi->fh, size)) : -ENOTSUP;
}

/* Nothing is remembered by the kernel: whatever is asked comes here, and hangs. */
static void *
hang_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	(void)conn;
	config->use_ino = 1;
	config->attr_timeout = config->entry_timeout = config->negative_timeout = 0;
	return NULL;
}

static const struct fuse_operations operations = {
	.init = hang_init,
	.getattr = hang_getattr,
	.readdir = hang_readdir,
	.open = hang_open,
	.create = hang_create,
	.read = hang_read,
	.write = hang_write,
	.release = hang_release,
	.fsync = hang_fsync,
	.unlink = hang_unlink,
	.rename = hang_rename,
	.truncate = hang_truncate,
};

int
main(int argc, char **argv)
{
	char options[] = "allow_other,default_permissions,fsname=hang_fs";
	char *args[] = {argv[0], argv[2], (char[]){"-f"}, (char[]){"-o"}, options, NULL};

	if (argc != 4) {
		(void)fprintf(stderr, "usage: hang_fs BACKING MOUNTPOINT CONTROL\n");
		return 64;
	}
	backing = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	control_name = argv[3];
	(void)snprintf(quota_name, sizeof(quota_name), "%s.quota", control_name);
	if (backing < 0) {
		perror(argv[1]);
		return 66;
	}
	return fuse_main(5, args, &operations, NULL);
}
