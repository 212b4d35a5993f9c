/* Opening a state: its directory, its lock, its file. */
#include "fetch/state_parts.h"

#include "base/check.h"
#include "base/num.h"
#include "fetch/durable.h"
#include "os/fd.h"
#include "os/mutex.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATABASE     "state.db"
#define DATABASE_NEW "state.db.new"

/* SQLite follows no link at all, so the way to the directory is made plain first. */
static int
find_directory(struct state *s, const char *dir, bool create)
{
	char plain[PATH_MAX];
	struct stat st;
	AUTO_FD made = -1;
	int r = create ? durable_directory(dir, &made) : 0;

	if (r < 0)
		return state_fail(
			s, r, "the directory cannot be made: %s", strerrordesc_np(-r));
	if (!realpath(dir, plain))
		return state_fail(s, -errno, "%s%s", strerrordesc_np(errno),
			errno == ENOENT
				? ": nothing was collected yet, or --state is wrong"
				: "");
	s->dir = open(plain, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0 || fstat(s->dir, &st) < 0)
		return state_fail(s, -errno, "%s", strerrordesc_np(errno));
	if (st.st_mode & S_IWOTH)
		return state_fail(s, -EPERM,
			"everybody may write there: use another directory, or chmod o-w");
	free(s->path);
	s->path = NULL;
	if (asprintf(&s->path, "%s/" DATABASE, strcmp(plain, "/") == 0 ? "" : plain) <
		0) {
		s->path = strdup(DATABASE);
		return -ENOMEM;
	}
	return 0;
}

/* Who holds the lock, as it says itself; 0 where it does not. */
static uint64_t
lock_holder(int fd)
{
	uint8_t text[24];
	uint64_t pid = 0;
	ssize_t n = pread(fd, text, sizeof(text), 0);

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == 0))
		n--;
	if (n > 0 && num_decimal((struct view){text, (size_t)n}, INT32_MAX, &pid))
		return pid;
	return 0;
}

static int
take_lock(struct state *s)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char pid[24];

	s->lock = openat(s->dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->lock < 0)
		return state_fail(s, -errno, "its lock: %s", strerrordesc_np(errno));
	/* An open file description lock ends with us, however we end. */
	if (fcntl(s->lock, F_OFD_SETLK, &whole) < 0) {
		if (errno != EAGAIN && errno != EACCES)
			return state_fail(
				s, -errno, "its lock: %s", strerrordesc_np(errno));
		uint64_t holder = lock_holder(s->lock);
		return state_fail(s, -EBUSY,
			"in use by process %llu%s: wait for it, end it, or give --state "
			"another directory",
			(unsigned long long)holder, holder ? "" : " (not known)");
	}
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	CHECK(n > 0);
	/* Only for people to read: a full disk shows itself where it matters. */
	if (ftruncate(s->lock, 0) == 0)
		(void)fd_pwrite_all(s->lock, pid, (size_t)n, 0);
	return 0;
}

/* What a killed run, or a crash, left of a state that was being made. */
static int
remove_unfinished(struct state *s)
{
	static const char *const left[] = {DATABASE_NEW, DATABASE_NEW "-wal",
		DATABASE_NEW "-shm", DATABASE_NEW "-journal"};

	for (size_t i = 0; i < ARRAY_SIZE(left); i++)
		if (unlinkat(s->dir, left[i], 0) < 0 && errno != ENOENT)
			return state_fail(
				s, -errno, "%s: %s", left[i], strerrordesc_np(errno));
	return 0;
}

/*
 * A state is made under another name and renamed when it is whole: an empty or cut
 * state.db is damage, never a beginning.
 */
static int
make_database(struct state *s)
{
	AUTO_FREE char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s.new", s->path) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	int r = state_create_file(s, path);
	if (r < 0)
		return r;
	if (renameat2(s->dir, DATABASE_NEW, s->dir, DATABASE, RENAME_NOREPLACE) < 0 &&
		errno != EINVAL)
		return state_fail(
			s, -errno, "cannot be named: %s", strerrordesc_np(errno));
	/* Some file systems know no flag of rename: a link does not replace either. */
	if (fstatat(s->dir, DATABASE, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		(linkat(s->dir, DATABASE_NEW, s->dir, DATABASE, 0) < 0 ||
			unlinkat(s->dir, DATABASE_NEW, 0) < 0))
		return state_fail(
			s, -errno, "cannot be named: %s", strerrordesc_np(errno));
	if (fsync(s->dir) < 0)
		return state_fail(s, -errno, "its directory: %s", strerrordesc_np(errno));
	return 0;
}

/* Of the file itself, before SQLite sees it. */
static int
look_at_database(struct state *s, bool create)
{
	struct stat st;
	int r = create ? remove_unfinished(s) : 0;

	if (r < 0)
		return r;
	if (fstatat(s->dir, DATABASE, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return state_fail(s, -errno, "%s", strerrordesc_np(errno));
		/* SQLite would play an old WAL into a new file. Readers leave empty ones.
		 */
		if (fstatat(s->dir, DATABASE "-wal", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			st.st_size > 0)
			return state_fail(s, -EUCLEAN,
				"is gone, but its other half state.db-wal is there: put "
				"it "
				"back, or move that away too and use --reconcile "
				"MAILDIR");
		if (!create)
			return state_fail(s, -ENOENT, "nothing was collected yet");
		return make_database(s);
	}
	if (!S_ISREG(st.st_mode))
		return state_fail(s, -EUCLEAN, "is no regular file: move it away");
	if (st.st_size == 0)
		return state_fail(s, -EUCLEAN,
			"is damaged (empty): move it away and use --reconcile MAILDIR so "
			"that "
			"nothing is fetched twice");
	return 0;
}

/*
 * What a killed run left in the WAL is brought into the file at once: the file is synced
 * anew then, where a sync of the WAL that had failed could not be repeated.
 */
static int
take_over_wal(struct state *s)
{
	struct stat st;
	int done, in_wal;

	if (fstatat(s->dir, DATABASE "-wal", &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		st.st_size == 0)
		return 0;
	int result = sqlite3_wal_checkpoint_v2(
		s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &in_wal, &done);
	/* A reader (--status) may be in the way; then the WAL just stays. */
	return (result & 0xff) == SQLITE_BUSY ? 0 : state_error(s, result);
}

static int
open_database(struct state *s)
{
	int flags = s->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int result = sqlite3_open_v2(s->path, &s->db,
		flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	int r = state_error(s, result);

	/* SQLite goes on to read where it could not open it to write, and does not say
	 * why. */
	if (r == 0 && !s->read_only && sqlite3_db_readonly(s->db, "main") == 1) {
		r = faccessat(s->dir, DATABASE, R_OK | W_OK, AT_EACCESS) < 0 ? -errno
									     : -EIO;
		return state_fail(
			s, r, "cannot be opened to write: %s", strerrordesc_np(-r));
	}
	if (r == 0)
		r = state_settle_in(s);
	if (r == 0)
		r = state_upgrade_to_ours(s);
	if (r == 0 && !s->read_only)
		r = take_over_wal(s);
	if (r == 0)
		r = state_prepare_all(s);
	if (r < 0)
		return r;
	AUTO_RESET *q = state_statement(s, STATE_LAST_ID);
	r = state_step(s, q);
	if (r > 0)
		s->next_message = sqlite3_column_int64(q, 0) + 1;
	return r < 0 ? r : 0;
}

int
state_open(const char *dir, bool create, struct state **ret, char *why, size_t why_n)
{
	struct state *s = calloc(1, sizeof(*s));
	int r = -ENOMEM;

	state_watch_reads();

	if (s) {
		s->dir = s->lock = -1;
		s->read_only = !create;
		s->what = "opening it";
		s->path = strdup(dir);
		mutex_init(&s->mutex);
	}
	if (s && s->path)
		r = find_directory(s, dir, create);
	if (r == 0 && create)
		r = take_lock(s);
	if (r == 0)
		r = look_at_database(s, create);
	if (r == 0)
		r = open_database(s);
	if (r == 0) {
		*ret = s;
		return 0;
	}
	const char *text = s ? state_why(s) : "";
	(void)snprintf(why, why_n, "%s", *text ? text : strerrordesc_np(-r));
	state_close(&s);
	return r;
}

void
state_close(struct state **state)
{
	struct state *s = *state;

	*state = NULL;
	if (!s)
		return;
	state_finalize_all(s);
	/* Copies the WAL into the file; where that fails the next opening does it. */
	CHECK(sqlite3_close(s->db) == SQLITE_OK);
	fd_close(&s->lock);
	fd_close(&s->dir);
	free(s->path);
	mutex_destroy(&s->mutex);
	free(s);
}

int
state_check(struct state *s)
{
	sqlite3_stmt *q = NULL;
	char text[200] = "";
	int r = state_enter_read(s, "checking it");

	if (r < 0)
		return r;
	int result = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &q, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(q);
	if (result == SQLITE_ROW)
		column_text(q, 0, text, sizeof(text));
	r = state_error(s, result);
	(void)sqlite3_finalize(q);
	if (r == 0 && strcmp(text, "ok") != 0)
		r = state_fail(s, -EUCLEAN,
			"is damaged (%s): move it away and use --reconcile MAILDIR so "
			"that "
			"nothing is fetched twice",
			text);
	return state_leave(s, r);
}
