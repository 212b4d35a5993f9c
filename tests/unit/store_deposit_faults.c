/*
 * Every system call of a delivery fails in its turn, and the order of what it does to the
 * disk is watched: nothing is published that was not synced, nothing is answered before
 * the directory was. The calls are defined here and so go before the C library's.
 */
#include "store_help.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define TEXT	 "Subject: a\r\n\r\nbody\r\n"
#define STORED	 "Delivered-To: r\nSubject: a\n\nbody\n"
#define SYNC_MAX 64

enum call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_OPENAT2,
	CALL_MKDIRAT,
	CALL_PREAD,
	CALL_WRITE,
	CALL_FSYNC_FILE,
	CALL_FSYNC_DIRECTORY,
	CALL_SYNC_FILE_RANGE,
	CALL_BEGIN_WRITING,
	CALL_RENAMEAT2,
	CALL_LINKAT,
	CALL_UNLINKAT,
	CALLS
};

static struct {
	enum call call;
	int at;	   /* the first that fails; counts down */
	int times; /* so many from there on */
	int error;
	bool hit, short_writes, no_rename;
} plan;

/* What a crash would leave of it. */
static struct {
	bool watched;
	char synced[SYNC_MAX][256]; /* names in tmp whose octets are on the disk */
	size_t synced_n;
	char failed[SYNC_MAX]
		   [256]; /* a sync of these failed: they may never be published */
	size_t failed_n;
	bool new_is_dirty; /* a name was published since new was synced */
	int faults;	   /* rules that were broken */
} disk;

static bool
fails(enum call call)
{
	if (plan.call != call)
		return false;
	if (plan.at > 1) {
		plan.at--;
		return false;
	}
	if (plan.times-- <= 0)
		return false;
	plan.hit = true;
	errno = plan.error;
	return true;
}

static void
name_of(int fd, char ret[256])
{
	char link[64], path[512];

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	const char *slash = strrchr(path, '/');
	(void)snprintf(ret, 256, "%.255s", slash ? slash + 1 : path);
}

static bool
is_in(char list[][256], size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static void
note_published(const char *tmp_name)
{
	if (!disk.watched)
		return;
	disk.new_is_dirty = true;
	disk.faults += !is_in(disk.synced, disk.synced_n, tmp_name);
	disk.faults += is_in(disk.failed, disk.failed_n, tmp_name);
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	unsigned mode = 0;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, unsigned);
	va_end(args);
	return fails(CALL_OPENAT) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

/* Reads as many arguments as there can be, whatever the caller gave. */
[[gnu::no_sanitize_address]] long
syscall(long number, ...)
{
	static long (*real)(long, ...);
	va_list args;
	long a[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number == SYS_openat2 && fails(CALL_OPENAT2))
		return -1;
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int
mkdirat(int dir, const char *path, mode_t mode)
{
	return fails(CALL_MKDIRAT) ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	return fails(CALL_PREAD) ? -1 : syscall(SYS_pread64, fd, p, n, at);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	if (fails(CALL_WRITE))
		return -1;
	return syscall(SYS_write, fd, p, plan.short_writes && n > 5 ? 5 : n);
}

int
fsync(int fd)
{
	struct stat st;
	char name[256];

	assert_int_equal(fstat(fd, &st), 0);
	bool directory = S_ISDIR(st.st_mode);
	bool failed = fails(directory ? CALL_FSYNC_DIRECTORY : CALL_FSYNC_FILE);
	int r = failed ? -1 : (int)syscall(SYS_fsync, fd);
	if (failed)
		errno = plan.error;
	int error = errno;
	name_of(fd, name);
	if (directory && r == 0 && strcmp(name, "new") == 0)
		disk.new_is_dirty = false;
	if (!directory && r == 0 && disk.synced_n < SYNC_MAX)
		memcpy(disk.synced[disk.synced_n++], name, sizeof(name));
	if (!directory && r < 0 && disk.failed_n < SYNC_MAX)
		memcpy(disk.failed[disk.failed_n++], name, sizeof(name));
	errno = error;
	return r;
}

int
sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
	char name[256];

	if (!fails(flags & SYNC_FILE_RANGE_WAIT_AFTER ? CALL_SYNC_FILE_RANGE
						      : CALL_BEGIN_WRITING))
		return (int)syscall(SYS_sync_file_range, fd, at, n, flags);
	/* The kernel tells an error of the disk once. */
	name_of(fd, name);
	if (plan.error != EINVAL && disk.failed_n < SYNC_MAX)
		memcpy(disk.failed[disk.failed_n++], name, sizeof(name));
	errno = plan.error;
	return -1;
}

int
renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
	disk.faults += disk.watched && flags != RENAME_NOREPLACE;
	if (plan.no_rename) {
		errno = EINVAL;
		return -1;
	}
	if (fails(CALL_RENAMEAT2))
		return -1;
	note_published(old);
	return (int)syscall(SYS_renameat2, from, old, to, name, flags);
}

int
linkat(int from, const char *old, int to, const char *name, int flags)
{
	if (fails(CALL_LINKAT))
		return -1;
	note_published(old);
	return (int)syscall(SYS_linkat, from, old, to, name, flags);
}

int
unlinkat(int dir, const char *path, int flags)
{
	return fails(CALL_UNLINKAT) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

/* ---- what is on the disk afterwards ---------------------------------------------- */

static int
open_sub(const struct office *o, const char *sub)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "Later/%s", sub);
	return openat(o->root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Messages in the directory, each of them whole. */
static size_t
whole_messages(const struct office *o, const char *sub)
{
	char octets[sizeof(STORED) + 8];
	int fd = open_sub(o, sub);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	size_t n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		int file = openat(fd, e->d_name, O_RDONLY | O_CLOEXEC);
		assert_int_equal(read(file, octets, sizeof(octets)), sizeof(STORED) - 1);
		assert_memory_equal(octets, STORED, sizeof(STORED) - 1);
		(void)close(file);
		n++;
	}
	(void)closedir(d);
	return n;
}

static size_t
entries(const struct office *o, const char *sub)
{
	int fd = open_sub(o, sub);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	size_t n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

struct trial {
	struct store_deposit list[3];
	size_t n, good;
};

static void
deposit_under_plan(struct office *o, struct store *s, size_t n, struct trial *ret)
{
	int fd = memfd_create("source", MFD_CLOEXEC);
	enum call call = plan.call;
	(void)o;

	plan.call = CALL_NONE;
	assert_int_equal(fd_pwrite_all(fd, TEXT, strlen(TEXT), 0), 0);
	*ret = (struct trial){.n = n};
	for (size_t i = 0; i < n; i++)
		ret->list[i] = (struct store_deposit){.fd = fd,
			.length = strlen(TEXT),
			.recipient = VIEW("r"),
			.now_s = 1800000000,
			.result = 1};
	memset(&disk, 0, sizeof(disk));
	disk.watched = true;
	plan.call = call;
	ops->deposit(s, ret->list, n);
	plan.call = CALL_NONE;
	disk.watched = false;
	for (size_t i = 0; i < n; i++) {
		assert_true(ret->list[i].result <= 0);
		ret->good += ret->list[i].result == 0;
	}
	assert_int_equal(disk.faults, 0);
	if (ret->good > 0)
		assert_false(disk.new_is_dirty);
	(void)close(fd);
}

/* What must hold whatever failed. */
static void
check_trial(const struct office *o, const struct trial *t)
{
	assert_int_equal(whole_messages(o, "new"), t->good);
	assert_int_equal(entries(o, "tmp"), 0);
}

typedef void expectation(const struct trial *t, int error);

/* The calls in their turn, until one more was not made; then all is good again. */
static void
each_fails(enum call call, int error, int times, bool there_before, expectation *expect)
{
	struct trial t, after;

	for (int at = 1;; at++) {
		struct office *o = office_open();
		struct store *s;
		assert_int_equal(ops->open(o->root, "Later", &store_plain, &s), 0);
		if (there_before) {
			deposit_under_plan(o, s, 1, &t);
			remove_tree(o->root, "Later/new");
			assert_int_equal(mkdirat(o->root, "Later/new", 0700), 0);
		}
		plan.hit = false;
		plan.error = error;
		plan.at = at;
		plan.times = times;
		plan.call = call;
		deposit_under_plan(o, s, at % 2 ? 3 : 1, &t);
		check_trial(o, &t);
		if (!plan.hit)
			assert_int_equal(t.good, t.n);
		else if (expect)
			expect(&t, error);
		deposit_under_plan(o, s, 3, &after);
		assert_int_equal(after.good, 3);
		assert_int_equal(whole_messages(o, "new"), t.good + 3);
		ops->close(&s);
		office_close(o);
		assert_true(plan.hit || at > 1);
		if (!plan.hit && at > 4)
			return;
		assert_true(at < 100);
	}
}

static void
one_has_this_error(const struct trial *t, int error)
{
	size_t with = 0;

	for (size_t i = 0; i < t->n; i++)
		with += t->list[i].result == -error;
	assert_int_equal(with, 1);
	assert_int_equal(t->good, t->n - 1);
}

static void
all_have_this_error(const struct trial *t, int error)
{
	for (size_t i = 0; i < t->n; i++)
		assert_int_equal(t->list[i].result, -error);
}

static void
all_are_stored(const struct trial *t, int error)
{
	(void)error;
	assert_int_equal(t->good, t->n);
}

static void
some_or_all_fail(const struct trial *t, int error)
{
	(void)error;
	assert_true(t->good < t->n);
}

static void
writes_fail(void **state)
{
	(void)state;
	each_fails(CALL_WRITE, ENOSPC, 1, true, one_has_this_error);
	each_fails(CALL_WRITE, EDQUOT, 1, false, one_has_this_error);
	each_fails(CALL_WRITE, EFBIG, 1, true, one_has_this_error);
	each_fails(CALL_WRITE, EIO, 1, true, one_has_this_error);
	each_fails(CALL_WRITE, EINTR, 1, true, all_are_stored);
	each_fails(CALL_PREAD, EIO, 1, true, one_has_this_error);
	each_fails(CALL_PREAD, EINTR, 1, true, all_are_stored);
	plan.short_writes = true;
	each_fails(CALL_WRITE, ENOSPC, 1, true, one_has_this_error);
	each_fails(CALL_WRITE, EINTR, 1, true, all_are_stored);
	plan.short_writes = false;
}

static void
a_sync_is_not_tried_again(void **state)
{
	(void)state;
	/* The message is written once more, elsewhere; `disk` sees that it is. */
	each_fails(CALL_FSYNC_FILE, EIO, 1, true, all_are_stored);
	each_fails(CALL_FSYNC_FILE, EINTR, 1, true, all_are_stored);
	each_fails(CALL_FSYNC_FILE, EIO, 2, true, one_has_this_error);
	each_fails(CALL_FSYNC_FILE, EIO, 1000, true, some_or_all_fail);
	/* So with an error that comes out while the octets are on their way. */
	each_fails(CALL_SYNC_FILE_RANGE, EIO, 1, true, all_are_stored);
	each_fails(CALL_SYNC_FILE_RANGE, EIO, 1000, true, all_are_stored);
	each_fails(CALL_SYNC_FILE_RANGE, ENOSPC, 1, true, one_has_this_error);
	each_fails(CALL_SYNC_FILE_RANGE, EINVAL, 1000, true, all_are_stored);
	each_fails(CALL_BEGIN_WRITING, EIO, 1, true, all_are_stored);
	each_fails(CALL_BEGIN_WRITING, ENOSPC, 1, true, one_has_this_error);
	each_fails(CALL_BEGIN_WRITING, EINVAL, 1000, true, all_are_stored);
	/* No room is what it says at once. */
	each_fails(CALL_FSYNC_FILE, ENOSPC, 1, true, one_has_this_error);
	each_fails(CALL_FSYNC_FILE, EDQUOT, 1, false, one_has_this_error);
}

static void
nothing_stays_in_a_directory_that_was_not_synced(void **state)
{
	(void)state;
	each_fails(CALL_FSYNC_DIRECTORY, EIO, 1, true, all_have_this_error);
	each_fails(CALL_FSYNC_DIRECTORY, EIO, 1000, true, all_have_this_error);
	/* The same for those on the way to a maildrop that is made. */
	each_fails(CALL_FSYNC_DIRECTORY, EIO, 1, false, all_have_this_error);
	each_fails(CALL_FSYNC_DIRECTORY, EIO, 1000, false, all_have_this_error);
}

static void
making_fails(void **state)
{
	(void)state;
	each_fails(CALL_MKDIRAT, ENOSPC, 1, false, all_have_this_error);
	each_fails(CALL_MKDIRAT, EDQUOT, 1, false, all_have_this_error);
	each_fails(CALL_MKDIRAT, EIO, 1, false, all_have_this_error);
	each_fails(CALL_MKDIRAT, EROFS, 1, false, all_have_this_error);
}

static void
opens_fail(void **state)
{
	(void)state;
	for (int before = 0; before < 2; before++) {
		each_fails(CALL_OPENAT, EIO, 1, before, NULL);
		each_fails(CALL_OPENAT, ENOSPC, 1, before, NULL);
		each_fails(CALL_OPENAT, EEXIST, 1, before, all_are_stored);
		each_fails(CALL_OPENAT, EEXIST, 1000, before, NULL);
		each_fails(CALL_OPENAT2, EIO, 1, before, NULL);
		each_fails(CALL_OPENAT2, EACCES, 1, before, NULL);
		each_fails(CALL_OPENAT2, EMFILE, 1000, before, NULL);
	}
}

static void
publishing_fails(void **state)
{
	(void)state;
	each_fails(CALL_RENAMEAT2, EIO, 1, true, one_has_this_error);
	each_fails(CALL_RENAMEAT2, ENOSPC, 1, true, one_has_this_error);
	each_fails(CALL_RENAMEAT2, ENOENT, 1000, true, some_or_all_fail);
	/* A name that is taken: another is. */
	each_fails(CALL_RENAMEAT2, EEXIST, 1, true, all_are_stored);
	each_fails(CALL_RENAMEAT2, EEXIST, 1000, true, some_or_all_fail);
	/* File systems that lack it. */
	each_fails(CALL_RENAMEAT2, EINVAL, 1000, true, all_are_stored);
	plan.no_rename = true;
	each_fails(CALL_LINKAT, EIO, 1, true, one_has_this_error);
	each_fails(CALL_LINKAT, EEXIST, 1, true, all_are_stored);
	each_fails(CALL_UNLINKAT, EIO, 1, true, one_has_this_error);
	plan.no_rename = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_fail),
		cmocka_unit_test(a_sync_is_not_tried_again),
		cmocka_unit_test(nothing_stays_in_a_directory_that_was_not_synced),
		cmocka_unit_test(making_fails),
		cmocka_unit_test(opens_fail),
		cmocka_unit_test(publishing_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
