/* The directories of a maildrop: their names, what tells that they changed. */
#include "base/check.h"
#include "os/fd.h"
#include "store/maildir_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NS_PER_S INT64_C(1000000000)

static int
add_dir(struct store *s, struct view folder, const char *sub)
{
	size_t n = folder.n + strlen(sub) + 3;
	char *name = malloc(n);

	if (!name)
		return -ENOMEM;
	if (folder.n > 0)
		(void)snprintf(
			name, n, ".%.*s/%s", (int)folder.n, (const char *)folder.p, sub);
	else
		(void)snprintf(name, n, "%s", sub);
	s->dir_names[s->dirs++] = name;
	return 0;
}

static int
add_folder(struct store *s, struct view folder)
{
	if (folder.n > MAILDIR_NAME_MAX - 1 || memchr(folder.p, '/', folder.n))
		return -EINVAL;
	/* "." is the parent's own entry, and a folder of no name. */
	if (folder.n == 0 || (folder.n == 1 && folder.p[0] == '.'))
		return -EINVAL;
	int r = add_dir(s, folder, "new");
	return r < 0 ? r : add_dir(s, folder, "cur");
}

int
maildir_dirs_init(struct store *s, struct view folders)
{
	size_t dirs = 2;

	/* Thousands of these lie there, and few show folders. */
	for (size_t i = 0; i < folders.n; i++)
		dirs += folders.p[i] == '\0' ? 2 : 0;
	if (dirs > MAILDIR_DIRS_MAX)
		return -E2BIG;
	s->dir_names = calloc(dirs, sizeof(s->dir_names[0]) + sizeof(s->sub[0]));
	if (!s->dir_names)
		return -ENOMEM;
	s->sub = (int *)(void *)(s->dir_names + dirs);
	for (size_t d = 0; d < dirs; d++)
		s->sub[d] = -1;
	int r = add_dir(s, (struct view){NULL, 0}, "new");
	if (r == 0)
		r = add_dir(s, (struct view){NULL, 0}, "cur");
	while (r == 0 && folders.n > 0) {
		const uint8_t *end = memchr(folders.p, '\0', folders.n);
		if (!end)
			return -EINVAL;
		size_t n = (size_t)(end - folders.p);
		r = add_folder(s, (struct view){folders.p, n});
		folders = (struct view){end + 1, folders.n - n - 1};
	}
	return r;
}

void
maildir_dirs_done(struct store *s)
{
	for (unsigned d = 0; d < s->dirs; d++)
		free(s->dir_names[d]);
	free(s->dir_names);
	s->dir_names = NULL;
	s->dirs = 0;
}

static int64_t
ns_of(struct statx_timestamp t)
{
	int64_t ns;

	/* Times beyond the range of nanoseconds only have to differ from sound ones. */
	if (__builtin_mul_overflow(t.tv_sec, NS_PER_S, &ns))
		return t.tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns + (int64_t)t.tv_nsec;
}

static int
id_of(int dir, const char *name, struct maildir_dir_id *ret)
{
	struct statx x;

	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		    STATX_TYPE | STATX_INO | STATX_MTIME | STATX_CTIME, &x) < 0)
		return -errno;
	if (S_ISLNK(x.stx_mode))
		return -ELOOP;
	if (!S_ISDIR(x.stx_mode))
		return -ENOTDIR;
	ret->dev = (uint64_t)x.stx_dev_major << 32 | x.stx_dev_minor;
	ret->ino = x.stx_ino;
	ret->mtime_ns = ns_of(x.stx_mtime);
	ret->ctime_ns = ns_of(x.stx_ctime);
	return 0;
}

int
maildir_ids_now(const struct store *s, struct maildir_dir_id *ret)
{
	memset(ret, 0, sizeof(*ret) * s->dirs);
	if (s->top < 0)
		return 0;
	for (unsigned d = 0; d < s->dirs; d++) {
		int r = id_of(s->top, s->dir_names[d], &ret[d]);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

uint64_t
maildir_ids_differ(
	const struct maildir_dir_id *a, const struct maildir_dir_id *b, unsigned n)
{
	uint64_t differ = 0;

	for (unsigned d = 0; d < n; d++)
		if (a[d].dev != b[d].dev || a[d].ino != b[d].ino ||
			a[d].mtime_ns != b[d].mtime_ns || a[d].ctime_ns != b[d].ctime_ns)
			differ |= UINT64_C(1) << d;
	return differ;
}

int
maildir_open_sub(struct store *s, unsigned dir)
{
	CHECK(dir < s->dirs);
	if (s->sub[dir] >= 0)
		return 0;
	if (s->top < 0)
		return -ENOENT;
	/* A folder is two names deep: neither may be a link. */
	if (dir > MAILDIR_CUR) {
		int fd = fd_open_beneath(
			s->top, s->dir_names[dir], O_RDONLY | O_DIRECTORY, 0);
		s->sub[dir] = fd < 0 ? -1 : fd;
		return fd < 0 ? fd : 0;
	}
	s->sub[dir] = openat(s->top, s->dir_names[dir],
		O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->sub[dir] < 0 ? -errno : 0;
}

void
maildir_close_subs(struct store *s)
{
	for (unsigned d = 0; d < s->dirs; d++)
		fd_close(&s->sub[d]);
}
