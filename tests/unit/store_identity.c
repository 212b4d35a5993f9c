/* The identity log: torn, damaged, shared, newer, and every call failing in its turn. */
#include "scratch.h"
#include "unit.h"

#include "base/check.h"
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
#include <xxhash.h>

enum call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_PWRITE,
	CALL_PREAD,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_FTRUNCATE,
	CALL_RENAMEAT,
	CALL_RENAMEAT2,
	CALL_LINKAT,
	CALL_FCNTL,
	CALLS
};

static struct {
	enum call call;
	int at; /* the one that fails; counts down */
	int error;
	bool hit;
} plan;

static bool
fails(enum call call)
{
	if (plan.call != call || --plan.at != 0)
		return false;
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
pwrite(int fd, const void *p, size_t n, off_t at)
{
	/* A full disk takes a part first. */
	if (plan.call == CALL_PWRITE && plan.at > 1 && n > 48)
		n = 48;
	return fails(CALL_PWRITE) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	if (plan.call == CALL_PREAD && plan.at > 1 && n > 48)
		n = 48;
	return fails(CALL_PREAD) ? -1 : syscall(SYS_pread64, fd, p, n, at);
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
ftruncate(int fd, off_t n)
{
	return fails(CALL_FTRUNCATE) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int
renameat(int from, const char *old, int to, const char *name)
{
	return fails(CALL_RENAMEAT) ? -1
				    : (int)syscall(SYS_renameat2, from, old, to, name, 0);
}

int
renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
	return fails(CALL_RENAMEAT2)
		? -1
		: (int)syscall(SYS_renameat2, from, old, to, name, flags);
}

int
linkat(int from, const char *old, int to, const char *name, int flags)
{
	return fails(CALL_LINKAT) ? -1
				  : (int)syscall(SYS_linkat, from, old, to, name, flags);
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

/* ---- a log in a directory of its own ---------------------------------------- */

#define NAME "restante-identity"

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
	static const char *const names[] = {
		NAME, NAME "~", NAME ".damaged", NAME ".damaged.2"};

	identity_close(&p->log);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(p->fd, names[i], 0);
	(void)close(p->fd);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static struct identity_row
row(uint8_t source, uint32_t place, const char *key, const char *uidl)
{
	return (struct identity_row){source, place, 77, text(key), text(uidl)};
}

static void
add(struct place *p, unsigned i)
{
	char key[32], uidl[32];

	(void)snprintf(key, sizeof(key), "key.%u", i / 2);
	(void)snprintf(uidl, sizeof(uidl), "uidl-%u", i);
	struct identity_row r = row(IDENTITY_IMPORTED, i, key, uidl);
	assert_int_equal(identity_add(p->log, &r), 0);
}

/* Rows 0 to n stand in it, as add made them. */
static void
holds(const struct identity *log, size_t n)
{
	char uidl[32];

	assert_int_equal(identity_count(log), n);
	for (unsigned i = 0; i < n; i++) {
		struct identity_row r = identity_at(log, i);
		(void)snprintf(uidl, sizeof(uidl), "uidl-%u", i);
		assert_int_equal(r.uidl.n, strlen(uidl));
		assert_memory_equal(r.uidl.p, uidl, r.uidl.n);
		assert_int_equal(r.place, i);
		assert_int_equal(r.seen_s, 77);
		assert_true(identity_has_uidl(log, text(uidl)));
	}
	assert_false(identity_has_uidl(log, text("uidl")));
}

static void
open_log(struct place *p)
{
	identity_close(&p->log);
	assert_int_equal(identity_open(p->fd, NAME, &p->log), 0);
}

static size_t
file_read(const struct place *p, uint8_t **ret)
{
	AUTO_FD fd = openat(p->fd, NAME, O_RDONLY | O_CLOEXEC);
	size_t n = 0;

	assert_true(fd >= 0);
	assert_int_equal(fd_read_file(fd, 1 << 24, ret, &n), 0);
	return n;
}

static void
file_write(const struct place *p, const uint8_t *octets, size_t n)
{
	AUTO_FD fd = openat(p->fd, NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, octets, n), 0);
}

/* ---- tests ------------------------------------------------------------------ */

static void
it_comes_back(void **state)
{
	struct place *p = *state;
	struct identity_row r;
	int64_t at = -1;

	open_log(p);
	assert_int_equal(identity_count(p->log), 0);
	assert_false(identity_has_uidl(p->log, text("x")));
	/* Nothing to say: no file. */
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(faccessat(p->fd, NAME, F_OK, 0), -1);
	for (unsigned i = 0; i < 1000; i++) {
		add(p, i);
		if (i % 100 == 7)
			assert_int_equal(identity_sync(p->log), 0);
	}
	assert_int_equal(identity_sync(p->log), 0);
	holds(p->log, 1000);
	assert_false(identity_is_stale(p->log, p->fd, NAME));
	open_log(p);
	holds(p->log, 1000);
	/* Two of a key, in order. */
	assert_true(identity_next(p->log, text("key.3"), &at, &r));
	assert_int_equal(r.place, 6);
	assert_true(identity_next(p->log, text("key.3"), &at, &r));
	assert_int_equal(r.place, 7);
	assert_false(identity_next(p->log, text("key.3"), &at, &r));
	at = -1;
	assert_false(identity_next(p->log, text("key.x"), &at, &r));
	assert_int_equal(faccessat(p->fd, NAME "~", F_OK, 0), -1);
}

static void
what_is_no_row(void **state)
{
	struct place *p = *state;
	char longest[300];

	memset(longest, 'u', sizeof(longest));
	open_log(p);
	struct identity_row r = row(IDENTITY_ASSIGNED, IDENTITY_NO_PLACE, "k", "");
	assert_int_equal(identity_add(p->log, &r), -EINVAL);
	r.uidl = text("a b");
	assert_int_equal(identity_add(p->log, &r), -EINVAL);
	r.uidl = text("a\x7F");
	assert_int_equal(identity_add(p->log, &r), -EINVAL);
	r.uidl = (struct view){(uint8_t *)longest, 256};
	assert_int_equal(identity_add(p->log, &r), -EINVAL);
	r.uidl.n = 255;
	r.key = (struct view){(uint8_t *)longest, 256};
	assert_int_equal(identity_add(p->log, &r), -EINVAL);
	r.key.n = 255;
	r.source = 4;
	assert_int_equal(identity_add(p->log, &r), -EINVAL);
	r.source = IDENTITY_USED_UP;
	assert_int_equal(identity_add(p->log, &r), 0);
	r.key.n = 0;
	assert_int_equal(identity_add(p->log, &r), 0);
	assert_int_equal(identity_sync(p->log), 0);
	open_log(p);
	assert_int_equal(identity_count(p->log), 2);
	assert_int_equal(identity_at(p->log, 0).key.n, 255);
	assert_int_equal(identity_at(p->log, 1).key.n, 0);
}

/* Three rows, then five more in one append. */
static size_t
grown(struct place *p, uint8_t **ret, size_t *ret_before)
{
	uint8_t *before = NULL;

	open_log(p);
	for (unsigned i = 0; i < 3; i++)
		add(p, i);
	assert_int_equal(identity_sync(p->log), 0);
	*ret_before = file_read(p, &before);
	free(before);
	for (unsigned i = 3; i < 8; i++)
		add(p, i);
	assert_int_equal(identity_sync(p->log), 0);
	return file_read(p, ret);
}

static void
a_crash_at_each_octet(void **state)
{
	struct place *p = *state;
	uint8_t *octets = NULL;
	size_t before, n = grown(p, &octets, &before);

	for (size_t cut = before; cut <= n; cut++) {
		file_write(p, octets, cut);
		open_log(p);
		size_t kept = identity_count(p->log);
		assert_in_range(kept, cut == n ? 8 : 3, cut < n ? 7 : 8);
		holds(p->log, kept);
		/* It goes on behind what is whole. */
		add(p, (unsigned)kept);
		assert_int_equal(identity_sync(p->log), 0);
		open_log(p);
		holds(p->log, kept + 1);
	}
	/* The file got its length, its end not its octets. */
	for (size_t cut = before + 1; cut < n - 16; cut++) {
		AUTO_FREE uint8_t *torn = calloc(1, n);
		assert_non_null(torn);
		memcpy(torn, octets, cut);
		if (n - cut > 550)
			continue;
		file_write(p, torn, n);
		open_log(p);
		holds(p->log, identity_count(p->log));
		assert_in_range(identity_count(p->log), 3, 7);
	}
	free(octets);
}

static void
damage_of_each_octet(void **state)
{
	struct place *p = *state;
	uint8_t *octets = NULL;
	size_t before, rows, sound, n = grown(p, &octets, &before);
	static const uint8_t with[] = {0x01, 0x80, 0xFF};

	for (size_t i = 0; i < n * ARRAY_SIZE(with); i++) {
		uint8_t *at = &octets[i / ARRAY_SIZE(with)];
		*at ^= with[i % ARRAY_SIZE(with)];
		int r = identity_decode((struct view){octets, n}, &rows, &sound);
		assert_int_equal(r, -EBADMSG);
		assert_true(sound <= (size_t)(at - octets));
		file_write(p, octets, n);
		struct identity *log = NULL;
		assert_int_equal(identity_open(p->fd, NAME, &log), -EBADMSG);
		*at ^= with[i % ARRAY_SIZE(with)];
	}
	/* A record less in the middle, or at the wrong place. */
	size_t one = (before - IDENTITY_HEADER) / 3;
	uint8_t *middle = octets + IDENTITY_HEADER + one;
	memmove(middle, middle + one, n - IDENTITY_HEADER - 2 * one);
	assert_int_equal(
		identity_decode((struct view){octets, n - one}, &rows, &sound), -EBADMSG);
	assert_int_equal(rows, 1);
	/* Less than a header. */
	for (size_t cut = 0; cut < IDENTITY_HEADER; cut++)
		assert_int_equal(
			identity_decode((struct view){octets, cut}, &rows, &sound),
			-EBADMSG);
	free(octets);
}

static void
a_repair_keeps_what_is_sound(void **state)
{
	struct place *p = *state;
	uint8_t *octets = NULL;
	size_t before, kept = 0, n = grown(p, &octets, &before);
	uint64_t lost = 0;
	const char *damaged = NULL;

	octets[before + 20] ^= 1; /* in the fourth of eight */
	file_write(p, octets, n);
	identity_close(&p->log);
	assert_int_equal(identity_open(p->fd, NAME, &p->log), -EBADMSG);
	assert_int_equal(identity_repair(p->fd, NAME, &kept, &lost, &damaged), 0);
	assert_int_equal(kept, 7);
	assert_int_equal(lost, (n - IDENTITY_HEADER) / 8);
	assert_string_equal(damaged, ".damaged");
	assert_int_equal(faccessat(p->fd, NAME ".damaged", F_OK, 0), 0);
	open_log(p);
	assert_int_equal(identity_count(p->log), 7);
	assert_true(identity_has_uidl(p->log, text("uidl-2")));
	assert_false(identity_has_uidl(p->log, text("uidl-3")));
	assert_true(identity_has_uidl(p->log, text("uidl-7")));
	/* A sound one loses nothing. */
	assert_int_equal(identity_repair(p->fd, NAME, &kept, &lost, &damaged), 0);
	assert_int_equal(kept, 7);
	assert_int_equal(lost, 0);
	assert_string_equal(damaged, ".damaged.2");
	assert_int_equal(faccessat(p->fd, NAME ".damaged.2", F_OK, 0), 0);
	/* Cut off after the damaged one got its second name: that is the one. */
	for (int i = 0; i < 12; i++) {
		assert_int_equal(unlinkat(p->fd, NAME, 0), 0);
		file_write(p, octets, n);
		assert_int_equal(unlinkat(p->fd, NAME ".damaged", 0), 0);
		assert_int_equal(linkat(p->fd, NAME, p->fd, NAME ".damaged", 0), 0);
		assert_int_equal(identity_repair(p->fd, NAME, &kept, &lost, &damaged), 0);
	}
	assert_string_equal(damaged, ".damaged");
	assert_int_equal(faccessat(p->fd, NAME ".damaged.3", F_OK, 0), -1);
	/* And of the last link both names. */
	file_write(p, octets, n);
	assert_int_equal(linkat(p->fd, NAME, p->fd, NAME "~", 0), 0);
	assert_int_equal(identity_repair(p->fd, NAME, &kept, &lost, &damaged), 0);
	assert_int_equal(kept, 7);
	assert_int_equal(unlinkat(p->fd, NAME ".damaged.3", 0), 0);
	free(octets);
}

/* As a later version would begin: the header alone is promised. */
static void
a_newer_version_is_refused(void **state)
{
	struct place *p = *state;
	uint8_t octets[64] = {0};
	struct buf b = buf_over(octets, sizeof(octets));
	size_t rows, sound, kept;
	uint64_t lost;
	const char *damaged = NULL;

	identity_put_header(&b);
	octets[8]++;
	uint32_t check = (uint32_t)XXH3_64bits(octets, 12);
	memcpy(octets + 12, &check, sizeof(check));
	assert_int_equal(identity_decode((struct view){octets, 64}, &rows, &sound),
		-EPROTONOSUPPORT);
	file_write(p, octets, 64);
	assert_int_equal(identity_open(p->fd, NAME, &p->log), -EPROTONOSUPPORT);
	assert_int_equal(
		identity_repair(p->fd, NAME, &kept, &lost, &damaged), -EPROTONOSUPPORT);
}

static void
two_write_in_turn(void **state)
{
	struct place *p = *state;
	struct identity *other = NULL;
	struct identity_row mine = row(IDENTITY_ASSIGNED, 0, "m", "mine");
	struct identity_row same = row(IDENTITY_ASSIGNED, 0, "s", "same");

	open_log(p);
	assert_int_equal(identity_open(p->fd, NAME, &other), 0);
	/* Both begin the log. */
	add(p, 0);
	assert_int_equal(identity_sync(p->log), 0);
	assert_true(identity_is_stale(other, p->fd, NAME));
	assert_int_equal(identity_add(other, &mine), 0);
	assert_int_equal(identity_add(other, &same), 0);
	assert_int_equal(identity_sync(other), 0);
	assert_int_equal(identity_count(other), 3);
	assert_memory_equal(identity_at(other, 0).uidl.p, "uidl-0", 6);
	/* What both say stands there once. */
	assert_int_equal(identity_add(p->log, &same), 0);
	assert_int_equal(identity_sync(p->log), 0);
	assert_int_equal(identity_count(p->log), 3);
	identity_close(&other);
	open_log(p);
	assert_int_equal(identity_count(p->log), 3);
	/* Removed and made anew by others: the rows that we know are not its rows. */
	assert_int_equal(unlinkat(p->fd, NAME, 0), 0);
	add(p, 9);
	assert_int_equal(identity_sync(p->log), -ESTALE);
	assert_int_equal(identity_open(p->fd, NAME, &other), 0);
	assert_int_equal(identity_add(other, &mine), 0);
	assert_int_equal(identity_sync(other), 0);
	assert_int_equal(identity_sync(p->log), -ESTALE);
	identity_close(&other);
}

#define PROCESSES 4
#define EACH	  60

static void
many_processes(void **state)
{
	struct place *p = *state;
	pid_t pids[PROCESSES];
	char uidl[32];

	for (int k = 0; k < PROCESSES; k++) {
		pids[k] = fork();
		assert_true(pids[k] >= 0);
		if (pids[k] > 0)
			continue;
		struct identity *log = NULL;
		int r = identity_open(p->fd, NAME, &log);
		for (int i = 0; i < EACH && r == 0; i++) {
			(void)snprintf(uidl, sizeof(uidl), "%d-%d", k, i);
			struct identity_row one =
				row(IDENTITY_ASSIGNED, (uint32_t)i, "k", uidl);
			r = identity_add(log, &one);
			if (r == 0)
				r = identity_sync(log);
		}
		_exit(r == 0 ? 0 : 1);
	}
	for (int k = 0; k < PROCESSES; k++) {
		int status = 1;
		assert_int_equal(waitpid(pids[k], &status, 0), pids[k]);
		assert_int_equal(status, 0);
	}
	open_log(p);
	assert_int_equal(identity_count(p->log), PROCESSES * EACH);
	for (int i = 0; i < PROCESSES * EACH; i++) {
		(void)snprintf(uidl, sizeof(uidl), "%d-%d", i / EACH, i % EACH);
		assert_true(identity_has_uidl(p->log, text(uidl)));
	}
}

/* What was synced stays; a sync that failed is told; the next one heals. */
static void
each_call_fails_once(enum call call, int error, bool first)
{
	for (int n = 1;; n++) {
		void *state = NULL;
		(void)set_up(&state);
		struct place *p = state;
		open_log(p);
		for (unsigned i = 0; i < 2 && !first; i++)
			add(p, i);
		assert_int_equal(identity_sync(p->log), 0);
		unsigned before = first ? 0 : 2;
		for (unsigned i = before; i < before + 3; i++)
			add(p, i);
		plan.hit = false;
		plan.error = error;
		plan.at = n;
		plan.call = call;
		int r = identity_sync(p->log);
		plan.call = CALL_NONE;
		struct identity *now = NULL;
		assert_int_equal(identity_open(p->fd, NAME, &now), 0);
		size_t there = identity_count(now);
		if (r == 0)
			assert_int_equal(there, before + 3);
		else
			assert_true(plan.hit);
		assert_in_range(there, before, before + 3);
		holds(now, there);
		identity_close(&now);
		/* In memory all are there, and the next attempt writes them. */
		holds(p->log, before + 3);
		assert_int_equal(identity_sync(p->log), 0);
		open_log(p);
		holds(p->log, before + 3);
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
	for (int first = 0; first < 2; first++) {
		each_call_fails_once(CALL_OPENAT, EIO, first);
		each_call_fails_once(CALL_OPENAT, EMFILE, first);
		each_call_fails_once(CALL_PWRITE, ENOSPC, first);
		each_call_fails_once(CALL_PWRITE, EINTR, first);
		each_call_fails_once(CALL_FSYNC, EIO, first);
		each_call_fails_once(CALL_FDATASYNC, EIO, first);
		each_call_fails_once(CALL_FTRUNCATE, EIO, first);
		each_call_fails_once(CALL_RENAMEAT, EIO, first);
		each_call_fails_once(CALL_RENAMEAT2, EIO, first);
		each_call_fails_once(CALL_RENAMEAT2, EINVAL, first);
		each_call_fails_once(CALL_FCNTL, ENOLCK, first);
	}
}

/* A repair that fails leaves the damaged log, never none. */
static void
repairs_fail(void **state)
{
	static const enum call calls[] = {CALL_OPENAT, CALL_PWRITE, CALL_PREAD,
		CALL_FSYNC, CALL_FTRUNCATE, CALL_RENAMEAT, CALL_LINKAT, CALL_FCNTL};
	struct place *p = *state;
	uint8_t *octets = NULL;
	size_t before, kept, n = grown(p, &octets, &before);
	uint64_t lost;
	const char *damaged = NULL;

	octets[before + 20] ^= 1;
	identity_close(&p->log);
	for (size_t c = 0; c < ARRAY_SIZE(calls); c++) {
		for (int at = 1; at < 100; at++) {
			file_write(p, octets, n);
			(void)unlinkat(p->fd, NAME ".damaged", 0);
			plan.hit = false;
			plan.error = EIO;
			plan.at = at;
			plan.call = calls[c];
			int r = identity_repair(p->fd, NAME, &kept, &lost, &damaged);
			plan.call = CALL_NONE;
			assert_int_equal(faccessat(p->fd, NAME, F_OK, 0), 0);
			assert_true(r == 0 || plan.hit);
			int opened = identity_open(p->fd, NAME, &p->log);
			assert_true(opened == 0 || opened == -EBADMSG);
			if (opened == 0)
				assert_int_equal(identity_count(p->log), 7);
			identity_close(&p->log);
			if (!plan.hit)
				break;
		}
	}
	free(octets);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_comes_back),
		TEST(what_is_no_row),
		TEST(a_crash_at_each_octet),
		TEST(damage_of_each_octet),
		TEST(a_repair_keeps_what_is_sound),
		TEST(a_newer_version_is_refused),
		TEST(two_write_in_turn),
		TEST(many_processes),
		cmocka_unit_test(each_call_fails),
		TEST(repairs_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
