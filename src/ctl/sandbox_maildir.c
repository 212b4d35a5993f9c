#include "ctl/sandbox_office.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

static const char *const parts[] = {"new", "cur", "tmp"};

static int
parent_of(const char *path, char *ret, size_t cap)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash && slash > path ? (size_t)(slash - path) : 1;

	if (n >= cap)
		return -ENAMETOOLONG;
	memcpy(ret, path, n);
	ret[n] = '\0';
	return 0;
}

/* The new directory is the owner's before anybody can reach into it. */
static int
give_dir(int at, const char *name, uint32_t uid, uint32_t gid)
{
	if (mkdirat(at, name, 0700) != 0)
		return -errno;
	AUTO_FD fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0700) != 0)
		return -errno;
	return geteuid() == 0 && fchown(fd, uid, gid) != 0 ? -errno : 0;
}

static int
make_maildir(const char *path, uint32_t uid, uint32_t gid)
{
	char parent[4096];
	int rc = parent_of(path, parent, sizeof(parent));

	if (rc == 0)
		rc = office_mkdirs(parent, 0711);
	if (rc < 0)
		return rc;
	AUTO_FD above = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (above < 0)
		return -errno;
	/* Its parts first, under a name of its own: nobody sees half a Maildir. */
	const char *name = strrchr(path, '/') + 1;
	char fresh[300];
	snprintf(fresh, sizeof(fresh), ".restante-%d", (int)getpid());
	if (mkdirat(above, fresh, 0700) != 0)
		return -errno;
	AUTO_FD fd =
		openat(above, fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		rc = -errno;
	for (size_t i = 0; i < 3 && rc == 0; i++)
		rc = give_dir(fd, parts[i], uid, gid);
	if (rc == 0 &&
		(fchmod(fd, 0700) != 0 || (geteuid() == 0 && fchown(fd, uid, gid) != 0)))
		rc = -errno;
	if (rc == 0 && renameat2(above, fresh, above, name, RENAME_NOREPLACE) != 0)
		rc = -errno;
	for (size_t i = 0; rc < 0 && fd >= 0 && i < 3; i++)
		(void)unlinkat(fd, parts[i], AT_REMOVEDIR);
	if (rc < 0)
		(void)unlinkat(above, fresh, AT_REMOVEDIR);
	return rc;
}

/* Whether anybody at all may look into the Maildir and its parts. */
static bool
open_to_all(const char *path, const struct stat *st)
{
	struct stat part;
	AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || (st->st_mode & 05) != 05)
		return false;
	for (size_t i = 0; i < 2; i++)
		if (fstatat(fd, parts[i], &part, 0) == 0 && (part.st_mode & 05) != 05)
			return false;
	return true;
}

static int
owner_of_existing(const char *user, const char *path, const struct stat *st,
	uint32_t *uid, uint32_t *gid)
{
	if (!S_ISDIR(st->st_mode))
		return office_say(
			EX_NOINPUT, "user %.80s: %.500s is not a directory", user, path);
	if (*uid == 0 && st->st_uid == 0) {
		if (!open_to_all(path, st))
			return office_say(EX_NOPERM,
				"user %.80s: %.500s belongs to root, and mail "
				"is never served as root; chown it to the user, or chmod "
				"-R o+rX it "
				"to have it served as an unprivileged user",
				user, path);
		*uid = OFFICE_NOBODY;
		*gid = *gid > 0 ? *gid : OFFICE_NOBODY;
		return 0;
	}
	if (*uid == 0)
		*uid = st->st_uid;
	if (*gid == 0)
		*gid = st->st_gid > 0 ? st->st_gid : OFFICE_NOBODY;
	return 0;
}

/* A Maildir to be made lies in a home as a rule, and belongs to whom the home belongs. */
static void
owner_of_missing(const char *path, uint32_t *uid, uint32_t *gid)
{
	char parent[4096];
	struct stat st;
	bool homely = parent_of(path, parent, sizeof(parent)) == 0 &&
		stat(parent, &st) == 0 && st.st_uid != 0;

	if (*uid == 0) {
		*uid = homely ? st.st_uid : OFFICE_NOBODY;
		if (*gid == 0 && homely)
			*gid = st.st_gid;
	}
	if (*gid == 0)
		*gid = OFFICE_NOBODY;
}

int
office_maildir(struct office *f, const char *user, const char *path, uint32_t *uid,
	uint32_t *gid)
{
	struct stat st;
	int rc = stat(path, &st) == 0 ? 0 : -errno;

	if (rc == -ENOENT) {
		if (f->root)
			owner_of_missing(path, uid, gid);
	} else if (rc < 0) {
		return office_say(
			EX_NOINPUT, "user %.80s: %.500s: %s", user, path, strerror(-rc));
	} else if (f->root) {
		rc = owner_of_existing(user, path, &st, uid, gid);
		if (rc != 0)
			return rc;
	} else if (!S_ISDIR(st.st_mode)) {
		return office_say(
			EX_NOINPUT, "user %.80s: %.500s is not a directory", user, path);
	}
	if (!f->root) {
		*uid = geteuid();
		*gid = getegid() > 0 ? getegid() : OFFICE_NOBODY;
	}
	if (rc == -ENOENT) {
		rc = make_maildir(path, *uid, *gid);
		if (rc < 0)
			return office_say(EX_CANTCREAT,
				"user %.80s: %.500s cannot be made: %s", user, path,
				strerror(-rc));
	}
	return 0;
}
