/* The identity log stays bounded: what goes, what stays, and every call failing. */
#include "scratch.h"
#include "unit.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"
#include "store/identity_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_PREAD,
	CALL_PWRITE,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_FTRUNCATE,
	CALL_RENAMEAT,
	CALL_FCNTL,
	CALL_ANY
};

#define DIES (-1) /* for an error: the process ends where the call would be */

static struct {
	enum call call;
	int at; /* the one that fails; counts down */
	int error;
	bool hit;
	bool unsynced; /* something was written since the last fsync */
} plan;

static bool
fails(enum call call)
{
	if ((plan.call != call && plan.call != CALL_ANY) || --plan.at != 0)
		return false;
	if (plan.error == DIES)
		_exit(3);
	plan.hit = true;
	errno = plan.error;
	return true;
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

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	return fails(CALL_PREAD) ? -1 : syscall(SYS_pread64, fd, p, n, at);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	/* A full disk takes a part first. */
	if ((plan.call == CALL_PWRITE || plan.call == CALL_ANY) && n > 512)
		n = 512;
	plan.unsynced = true;
	return fails(CALL_PWRITE) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

int
fsync(int fd)
{
	plan.unsynced = false;
	return fails(CALL_FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails(CALL_FDATASYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int
ftruncate(int fd, off_t n)
{
	return fails(CALL_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int
renameat(int from, const char *old, int to, const char *name)
{
	assert_false(plan.unsynced);
	return fails(CALL_RENAMEAT) ? -1
				    : (int)syscall(SYS_renameat2, from, old, to, name, 0);
}

int
fcntl(int fd, int op, ...)
{
	va_list args;

	va_start(args, op);
	void *arg = va_arg(args, void *);
	va_end(args);
	return fails(CALL_FCNTL) ? -1 : (int)syscall(SYS_fcntl, fd, op, arg);
}

/* ---- a log of small bounds -------------------------------------------------- */

#define NAME "restante-identity"

static const struct identity_bounds small = {
	.rows = 100, .used = 40, .kept = 20, .gain = 10};

struct place {
	char dir[64];
	int fd;
	struct identity *log;
};

static int
set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "%s/restante-unit-XXXXXX", scratch());
	assert_non_null(mkdtemp(p->dir));
	p->fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	*state = p;
	return 0;
}

static int
tear_down(void **state)
{
	struct place *p = *state;

	identity_close(&p->log);
	(void)unlinkat(p->fd, NAME, 0);
	(void)unlinkat(p->fd, NAME "~", 0);
	(void)close(p->fd);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static void
open_small(const struct place *p, struct identity **log)
{
	identity_close(log);
	assert_int_equal(identity_open(p->fd, NAME, log), 0);
	(*log)->bounds = small;
}

static struct view
name_of(char to[32], const char *what, unsigned i)
{
	int n = snprintf(to, 32, "%s%u", what, i);

	return (struct view){(uint8_t *)to, (size_t)n};
}

/* Number i of its kind: one key and one UIDL. */
static int
add(struct identity *log, uint8_t source, unsigned i)
{
	char key[32], uidl[32];
	struct identity_row row = {.source = source,
		.place = i,
		.key = name_of(key, "key.", i),
		.uidl = name_of(uidl, "uidl-", i)};

	return identity_add(log, &row);
}

static void
add_all(struct identity *log, uint8_t source, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		assert_int_equal(add(log, source, i), 0);
}

static bool
has(const struct identity *log, uint8_t source, unsigned i)
{
	char key[32], uidl[32];

	return identity_has(
		log, source, name_of(key, "key.", i), name_of(uidl, "uidl-", i));
}

/* How many of this source from `from` to `to` are there. */
static unsigned
count(const struct identity *log, uint8_t source, unsigned from, unsigned to)
{
	unsigned n = 0;

	for (unsigned i = from; i < to; i++)
		n += has(log, source, i);
	return n;
}

/* 30 imported, of which 10 to 29 are used up, and 20 to be used up that follow from their
 * messages; one more, and the log is written anew. */
static void
nearly(const struct place *p, struct identity **log)
{
	open_small(p, log);
	add_all(*log, IDENTITY_IMPORTED, 0, 30);
	add_all(*log, IDENTITY_USED_UP, 10, 50);
	assert_int_equal(identity_sync(*log), 0);
	assert_int_equal(identity_count(*log), 70);
}

/* As it was, with so many of 50 to 53 appended. */
static bool
is_old(const struct identity *log)
{
	return identity_count(log) >= 70 && count(log, IDENTITY_IMPORTED, 0, 30) == 30 &&
		count(log, IDENTITY_USED_UP, 10, 50) == 40;
}

static bool
is_new(const struct identity *log)
{
	return identity_count(log) == 30 && count(log, IDENTITY_IMPORTED, 0, 10) == 10 &&
		count(log, IDENTITY_USED_UP, 33, 53) == 20;
}

/* ---- tests ------------------------------------------------------------------ */

static void
the_oldest_go(void **state)
{
	struct place *p = *state;
	struct identity_row r;

	nearly(p, &p->log);
	struct identity_stamp before = identity_stamp_of(p->log);
	add_all(p->log, IDENTITY_USED_UP, 50, 53);
	assert_int_equal(identity_sync(p->log), 0);
	assert_true(is_new(p->log));
	assert_int_equal(identity_stamp_of(p->log).ino == before.ino, 0);
	assert_false(identity_is_stale(p->log, p->fd, NAME));
	open_small(p, &p->log);
	assert_true(is_new(p->log));
	/* With the row that gave it: else it were free again. */
	assert_int_equal(count(p->log, IDENTITY_IMPORTED, 10, 30), 0);
	/* In the order that they had. */
	for (unsigned i = 0; i < 30; i++) {
		r = identity_at(p->log, i);
		assert_int_equal(r.place, i < 10 ? i : i + 23);
	}
	/* And it grows again. */
	add_all(p->log, IDENTITY_USED_UP, 60, 70);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 40);
	assert_int_equal(faccessat(p->fd, NAME "~", F_OK, 0), -1);
}

static void
a_row_stays_with_its_used_up(void **state)
{
	struct place *p = *state;

	open_small(p, &p->log);
	add_all(p->log, IDENTITY_ASSIGNED, 30, 60);
	add_all(p->log, IDENTITY_USED_UP, 10, 60);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 40);
	assert_int_equal(count(p->log, IDENTITY_ASSIGNED, 40, 60), 20);
	assert_int_equal(count(p->log, IDENTITY_USED_UP, 40, 60), 20);
}

/* Few of many: it is not worth it. */
static void
not_before_its_time(void **state)
{
	struct place *p = *state;

	open_small(p, &p->log);
	p->log->bounds.rows = 1000;
	add_all(p->log, IDENTITY_IMPORTED, 1000, 1200);
	add_all(p->log, IDENTITY_USED_UP, 0, 99);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 299);
	add_all(p->log, IDENTITY_USED_UP, 99, 100);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 220);
	assert_int_equal(count(p->log, IDENTITY_IMPORTED, 1000, 1200), 200);
}

static void
a_full_log_refuses_no_deletion(void **state)
{
	struct place *p = *state;

	open_small(p, &p->log);
	add_all(p->log, IDENTITY_IMPORTED, 0, 90);
	add_all(p->log, IDENTITY_USED_UP, 0, 10);
	assert_int_equal(identity_sync(p->log), 0);
	/* Too few are used up for another file. */
	add_all(p->log, IDENTITY_USED_UP, 10, 15);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_left_out(p->log), 5);
	assert_int_equal(identity_left_out(p->log), 0);
	assert_int_equal(identity_count(p->log), 100);
	/* What a client would be shown is refused. */
	add_all(p->log, IDENTITY_ASSIGNED, 200, 201);
	assert_int_equal(identity_sync(p->log), -EFBIG);
	/* Many: the oldest make room, for that one too. */
	add_all(p->log, IDENTITY_USED_UP, 15, 40);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_left_out(p->log), 0);
	assert_int_equal(count(p->log, IDENTITY_USED_UP, 20, 40), 20);
	assert_int_equal(count(p->log, IDENTITY_IMPORTED, 40, 90), 50);
	assert_true(has(p->log, IDENTITY_ASSIGNED, 200));
	open_small(p, &p->log);
	assert_in_range(identity_count(p->log), 90, 100);
	assert_int_equal(count(p->log, IDENTITY_USED_UP, 20, 40), 20);
}

static void
a_full_disk_refuses_no_deletion(void **state)
{
	struct place *p = *state;

	open_small(p, &p->log);
	add_all(p->log, IDENTITY_IMPORTED, 0, 60);
	add_all(p->log, IDENTITY_USED_UP, 0, 35);
	assert_int_equal(identity_sync(p->log), 0);
	add_all(p->log, IDENTITY_USED_UP, 35, 45);
	plan.error = ENOSPC;
	plan.at = 1;
	plan.call = CALL_PWRITE;
	int r = identity_sync(p->log);
	plan.call = CALL_NONE;
	assert_int_equal(r, 0);
	assert_int_equal(identity_left_out(p->log), 10);
	open_small(p, &p->log);
	assert_int_equal(identity_count(p->log), 95);
	assert_int_equal(count(p->log, IDENTITY_IMPORTED, 0, 60), 60);
}

static void
another_wrote_it_anew(void **state)
{
	struct place *p = *state;
	struct identity *other = NULL;

	nearly(p, &p->log);
	open_small(p, &other);
	/* What it appended is read before the oldest go. */
	add_all(other, IDENTITY_ASSIGNED, 300, 301);
	assert_int_equal(identity_sync(other), 0);
	add_all(p->log, IDENTITY_USED_UP, 50, 53);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 31);
	assert_true(has(p->log, IDENTITY_ASSIGNED, 300));
	/* The other holds the old one: nothing goes into a file that nobody will read. */
	assert_true(identity_is_stale(other, p->fd, NAME));
	add_all(other, IDENTITY_ASSIGNED, 301, 302);
	assert_int_equal(identity_sync(other), -ESTALE);
	open_small(p, &other);
	add_all(other, IDENTITY_ASSIGNED, 301, 302);
	assert_int_equal(identity_sync(other), 0);
	open_small(p, &p->log);
	assert_int_equal(identity_count(p->log), 32);
	assert_int_equal(count(p->log, IDENTITY_ASSIGNED, 300, 302), 2);
	identity_close(&other);
}

/* Another log under the same inode, as long as the one that is known. */
static void
an_inode_that_is_used_again(void **state)
{
	struct place *p = *state;
	uint8_t *octets = NULL;
	size_t n = 0;

	open_small(p, &p->log);
	add_all(p->log, IDENTITY_IMPORTED, 10, 30);
	assert_int_equal(identity_sync(p->log), 0);
	AUTO_FD fd = openat(p->fd, NAME, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(fd, 1 << 20, &octets, &n), 0);
	assert_int_equal(unlinkat(p->fd, NAME, 0), 0);
	open_small(p, &p->log);
	add_all(p->log, IDENTITY_IMPORTED, 30, 50);
	assert_int_equal(identity_sync(p->log), 0);
	AUTO_FD other = openat(p->fd, NAME, O_RDWR | O_CLOEXEC);
	assert_true(other >= 0);
	assert_int_equal(fd_pwrite_all(other, octets, n, 0), 0);
	free(octets);
	add_all(p->log, IDENTITY_IMPORTED, 50, 51);
	assert_int_equal(identity_sync(p->log), -ESTALE);
	open_small(p, &p->log);
	assert_int_equal(identity_count(p->log), 20);
	assert_int_equal(count(p->log, IDENTITY_IMPORTED, 10, 30), 20);
}

/* Whatever fails: the old log or the new one, and the next sync heals. */
static void
each_call_fails_once(enum call call, int error)
{
	for (int n = 1;; n++) {
		void *state = NULL;
		struct identity *now = NULL;
		(void)set_up(&state);
		struct place *p = state;
		nearly(p, &p->log);
		add_all(p->log, IDENTITY_USED_UP, 50, 53);
		plan.hit = false;
		plan.error = error;
		plan.at = n;
		plan.call = call;
		int r = identity_sync(p->log);
		plan.call = CALL_NONE;
		open_small(p, &now);
		assert_true(is_old(now) || is_new(now));
		if (r == 0)
			assert_int_equal(count(now, IDENTITY_USED_UP, 50, 53), 3);
		else
			assert_true(plan.hit);
		identity_close(&now);
		p->log->compact_from = 0;
		add_all(p->log, IDENTITY_ASSIGNED, 300, 301);
		assert_int_equal(identity_sync(p->log), 0);
		open_small(p, &p->log);
		assert_int_equal(identity_count(p->log), 31);
		assert_int_equal(count(p->log, IDENTITY_USED_UP, 33, 53), 20);
		assert_int_equal(count(p->log, IDENTITY_IMPORTED, 0, 30), 10);
		assert_true(has(p->log, IDENTITY_ASSIGNED, 300));
		(void)tear_down(&state);
		if (!plan.hit)
			return;
		assert_true(n < 100);
	}
}

static void
each_call_fails(void **state)
{
	(void)state;
	for (enum call call = CALL_OPENAT; call < CALL_ANY; call++)
		each_call_fails_once(call, EIO);
	each_call_fails_once(CALL_PWRITE, ENOSPC);
	each_call_fails_once(CALL_PWRITE, EINTR);
	each_call_fails_once(CALL_FCNTL, ENOLCK);
}

static void
a_kill_at_each_call(void **state)
{
	int status = 3 << 8, olds = 0, news = 0;

	(void)state;
	for (int n = 1; WEXITSTATUS(status) == 3; n++) {
		void *at = NULL;
		(void)set_up(&at);
		struct place *p = at;
		nearly(p, &p->log);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			for (unsigned i = 50; i < 53; i++)
				(void)!add(p->log, IDENTITY_USED_UP, i);
			plan.error = DIES;
			plan.at = n;
			plan.call = CALL_ANY;
			_exit(identity_sync(p->log) == 0 ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
		open_small(p, &p->log);
		assert_true(is_old(p->log) || is_new(p->log));
		olds += is_old(p->log);
		news += is_new(p->log);
		/* What it left is in nobody's way. */
		add_all(p->log, IDENTITY_USED_UP, 50, 53);
		assert_int_equal(identity_sync(p->log), 0);
		assert_int_equal(count(p->log, IDENTITY_USED_UP, 33, 53), 20);
		assert_int_equal(count(p->log, IDENTITY_IMPORTED, 0, 10), 10);
		assert_int_equal(faccessat(p->fd, NAME "~", F_OK, 0), -1);
		(void)tear_down(&at);
		assert_true(n < 200);
	}
	assert_true(olds > 5 && news > 0);
}

#define PROCESSES 4
#define EACH	  150

/* One living row, and many deletions, by each; each writes the log anew now and then. */
static int
one_of_many(const struct place *p, unsigned k)
{
	struct identity *log = NULL;
	int r = 0;

	for (unsigned i = 0; i < EACH && r == 0; i++) {
		do {
			identity_close(&log);
			r = identity_open(p->fd, NAME, &log);
			if (r < 0)
				break;
			log->bounds = small;
			r = add(log, IDENTITY_USED_UP, 1000 * k + i);
			if (r == 0 && i % 10 == 0)
				r = add(log, IDENTITY_IMPORTED, 1000 * k + 500 + i / 10);
			if (r == 0)
				r = identity_sync(log);
			/* Written anew by another; or others held the lock for too long.
			 */
		} while (r == -ESTALE || r == -EAGAIN);
	}
	identity_close(&log);
	if (r < 0)
		(void)fprintf(stderr, "process %u: %s\n", k, strerror(-r));
	return r;
}

static void
many_processes(void **state)
{
	struct place *p = *state;
	pid_t pids[PROCESSES];

	for (unsigned k = 0; k < PROCESSES; k++) {
		pids[k] = fork();
		assert_true(pids[k] >= 0);
		if (pids[k] == 0)
			_exit(one_of_many(p, k) == 0 ? 0 : 1);
	}
	for (unsigned k = 0; k < PROCESSES; k++) {
		int status = 1;
		assert_int_equal(waitpid(pids[k], &status, 0), pids[k]);
		assert_int_equal(status, 0);
	}
	open_small(p, &p->log);
	for (unsigned k = 0; k < PROCESSES; k++)
		assert_int_equal(count(p->log, IDENTITY_IMPORTED, 1000 * k + 500,
					 1000 * k + 500 + EACH / 10),
			EACH / 10);
	assert_in_range(identity_count(p->log), 60 + small.kept, 60 + small.used + 1);
}

/* Years of collecting and deleting. */
static void
two_hundred_thousand_deletions(void **state)
{
	struct place *p = *state;
	struct stat st;
	uint64_t start = clock_ms();
	size_t most = 0;

	assert_int_equal(identity_open(p->fd, NAME, &p->log), 0);
	add_all(p->log, IDENTITY_IMPORTED, 1000000, 1001000);
	for (unsigned i = 0; i < 200000; i += 4000) {
		add_all(p->log, IDENTITY_USED_UP, i, i + 4000);
		assert_int_equal(identity_sync(p->log), 0);
		if (identity_count(p->log) > most)
			most = identity_count(p->log);
	}
	assert_in_range(most, 60000, 1000 + 65536);
	assert_true(identity_memory(p->log) < 32U << 20);
	assert_int_equal(fstatat(p->fd, NAME, &st, 0), 0);
	assert_true(st.st_size < 8 << 20);
	assert_int_equal(identity_left_out(p->log), 0);
	identity_close(&p->log);
	assert_int_equal(identity_open(p->fd, NAME, &p->log), 0);
	assert_int_equal(count(p->log, IDENTITY_IMPORTED, 1000000, 1001000), 1000);
	assert_int_equal(count(p->log, IDENTITY_USED_UP, 200000 - 32768, 200000), 32768);
	/* At once: two rows for each message that was there. */
	add_all(p->log, IDENTITY_ASSIGNED, 300000, 500000);
	add_all(p->log, IDENTITY_USED_UP, 300000, 500000);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 1000 + 2 * 32768);
	assert_true(clock_ms() - start < 20000);
}

/* Under one key, each used up: found by its UIDL. */
static void
one_key_is_not_quadratic(void **state)
{
	struct place *p = *state;
	char uidl[32];
	uint64_t start = clock_ms();

	assert_int_equal(identity_open(p->fd, NAME, &p->log), 0);
	for (unsigned i = 0; i < 100000; i++) {
		struct identity_row row = {
			.source = i < 50000 ? IDENTITY_IMPORTED : IDENTITY_USED_UP,
			.key = {(const uint8_t *)"key", 3},
			.uidl = name_of(uidl, "u", i % 50000)};
		assert_int_equal(identity_add(p->log, &row), 0);
	}
	assert_int_equal(identity_sync(p->log), 0);
	for (unsigned i = 0; i < 50000; i++)
		assert_true(identity_has(p->log, IDENTITY_USED_UP,
			(struct view){(const uint8_t *)"key", 3}, name_of(uidl, "u", i)));
	assert_true(clock_ms() - start < 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_oldest_go),
		TEST(a_row_stays_with_its_used_up),
		TEST(not_before_its_time),
		TEST(a_full_log_refuses_no_deletion),
		TEST(a_full_disk_refuses_no_deletion),
		TEST(another_wrote_it_anew),
		TEST(an_inode_that_is_used_again),
		cmocka_unit_test(each_call_fails),
		cmocka_unit_test(a_kill_at_each_call),
		TEST(many_processes),
		TEST(two_hundred_thousand_deletions),
		TEST(one_key_is_not_quadratic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
