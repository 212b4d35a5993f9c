/*
 * Every system call of a session fails once, each in its turn: no crash, no wrong answer,
 * nothing removed that was not marked, and the next session finds all in order. The calls
 * are defined here and so go before the C library's.
 */
#include "store_help.h"

#include <sys/syscall.h>

enum call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_FSYNC,
	CALL_UNLINKAT,
	CALL_RENAMEAT,
	CALL_STATX,
	CALL_GETDENTS,
	CALL_WRITE,
	CALL_RENAMEAT2,
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
	if (fails(CALL_OPENAT))
		return -1;
	return (int)syscall(SYS_openat, dir, path, flags, mode);
}

int
fsync(int fd)
{
	return fails(CALL_FSYNC) ? -1 : (int)syscall(SYS_fsync, fd);
}

/* What others do as soon as a message was removed; NULL: nothing. */
static void (*meanwhile)(void);

int
unlinkat(int dir, const char *path, int flags)
{
	if (fails(CALL_UNLINKAT))
		return -1;
	int r = (int)syscall(SYS_unlinkat, dir, path, flags);
	if (r == 0 && meanwhile)
		meanwhile();
	return r;
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
statx(int dir, const char *restrict path, int flags, unsigned mask,
	struct statx *restrict ret)
{
	return fails(CALL_STATX) ? -1
				 : (int)syscall(SYS_statx, dir, path, flags, mask, ret);
}

ssize_t
getdents64(int fd, void *buffer, size_t n)
{
	return fails(CALL_GETDENTS) ? -1 : syscall(SYS_getdents64, fd, buffer, n);
}

ssize_t
write(int fd, const void *p, size_t n)
{
	/* A full disk takes a part first. */
	if (plan.call == CALL_WRITE && plan.at > 1 && n > 64)
		n = 64;
	return fails(CALL_WRITE) ? -1 : syscall(SYS_write, fd, p, n);
}

static void
fill(const struct office *o)
{
	put(o, "new/1.a", "a\r\n");
	put(o, "cur/2.b:2,", "bb\n");
	put(o, "new/3.c", "ccc\n");
	put(o, "cur/4.d,S=2,W=3:2,", "d\n");
}

/* Removal of 1 and 2 under the fault. False where the session could not be. */
static bool
session(struct office *o, struct store_removed *got, int *ret_removal)
{
	struct lock_holder me = {.since = 1}, other;
	struct store_slice slice;

	if (ops->lock(o->store, &me, &other) < 0)
		return false;
	if (ops->refresh(o->store, &o->table) < 0) {
		ops->unlock(o->store);
		return false;
	}
	for (uint32_t i = 0; i < o->table->count; i++) {
		if (ops->slice(o->store, o->table, i, &slice) < 0)
			continue;
		assert_true(slice.wire >= 3);
		assert_true(slice.wire <= 5);
		(void)close(slice.fd);
	}
	enum call call = plan.call;
	plan.call = CALL_NONE;
	move(o, "cur/2.b:2,", "cur/2.b:2,F");
	plan.call = call;
	/* Only where all are listed: a message may be left out that cannot be read now.
	 */
	*ret_removal = -ENODATA;
	if (o->table->count == 4) {
		(void)ops->seen(o->store, o->table, 2);
		*ret_removal = ops->remove(
			o->store, o->table, (struct view){(const uint8_t *)"\3", 1}, got);
	}
	ops->unlock(o->store);
	return true;
}

static void
check_after(struct office *o, int removal, const struct store_removed *got)
{
	static const char *const marked[] = {"new/1.a", "cur/2.b:2,F"};
	uint32_t marked_there = 0;

	for (size_t i = 0; i < 2; i++)
		marked_there += there(o, marked[i]) ? 1 : 0;
	assert_true(there(o, "new/3.c") || there(o, "cur/3.c:2,S"));
	assert_true(there(o, "cur/4.d,S=2,W=3:2,"));
	if (removal == 0) {
		assert_int_equal(got->removed + got->remain, 2);
		assert_int_equal(got->remain, marked_there);
	} else if (removal == -ENODATA) {
		assert_int_equal(marked_there, 2);
	}
	enter(o);
	assert_int_equal(o->table->count, 2 + marked_there);
	assert_true(uidl_is(o, marked_there, "3.c"));
	assert_int_equal(o->table->messages[marked_there].wire, 5);
	leave(o);
	forget(o);
	enter(o);
	assert_int_equal(o->table->count, 2 + marked_there);
	leave(o);
}

/* The calls in their turn, until one more was not made. */
static void
each_call_fails_once(enum call call, int error)
{
	for (int n = 1;; n++) {
		struct store_removed got = {0};
		int removal = -ENODATA;
		struct office *o = office_open();
		fill(o);
		plan.hit = false;
		plan.error = error;
		plan.at = n;
		plan.call = call;
		bool lived = session(o, &got, &removal);
		plan.call = CALL_NONE;
		if (lived && removal == 0 && !plan.hit)
			assert_int_equal(got.removed, 2);
		if (!lived)
			assert_true(plan.hit);
		if (lived)
			check_after(o, removal, &got);
		office_close(o);
		if (!plan.hit) {
			assert_true(n > 1);
			return;
		}
		assert_true(n < 200);
	}
}

static void
opens_fail(void **state)
{
	(void)state;
	each_call_fails_once(CALL_OPENAT, EIO);
	each_call_fails_once(CALL_OPENAT, EMFILE);
	each_call_fails_once(CALL_OPENAT, EACCES);
}

static void
syncs_fail(void **state)
{
	struct store_removed got = {0};
	int removal = 0;
	struct office *o = office_open();
	(void)state;

	each_call_fails_once(CALL_FSYNC, EIO);
	/* A sync that failed is never a success. */
	fill(o);
	plan.call = CALL_FSYNC;
	plan.at = 1;
	plan.error = EIO;
	plan.hit = false;
	assert_true(session(o, &got, &removal));
	plan.call = CALL_NONE;
	assert_int_equal(removal, -EIO);
	office_close(o);
}

static void
removals_fail(void **state)
{
	(void)state;
	each_call_fails_once(CALL_UNLINKAT, EIO);
	each_call_fails_once(CALL_UNLINKAT, EACCES);
	each_call_fails_once(CALL_UNLINKAT, ENOENT);
}

static void
renames_fail(void **state)
{
	(void)state;
	each_call_fails_once(CALL_RENAMEAT, ENOSPC);
	each_call_fails_once(CALL_RENAMEAT2, EIO);
	each_call_fails_once(CALL_RENAMEAT2, EINVAL);
}

static void
looks_fail(void **state)
{
	(void)state;
	each_call_fails_once(CALL_STATX, EIO);
	each_call_fails_once(CALL_STATX, ENOENT);
	each_call_fails_once(CALL_GETDENTS, EIO);
}

static void
writes_fail(void **state)
{
	(void)state;
	each_call_fails_once(CALL_WRITE, ENOSPC);
	each_call_fails_once(CALL_WRITE, EDQUOT);
}

#define ARRIVALS 64
static struct office *arrivals_at;

static void
mail_arrives(void)
{
	char name[32];

	meanwhile = NULL;
	for (int i = 0; i < ARRIVALS; i++) {
		(void)snprintf(name, sizeof(name), "new/%d.arrival", 100 + i);
		put(arrivals_at, name, "x\n");
	}
}

/*
 * On a file system that gives inode numbers out again at once (ext4), one of those that
 * arrive has the number of what was removed: it must not be taken for its other name.
 */
static void
mail_that_arrives_is_no_other_name(void **state)
{
	struct office *o = arrivals_at = office_open();
	char name[32];
	(void)state;

	put(o, "cur/1.a:2,", "x\n");
	assert_int_equal(linkat(o->top, "cur/1.a:2,", o->top, "cur/2.b:2,", 0), 0);
	assert_int_equal(linkat(o->top, "cur/1.a:2,", o->top, "cur/3.c:2,", 0), 0);
	enter(o);
	assert_int_equal(o->table->count, 1);
	/* As a program that moves by link and unlink leaves it. */
	assert_int_equal(unlinkat(o->top, "cur/2.b:2,", 0), 0);
	assert_int_equal(unlinkat(o->top, "cur/3.c:2,", 0), 0);
	meanwhile = mail_arrives;
	struct store_removed got = {0};
	assert_int_equal(ops->remove(o->store, o->table,
				 (struct view){(const uint8_t *)"\1", 1}, &got),
		0);
	assert_null(meanwhile);
	assert_int_equal(got.removed, 1);
	assert_false(there(o, "cur/1.a:2,"));
	for (int i = 0; i < ARRIVALS; i++) {
		(void)snprintf(name, sizeof(name), "new/%d.arrival", 100 + i);
		assert_true(there(o, name));
	}
	leave(o);
	office_close(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_that_arrives_is_no_other_name),
		cmocka_unit_test(opens_fail),
		cmocka_unit_test(syncs_fail),
		cmocka_unit_test(removals_fail),
		cmocka_unit_test(renames_fail),
		cmocka_unit_test(looks_fail),
		cmocka_unit_test(writes_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
