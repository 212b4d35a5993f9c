/* The state between runs: journal, marks, crashes, damage, and files of other versions.
 */
#include "fetch_state_help.h"

#include <sys/syscall.h>

static bool no_directory_syncs;

int fsync(int fd);

int
fsync(int fd)
{
	struct stat st;

	if (no_directory_syncs && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

/* ---- opening ---- */

static void
a_state_is_made_whole(void **state)
{
	struct home *h = *state;
	struct stat st;

	close_state(h);
	assert_int_equal(fstatat(h->fd, "a/b/state", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(fstatat(h->fd, "a", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(fstatat(h->fd, "a/b/state/state.db", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(h->fd, "a/b/state/lock", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(fstatat(h->fd, "a/b/state/state.db.new", &st, 0), -1);
	assert_int_equal(fstatat(h->fd, "a/b/state/state.db-wal", &st, 0), -1);
}

/* A power cut might take it away, and with it what is known of every mail. */
static void
a_directory_that_cannot_be_synced_holds_no_state(void **state)
{
	struct home *h = *state;
	struct state *other = NULL;
	char path[600], why[512];

	(void)snprintf(path, sizeof(path), "%s/new/one", h->dir);
	no_directory_syncs = true;
	assert_int_equal(state_open(path, true, &other, why, sizeof(why)), -EIO);
	assert_non_null(strstr(why, "the directory cannot be made"));
	no_directory_syncs = false;
	assert_int_equal(state_open(path, true, &other, why, sizeof(why)), 0);
	state_close(&other);
}

static void
settings_took(void **state)
{
	struct home *h = *state;
	struct stat st;

	assert_int_equal(pragma(h->s->db, "PRAGMA synchronous"), 2);
	assert_int_equal(pragma(h->s->db, "PRAGMA temp_store"), 2);
	assert_int_equal(pragma(h->s->db, "PRAGMA mmap_size"), 0);
	assert_int_equal(pragma(h->s->db, "PRAGMA trusted_schema"), 0);
	assert_int_equal(pragma(h->s->db, "PRAGMA cache_size"), -1024);
	assert_int_equal(fstatat(h->fd, "a/b/state/state.db-wal", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(state_check(h->s), 0);
}

static void
one_process_at_a_time(void **state)
{
	struct home *h = *state;
	struct state *other = NULL;
	char why[512], pid[32];

	assert_int_equal(state_open(h->dir, true, &other, why, sizeof(why)), -EBUSY);
	(void)snprintf(pid, sizeof(pid), "process %d:", (int)getpid());
	assert_non_null(strstr(why, pid));
	/* Looking on is free. */
	assert_int_equal(state_open(h->dir, false, &other, why, sizeof(why)), 0);
	state_close(&other);
	close_state(h);
	open_state(h);
}

static void
looking_on_writes_nothing(void **state)
{
	struct home *h = *state;
	struct state *other = NULL;
	struct remembered r;
	struct account_figures *figures;
	struct known_table table;
	char why[512];
	size_t n;

	assert_int_equal(state_open(h->dir, false, &other, why, sizeof(why)), 0);
	see(h, VIEW("one"), 10);
	assert_int_equal(state_account(other, &h->account, &r), 0);
	assert_int_equal(r.row, h->r.row);
	assert_int_equal(state_load(other, r.row, &table), 0);
	assert_int_equal(table.n, 1);
	known_free(&table);
	struct fetch_account stranger = h->account;
	stranger.user = "berta";
	assert_int_equal(state_account(other, &stranger, &r), 0);
	assert_int_equal(r.row, 0);
	assert_int_equal(r.count, UINT32_MAX);
	assert_int_equal(state_remember(other, &h->r), -EROFS);
	assert_int_equal(state_figures(other, &figures, &n, NOW), 0);
	assert_int_equal(n, 1);
	assert_int_equal(figures[0].by_stage[KNOWN_SEEN], 1);
	free(figures);
	state_close(&other);
	close_state(h);
	/* Without anybody who writes, and where there is nothing. */
	assert_int_equal(state_open(h->dir, false, &other, why, sizeof(why)), 0);
	state_close(&other);
	assert_int_equal(unlinkat(h->fd, "a/b/state/state.db", 0), 0);
	assert_int_equal(state_open(h->dir, false, &other, why, sizeof(why)), -ENOENT);
	assert_null(other);
	assert_int_equal(
		state_open("/nonexistent/x", false, &other, why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "--state"));
}

static void
places_that_are_refused(void **state)
{
	struct home *h = *state;

	close_state(h);
	assert_int_equal(fchmodat(h->fd, "a/b/state", 0777, 0), 0);
	refused(h, -EPERM, "chmod o-w");
	assert_int_equal(fchmodat(h->fd, "a/b/state", 0700, 0), 0);
	/* The file itself may not be a link; the way there may have some. */
	assert_int_equal(renameat(h->fd, "a/b/state/state.db", h->fd, "moved"), 0);
	assert_int_equal(symlinkat("../../../moved", h->fd, "a/b/state/state.db"), 0);
	refused(h, -EUCLEAN, "regular");
	assert_int_equal(unlinkat(h->fd, "a/b/state/state.db", 0), 0);
	assert_int_equal(mkfifoat(h->fd, "a/b/state/state.db", 0600), 0);
	refused(h, -EUCLEAN, "regular");
	assert_int_equal(unlinkat(h->fd, "a/b/state/state.db", 0), 0);
	assert_int_equal(renameat(h->fd, "moved", h->fd, "a/b/state/state.db"), 0);
	assert_int_equal(renameat(h->fd, "a", h->fd, "z"), 0);
	assert_int_equal(symlinkat("z", h->fd, "a"), 0);
	open_state(h);
}

/* ---- damage and versions ---- */

static void
damage_is_refused_and_kept(void **state)
{
	struct home *h = *state;
	uint8_t before[64], after[64];

	close_state(h);
	for (unsigned int kind = 0; kind < 5; kind++) {
		damage(h, kind);
		int fd = openat(h->fd, "a/b/state/state.db", O_RDONLY | O_CLOEXEC);
		ssize_t n = pread(fd, before, sizeof(before), 0);
		(void)close(fd);
		refused(h, -EUCLEAN, "--reconcile");
		fd = openat(h->fd, "a/b/state/state.db", O_RDONLY | O_CLOEXEC);
		assert_int_equal(pread(fd, after, sizeof(after), 0), n);
		assert_memory_equal(before, after, (size_t)n);
		(void)close(fd);
		/* Moved away as told: a new one. */
		assert_int_equal(renameat(h->fd, "a/b/state/state.db", h->fd, "away"), 0);
		open_state(h);
		close_state(h);
	}
}

static void
half_a_state_is_refused(void **state)
{
	struct home *h = *state;

	close_state(h);
	assert_int_equal(
		renameat(h->fd, "a/b/state/state.db", h->fd, "a/b/state/state.db-wal"),
		0);
	refused(h, -EUCLEAN, "state.db-wal");
	assert_int_equal(unlinkat(h->fd, "a/b/state/state.db-wal", 0), 0);
	/* A run that was killed while it made one. */
	put(h, "a/b/state/state.db.new", "half");
	put(h, "a/b/state/state.db.new-journal", "half");
	open_state(h);
	/* After a crash a name may be there again that was removed. */
	close_state(h);
	put(h, "a/b/state/state.db.new-journal", "half");
	open_state(h);
	assert_int_equal(faccessat(h->fd, "a/b/state/state.db.new-journal", F_OK, 0), -1);
}

static void
damage_inside_is_found(void **state)
{
	struct home *h = *state;
	struct known_table table;
	uint8_t uid[40];

	for (unsigned int i = 0; i < 2000; i++) {
		int n = snprintf((char *)uid, sizeof(uid), "some-longer-uid-%08u", i);
		see(h, (struct view){uid, (size_t)n}, i);
	}
	close_state(h);
	damage_pages_of(h, "some-longer-uid-00000050");
	open_state(h);
	assert_int_equal(state_check(h->s), -EUCLEAN);
	assert_non_null(strstr(state_why(h->s), "--reconcile"));
	assert_int_equal(state_load(h->s, h->r.row, &table), -EUCLEAN);
}

static void
other_versions(void **state)
{
	struct home *h = *state;
	static const char *const steps[] = {
		NULL, "CREATE TABLE extra(x INTEGER);", "INSERT INTO extra VALUES(7);"};
	static const char *const bad[] = {
		NULL, NULL, NULL, "CREATE TABLE extra2(x);", "CREATE TABLE extra2(x);"};

	/* Several steps in one transaction, all of them or none. */
	h->s->what = "upgrading";
	assert_int_equal(state_upgrade(h->s, steps, 3), 0);
	assert_int_equal(pragma(h->s->db, "PRAGMA user_version"), 3);
	assert_int_equal(pragma(h->s->db, "SELECT x FROM extra"), 7);
	assert_int_equal(state_upgrade(h->s, steps, 3), 0);
	assert_true(state_upgrade(h->s, bad, 5) < 0);
	assert_int_equal(pragma(h->s->db, "PRAGMA user_version"), 3);
	assert_int_equal(
		pragma(h->s->db,
			"SELECT count(*) FROM sqlite_master WHERE name = 'extra2'"),
		0);
	h->s->read_only = true;
	assert_int_equal(state_upgrade(h->s, bad, 5), -EROFS);
	close_state(h);
	/* Version 3 is newer than ours. */
	refused(h, -EPROTONOSUPPORT, "newer");
	sql(h, "PRAGMA user_version = 1; DROP TABLE extra");
	open_state(h);
	close_state(h);
	/* One of version 0 is brought up. */
	sql(h,
		"DROP TABLE account; DROP TABLE message; DROP TABLE delivery; PRAGMA "
		"user_version = 0");
	open_state(h);
	see(h, VIEW("one"), 1);
}

/* ---- accounts ---- */

static void
accounts_are_remembered(void **state)
{
	struct home *h = *state;
	struct fetch_account other = h->account;
	struct remembered r, s;

	fill_remembered(&h->r);
	h->r.early_faults = 2;
	h->r.fell_back = true;
	assert_int_equal(state_remember(h->s, &h->r), 0);
	other.host = "pop.example.net";
	assert_int_equal(state_account(h->s, &other, &r), 0);
	assert_int_not_equal(r.row, h->r.row);
	assert_int_equal(r.count, UINT32_MAX);
	assert_int_equal(r.tls_session_n, 0);
	close_state(h);
	uint8_t *session = h->r.tls_session;
	struct remembered expected = h->r;
	open_state(h);
	assert_int_equal(state_account(h->s, &h->account, &s), 0);
	assert_int_equal(s.tls_session_n, expected.tls_session_n);
	assert_memory_equal(s.tls_session, session, s.tls_session_n);
	free(s.tls_session);
	s.tls_session = session;
	assert_memory_equal(&s, &expected, sizeof(s));
	/* A row that is not there is an error, not silence. */
	s.row = 12345;
	assert_int_equal(state_remember(h->s, &s), -ENOENT);
	free(session);
}

/* A section with a new name: told once, where something is known under the old one. */
static void
an_account_is_renamed(void **state)
{
	struct home *h = *state;
	struct fetch_account renamed = h->account, again = h->account;
	struct remembered r;

	renamed.name = "job";
	again.name = "other";
	assert_string_equal(h->r.former, "");
	assert_int_equal(state_account(h->s, &renamed, &r), 0);
	assert_string_equal(r.former, "");
	deliver(h, VIEW("e"), 1);
	assert_int_equal(state_account(h->s, &again, &r), 0);
	assert_string_equal(r.former, h->account.name);
	assert_int_not_equal(r.row, h->r.row);
	assert_int_equal(state_account(h->s, &again, &r), 0);
	assert_string_equal(r.former, "");
	again.user = "berta";
	assert_int_equal(state_account(h->s, &again, &r), 0);
	assert_string_equal(r.former, "");
}

/* Reading an account and writing it back is one write transaction. */
static void
a_poll_writes_once(void **state)
{
	struct home *h = *state;
	struct remembered r;
	int64_t before = pragma(h->s->db, "PRAGMA data_version");
	struct state *reader = NULL;
	char why[512];

	assert_int_equal(state_open(h->dir, false, &reader, why, sizeof(why)), 0);
	before = pragma(reader->db, "PRAGMA data_version");
	assert_int_equal(state_account(h->s, &h->account, &r), 0);
	assert_int_equal(pragma(reader->db, "PRAGMA data_version"), before);
	assert_int_equal(state_remember(h->s, &r), 0);
	assert_true(pragma(reader->db, "PRAGMA data_version") != before);
	state_close(&reader);
	free(r.tls_session);
}

static void
figures_of_accounts(void **state)
{
	struct home *h = *state;
	struct account_figures *f;
	size_t n;
	struct mark marks[] = {{.kind = MARK_SEEN, .uid = VIEW("a"), .size = 1},
		{.kind = MARK_SEEN, .uid = VIEW("b"), .size = 1},
		{.kind = MARK_GONE, .uid = VIEW("b")},
		{.kind = MARK_ADOPTED, .uid = VIEW("c"), .size = UINT64_MAX},
		{.kind = MARK_QUARANTINED, .uid = VIEW("d"), .size = 1}};

	assert_int_equal(state_mark(h->s, h->r.row, marks, 5, NOW), 0);
	deliver(h, VIEW("e"), 1);
	assert_int_equal(state_figures(h->s, &f, &n, NOW + 99), 0);
	assert_int_equal(n, 1);
	assert_string_equal(f->name, "work");
	assert_int_equal(f->by_stage[KNOWN_SEEN], 1);
	assert_int_equal(f->by_stage[KNOWN_ADOPTED], 1);
	assert_int_equal(f->by_stage[KNOWN_QUARANTINED], 1);
	assert_int_equal(f->by_stage[KNOWN_SYNCED], 1);
	assert_int_equal(f->on_server, 4);
	assert_int_equal(f->oldest_undelivered_s, NOW);
	assert_int_equal(f->due, 0);
	free(f);
	assert_int_equal(state_figures(h->s, &f, &n, NOW + 100), 0);
	assert_int_equal(f->due, 1);
	free(f);
}

/* ---- faults ---- */

/* A writer outside holds the file: nothing is done, and the state stays usable. */
static void
a_failure_leaves_the_state_usable(void **state)
{
	struct home *h = *state;
	struct mark mark = {.kind = MARK_SEEN, .uid = VIEW("a"), .size = 1};
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(h->s->path, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_busy_timeout(h->s->db, 1), SQLITE_OK);
	assert_int_equal(state_mark(h->s, h->r.row, &mark, 1, NOW), -EBUSY);
	assert_non_null(strstr(state_why(h->s), "noting what was seen"));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(rows(h), 0);
	assert_int_equal(state_mark(h->s, h->r.row, &mark, 1, NOW), 0);
	assert_int_equal(rows(h), 1);
	mark.uid.n = 0;
	assert_int_equal(state_mark(h->s, h->r.row, &mark, 1, NOW), -EINVAL);
}

static void
a_full_disk_is_told(void **state)
{
	struct home *h = *state;
	struct mark mark = {.kind = MARK_SEEN, .size = 1};
	uint8_t uid[LETTER_UID_MAX];
	int r = 0;

	memset(uid, 'u', sizeof(uid));
	mark.uid = (struct view){uid, sizeof(uid)};
	(void)pragma(h->s->db, "PRAGMA max_page_count = 1");
	unsigned int i = 0;
	for (; r == 0 && i < 1000; i++) {
		memcpy(uid, &i, sizeof(i));
		r = state_mark(h->s, h->r.row, &mark, 1, NOW);
	}
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(state_why(h->s), "make room"));
	assert_int_equal(rows(h), i - 1);
	(void)pragma(h->s->db, "PRAGMA max_page_count = 100000");
	assert_int_equal(state_mark(h->s, h->r.row, &mark, 1, NOW), 0);
	assert_int_equal(rows(h), i);
	assert_int_equal(state_check(h->s), 0);
}

/* What was told to be done is there after the process vanished; what was not, is not. */
static void
a_killed_run_is_taken_up(void **state)
{
	struct home *h = *state;
	int status;

	close_state(h);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct mark mark = {.kind = MARK_SEEN, .uid = VIEW("done"), .size = 1};
		open_state(h);
		if (state_mark(h->s, h->r.row, &mark, 1, NOW) < 0)
			_exit(1);
		/* In the middle of the next transaction. */
		if (sqlite3_exec(h->s->db,
			    "BEGIN IMMEDIATE; UPDATE message SET uid = x'6e6577', stage "
			    "= 2",
			    NULL, NULL, NULL) != SQLITE_OK)
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	open_state(h);
	assert_int_equal(rows(h), 1);
	assert_int_equal(known(h, VIEW("done")).stage, KNOWN_SEEN);
	struct stat st;
	assert_int_equal(fstatat(h->fd, "a/b/state/state.db-wal", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
}

static void *
mark_fifty(void *arg)
{
	struct home *h = arg;

	for (unsigned int i = 0; i < 50; i++) {
		pthread_t me = pthread_self();
		uint8_t uid[sizeof(me) + sizeof(i)];
		memcpy(uid, &me, sizeof(me));
		memcpy(uid + sizeof(me), &i, sizeof(i));
		struct mark m = {.kind = MARK_SEEN, .uid = {uid, sizeof(uid)}, .size = i};
		if (state_mark(h->s, h->r.row, &m, 1, NOW) < 0)
			return h;
	}
	return NULL;
}

/* Delivery threads share one state. */
static void
threads_take_turns(void **state)
{
	struct home *h = *state;
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, mark_fifty, h), 0);
	for (size_t i = 0; i < 4; i++) {
		void *failed = h;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(rows(h), 200);
}

/* ---- size ---- */

static uint64_t
cpu_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Bounds are ten times what it takes, so that only another order fails. */
static void
twenty_thousand_are_quick(void **state)
{
	enum { N = 20000 };
	struct home *h = *state;
	struct mark *marks = calloc(N, sizeof(*marks));
	char(*uids)[32] = calloc(N, sizeof(*uids));
	struct known_table table;

	for (unsigned int i = 0; i < N; i++) {
		int n = snprintf(
			uids[i], sizeof(uids[i]), "%08x%08x", i * 2654435761U, i);
		marks[i] = (struct mark){.kind = MARK_SEEN,
			.uid = {(const uint8_t *)uids[i], (size_t)n},
			.size = i};
	}
	uint64_t start = cpu_ms();
	assert_int_equal(state_mark(h->s, h->r.row, marks, N, NOW), 0);
	uint64_t marked = cpu_ms();
	assert_int_equal(state_load(h->s, h->r.row, &table), 0);
	uint64_t loaded = cpu_ms();
	print_message("# %u marked in %u ms, loaded in %u ms\n", N,
		(unsigned int)(marked - start), (unsigned int)(loaded - marked));
	assert_true(marked - start < 2000);
	assert_true(loaded - marked < 300);
	assert_int_equal(table.n, N);
	for (unsigned int i = 0; i < N; i++) {
		const struct known *k = known_find(&table, marks[i].uid);
		assert_non_null(k);
		assert_int_equal(k->size, i);
	}
	assert_null(known_find(&table, VIEW("0")));
	assert_null(known_find(&table, VIEW("")));
	assert_null(known_find(&table, VIEW("zzz")));
	known_free(&table);
	free(marks);
	free(uids);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(a_state_is_made_whole),
		ROW(a_directory_that_cannot_be_synced_holds_no_state),
		ROW(settings_took),
		ROW(one_process_at_a_time),
		ROW(looking_on_writes_nothing),
		ROW(places_that_are_refused),
		ROW(damage_is_refused_and_kept),
		ROW(half_a_state_is_refused),
		ROW(damage_inside_is_found),
		ROW(other_versions),
		ROW(accounts_are_remembered),
		ROW(an_account_is_renamed),
		ROW(a_poll_writes_once),
		ROW(figures_of_accounts),
		ROW(a_failure_leaves_the_state_usable),
		ROW(a_full_disk_is_told),
		ROW(a_killed_run_is_taken_up),
		ROW(threads_take_turns),
		ROW(twenty_thousand_are_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
