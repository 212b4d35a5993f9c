/*
 * Three letters to two Maildirs and an mbox, where each system call in its turn fails, or
 * is the last one of a killed process. After an undisturbed run every target has each
 * letter once and whole, and nothing is left in tmp/. The calls are defined here and so
 * go before the C library's, for SQLite too.
 */
#include "fetch_help.h"
#include "scratch.h"

#include <sys/syscall.h>

#define LETTERS 3

enum call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_RENAMEAT2,
	CALL_LINKAT,
	CALL_UNLINKAT,
	CALL_WRITE,
	CALL_PWRITE,
	CALL_PREAD,
	CALL_FTRUNCATE,
	CALL_COPY,
	CALLS,
	CALL_ANY,
};

static struct {
	enum call call;
	int at, seen; /* the one that fails, or is the last */
	int error;    /* 0: the process ends there */
	bool hit, no_link, no_noreplace;
} plan;

static bool
fails(enum call call)
{
	if ((plan.call != call && plan.call != CALL_ANY) || ++plan.seen != plan.at)
		return false;
	plan.hit = true;
	if (plan.error == 0 && call != CALL_WRITE && call != CALL_PWRITE)
		_exit(9);
	errno = plan.error;
	return true;
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	unsigned mode = 0;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, unsigned);
	va_end(args);
	return fails(CALL_OPENAT) ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int
fsync(int fd)
{
	return fails(CALL_FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails(CALL_FDATASYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
	if (fails(CALL_RENAMEAT2))
		return -1;
	if (plan.no_noreplace) {
		errno = EINVAL;
		return -1;
	}
	return (int)syscall(SYS_renameat2, from, old, to, name, flags);
}

int
linkat(int from, const char *old, int to, const char *name, int flags)
{
	if (fails(CALL_LINKAT))
		return -1;
	if (plan.no_link && !plan.no_noreplace && strstr(old, "restante-fetch.")) {
		errno = EXDEV;
		return -1;
	}
	return (int)syscall(SYS_linkat, from, old, to, name, flags);
}

int
unlinkat(int dir, const char *path, int flags)
{
	return fails(CALL_UNLINKAT) ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	if (!fails(CALL_WRITE))
		return syscall(SYS_write, fd, p, n);
	(void)!syscall(SYS_write, fd, p, n / 2);
	if (plan.error == 0)
		_exit(9);
	errno = plan.error;
	return -1;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (!fails(CALL_PWRITE))
		return syscall(SYS_pwrite64, fd, p, n, at);
	(void)!syscall(SYS_pwrite64, fd, p, n / 2, at);
	if (plan.error == 0)
		_exit(9);
	errno = plan.error;
	return -1;
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	return fails(CALL_PREAD) ? -1 : syscall(SYS_pread64, fd, p, n, at);
}

int
ftruncate(int fd, off_t n)
{
	return fails(CALL_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

ssize_t
copy_file_range(int from, off_t *at, int to, off_t *to_at, size_t n, unsigned flags)
{
	return fails(CALL_COPY)
		? -1
		: syscall(SYS_copy_file_range, from, at, to, to_at, n, flags);
}

static struct view
text_of(size_t i)
{
	static const char *const texts[LETTERS] = {
		"Return-Path: <a@b>\r\nA: one\r\n\r\nFrom here\r\n>From\r\n",
		"A: two\r\n\r\nno end", "A: three\r\n\r\n"};

	return durable_view(texts[i]);
}

static int
start(struct bench *b)
{
	int r = state_open(b->state_dir, true, &b->state, b->why, sizeof(b->why));

	if (r == 0)
		r = state_account(b->state, &b->a, &b->r);
	if (r == 0)
		r = spool_open(&b->a, b->state_dir, &b->spool, b->why, sizeof(b->why));
	if (r == 0)
		r = deliver_open(&b->a, b->spool, b->state, b->r.row, &b->deliver, b->why,
			sizeof(b->why));
	return r < 0 ? r : deliver_replay(b->deliver, b->why, sizeof(b->why));
}

/* A run: whatever fails, the letter is not delivered; the caller looks. */
static void
run(struct bench *b)
{
	struct letter letters[LETTERS], *come[LETTERS];
	static const char *const uids[LETTERS] = {"u1", "u2", "u3"};
	size_t n = 0;

	if (start(b) < 0) {
		bench_stop(b);
		return;
	}
	for (size_t i = 0; i < LETTERS; i++) {
		struct letter *l = &letters[i];

		letter_start(l, uids[i]);
		if (spool_begin(b->spool, l) < 0 ||
			spool_write(b->spool, l, text_of(i)) < 0 ||
			spool_finish(b->spool, l) < 0)
			spool_abort(b->spool, l);
		else
			come[n++] = l;
	}
	int r = deliver_commit(b->deliver, come, n);
	for (size_t i = 0; i < n; i++) {
		bool good = come[i]->fate == LETTER_DELIVERED ||
			come[i]->fate == LETTER_KNOWN;

		assert_int_equal(come[i]->fd, -1);
		if (r < 0)
			assert_false(good);
		if (!good) {
			assert_int_equal(come[i]->fate, LETTER_TEMPORARY);
			assert_true(come[i]->why[0]);
		}
	}
	bench_stop(b);
}

static size_t
times_in(const char *path, const char *what)
{
	uint8_t *p;
	size_t n, found = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return 0;
	OK(fd_read_file(fd, 1 << 20, &p, &n));
	close(fd);
	for (const char *at = (const char *)p; (at = strstr(at, what)); at++)
		found++;
	free(p);
	return found;
}

static void
check_maildir(const struct bench *b, const char *name)
{
	char below[64], path[600];
	size_t found[LETTERS] = {0};

	(void)snprintf(below, sizeof(below), "%s/tmp", name);
	assert_int_equal(count_files(b->root, below), 0);
	(void)snprintf(below, sizeof(below), "%s/new", name);
	assert_int_equal(count_files(b->root, below), LETTERS);
	(void)snprintf(path, sizeof(path), "%s/%s", b->root, below);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d));) {
		struct stat st;
		static const off_t sizes[LETTERS] = {
			sizeof("Return-Path: <a@b>\nA: one\n\nFrom here\n>From\n") - 1,
			sizeof("A: two\n\nno end") - 1, sizeof("A: three\n\n") - 1};

		assert_int_equal(fstatat(dirfd(d), e->d_name, &st, 0), 0);
		for (size_t i = 0; i < LETTERS; i++)
			found[i] += S_ISREG(st.st_mode) && st.st_size == sizes[i];
	}
	closedir(d);
	for (size_t i = 0; i < LETTERS; i++)
		assert_int_equal(found[i], 1);
}

static void
check_all(const struct bench *b)
{
	char path[200];
	struct stat st;

	check_maildir(b, "mail");
	check_maildir(b, "copy");
	(void)snprintf(path, sizeof(path), "%s/box", b->root);
	assert_int_equal(times_in(path, "\nA: one\n\n>From here\n>From\n\n"), 1);
	assert_int_equal(times_in(path, "\nA: two\n\nno end\n\n"), 1);
	assert_int_equal(times_in(path, "\nA: three\n\n\n"), 1);
	assert_int_equal(times_in(path, "From MAILER-DAEMON "), 2);
	assert_int_equal(times_in(path, "From a@b "), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 2 * 44 + 34 + 45 + 16 + 11);
	/* No lock, nor what locks are made of. */
	assert_int_equal(count_files(b->root, ""), 4);
	assert_int_equal(count_files(b->root, "state/spool"), 0);
}

static void
make(struct bench *b)
{
	bench_make(b, scratch());
	bench_target(b, FETCH_MAILDIR, "mail");
	bench_target(b, FETCH_MAILDIR, "copy");
	bench_target(b, FETCH_MBOX, "box");
}

static void
after(struct bench *b)
{
	plan.call = CALL_NONE;
	run(b);
	run(b);
	check_all(b);
	bench_end(b);
}

static void
each_call_fails(void **state)
{
	size_t hits = 0;

	(void)state;
	for (enum call call = 1; call < CALLS; call++) {
		for (int at = 1;; at++) {
			struct bench b;

			make(&b);
			plan.no_link = at % 2;
			plan.call = call;
			plan.at = at;
			plan.seen = 0;
			plan.error = at % 3 ? EIO : ENOSPC;
			plan.hit = false;
			run(&b);
			after(&b);
			if (!plan.hit)
				break;
			hits++;
		}
	}
	assert_true(hits > 100);
}

static void
killed_at_each_call(void **state)
{
	size_t hits = 0;

	(void)state;
	for (int at = 1;; at++) {
		struct bench b;
		int status;

		make(&b);
		plan.no_link = at % 2;
		plan.no_noreplace = at % 5 == 0;
		plan.error = 0;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			plan.call = CALL_ANY;
			plan.at = at;
			plan.seen = 0;
			run(&b);
			_exit(0);
		}
		while (waitpid(pid, &status, 0) < 0)
			assert_int_equal(errno, EINTR);
		assert_true(WIFEXITED(status));
		after(&b);
		if (WEXITSTATUS(status) == 0)
			break;
		assert_int_equal(WEXITSTATUS(status), 9);
		hits++;
	}
	plan.no_noreplace = false;
	assert_true(hits > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_call_fails),
		cmocka_unit_test(killed_at_each_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
