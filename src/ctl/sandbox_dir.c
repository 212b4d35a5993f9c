#include "ctl/sandbox_office.h"
#include "os/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define LOCK_NAME "sandbox.lock"

int
office_mkdirs(const char *path, mode_t mode)
{
	char part[4096];
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return -ENAMETOOLONG;
	for (size_t i = 1; i <= n; i++) {
		if (i < n && path[i] != '/')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, mode) == 0 && chmod(part, mode) == 0)
			continue;
		if (errno != EEXIST)
			return -errno;
	}
	return 0;
}

static int
make_temporary(struct office *f)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp || tmp[0] != '/' || strlen(tmp) > 200)
		tmp = "/tmp";
	snprintf(f->dir, sizeof(f->dir), "%s/restante-sandbox-XXXXXX", tmp);
	if (!mkdtemp(f->dir))
		return office_say(
			EX_CANTCREAT, "cannot make %s: %s", f->dir, strerror(errno));
	f->dir_made = true;
	return 0;
}

static int
make_named(struct office *f)
{
	char *real;

	if (f->o.dir[0] == '\0')
		return office_say(EX_USAGE, "--dir: the name is empty");
	if (mkdir(f->o.dir, 0700) == 0)
		f->dir_made = true;
	else if (errno != EEXIST)
		return office_say(EX_CANTCREAT, "--dir %.500s: cannot be made: %s",
			f->o.dir, strerror(errno));
	real = realpath(f->o.dir, NULL);
	if (!real)
		return office_say(
			EX_NOINPUT, "--dir %.500s: %s", f->o.dir, strerror(errno));
	int rc = 0;
	if (strlen(real) > OFFICE_DIR_MAX || strpbrk(real, "\n\r"))
		rc = office_say(EX_USAGE,
			"--dir %.80s...: longer than %d octets, or has a line "
			"break in its name",
			real, OFFICE_DIR_MAX);
	else if (strcmp(real, "/") == 0)
		rc = office_say(EX_USAGE, "--dir /: give a directory of its own");
	else
		memcpy(f->dir, real, strlen(real) + 1);
	free(real);
	return rc;
}

/* A second office in the same directory would serve, and at its end remove, the first's.
 */
static int
lock_dir(struct office *f)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	f->lock_fd = openat(
		f->dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock_fd < 0)
		return office_say(EX_CANTCREAT, "%s: cannot be written: %s", f->dir,
			strerror(errno));
	if (fcntl(f->lock_fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return office_say(
			EX_TEMPFAIL, "%s: another sandbox is open there", f->dir);
	return office_say(EX_OSERR, "%s: cannot be locked: %s", f->dir, strerror(errno));
}

/*
 * A directory that was there may hold what is not ours to write anew: the configuration
 * of a server, or keys of somebody's where no sandbox ever was (was_open).
 */
static int
check_files(struct office *f, bool was_open)
{
	char head[sizeof(OFFICE_MARK) - 1];
	AUTO_FD fd = openat(
		f->dir_fd, "restante.conf", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	f->reopened = faccessat(f->dir_fd, "restante.conf", F_OK, 0) == 0;
	if (f->reopened &&
		(fd < 0 || read(fd, head, sizeof(head)) != (ssize_t)sizeof(head) ||
			memcmp(head, OFFICE_MARK, sizeof(head)) != 0))
		return office_say(EX_USAGE,
			"--dir %.500s: its restante.conf was not written by a sandbox, "
			"which would replace it; give a directory of its own",
			f->dir);
	if (!f->reopened && !was_open && faccessat(f->dir_fd, "key.pem", F_OK, 0) == 0)
		return office_say(EX_USAGE,
			"--dir %.500s: a key.pem is there, which a sandbox would "
			"replace; give a directory of its own",
			f->dir);
	return 0;
}

/* What a server leaves in its run_dir. Anything else there is somebody's. */
static bool
is_of_a_run(const char *name)
{
	static const char *const names[] = {".", "..", "lock", "empty", "control"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Left by an office that was killed, so that it may be removed at the end. */
static int
take_run_dir(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *e;
	int rc = 0;

	if (!dir)
		return office_say(EX_CANTCREAT, "%s: %s", path, strerror(errno));
	while (rc == 0 && (e = readdir(dir)) != NULL)
		if (!is_of_a_run(e->d_name))
			rc = office_say(EX_USAGE,
				"%s holds %.80s, which is of no sandbox and would be "
				"removed; give --dir a directory of its own",
				path, e->d_name);
	(void)closedir(dir);
	return rc;
}

/* Sockets have short names: below DIR where that fits, else below /tmp. */
static int
make_run_dir(struct office *f)
{
	if (strlen(f->dir) + strlen("/run") < sizeof(f->run_dir)) {
		snprintf(f->run_dir, sizeof(f->run_dir), "%.85s/run", f->dir);
		if (mkdir(f->run_dir, 0711) == 0)
			return 0;
		if (errno == EEXIST) {
			int rc = take_run_dir(f->run_dir);
			if (rc != 0)
				f->run_dir[0] = '\0';
			return rc;
		}
	} else {
		snprintf(f->run_dir, sizeof(f->run_dir), "/tmp/restante-run-XXXXXX");
		if (mkdtemp(f->run_dir))
			return 0;
	}
	int rc = office_say(
		EX_CANTCREAT, "cannot make %s: %s", f->run_dir, strerror(errno));
	f->run_dir[0] = '\0';
	return rc;
}

int
office_dir_open(struct office *f)
{
	int rc = f->o.dir ? make_named(f) : make_temporary(f);

	if (rc != 0)
		return rc;
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd < 0)
		return office_say(EX_NOINPUT, "%s: %s", f->dir, strerror(errno));
	/* After a power cut one of them may be all that is left. */
	bool was_open = faccessat(f->dir_fd, LOCK_NAME, F_OK, 0) == 0 ||
		faccessat(f->dir_fd, "users", F_OK, 0) == 0;
	rc = lock_dir(f);
	if (rc == 0)
		rc = check_files(f, was_open);
	return rc == 0 ? make_run_dir(f) : rc;
}

int
office_write(struct office *f, const char *name, mode_t mode, struct view text)
{
	char fresh[64];

	snprintf(fresh, sizeof(fresh), "%s.new", name);
	(void)unlinkat(f->dir_fd, fresh, 0);
	AUTO_FD fd =
		openat(f->dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 ? -errno : fd_write_all(fd, text.p, text.n);
	/* Synced before it gets the name: passwords of users are in one of them. */
	if (rc == 0 &&
		(fchmod(fd, mode) != 0 || fsync(fd) != 0 ||
			renameat(f->dir_fd, fresh, f->dir_fd, name) != 0 ||
			(fsync(f->dir_fd) != 0 && errno != EINVAL)))
		rc = -errno;
	if (rc == 0)
		return 0;
	return office_say(EX_CANTCREAT, "%s/%s: cannot be written: %s", f->dir, name,
		strerror(-rc));
}

int
office_mkdir_spool(struct office *f)
{
	if (mkdirat(f->dir_fd, "spool", 0700) != 0 && errno != EEXIST)
		return office_say(
			EX_CANTCREAT, "%.500s/spool: %s", f->dir, strerror(errno));
	return 0;
}

int
office_keep(struct office *f, const char *path)
{
	struct stat st;
	struct office_kept *more = realloc(f->kept, (f->kept_n + 1) * sizeof(*more));

	if (!more)
		return office_say(EX_OSERR, "out of memory");
	f->kept = more;
	if (stat(path, &st) != 0)
		return office_say(EX_NOINPUT, "%.500s: %s", path, strerror(errno));
	f->kept[f->kept_n++] = (struct office_kept){st.st_dev, st.st_ino};
	return 0;
}

static bool
is_kept(const struct office *f, const struct stat *st)
{
	for (size_t i = 0; i < f->kept_n; i++)
		if (f->kept[i].dev == st->st_dev && f->kept[i].ino == st->st_ino)
			return true;
	return false;
}

/*
 * The directory with all below it, but for what is kept and what leads there. fts goes
 * down by chdir and looks where it arrived, so nobody leads it elsewhere by a link.
 */
static void
remove_tree(const struct office *f, char *path)
{
	char *paths[] = {path, NULL};
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV, NULL);
	FTSENT *e;

	while (tree && (e = fts_read(tree)) != NULL) {
		if ((e->fts_info == FTS_D || e->fts_info == FTS_F) &&
			is_kept(f, e->fts_statp)) {
			(void)fts_set(tree, e, FTS_SKIP);
			continue;
		}
		/* What cannot be removed stays; there is nobody left to tell. */
		if (e->fts_info == FTS_DP)
			(void)rmdir(e->fts_accpath);
		else if (e->fts_info != FTS_D)
			(void)unlink(e->fts_accpath);
	}
	if (tree)
		(void)fts_close(tree);
}

void
office_dir_close(struct office *f)
{
	if (f->run_dir[0] != '\0')
		remove_tree(f, f->run_dir);
	if (f->dir_made && f->dir[0] != '\0')
		remove_tree(f, f->dir);
	else if (f->lock_fd >= 0)
		(void)unlinkat(f->dir_fd, LOCK_NAME, 0);
	/* Files there have no names: it is empty. */
	if (!f->dir_made && f->dir_fd >= 0)
		(void)unlinkat(f->dir_fd, "spool", AT_REMOVEDIR);
	fd_close(&f->lock_fd);
	fd_close(&f->dir_fd);
}
