/* The session lock, between processes and between its two kinds. */
#include "store_help.h"

#include <sys/file.h>
#include <sys/wait.h>

static int
set_up(void **state)
{
	*state = office_open();
	return 0;
}

static int
tear_down(void **state)
{
	office_close(*state);
	return 0;
}

static int
own_dir(const struct office *o)
{
	int fd = openat(o->root, "Maildir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* What another process gets for the lock. */
static int
other_process(const struct office *o, uint64_t *ret_since)
{
	int out[2], result[2] = {0, 0}, status;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct lock_holder me = {.since = 2}, other = {.since = 0};
		struct session_lock l;
		int dir = openat(o->root, "Maildir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		result[0] = session_lock_take(&l, dir, &me, &other);
		result[1] = (int)other.since;
		(void)!write(out[1], result, sizeof(result));
		_exit(0);
	}
	assert_int_equal(read(out[0], result, sizeof(result)), sizeof(result));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(out[0]);
	(void)close(out[1]);
	*ret_since = (uint64_t)result[1];
	return result[0];
}

static void
one_holder_at_a_time(void **state)
{
	struct office *o = *state;
	struct lock_holder me = {.address = "0123456789abcde", .since = 77}, other;
	struct session_lock a, b;
	int da = own_dir(o), db = own_dir(o);
	uint64_t since;

	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	assert_true(session_lock_is_held(&a));
	/* In this process through another open, and in another process. */
	assert_int_equal(session_lock_take(&b, db, &me, &other), -EBUSY);
	assert_int_equal(other.since, 77);
	assert_memory_equal(other.address, me.address, 16);
	assert_int_equal(other_process(o, &since), -EBUSY);
	assert_int_equal(since, 77);
	session_lock_release(&a);
	assert_int_equal(other_process(o, &since), 0);
	/* The other process is gone without releasing: the lock is free. */
	assert_int_equal(session_lock_take(&b, db, &me, &other), 0);
	session_lock_release(&b);
	(void)close(da);
	(void)close(db);
}

/* What restante last shows: a tool that locks is no login, and its time is not another's.
 */
static void
the_last_login_stays(void **state)
{
	struct office *o = *state;
	struct lock_holder me = {.address = "0123456789abcde", .since = 77};
	struct lock_holder tool = {.since = 0}, other;
	struct session_lock a;
	int da = own_dir(o);
	uint64_t since = 1;

	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	session_lock_release(&a);
	assert_int_equal(session_lock_take(&a, da, &tool, &other), 0);
	assert_int_equal(other_process(o, &since), -EBUSY);
	assert_int_equal(since, 0);
	int file = openat(o->top, SESSION_LOCK_NAME, O_RDWR | O_CLOEXEC);
	assert_int_equal(session_lock_read(file, &other), 0);
	assert_int_equal(other.since, 77);
	assert_memory_equal(other.address, me.address, 16);
	session_lock_release(&a);
	/* The next session says who it is. */
	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	assert_int_equal(other_process(o, &since), -EBUSY);
	assert_int_equal(since, 77);
	session_lock_release(&a);
	/* What a crash may leave of the first record. */
	assert_int_equal(ftruncate(file, 0), 0);
	assert_int_equal(ftruncate(file, 41), 0);
	assert_int_equal(session_lock_read(file, &other), 0);
	assert_int_equal(other.since, 0);
	(void)close(file);
	(void)close(da);
}

static void
both_kinds_exclude_each_other(void **state)
{
	struct office *o = *state;
	struct lock_holder me = {.since = 77}, other;
	struct session_lock a, b;
	int da = own_dir(o), db = own_dir(o);
	uint64_t since;

	/* The file cannot be made: something else has its name. */
	assert_int_equal(mkdirat(o->top, SESSION_LOCK_NAME, 0700), 0);
	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	assert_int_equal(a.file, -1);
	assert_true(session_lock_is_held(&a));
	assert_int_equal(other_process(o, &since), -EBUSY);
	/* Now it can; the holder of the directory still counts. */
	assert_int_equal(unlinkat(o->top, SESSION_LOCK_NAME, AT_REMOVEDIR), 0);
	assert_int_equal(other_process(o, &since), -EBUSY);
	assert_int_equal(since, 0);
	session_lock_release(&a);
	/* And the other way round. */
	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	assert_true(a.file >= 0);
	assert_int_equal(flock(db, LOCK_EX | LOCK_NB), -1);
	session_lock_release(&a);
	assert_int_equal(session_lock_take(&b, db, &me, &other), 0);
	session_lock_release(&b);
	(void)close(da);
	(void)close(db);
}

static void
a_removed_file_is_a_lost_lock(void **state)
{
	struct office *o = *state;
	struct lock_holder me = {.since = 77}, other;
	struct session_lock a;
	int da = own_dir(o);

	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	assert_int_equal(unlinkat(o->top, SESSION_LOCK_NAME, 0), 0);
	assert_false(session_lock_is_held(&a));
	put(o, SESSION_LOCK_NAME, "");
	assert_false(session_lock_is_held(&a));
	session_lock_release(&a);
	/* Nonsense in it, or a FIFO in its place: locked all the same. */
	put(o, SESSION_LOCK_NAME, "nonsense, and not fixed fields at all: 40+");
	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	session_lock_release(&a);
	assert_int_equal(unlinkat(o->top, SESSION_LOCK_NAME, 0), 0);
	assert_int_equal(mkfifoat(o->top, SESSION_LOCK_NAME, 0600), 0);
	assert_int_equal(session_lock_take(&a, da, &me, &other), 0);
	assert_int_equal(a.file, -1);
	session_lock_release(&a);
	(void)close(da);
}

/* As a user who may read the maildrop and change nothing in it. */
static void
read_only_child(struct office *o, int out)
{
	struct lock_holder me = {.since = 1}, other;
	struct store_removed got = {0};
	struct store_slice slice;
	char said[64];

	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		_exit(1);
	int lock = ops->lock(o->store, &me, &other);
	int held = o->store->lock.file;
	int refresh = ops->refresh(o->store, &o->table);
	int open = refresh == 0 ? ops->slice(o->store, o->table, 0, &slice) : -1;
	int removed = ops->remove(
		o->store, o->table, (struct view){(const uint8_t *)"\1", 1}, &got);
	(void)ops->seen(o->store, o->table, 0);
	uint32_t count = o->table->count;
	ops->unlock(o->store);
	int n = snprintf(said, sizeof(said), "%d %d %d %u %d %d %u %u", lock, held,
		refresh, count, open, removed, got.removed, got.remain);
	(void)!write(out, said, (size_t)n);
	_exit(0);
}

/* An unreadable message is left out, and back once it can be read: no directory tells. */
static void
back_when_readable(void **state)
{
	struct office *o = *state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(fchmod(o->top, 0777), 0);
	assert_int_equal(fchmodat(o->top, "new", 0777, 0), 0);
	assert_int_equal(fchmodat(o->top, "cur", 0777, 0), 0);
	assert_int_equal(chmod(o->dir, 0755), 0);
	put(o, "cur/2.secret:2,", "b\n");
	age(o);
	assert_int_equal(setegid(65534), 0);
	assert_int_equal(seteuid(65534), 0);
	enter(o);
	uint32_t before = o->table->count;
	leave(o);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(setegid(0), 0);
	assert_int_equal(before, 0);
	assert_int_equal(fchmodat(o->top, "cur/2.secret:2,", 0644, 0), 0);
	enter(o);
	assert_int_equal(o->table->count, 1);
	leave(o);
}

static void
a_read_only_maildrop_is_served(void **state)
{
	struct office *o = *state;
	char said[64] = {0};
	int out[2], status;

	if (geteuid() != 0)
		skip();
	put(o, "cur/1.a:2,", "a\n");
	put(o, "cur/2.secret:2,", "b\n");
	put(o, "cur/3.secret,S=2,W=3:2,", "c\n");
	assert_int_equal(fchmodat(o->top, "cur/1.a:2,", 0444, 0), 0);
	assert_int_equal(fchmodat(o->top, "cur", 0555, 0), 0);
	assert_int_equal(fchmodat(o->top, "new", 0555, 0), 0);
	assert_int_equal(fchmod(o->top, 0555), 0);
	assert_int_equal(chmod(o->dir, 0755), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		read_only_child(o, out[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(read(out[0], said, sizeof(said) - 1) > 0);
	/* Locked by directory; two messages: one is unreadable and of unknown size. */
	assert_string_equal(said, "0 -1 0 2 0 0 0 1");
	assert_true(there(o, "cur/1.a:2,"));
	(void)close(out[0]);
	(void)close(out[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_holder_at_a_time),
		TEST(the_last_login_stays),
		TEST(both_kinds_exclude_each_other),
		TEST(a_removed_file_is_a_lost_lock),
		TEST(back_when_readable),
		TEST(a_read_only_maildrop_is_served),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
