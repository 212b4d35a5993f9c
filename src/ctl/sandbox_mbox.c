#include "ctl/sandbox_office.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* The directory of the file, and the name in it. */
static int
split(const char *path, char *ret, size_t cap, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash && slash > path ? (size_t)(slash - path) : 1;

	if (!slash || n >= cap)
		return -ENAMETOOLONG;
	memcpy(ret, path, n);
	ret[n] = '\0';
	*ret_name = slash + 1;
	return 0;
}

/* As mail is never served as root; whoever the file belongs to, else its directory. */
static void
choose_owner(
	const struct stat *file, const struct stat *dir, uint32_t *uid, uint32_t *gid)
{
	const struct stat *st = file ? file : dir;

	if (*uid == 0)
		*uid = st && st->st_uid != 0 ? st->st_uid : OFFICE_NOBODY;
	if (*gid == 0)
		*gid = st && st->st_uid != 0 && st->st_gid != 0 ? st->st_gid
								: OFFICE_NOBODY;
}

/* One that is missing is made, with those above it, and is the owner's. */
static int
make_dir(const char *path, uint32_t uid, uint32_t gid)
{
	char above[4096];
	const char *name;
	int rc = split(path, above, sizeof(above), &name);

	if (rc == 0)
		rc = office_mkdirs(above, 0711);
	if (rc < 0)
		return rc;
	if (mkdir(path, 0700) != 0)
		return errno == EEXIST ? 0 : -errno;
	return geteuid() == 0 && lchown(path, uid, gid) != 0 ? -errno : 0;
}

static int
make_file(const char *path, uint32_t uid, uint32_t gid)
{
	AUTO_FD fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	return geteuid() == 0 && fchown(fd, uid, gid) != 0 ? -errno : 0;
}

/* The lock of an mbox is a file beside it; a group's right to make one may be there. */
static bool
may_lock_in(const struct stat *dir, uint32_t uid)
{
	if (dir->st_uid == uid)
		return (dir->st_mode & 0300) == 0300;
	return (dir->st_mode & 0030) == 0030 || (dir->st_mode & 0003) == 0003;
}

static int
check(struct office *f, const char *user, const char *path, const char *above,
	uint32_t uid)
{
	struct stat st;

	if (stat(above, &st) != 0)
		return office_say(EX_NOINPUT, "user %.80s: %.500s: %s", user, above,
			strerror(errno));
	if (!may_lock_in(&st, f->root ? uid : geteuid()))
		return office_say(EX_NOPERM,
			"user %.80s: %.500s: user number %u may not make files in its "
			"directory, where the lock of an mbox is made; chown the "
			"directory "
			"or use another one",
			user, path, f->root ? uid : geteuid());
	if (stat(path, &st) == 0 && f->root && st.st_uid != uid &&
		(st.st_mode & 0066) == 0)
		return office_say(EX_NOPERM,
			"user %.80s: %.500s belongs to user number %u and only that one "
			"may read it; chown it to the user",
			user, path, (unsigned)st.st_uid);
	return 0;
}

int
office_mbox(struct office *f, const char *user, const char *path, uint32_t *uid,
	uint32_t *gid)
{
	struct stat file, dir;
	char above[4096];
	const char *name;
	int rc = split(path, above, sizeof(above), &name);
	bool there = rc == 0 && stat(path, &file) == 0;

	if (there && !S_ISREG(file.st_mode))
		return office_say(
			EX_NOINPUT, "user %.80s: %.500s is not a file", user, path);
	if (f->root) {
		choose_owner(there ? &file : NULL,
			rc == 0 && stat(above, &dir) == 0 ? &dir : NULL, uid, gid);
	} else {
		*uid = geteuid();
		*gid = getegid() > 0 ? getegid() : OFFICE_NOBODY;
	}
	if (rc == 0)
		rc = make_dir(above, *uid, *gid);
	if (rc == 0 && !there)
		rc = make_file(path, *uid, *gid);
	if (rc < 0)
		return office_say(EX_CANTCREAT, "user %.80s: %.500s cannot be made: %s",
			user, path, strerror(-rc));
	return check(f, user, path, above, *uid);
}
