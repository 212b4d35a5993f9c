#include "move/import_open.h"

#include "ipc/permit.h"
#include "move/import_run.h"
#include "move/watched.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* ---- as whoever runs the import ---- */

/* Root follows no links: they may be a user's, and lead to what others own. */
static int
find(const char *path)
{
	char whole[PATH_MAX];

	if (geteuid() != 0) {
		int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	AUTO_FD top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top < 0)
		return -errno;
	whole[0] = '\0';
	if (path[0] != '/' && !getcwd(whole, sizeof(whole)))
		return -errno;
	size_t n = strlen(whole);
	if (snprintf(whole + n, sizeof(whole) - n, "/%s", path) >=
		(int)(sizeof(whole) - n))
		return -ENAMETOOLONG;
	const char *below = whole + strspn(whole, "/");
	return fd_open_beneath(top, *below ? below : ".", O_PATH, 0);
}

static int
as_owner_of(const struct stat *st)
{
	gid_t group = st->st_gid;

	if (setgroups(1, &group) < 0 || setresgid((gid_t)-1, st->st_gid, (gid_t)-1) < 0 ||
		setresuid((uid_t)-1, st->st_uid, (uid_t)-1) < 0)
		return -errno;
	return 0;
}

static int
as_root_again(void)
{
	if (setresuid((uid_t)-1, 0, (uid_t)-1) < 0 ||
		setresgid((gid_t)-1, 0, (gid_t)-1) < 0)
		return -errno;
	return 0;
}

/* The very file that was looked at, whatever its name leads to by now. */
static int
open_file(int there, const struct stat *st)
{
	bool other = geteuid() == 0 && st->st_uid != 0;
	char self[40];
	int e = other ? as_owner_of(st) : 0;

	if (e < 0)
		return e;
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", there);
	AUTO_FD fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	e = fd < 0 ? -errno : 0;
	int back = other ? as_root_again() : 0;
	if (back < 0)
		return back;
	return e < 0 ? e : fd_take(&fd);
}

/* ---- a directory: a child becomes its owner before it opens anything in it ---- */

static int
read_one(struct import_run *r, const struct import_drop *d, const char *path, int fd)
{
	enum import_kind kind = import_kind_of(fd);

	/* Courier's oldest list begins with a name, as anything may. */
	if (kind == IMPORT_NONE && strstr(path, "courierpop3dsizelist"))
		kind = IMPORT_COURIER;
	if (kind == IMPORT_NONE)
		return import_fail(d, EX_DATAERR, path,
			"this is no dovecot-uidlist, courierpop3dsizelist, cyrus.index "
			"(or its "
			"directory) or mbox");
	int e = import_source_read(&r->im, fd, kind, r->w, r->bad, r->why);
	import_note_kind(r, kind);
	return e < 0 ? import_fail(d, drop_exit_status(e), path, r->why) : EX_OK;
}

static int
read_directory(
	struct import_run *r, const struct import_drop *d, const char *path, int at)
{
	AUTO_FD fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? import_fail_errno(d, path, -errno) : read_one(r, d, path, fd);
}

static int
pack_directory(struct import_run *r, const struct import_drop *d, const char *path,
	int there, const struct stat *st, int rows)
{
	struct import_drop owner = {.become = true, .uid = st->st_uid, .gid = st->st_gid};
	struct rlimit size = {IMPORT_PACK_OCTETS_MAX, IMPORT_PACK_OCTETS_MAX};
	int e = watched_limits();

	if (e == 0 && setrlimit(RLIMIT_FSIZE, &size) < 0)
		e = -errno;
	if (e == 0)
		e = drop_become(&owner);
	if (e < 0)
		return import_fail_errno(d, path, e);
	int code = read_directory(r, d, path, there);
	if (code != EX_OK)
		return code;
	if (fflush(r->bad) != 0)
		return EX_OSERR;
	e = import_pack(
		&r->im, (struct view){(const uint8_t *)r->bad_text, r->bad_n}, rows);
	return e < 0 ? import_fail_errno(d, path, e) : EX_OK;
}

static int
in_child(struct import_run *r, const struct import_drop *d, const char *path, int there,
	const struct stat *st, int rows)
{
	int status;

	(void)fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		return import_fail_errno(d, path, -errno);
	if (pid == 0)
		_exit(pack_directory(r, d, path, there, st, rows));
	int e = watched_wait(pid, r->work.silence_ms, &status);
	if (e == -ETIME)
		return import_fail(d, EX_TEMPFAIL, path,
			"reading it made no progress (--timeout), and was given up");
	if (e < 0)
		return import_fail_errno(d, path, e);
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return import_fail(
		d, EX_SOFTWARE, path, "the process that read it was ended by a signal");
}

static int
open_directory(struct import_run *r, const struct import_drop *d, const char *path,
	int *there, const struct stat *st, struct import_opened *ret)
{
	bool others =
		geteuid() == 0 && st->st_uid != 0 && !(d->become && d->uid == st->st_uid);

	if (!others) {
		*ret = (struct import_opened){.fd = fd_take(there)};
		return EX_OK;
	}
	AUTO_FD rows = memfd_create("rows", MFD_CLOEXEC);
	if (rows < 0)
		return import_fail_errno(d, path, -errno);
	int code = in_child(r, d, path, *there, st, rows);
	if (code == EX_OK)
		*ret = (struct import_opened){.fd = fd_take(&rows), .packed = true};
	return code;
}

int
import_open(struct import_run *r, const struct import_drop *d, const char *path,
	struct import_opened *ret)
{
	struct stat st;
	AUTO_FD there = find(path);

	if (there == -ELOOP)
		return import_fail(d, EX_NOINPUT, path,
			"Too many levels of symbolic links (root follows none: write the "
			"path without them)");
	if (there < 0)
		return import_fail_errno(d, path, there);
	if (fstat(there, &st) < 0)
		return import_fail_errno(d, path, -errno);
	if (S_ISLNK(st.st_mode))
		return import_fail_errno(d, path, -ELOOP);
	if (S_ISDIR(st.st_mode))
		return open_directory(r, d, path, &there, &st, ret);
	if (!S_ISREG(st.st_mode))
		return import_fail(
			d, EX_NOINPUT, path, "this is no plain file and no directory");
	int fd = open_file(there, &st);
	if (fd < 0)
		return import_fail_errno(d, path, fd);
	*ret = (struct import_opened){.fd = fd};
	return EX_OK;
}

/* ---- as the maildrop's owner ---- */

/* Whether the operator named the list that lies in the maildrop itself. */
static bool
lies_in(const struct stat *list, int top)
{
	static const char *const names[] = {"dovecot-uidlist", "courierpop3dsizelist"};
	struct stat st;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fstatat(top, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_dev == list->st_dev && st.st_ino == list->st_ino)
			return true;
	return false;
}

int
import_read(struct import_run *r, const struct import_drop *d, const char *path,
	const struct import_opened *o, int top, bool *ret_beside)
{
	struct stat st;

	if (o->packed) {
		int e = import_unpack(&r->im, r->bad, o->fd);
		import_note_kind(r, IMPORT_CYRUS);
		return e < 0 ? import_fail_errno(d, path, e) : EX_OK;
	}
	if (fstat(o->fd, &st) < 0)
		return import_fail_errno(d, path, -errno);
	*ret_beside = d->kind == STORE_MAILDIR && lies_in(&st, top);
	return S_ISDIR(st.st_mode) ? read_directory(r, d, path, o->fd)
				   : read_one(r, d, path, o->fd);
}
