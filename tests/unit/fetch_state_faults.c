/*
 * The n-th write, sync, truncation or rename of the state fails, for every n: what was
 * told to be done is in the files, and what failed can be done again.
 */
#include "fetch_state_help.h"

#include <sys/syscall.h>

/* These stand before the C library's, for SQLite too. */
static int left; /* calls until one fails; 0: none does */
static int error;
static bool lasting; /* all later ones fail too: a full disk */

static bool
fails(void)
{
	if (left == 0)
		return false;
	if (left > 1) {
		left--;
		return false;
	}
	left = lasting ? 1 : 0;
	errno = error;
	return true;
}

int
fsync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return fails() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return fails() ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

int
ftruncate(int fd, off_t n)
{
	return fails() ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int
renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags)
{
	return fails() ? -1
		       : (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

static void
arm(int n, int with, bool for_ever)
{
	left = n;
	error = with;
	lasting = for_ever;
}

static void
copy_file(const struct home *h, const char *name)
{
	char from[96], to[96];
	uint8_t *content;
	size_t n;

	(void)snprintf(from, sizeof(from), "a/b/state/%s", name);
	(void)snprintf(to, sizeof(to), "crash/%s", name);
	(void)unlinkat(h->fd, to, 0);
	int in = openat(h->fd, from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return;
	assert_int_equal(fd_read_file(in, 1 << 28, &content, &n), 0);
	/* Not closed: that would drop SQLite's locks; the process ends soon. */
	int out = openat(h->fd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(out >= 0);
	assert_int_equal(fd_write_all(out, content, n), 0);
	(void)close(out);
	free(content);
}

/* As the next run would find it if this one were killed now. */
static struct known
known_after_crash(const struct home *h, struct view uid)
{
	struct home after = *h;
	struct known k;

	(void)mkdirat(h->fd, "crash", 0700);
	(void)unlinkat(h->fd, "crash/state.db-shm", 0);
	copy_file(h, "state.db");
	copy_file(h, "state.db-wal");
	(void)snprintf(after.dir, sizeof(after.dir), "%s/crash", h->top);
	open_state(&after);
	assert_int_equal(state_check(after.s), 0);
	k = known(&after, uid);
	close_state(&after);
	return k;
}

/* All that a message goes through; -errno of the first that fails, *ret its place. */
static int
one_life(const struct home *h, struct letter *l, int *ret)
{
	struct mark seen = {.kind = MARK_SEEN, .uid = l->uid, .size = 1};
	struct settled done[] = {{l, 0, true}, {l, 1, true}};
	int r = state_mark(h->s, h->r.row, &seen, 1, NOW);

	*ret = 0;
	if (r == 0) {
		*ret = 1;
		r = state_intend(h->s, h->r.row, &l, 1, &h->account);
	}
	if (r == 0) {
		*ret = 2;
		r = state_settle(h->s, h->r.row, done, 2, NOW);
	}
	if (r == 0)
		*ret = 3;
	return r;
}

static void
lives_with(struct home *h, int with, bool for_ever)
{
	struct letter *l = calloc(1, sizeof(*l));
	int r = -1, failures = 0;

	assert_non_null(l);
	for (int n = 1; r < 0; n++) {
		int reached, again;
		uint8_t uid[16];
		int uid_n = snprintf((char *)uid, sizeof(uid), "u%d-%d", with, n);
		struct view v = {uid, (size_t)uid_n};

		assert_true(n < 200);
		make_letter(l, v, (uint8_t)n);
		arm(n, with, for_ever);
		r = one_life(h, l, &reached);
		arm(0, 0, false);
		if (r < 0) {
			failures++;
			/* SQLite does not tell why a sync failed. */
			assert_true(r == -EIO || r == -with);
			assert_int_equal(n == 1 ? r : -with, -with);
			assert_true(strlen(state_why(h->s)) > 0);
		}
		struct known k = known_after_crash(h, v);
		if (reached >= 1)
			assert_true(k.row > 0);
		if (reached >= 2)
			assert_true(k.stage == KNOWN_INTENDED || k.stage == KNOWN_SYNCED);
		if (reached >= 3)
			assert_int_equal(k.stage, KNOWN_SYNCED);
		/* What failed is not half there for those who go on. */
		k = known(h, v);
		if (reached == 0)
			assert_int_equal(k.row, 0);
		else if (reached < 3)
			assert_int_equal(k.stage, reached - 1);
		assert_int_equal(one_life(h, l, &again), 0);
		assert_int_equal(known(h, v).stage, KNOWN_SYNCED);
		assert_int_equal(known_after_crash(h, v).stage, KNOWN_SYNCED);
	}
	assert_true(failures >= 6);
	free(l);
}

static void
every_call_fails_once(void **state)
{
	lives_with(*state, EIO, false);
}

static void
every_call_meets_a_full_disk(void **state)
{
	lives_with(*state, ENOSPC, true);
}

/* Making a state, and opening one: it fails with a text, or works; then it works. */
static void
opening_fails_and_works_then(void **state)
{
	struct home *h = *state;
	int refusals = 0, calls_left = 0;
	char why[512];

	close_state(h);
	for (int n = 1; calls_left == 0; n++) {
		(void)unlinkat(h->fd, "a/b/state/state.db", 0);
		memset(why, 0, sizeof(why));
		assert_true(n < 200);
		arm(n, EIO, false);
		int r = state_open(h->dir, true, &h->s, why, sizeof(why));
		calls_left = left;
		arm(0, 0, false);
		if (r < 0) {
			assert_int_equal(r, -EIO);
			assert_true(strlen(why) > 0);
			assert_null(h->s);
			refusals++;
		} else {
			close_state(h);
		}
		open_state(h);
		see(h, VIEW("u"), 1);
		close_state(h);
		open_state(h);
		assert_int_equal(rows(h), 1);
		close_state(h);
	}
	assert_true(refusals > 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(every_call_fails_once),
		ROW(every_call_meets_a_full_disk),
		ROW(opening_fails_and_works_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
