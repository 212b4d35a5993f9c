/*
 * file_shim: preloaded into a program, it counts the calls that change files
 * (fetch_shim.c and store_shim.c add what their programs do besides). Told by the
 * environment, it lets the n-th call of a kind fail, kills the process before or after
 * it, writes down all that changes files, or leaves out the syncs of a kind.
 *
 *     FILE_SHIM_ROOT=DIR             only it and what is below it counts
 *     FILE_SHIM_FAULT=KIND:N:WHAT    an error's name, SHORT (half the octets), before or
 *                                    after (the kill); with N+ all from that one on
 *     FILE_SHIM_TRACE=FILE           the trace, a line for each change (crash_model.py)
 *     FILE_SHIM_COUNTS=FILE          calls of each kind, at the end
 *     FILE_SHIM_SKIP=KINDS           files (of messages), dirs (tmp/, new/), journal:
 *                                    not synced, with good result
 *     FILE_SHIM_READS=1              also calls that change nothing count, and lines on
 *                                    descriptor 1 stand in the trace
 */
/* Both forms of each name are defined here, and none with checks of sizes. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "file_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHORT_ERROR 100000 /* no error: fewer octets than asked for */

static const char *const kind_names[KINDS] = {"write", "pwrite", "copy", "fsync",
	"fdatasync", "sync_range", "create", "rename", "link", "unlink", "mkdir",
	"truncate", "sql_open", "sql_prepare", "sql_step", "sql_exec", "sql_checkpoint",
	"open", "stat", "read", "directory_read", "lock"};

static const struct {
	const char *name;
	int error;
} errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR},
	{"EMFILE", EMFILE}, {"ENOLCK", ENOLCK}, {"SHORT", SHORT_ERROR},
	{"FULL", SQLITE_FULL}, {"IOERR", SQLITE_IOERR_WRITE}, {"BUSY", SQLITE_BUSY}};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	bool is_set_up, skip_files, skip_dirs, skip_journal, reads, spares, lasts;
	const char *root;
	size_t root_n;
	unsigned long counts[KINDS];
	enum kind fault_kind;
	unsigned long fault_n;
	bool kill_before, kill_after;
	int error;
	FILE *trace;
} shim = {.fault_kind = KINDS};

void *
shim_real(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (!f)
		abort();
	return f;
}

void
shim_lock(void)
{
	(void)pthread_mutex_lock(&lock);
}

void
shim_unlock(void)
{
	(void)pthread_mutex_unlock(&lock);
}

static void
read_fault(const char *text)
{
	char kind[20], lasts[2] = "", what[20];

	if (sscanf(text, "%19[a-z_]:%lu:%19[A-Za-z]", kind, &shim.fault_n, what) != 3 &&
		sscanf(text, "%19[a-z_]:%lu%1[+]:%19[A-Za-z]", kind, &shim.fault_n, lasts,
			what) != 4)
		abort();
	shim.lasts = lasts[0] == '+';
	for (size_t i = 0; i < KINDS; i++)
		if (strcmp(kind, kind_names[i]) == 0)
			shim.fault_kind = (enum kind)i;
	shim.kill_before = strcmp(what, "before") == 0;
	shim.kill_after = strcmp(what, "after") == 0;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (strcmp(what, errors[i].name) == 0)
			shim.error = errors[i].error;
	if (shim.fault_kind == KINDS ||
		(!shim.kill_before && !shim.kill_after && !shim.error))
		abort();
}

[[gnu::constructor]] static void
set_up(void)
{
	const char *root = getenv("FILE_SHIM_ROOT"), *fault = getenv("FILE_SHIM_FAULT");
	const char *trace = getenv("FILE_SHIM_TRACE"), *skip = getenv("FILE_SHIM_SKIP");

	if (shim.is_set_up)
		return;
	shim.is_set_up = true;
	shim.root = root ? root : "";
	shim.root_n = strlen(shim.root);
	if (fault)
		read_fault(fault);
	shim.skip_files = skip && strstr(skip, "files");
	shim.skip_dirs = skip && strstr(skip, "dirs");
	shim.skip_journal = skip && strstr(skip, "journal");
	shim.reads = getenv("FILE_SHIM_READS") != NULL;
	if (trace && !(shim.trace = fopen(trace, "we")))
		abort();
	/* A child of the program's ends without a word to it. */
	if (trace)
		(void)setvbuf(shim.trace, NULL, _IOLBF, 1 << 16);
}

[[gnu::destructor]] static void
tell_counts(void)
{
	const char *name = getenv("FILE_SHIM_COUNTS");
	FILE *f = name ? fopen(name, "we") : NULL;

	for (size_t i = 0; f && i < KINDS; i++)
		(void)fprintf(f, "%s %lu\n", kind_names[i], shim.counts[i]);
	if (f)
		(void)fclose(f);
	if (shim.trace)
		(void)fflush(shim.trace);
}

enum verdict
shim_judge(enum kind kind)
{
	if (shim.spares)
		return PASS;
	shim.counts[kind]++;
	if (kind != shim.fault_kind || shim.counts[kind] < shim.fault_n ||
		(!shim.lasts && shim.counts[kind] > shim.fault_n))
		return PASS;
	if (shim.kill_before) {
		(void)kill(getpid(), SIGKILL);
		abort();
	}
	if (shim.kill_after)
		return KILL_AFTER;
	errno = shim.error;
	return shim.error == SHORT_ERROR ? SHORT : FAIL;
}

int
shim_error(void)
{
	return shim.error;
}

void
shim_judged(enum verdict v)
{
	if (v == KILL_AFTER) {
		(void)kill(getpid(), SIGKILL);
		abort();
	}
}

bool
shim_passes(enum kind kind)
{
	shim_lock();
	enum verdict v = shim.reads ? shim_judge(kind) : PASS;
	shim_unlock();
	shim_judged(v);
	if (v == FAIL)
		errno = shim.error;
	return v != FAIL;
}

void
shim_spare(bool on)
{
	shim.spares = on;
}

/* How many of n octets are to pass. */
static size_t
passing(enum verdict v, size_t n)
{
	return v == SHORT && n > 1 ? n / 2 : n;
}

/* store_shim.c has a fstat of its own, which fails. */
static int
stat_of(int fd, struct stat *st)
{
	return REAL(fstat)(fd, st);
}

static int
stat_at(int dir, const char *name, struct stat *st, int flags)
{
	return REAL(fstatat)(dir, name, st, flags);
}

/* ---- places: a directory's path and a name in it ---- */

struct place {
	char path[PLACE_MAX];
	const char *name; /* in path, after the last slash, which is a NUL now */
	bool counts;
};

static bool
is_below_root(const char *path)
{
	return strncmp(path, shim.root, shim.root_n) == 0 &&
		(path[shim.root_n] == '/' || path[shim.root_n] == 0);
}

static bool
path_of_fd(int fd, char *ret, size_t cap)
{
	char link[40];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, ret, cap - 1);
	if (n < 0)
		return false;
	ret[n] = 0;
	return is_below_root(ret);
}

static void
find_place(int dir, const char *path, struct place *ret)
{
	char at[PLACE_MAX] = "";
	char *slash;

	ret->counts = false;
	ret->name = "";
	if (path[0] == '/')
		(void)snprintf(ret->path, sizeof(ret->path), "%s", path);
	else if (dir == AT_FDCWD && getcwd(at, sizeof(at)))
		(void)snprintf(ret->path, sizeof(ret->path), "%.2000s/%.2000s", at, path);
	else if (path_of_fd(dir, at, sizeof(at)))
		(void)snprintf(ret->path, sizeof(ret->path), "%.2000s/%.2000s", at, path);
	else
		return;
	ret->counts = is_below_root(ret->path);
	slash = strrchr(ret->path, '/');
	*slash = 0;
	ret->name = slash + 1;
}

/* A regular file below the root. */
static bool
counts_fd(int fd, struct stat *st, char path[PLACE_MAX])
{
	return stat_of(fd, st) == 0 && S_ISREG(st->st_mode) &&
		path_of_fd(fd, path, PLACE_MAX);
}

bool
shim_is_below(const char *path)
{
	return is_below_root(path);
}

bool
shim_counts_fd(int fd)
{
	char path[PLACE_MAX];

	return path_of_fd(fd, path, sizeof(path));
}

bool
shim_counts_name(int dir, const char *path)
{
	struct place at;

	if (path[0] == '\0')
		return shim_counts_fd(dir);
	find_place(dir, path, &at);
	return at.counts;
}

/* ---- the trace ---- */

void
shim_tell_octets(const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; shim.trace && i < n; i++) {
		(void)putc_unlocked(digits[p[i] >> 4], shim.trace);
		(void)putc_unlocked(digits[p[i] & 15], shim.trace);
	}
	if (shim.trace)
		(void)putc_unlocked('\n', shim.trace);
}

void
shim_tell(const char *format, ...)
{
	va_list args;

	if (!shim.trace)
		return;
	va_start(args, format);
	(void)vfprintf(shim.trace, format, args);
	va_end(args);
}

static void
tell_write(int fd, int64_t at, const void *p, ssize_t n)
{
	struct stat st;

	if (!shim.trace || n <= 0 || stat_of(fd, &st) < 0)
		return;
	shim_tell("write\t%lu\t%lld\t", (unsigned long)st.st_ino, (long long)at);
	shim_tell_octets(p, (size_t)n);
}

/* ---- calls on descriptors ---- */

/* A line that the program says, among the changes of files: it was said by then. */
static ssize_t
say(const void *p, size_t n)
{
	shim_lock();
	shim_tell("say\t%.*s", (int)n, (const char *)p);
	ssize_t r = REAL(write)(STDOUT_FILENO, p, n);
	shim_unlock();
	return r;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	struct stat st;
	char path[PLACE_MAX];

	if (fd == STDOUT_FILENO && shim.reads)
		return say(p, n);
	if (!counts_fd(fd, &st, path))
		return REAL(write)(fd, p, n);
	shim_lock();
	enum verdict v = shim_judge(WRITE);
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t r = v == FAIL ? -1 : REAL(write)(fd, p, passing(v, n));
	int error = errno;
	if (v == FAIL)
		error = shim.error;
	tell_write(fd, at, p, r);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	struct stat st;
	char path[PLACE_MAX];

	if (!counts_fd(fd, &st, path))
		return REAL(pwrite64)(fd, p, n, at);
	shim_lock();
	enum verdict v = shim_judge(PWRITE);
	ssize_t r = v == FAIL ? -1 : REAL(pwrite64)(fd, p, passing(v, n), at);
	int error = v == FAIL ? shim.error : errno;
	tell_write(fd, at, p, r);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return pwrite64(fd, p, n, at);
}

/* Its octets are read back: the trace needs them. */
ssize_t
copy_file_range(
	int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
	struct stat st;
	char path[PLACE_MAX];
	static uint8_t octets[1 << 20];

	if (!counts_fd(out, &st, path))
		return REAL(copy_file_range)(in, in_at, out, out_at, n, flags);
	shim_lock();
	enum verdict v = shim_judge(COPY);
	off64_t at = out_at ? *out_at : lseek(out, 0, SEEK_CUR);
	off64_t from = in_at ? *in_at : lseek(in, 0, SEEK_CUR);
	if (n > sizeof(octets))
		n = sizeof(octets);
	ssize_t r =
		v == FAIL ? -1 : REAL(copy_file_range)(in, in_at, out, out_at, n, flags);
	int error = v == FAIL ? shim.error : errno;
	if (r > 0 && REAL(pread)(in, octets, (size_t)r, from) == r)
		tell_write(out, at, octets, r);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

static bool
skips(const struct stat *st, const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (S_ISDIR(st->st_mode))
		return shim.skip_dirs &&
			(strcmp(name, "tmp") == 0 || strcmp(name, "new") == 0);
	if (strcmp(name, "state.db-wal") == 0)
		return shim.skip_journal;
	return shim.skip_files && strncmp(name, "restante-fetch.", 15) == 0;
}

static int
sync_fd(enum kind kind, int fd, int (*call)(int))
{
	struct stat st;
	char path[PLACE_MAX] = "";
	bool is_dir;

	if (stat_of(fd, &st) < 0 || !path_of_fd(fd, path, sizeof(path)))
		return call(fd);
	is_dir = S_ISDIR(st.st_mode);
	shim_lock();
	enum verdict v = shim_judge(kind);
	if (v != FAIL && skips(&st, path)) {
		shim_judged(v);
		shim_unlock();
		return 0;
	}
	int r = v == FAIL ? -1 : call(fd);
	int error = v == FAIL ? shim.error : errno;
	const char *word = r == 0 ? "sync" : "unsynced";
	if (is_dir)
		shim_tell("%s_dir\t%s\n", word, path);
	else
		shim_tell("%s\t%lu\n", word, (unsigned long)st.st_ino);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
fsync(int fd)
{
	return sync_fd(FSYNC, fd, REAL(fsync));
}

int
fdatasync(int fd)
{
	return sync_fd(FDATASYNC, fd, REAL(fdatasync));
}

int
sync_file_range(int fd, off64_t at, off64_t n, unsigned flags)
{
	struct stat st;
	char path[PLACE_MAX];

	if (!counts_fd(fd, &st, path))
		return REAL(sync_file_range)(fd, at, n, flags);
	shim_lock();
	enum verdict v = shim_judge(SYNC_RANGE);
	int r = v == FAIL ? -1 : REAL(sync_file_range)(fd, at, n, flags);
	int error = v == FAIL ? shim.error : errno;
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
ftruncate64(int fd, off64_t size)
{
	struct stat st;
	char path[PLACE_MAX];

	if (!counts_fd(fd, &st, path))
		return REAL(ftruncate64)(fd, size);
	shim_lock();
	enum verdict v = shim_judge(TRUNCATE);
	int r = v == FAIL ? -1 : REAL(ftruncate64)(fd, size);
	int error = v == FAIL ? shim.error : errno;
	if (r == 0)
		shim_tell("truncate\t%lu\t%lld\n", (unsigned long)st.st_ino,
			(long long)size);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
ftruncate(int fd, off_t size)
{
	return ftruncate64(fd, size);
}

/* ---- calls on names ---- */

static int
open_at(int dir, const char *path, int flags, mode_t mode)
{
	struct place at;
	struct stat st;

	find_place(dir, path, &at);
	if (!at.counts)
		return REAL(openat64)(dir, path, flags, mode);
	if (!(flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE)
		return shim_passes(OPEN) ? REAL(openat64)(dir, path, flags, mode) : -1;
	shim_lock();
	enum verdict v = shim_judge(CREATE);
	bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
	bool was = !nameless && stat_at(dir, path, &st, 0) == 0;
	int fd = v == FAIL ? -1 : REAL(openat64)(dir, path, flags, mode);
	int error = v == FAIL ? shim.error : errno;
	if (fd >= 0 && stat_of(fd, &st) == 0) {
		if (nameless)
			shim_tell("nameless\t%lu\n", (unsigned long)st.st_ino);
		else if (!was)
			shim_tell("create\t%s\t%s\t%lu\n", at.path, at.name,
				(unsigned long)st.st_ino);
		else if (flags & O_TRUNC)
			shim_tell("truncate\t%lu\t0\n", (unsigned long)st.st_ino);
	}
	shim_judged(v);
	shim_unlock();
	errno = error;
	return fd;
}

static mode_t
mode_of(int flags, va_list args)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(args, mode_t)
								   : 0;
}

#define OPEN_AT(call, dir, path, flags)                                                  \
	va_list args;                                                                    \
	va_start(args, flags);                                                           \
	mode_t mode = mode_of(flags, args);                                              \
	va_end(args);                                                                    \
	return open_at(dir, path, flags, mode)

int
openat64(int dir, const char *path, int flags, ...)
{
	OPEN_AT(openat64, dir, path, flags);
}

int
openat(int dir, const char *path, int flags, ...)
{
	OPEN_AT(openat, dir, path, flags);
}

int
open64(const char *path, int flags, ...)
{
	OPEN_AT(open64, AT_FDCWD, path, flags);
}

int
open(const char *path, int flags, ...)
{
	OPEN_AT(open, AT_FDCWD, path, flags);
}

static int
rename_at(int from, const char *old, int to, const char *new, unsigned flags)
{
	struct place a, b;

	find_place(from, old, &a);
	find_place(to, new, &b);
	if (!a.counts && !b.counts)
		return REAL(renameat2)(from, old, to, new, flags);
	shim_lock();
	enum verdict v = shim_judge(RENAME);
	int r = v == FAIL ? -1 : REAL(renameat2)(from, old, to, new, flags);
	int error = v == FAIL ? shim.error : errno;
	if (r == 0)
		shim_tell("rename\t%s\t%s\t%s\t%s\n", a.path, a.name, b.path, b.name);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
	return rename_at(from, old, to, new, flags);
}

int
renameat(int from, const char *old, int to, const char *new)
{
	return rename_at(from, old, to, new, 0);
}

int
rename(const char *old, const char *new)
{
	return rename_at(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int
linkat(int from, const char *old, int to, const char *new, int flags)
{
	struct place b;
	struct stat st;

	find_place(to, new, &b);
	if (!b.counts)
		return REAL(linkat)(from, old, to, new, flags);
	shim_lock();
	enum verdict v = shim_judge(LINK);
	int r = v == FAIL ? -1 : REAL(linkat)(from, old, to, new, flags);
	int error = v == FAIL ? shim.error : errno;
	if (r == 0 && stat_at(to, new, &st, AT_SYMLINK_NOFOLLOW) == 0)
		shim_tell(
			"link\t%s\t%s\t%lu\n", b.path, b.name, (unsigned long)st.st_ino);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
link(const char *old, const char *new)
{
	return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int
unlinkat(int dir, const char *path, int flags)
{
	struct place at;

	find_place(dir, path, &at);
	if (!at.counts)
		return REAL(unlinkat)(dir, path, flags);
	shim_lock();
	enum verdict v = shim_judge(UNLINK);
	int r = v == FAIL ? -1 : REAL(unlinkat)(dir, path, flags);
	int error = v == FAIL ? shim.error : errno;
	if (r == 0)
		shim_tell("unlink\t%s\t%s\n", at.path, at.name);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	struct place at;

	find_place(dir, path, &at);
	if (!at.counts)
		return REAL(mkdirat)(dir, path, mode);
	shim_lock();
	enum verdict v = shim_judge(MKDIR);
	int r = v == FAIL ? -1 : REAL(mkdirat)(dir, path, mode);
	int error = v == FAIL ? shim.error : errno;
	if (r == 0)
		shim_tell("mkdir\t%s\t%s\n", at.path, at.name);
	shim_judged(v);
	shim_unlock();
	errno = error;
	return r;
}

int
mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}
