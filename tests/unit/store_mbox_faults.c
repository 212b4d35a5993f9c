/*
 * A removal and a delivery, cut off after each of their system calls, and with each call
 * failing in its turn. Whatever happened: every message is there exactly once, what was
 * marked is gone wholly or not at all, and mail that others put in meanwhile is kept. The
 * calls are defined here and so go before the C library's.
 */
#include "store_mbox_help.h"

#include <sys/syscall.h>

enum call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_FSYNC,
	CALL_FTRUNCATE,
	CALL_PWRITE,
	CALL_WRITE,
	CALL_RENAMEAT,
	CALL_UNLINKAT,
	CALL_STATX,
	CALL_PREAD,
	CALL_FCNTL,
	CALLS
};

static struct {
	enum call call;
	int at; /* the one that fails; counts down */
	int error;
	bool hit;
	size_t part; /* octets written at once, if calls count */
	/* Called after each call that changed something. */
	void (*after)(void);
} plan = {.part = 60};

static bool
fails(enum call call)
{
	if (plan.call != call || --plan.at != 0)
		return false;
	plan.hit = true;
	errno = plan.error;
	return true;
}

static long
done(long result)
{
	int saved = errno;
	void (*after)(void) = plan.after;

	if (after) {
		plan.after = NULL;
		after();
		plan.after = after;
	}
	errno = saved;
	return result;
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list args;
	unsigned mode = 0;

	va_start(args, flags);
	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE)
		mode = va_arg(args, unsigned);
	va_end(args);
	if (fails(CALL_OPENAT))
		return -1;
	long fd = syscall(SYS_openat, dir, path, flags, mode);
	return (int)(flags & O_CREAT ? done(fd) : fd);
}

int
fsync(int fd)
{
	(void)fd;
	return fails(CALL_FSYNC) ? -1 : (int)done(0);
}

int
ftruncate(int fd, off_t n)
{
	return fails(CALL_FTRUNCATE) ? -1 : (int)done(syscall(SYS_ftruncate, fd, n));
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	/* In parts: a crash may come between them, and a full disk takes a part first. */
	if ((plan.after || plan.call == CALL_PWRITE) && n > plan.part)
		n = plan.part;
	return fails(CALL_PWRITE) ? -1 : done(syscall(SYS_pwrite64, fd, p, n, at));
}

ssize_t
write(int fd, const void *p, size_t n)
{
	return fails(CALL_WRITE) ? -1 : done(syscall(SYS_write, fd, p, n));
}

int
renameat(int from, const char *old, int to, const char *name)
{
	return fails(CALL_RENAMEAT)
		? -1
		: (int)done(syscall(SYS_renameat2, from, old, to, name, 0));
}

int
unlinkat(int dir, const char *path, int flags)
{
	return fails(CALL_UNLINKAT) ? -1
				    : (int)done(syscall(SYS_unlinkat, dir, path, flags));
}

int
statx(int dir, const char *restrict path, int flags, unsigned mask,
	struct statx *restrict ret)
{
	return fails(CALL_STATX) ? -1
				 : (int)syscall(SYS_statx, dir, path, flags, mask, ret);
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	return fails(CALL_PREAD) ? -1 : syscall(SYS_pread64, fd, p, n, at);
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

/* ---- the mailbox
 * ----------------------------------------------------------------------- */

#define MESSAGES 6
static const char *const bodies[MESSAGES] = {"one",
	"two is longer than the others by far", "three", "four, and more", "five",
	"six, the last of them"};
static const uint32_t sets[] = {1, 32, 42, 63, 5};
static uint32_t marked;
static bool by_rename;

static void
fill(const struct spool *o)
{
	char octets[2048];
	size_t n = 0;

	for (int i = 0; i < MESSAGES; i++)
		n += (size_t)snprintf(octets + n, sizeof(octets) - n,
			FROM_LINE "N: %d\n\n%s\n\n", i, bodies[i]);
	put_mbox(o, octets);
}

/* Each message once; the marked ones all or none, if there is a choice. */
static void
check_messages(
	struct spool *o, bool removed_for_sure, bool kept_for_sure, const char *appended)
{
	uint32_t met = 0;
	bool appended_met = !appended;
	char expected[128];

	enter(o);
	for (uint32_t idx = 0; idx < o->table->count; idx++) {
		char *p = message(o, idx);
		bool known = false;
		assert_non_null(p);
		for (uint32_t i = 0; i < MESSAGES; i++) {
			(void)snprintf(expected, sizeof(expected), "N: %u\n\n%s\n", i,
				bodies[i]);
			if (strcmp(p, expected) != 0)
				continue;
			assert_int_equal(met & 1U << i, 0);
			met |= 1U << i;
			known = true;
		}
		if (!known) {
			assert_non_null(appended);
			assert_false(appended_met && strcmp(p, appended) == 0);
			assert_string_equal(p, appended);
			appended_met = true;
		}
		free(p);
	}
	leave(o);
	assert_true(appended_met);
	assert_int_equal(met | marked, 63);
	assert_true((met & marked) == 0 || (met & marked) == marked);
	if (removed_for_sure)
		assert_int_equal(met & marked, 0);
	if (kept_for_sure)
		assert_int_equal(met & marked, marked);
	assert_false(is_there(o, ".anna.restante-intent"));
	assert_false(is_there(o, "anna.lock"));
	assert_false(is_there(o, ".anna.restante-dot"));
}

/* ---- crashes
 * ---------------------------------------------------------------------------- */

static struct spool *running;
static struct spool *copies[400];
static size_t copies_n;

static void
copy_file(int from, int to, const char *name)
{
	uint8_t octets[65536];
	int in = (int)syscall(SYS_openat, from, name, O_RDONLY | O_CLOEXEC);
	int out =
		(int)syscall(SYS_openat, to, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ssize_t n;

	assert_true(in >= 0);
	assert_true(out >= 0);
	while ((n = read(in, octets, sizeof(octets))) > 0)
		assert_int_equal(syscall(SYS_write, out, octets, n), n);
	(void)close(in);
	(void)close(out);
}

/* What the disk would hold if the power went now (and nothing later got there). */
static void
take_copy(void)
{
	struct spool *c = spool_open();
	int fd = (int)syscall(
		SYS_openat, running->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			copy_file(running->root, c->root, e->d_name);
	(void)closedir(d);
	assert_true(copies_n < 400);
	copies[copies_n++] = c;
}

static void
append_to(const struct spool *o, const char *octets)
{
	int fd = (int)syscall(SYS_openat, o->root, "anna",
		O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(syscall(SYS_write, fd, octets, strlen(octets)), strlen(octets));
	(void)close(fd);
}

/* What others put in after the crash, before we look: little, and more than all before.
 */
static const char *
appended_of(int how)
{
	static char big[4096];

	if (how == 0)
		return NULL;
	if (how == 1)
		return "X: 1\n\nappended\n";
	(void)snprintf(big, sizeof(big), "X: 2\n\n%03500d\n", 7);
	return big;
}

static void
open_copies(int how)
{
	const char *appended = appended_of(how);
	char octets[4200];

	for (size_t i = 0; i < copies_n; i++) {
		if (appended) {
			(void)snprintf(
				octets, sizeof(octets), FROM_LINE "%s\n", appended);
			append_to(copies[i], octets);
		}
		check_messages(copies[i], i + 1 == copies_n, false, appended);
		spool_close(copies[i]);
	}
	copies_n = 0;
}

static void
remove_marked(struct spool *o)
{
	assert_int_equal(drop(o, marked).remain, 0);
}

static void
a_crash_at_any_call_of_a_removal(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(sets) / sizeof(sets[0]); i++)
		for (int how = 0; how < 3; how++) {
			struct spool *o = spool_open();
			marked = sets[i / 2];
			by_rename = o->o.mbox_rename = i % 2;
			fill(o);
			enter(o);
			running = o;
			plan.after = take_copy;
			remove_marked(o);
			plan.after = NULL;
			leave(o);
			take_copy();
			assert_true(copies_n > 4);
			open_copies(how);
			spool_close(o);
		}
}

/* The replay itself is cut off, again and again, and gets there. */
static void
a_crash_at_any_call_of_a_replay(void **state)
{
	const char *appended = appended_of(2);
	char octets[4200];
	(void)state;

	(void)snprintf(octets, sizeof(octets), FROM_LINE "%s\n", appended);
	plan.part = 1000;
	for (size_t i = 2; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct spool *first[400];
		struct spool *o = spool_open();
		marked = sets[i];
		fill(o);
		enter(o);
		running = o;
		plan.after = take_copy;
		remove_marked(o);
		plan.after = NULL;
		leave(o);
		spool_close(o);
		size_t n = copies_n;
		memcpy(first, copies, sizeof(first));
		copies_n = 0;
		for (size_t k = 0; k < n; k++) {
			/* Copies with an intent are what a replay is for. */
			running = first[k];
			if (is_there(running, ".anna.restante-intent")) {
				append_to(running, octets);
				plan.after = take_copy;
				enter(running);
				plan.after = NULL;
				leave(running);
				for (size_t c = 0; c < copies_n; c++) {
					check_messages(copies[c], false, false, appended);
					spool_close(copies[c]);
				}
				copies_n = 0;
				check_messages(running, true, false, appended);
			}
			spool_close(first[k]);
		}
	}
	plan.part = 60;
}

/* An intent that does not fit any more changes nothing and is kept. */
static void
an_intent_for_another_mbox_is_set_aside(void **state)
{
	(void)state;
	marked = 5;
	struct spool *o = spool_open();
	fill(o);
	enter(o);
	running = o;
	plan.after = take_copy;
	remove_marked(o);
	plan.after = NULL;
	leave(o);
	spool_close(o);
	size_t seen = 0;
	for (size_t i = 0; i < copies_n; i++) {
		if (is_there(copies[i], ".anna.restante-intent")) {
			put_mbox(copies[i], FROM_LINE "Y: 1\n\nquite another one\n\n");
			enter(copies[i]);
			assert_int_equal(copies[i]->table->count, 1);
			message_is(copies[i], 0, "Y: 1\n\nquite another one\n");
			assert_non_null(ops->notice(copies[i]->store));
			leave(copies[i]);
			assert_false(is_there(copies[i], ".anna.restante-intent"));
			seen++;
		}
		spool_close(copies[i]);
	}
	copies_n = 0;
	assert_true(seen > 3);
}

#define NEW_MAIL DELIVERED_HEAD "X: 3\n\ndelivered\n>From me\n"

/* A delivery cut off leaves no more than a message without its end; with its answer it
 * is there. */
static void
a_crash_at_any_call_of_a_delivery(void **state)
{
	(void)state;
	marked = 0;
	struct spool *o = spool_open();
	fill(o);
	running = o;
	plan.after = take_copy;
	assert_int_equal(deliver(o, "X: 3\n\ndelivered\nFrom me\n"), 0);
	plan.after = NULL;
	take_copy();
	for (size_t i = 0; i < copies_n; i++) {
		enter(copies[i]);
		assert_true(copies[i]->table->count >= MESSAGES);
		assert_true(copies[i]->table->count <= MESSAGES + 1);
		for (uint32_t k = 0; k < MESSAGES; k++) {
			char expected[128];
			(void)snprintf(expected, sizeof(expected), "N: %u\n\n%s\n", k,
				bodies[k]);
			message_is(copies[i], k, expected);
		}
		if (i + 1 == copies_n)
			message_is(copies[i], MESSAGES, NEW_MAIL);
		leave(copies[i]);
		spool_close(copies[i]);
	}
	copies_n = 0;
	spool_close(o);
}

/* ---- failures
 * --------------------------------------------------------------------------- */

/* False where the session could not be. */
static bool
session(struct spool *o, struct store_removed *got, int *ret_removal)
{
	struct lock_holder me = {.since = 1}, other;
	struct store_slice slice;
	uint8_t octet = (uint8_t)marked;
	const struct store_table *t;

	if (ops->lock(o->store, &me, &other) < 0)
		return false;
	if (ops->refresh(o->store, &t) < 0) {
		ops->unlock(o->store);
		return false;
	}
	t = ops->retain(t);
	assert_int_equal(t->count, MESSAGES);
	for (uint32_t i = 0; i < MESSAGES; i++) {
		if (ops->slice(o->store, t, i, &slice) < 0)
			continue;
		assert_int_equal(
			slice.wire, strlen("N: 1\r\n\r\n\r\n") + strlen(bodies[i]));
		(void)close(slice.fd);
	}
	*ret_removal = ops->remove(o->store, t, (struct view){&octet, 1}, got);
	ops->release(&t);
	ops->unlock(o->store);
	return true;
}

static void
each_call_fails_once(enum call call, int error)
{
	for (int n = 1;; n++) {
		struct store_removed got = {0};
		int removal = -ENODATA;
		struct spool *o = spool_open();
		o->o.mbox_rename = by_rename;
		fill(o);
		plan.hit = false;
		plan.error = error;
		plan.at = n;
		plan.call = call;
		bool lived = session(o, &got, &removal);
		plan.call = CALL_NONE;
		if (!lived)
			assert_true(plan.hit);
		if (!plan.hit)
			assert_int_equal(got.remain, 0);
		/* A lock that could not be removed waits for its five minutes, or for us.
		 */
		bool sure = lived && removal == 0;
		check_messages(o, sure && got.remain == 0, sure && got.remain > 0, NULL);
		if (sure && got.remain > 0)
			assert_int_equal(got.removed, 0);
		forget(o);
		check_messages(o, sure && got.remain == 0, false, NULL);
		spool_close(o);
		if (!plan.hit) {
			assert_true(n > 1 || (by_rename && call == CALL_FTRUNCATE));
			return;
		}
		assert_true(n < 400);
	}
}

static void
removals_under_failing_calls(void **state)
{
	static const struct failure {
		enum call call;
		int error;
	} failures[] = {
		{CALL_OPENAT, EIO},
		{CALL_OPENAT, EMFILE},
		{CALL_OPENAT, ENOSPC},
		{CALL_FSYNC, EIO},
		{CALL_FTRUNCATE, EIO},
		{CALL_PWRITE, ENOSPC},
		{CALL_PWRITE, EIO},
		{CALL_PWRITE, EINTR},
		{CALL_RENAMEAT, EIO},
		{CALL_UNLINKAT, EIO},
		{CALL_STATX, EIO},
		{CALL_PREAD, EIO},
		{CALL_PREAD, EINTR},
		{CALL_FCNTL, ENOLCK},
	};
	(void)state;

	marked = 10;
	for (int rename = 0; rename < 2; rename++)
		for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
			by_rename = rename;
			each_call_fails_once(failures[i].call, failures[i].error);
		}
	by_rename = false;
}

static void
each_call_of_a_delivery_fails_once(enum call call, int error)
{
	for (int n = 1;; n++) {
		struct spool *o = spool_open();
		int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		static const char octets[] = "X: 3\n\ndelivered\nFrom me\n";
		struct store_deposit d[2];
		uint32_t there = MESSAGES;
		fill(o);
		assert_int_equal(fd_write_all(fd, octets, sizeof(octets) - 1), 0);
		for (int i = 0; i < 2; i++)
			d[i] = (struct store_deposit){.fd = fd,
				.length = sizeof(octets) - 1,
				.sender = VIEW("s@example"),
				.recipient = VIEW("anna@example"),
				.now_s = 1700000000};
		plan.hit = false;
		plan.error = error;
		plan.at = n;
		plan.call = call;
		ops->deposit(o->store, d, 2);
		plan.call = CALL_NONE;
		(void)close(fd);
		if (!plan.hit)
			assert_int_equal(d[0].result + d[1].result, 0);
		for (int i = 0; i < 2; i++)
			there += d[i].result == 0;
		enter(o);
		assert_int_equal(o->table->count, there);
		for (uint32_t i = MESSAGES; i < there; i++)
			message_is(o, i, NEW_MAIL);
		leave(o);
		assert_false(is_there(o, "anna.lock"));
		spool_close(o);
		if (!plan.hit)
			return;
		assert_true(n < 400);
	}
}

static void
deliveries_under_failing_calls(void **state)
{
	(void)state;
	each_call_of_a_delivery_fails_once(CALL_OPENAT, EIO);
	each_call_of_a_delivery_fails_once(CALL_OPENAT, EACCES);
	each_call_of_a_delivery_fails_once(CALL_FSYNC, EIO);
	each_call_of_a_delivery_fails_once(CALL_PWRITE, ENOSPC);
	each_call_of_a_delivery_fails_once(CALL_PWRITE, EINTR);
	each_call_of_a_delivery_fails_once(CALL_PREAD, EIO);
	each_call_of_a_delivery_fails_once(CALL_FCNTL, ENOLCK);
	each_call_of_a_delivery_fails_once(CALL_UNLINKAT, EIO);
	each_call_of_a_delivery_fails_once(CALL_STATX, EIO);
}

/* A deposit was whole when the power went, its note not yet cleared; the disk is full. */
static void
a_note_that_cannot_be_cleared([[maybe_unused]] void **state)
{
	static const char octets[] = "X: 3\n\ndelivered\n";

	for (int at = 1; at < 5; at++) {
		struct spool *o = spool_open();
		struct lock_holder me = {.since = 1}, other;
		const struct store_table *t;
		uint8_t note[4096];

		fill(o);
		int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		assert_int_equal(fd_write_all(fd, octets, sizeof(octets) - 1), 0);
		struct store_deposit d = {.fd = fd,
			.length = sizeof(octets) - 1,
			.sender = VIEW("s@example"),
			.now_s = 1700000000};
		ops->deposit(o->store, &d, 1);
		assert_int_equal(d.result, 0);
		int n = openat(o->root, ".anna.restante-append", O_RDWR | O_CLOEXEC);
		size_t got = (size_t)pread(n, note, sizeof(note), 0);
		uint64_t check = XXH3_64bits(note + 8, got - 8);
		assert_int_equal(pwrite(n, &check, 8, 0), 8);
		(void)close(n);
		(void)close(fd);
		forget(o);
		plan.error = ENOSPC;
		plan.at = at;
		plan.call = CALL_PWRITE;
		assert_int_equal(ops->lock(o->store, &me, &other), 0);
		assert_int_equal(ops->refresh(o->store, &t), 0);
		plan.call = CALL_NONE;
		assert_int_equal(t->count, MESSAGES + 1);
		ops->unlock(o->store);
		spool_close(o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_at_any_call_of_a_removal),
		cmocka_unit_test(a_crash_at_any_call_of_a_replay),
		cmocka_unit_test(an_intent_for_another_mbox_is_set_aside),
		cmocka_unit_test(a_crash_at_any_call_of_a_delivery),
		cmocka_unit_test(removals_under_failing_calls),
		cmocka_unit_test(a_note_that_cannot_be_cleared),
		cmocka_unit_test(deliveries_under_failing_calls),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
