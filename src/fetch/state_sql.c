/* Statements, transactions and errors of the state. */
#include "fetch/state_parts.h"

#include "base/check.h"
#include "os/mutex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define STATE_ACCOUNT_COLUMNS                                                            \
	"id, tls_seen, has_capabilities, before_has, before_delay_s, before_mechanisms," \
	" after_has, after_delay_s, after_mechanisms, mechanism, unstuffed, sizes_lie,"  \
	" has_no_uidl, has_no_top, count, octets, probes, next_delete_s,"                \
	" last_success_s, next_poll_s, last_try_s, failures, last_error, collected,"     \
	" collected_octets, interval_ms, policy, not_ahead, refusals, uidl_refusals,"    \
	" tls_session"

static const char *const texts[STATE_STATEMENTS] = {
#define STATE_STATEMENT(id, sql) [STATE_##id] = sql,
#include "fetch/state_statements.def"
#undef STATE_STATEMENT
};

int
state_fail(struct state *s, int r, const char *format, ...)
{
	char *why = s->whys[s->whys_n++ % STATE_WHYS];
	int n = snprintf(why, STATE_WHY_MAX, "%.300s: %s: ", s->path, s->what);
	va_list args;

	if (n < 0 || n >= STATE_WHY_MAX)
		return r;
	va_start(args, format);
	(void)vsnprintf(why + n, STATE_WHY_MAX - (size_t)n, format, args);
	va_end(args);
	return r;
}

/*
 * SQLite calls a page that could not be read corrupt, as if the disk had said so of the
 * file. It is told apart by the errno of the read: of this thread, since the last result
 * was looked at.
 */
static _Thread_local int read_errno;

static ssize_t
watched_pread(int fd, void *to, size_t n, off_t at)
{
	ssize_t got = pread(fd, to, n, at);

	if (got < 0 && errno != EINTR)
		read_errno = errno;
	return got;
}

void
state_watch_reads(void)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	sqlite3_syscall_ptr call = (sqlite3_syscall_ptr)(void (*)(void))watched_pread;

	if (!vfs || vfs->iVersion < 3)
		return;
	/* The one that this SQLite was built with; the other is not asked for. */
	(void)vfs->xSetSystemCall(vfs, "pread", call);
	(void)vfs->xSetSystemCall(vfs, "pread64", call);
}

int
state_exit_status(int r)
{
	switch (-r) {
	case EBUSY:
	case ENOSPC:
	case EDQUOT:
	case EIO:
	case ENOMEM:
	case EMFILE:
	case ENFILE: return EX_TEMPFAIL;
	default: return EX_CANTCREAT;
	}
}

int
state_errno(sqlite3 *db, int result)
{
	int system = db ? sqlite3_system_errno(db) : 0;

	switch (result & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return 0;
	case SQLITE_FULL: return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return -EBUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA: return -EUCLEAN;
	case SQLITE_NOMEM: return -ENOMEM;
	case SQLITE_READONLY: return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH: return -EACCES;
	case SQLITE_TOOBIG: return -EFBIG;
	case SQLITE_CONSTRAINT: return -EEXIST;
	case SQLITE_CANTOPEN:
		/* Where SQLite cannot create a file it tries to read it, and we get the
		 * error of that: what was in the way is lost. */
		if (system == ENOENT)
			return -EIO;
		return system > 0 ? -system : -EACCES;
	default: break;
	}
	if (result == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	return system == ENOSPC || system == EDQUOT ? -system : -EIO;
}

int
state_error(struct state *s, int result)
{
	int r = state_errno(s->db, result);
	int failed = read_errno;

	read_errno = 0;
	if (r == -EUCLEAN && failed != 0)
		return state_fail(s, -failed, "cannot be read: %s; nothing was changed",
			strerrordesc_np(failed));
	if (r == -EUCLEAN)
		return state_fail(s, r,
			"is damaged (%s): move it away and use --reconcile MAILDIR so "
			"that "
			"nothing is fetched twice",
			sqlite3_errmsg(s->db));
	if (r == -ENOSPC || r == -EDQUOT)
		return state_fail(s, r, "the disk is full: make room, then run again");
	if (r == -EBUSY)
		return state_fail(s, r,
			"another program holds the database: end it, then run again");
	if (r < 0)
		return state_fail(
			s, r, "%s: %s", sqlite3_errmsg(s->db), strerrordesc_np(-r));
	return 0;
}

int
state_prepare_all(struct state *s)
{
	for (size_t i = 0; i < STATE_STATEMENTS; i++) {
		int result = sqlite3_prepare_v3(s->db, texts[i], -1,
			SQLITE_PREPARE_PERSISTENT, &s->statements[i], NULL);
		/* Our SQL is right: a table or column that is not there is damage. */
		if (result == SQLITE_ERROR)
			return state_error(s, SQLITE_CORRUPT);
		if (result != SQLITE_OK)
			return state_error(s, result);
	}
	return 0;
}

void
state_finalize_all(struct state *s)
{
	for (size_t i = 0; i < STATE_STATEMENTS; i++) {
		(void)sqlite3_finalize(s->statements[i]);
		s->statements[i] = NULL;
	}
}

void
state_reset(sqlite3_stmt **q)
{
	/* Its result is that of the last step, which was looked at. */
	if (*q) {
		(void)sqlite3_reset(*q);
		(void)sqlite3_clear_bindings(*q);
	}
	*q = NULL;
}

sqlite3_stmt *
state_statement(struct state *s, enum state_statement id)
{
	CHECK(s->statements[id]);
	CHECK(!sqlite3_stmt_busy(s->statements[id]));
	return s->statements[id];
}

int
state_step(struct state *s, sqlite3_stmt *q)
{
	int result = sqlite3_step(q);

	if (result == SQLITE_ROW)
		return 1;
	return state_error(s, result);
}

int
state_run(struct state *s, sqlite3_stmt *q)
{
	int r = state_step(s, q);

	CHECK(r <= 0);
	return r;
}

static int
run_statement(struct state *s, enum state_statement id)
{
	AUTO_RESET *q = state_statement(s, id);

	return state_run(s, q);
}

int
state_begin(struct state *s)
{
	CHECK(sqlite3_get_autocommit(s->db));
	if (s->read_only)
		return state_fail(s, -EROFS, "the state was opened to be read only");
	int r = run_statement(s, STATE_BEGIN);
	s->writing = r == 0;
	return r;
}

int
state_enter_read(struct state *s, const char *what)
{
	mutex_lock(&s->mutex);
	s->what = what;
	if (s->broken)
		return state_leave(s,
			state_fail(s, -EIO,
				"the database is not usable since an error: start "
				"again"));
	return 0;
}

int
state_enter(struct state *s, const char *what)
{
	int r = state_enter_read(s, what);

	if (r < 0)
		return r;
	r = state_begin(s);
	return r < 0 ? state_leave(s, r) : 0;
}

/*
 * A commit that failed is undone: in WAL mode the next transaction writes over its frames
 * and syncs them anew, so that the connection stays good. Where even that fails nothing
 * more is believed.
 */
int
state_leave(struct state *s, int r)
{
	if (!s->broken && !sqlite3_get_autocommit(s->db)) {
		if (r >= 0) {
			int done = run_statement(s, STATE_COMMIT);
			r = done < 0 ? done : r;
		}
		if (!sqlite3_get_autocommit(s->db)) {
			AUTO_RESET *q = state_statement(s, STATE_ROLLBACK);
			(void)sqlite3_step(q);
		}
		s->broken = !sqlite3_get_autocommit(s->db);
	} else if (s->writing && r >= 0) {
		/* SQLite rolls back on its own after some errors. */
		r = state_fail(s, -EIO, "the transaction was rolled back");
	}
	s->writing = false;
	mutex_unlock(&s->mutex);
	return r;
}

const char *
state_why(struct state *s)
{
	const char *why = "";

	mutex_lock(&s->mutex);
	if (s->whys_n > 0)
		why = s->whys[(s->whys_n - 1) % STATE_WHYS];
	mutex_unlock(&s->mutex);
	return why;
}

/* Binding fails only where a statement runs or a place does not exist: our mistakes. */
void
bind_i64(sqlite3_stmt *q, int at, int64_t v)
{
	CHECK(sqlite3_bind_int64(q, at, v) == SQLITE_OK);
}

void
bind_u64(sqlite3_stmt *q, int at, uint64_t v)
{
	if (v == UINT64_MAX)
		CHECK(sqlite3_bind_null(q, at) == SQLITE_OK);
	else
		bind_i64(q, at, (int64_t)v);
}

void
bind_text(sqlite3_stmt *q, int at, const char *v)
{
	CHECK(sqlite3_bind_text(q, at, v, -1, SQLITE_STATIC) == SQLITE_OK);
}

void
bind_blob(sqlite3_stmt *q, int at, struct view v)
{
	CHECK(sqlite3_bind_blob64(q, at, v.p, v.n, SQLITE_STATIC) == SQLITE_OK);
}

uint64_t
column_u64(sqlite3_stmt *q, int at, uint64_t absent)
{
	if (sqlite3_column_type(q, at) == SQLITE_NULL)
		return absent;
	return (uint64_t)sqlite3_column_int64(q, at);
}

uint32_t
column_u32(sqlite3_stmt *q, int at, uint32_t absent)
{
	uint64_t v = column_u64(q, at, absent);

	return v > UINT32_MAX ? absent : (uint32_t)v;
}

struct view
column_blob(sqlite3_stmt *q, int at)
{
	const uint8_t *p = sqlite3_column_blob(q, at);
	int n = sqlite3_column_bytes(q, at);

	return (struct view){p, p ? (size_t)n : 0};
}

void
column_text(sqlite3_stmt *q, int at, char *ret, size_t cap)
{
	struct view v = column_blob(q, at);
	size_t n = v.n < cap ? v.n : cap - 1;

	CHECK(cap > 0);
	memset(ret, 0, cap);
	if (n > 0)
		memcpy(ret, v.p, n);
}

bool
column_octets(sqlite3_stmt *q, int at, uint8_t *ret, size_t n)
{
	struct view v = column_blob(q, at);

	memset(ret, 0, n);
	if (v.n != n || n == 0)
		return false;
	memcpy(ret, v.p, n);
	return true;
}
