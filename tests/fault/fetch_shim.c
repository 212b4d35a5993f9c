/*
 * fetch_shim: preloaded into restante-fetch with file_shim.c; adds its calls to SQLite,
 * and what it told the server.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "file_shim.h"

#include <errno.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/types.h>

static _Thread_local bool in_sqlite;

/* What the server was told, among the changes of files. */
ssize_t
send(int fd, const void *p, size_t n, int flags)
{
	shim_lock();
	ssize_t r = REAL(send)(fd, p, n, flags);
	int error = errno;
	if (r > 0) {
		shim_tell("send\t");
		shim_tell_octets(p, (size_t)r);
	}
	shim_unlock();
	errno = error;
	return r;
}

/* ---- SQLite: only what the program itself calls ---- */

static enum verdict
enter_sqlite(enum kind kind)
{
	shim_lock();
	enum verdict v = shim_judge(kind);
	shim_unlock();
	in_sqlite = true;
	return v;
}

static int
leave_sqlite(enum verdict v, int result)
{
	in_sqlite = false;
	shim_judged(v);
	return result;
}

int
sqlite3_step(sqlite3_stmt *q)
{
	if (in_sqlite)
		return REAL(sqlite3_step)(q);
	enum verdict v = enter_sqlite(SQL_STEP);
	return leave_sqlite(v, v == FAIL ? shim_error() : REAL(sqlite3_step)(q));
}

int
sqlite3_exec(sqlite3 *db, const char *sql, int (*row)(void *, int, char **, char **),
	void *arg, char **why)
{
	if (in_sqlite)
		return REAL(sqlite3_exec)(db, sql, row, arg, why);
	enum verdict v = enter_sqlite(SQL_EXEC);
	return leave_sqlite(
		v, v == FAIL ? shim_error() : REAL(sqlite3_exec)(db, sql, row, arg, why));
}

int
sqlite3_open_v2(const char *path, sqlite3 **ret, int flags, const char *vfs)
{
	if (in_sqlite)
		return REAL(sqlite3_open_v2)(path, ret, flags, vfs);
	enum verdict v = enter_sqlite(SQL_OPEN);
	*ret = NULL;
	return leave_sqlite(v,
		v == FAIL ? shim_error() : REAL(sqlite3_open_v2)(path, ret, flags, vfs));
}

int
sqlite3_prepare_v2(
	sqlite3 *db, const char *sql, int n, sqlite3_stmt **ret, const char **tail)
{
	if (in_sqlite)
		return REAL(sqlite3_prepare_v2)(db, sql, n, ret, tail);
	enum verdict v = enter_sqlite(SQL_PREPARE);
	*ret = NULL;
	return leave_sqlite(v,
		v == FAIL ? shim_error()
			  : REAL(sqlite3_prepare_v2)(db, sql, n, ret, tail));
}

int
sqlite3_prepare_v3(sqlite3 *db, const char *sql, int n, unsigned flags,
	sqlite3_stmt **ret, const char **tail)
{
	if (in_sqlite)
		return REAL(sqlite3_prepare_v3)(db, sql, n, flags, ret, tail);
	enum verdict v = enter_sqlite(SQL_PREPARE);
	*ret = NULL;
	return leave_sqlite(v,
		v == FAIL ? shim_error()
			  : REAL(sqlite3_prepare_v3)(db, sql, n, flags, ret, tail));
}

int
sqlite3_wal_checkpoint_v2(sqlite3 *db, const char *name, int mode, int *log, int *done)
{
	if (in_sqlite)
		return REAL(sqlite3_wal_checkpoint_v2)(db, name, mode, log, done);
	enum verdict v = enter_sqlite(SQL_CHECKPOINT);
	return leave_sqlite(v,
		v == FAIL ? shim_error()
			  : REAL(sqlite3_wal_checkpoint_v2)(db, name, mode, log, done));
}
