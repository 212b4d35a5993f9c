/* SQLite: a file, opened for reading alone. */
#include "helper/sql.h"
#include "os/clock.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Steps of SQLite's machine between two looks at the clock. */
#define STEPS_BETWEEN 10000

struct file {
	sqlite3 *db;
	sqlite3_stmt *query;
	dev_t dev;
	ino_t ino;
	uint64_t deadline_ms;
};

static int
is_late(void *context)
{
	const struct file *f = context;

	return clock_ms() >= f->deadline_ms;
}

static void
leave(struct file *f)
{
	(void)sqlite3_finalize(f->query);
	(void)sqlite3_close(f->db);
	f->query = NULL;
	f->db = NULL;
}

static const char *
prepare(struct sql *s)
{
	static struct file file;

	s->own = &file;
	if (s->database[0] != '/')
		return "sql_database: the path behind sqlite: must begin with /";
	if (*helper_setting(s->h, "sql_password_file"))
		return "sql_password_file: SQLite has no passwords; take it out";
	return sqlite3_initialize() == SQLITE_OK ? NULL : "SQLite does not start";
}

/* The statement, which must read only, and be one. NULL, or what is wrong. */
static const char *
compile(struct file *f, const char *query)
{
	const char *tail = "";

	if (sqlite3_prepare_v3(f->db, query, -1, SQLITE_PREPARE_PERSISTENT, &f->query,
		    &tail) != SQLITE_OK)
		return "sql_query is refused";
	if (!f->query || tail[strspn(tail, " \t\r\n;")])
		return "sql_query must be one statement";
	if (!sqlite3_stmt_readonly(f->query))
		return "sql_query changes the database; it may only read";
	return NULL;
}

static void
wait_for_locks(const struct file *f)
{
	uint64_t now = clock_ms();

	(void)sqlite3_busy_timeout(
		f->db, now < f->deadline_ms ? (int)(f->deadline_ms - now) : 0);
}

static const char *
open_file(struct sql *s, struct file *f)
{
	const int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
	struct stat st;

	if (stat(s->database, &st) < 0)
		return "the file of sql_database cannot be read";
	if (!S_ISREG(st.st_mode))
		return "sql_database is no file";
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	if (sqlite3_open_v2(s->database, &f->db, flags, NULL) != SQLITE_OK || !f->db)
		return "the file of sql_database cannot be opened";
	(void)sqlite3_extended_result_codes(f->db, 1);
	/* The schema of a file is its writer's: it calls nothing that has effects. */
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	wait_for_locks(f);
	sqlite3_progress_handler(f->db, STEPS_BETWEEN, is_late, f);
	return compile(f, s->query);
}

/* The file by that name is the one that is open. */
static bool
is_same_file(const struct sql *s, const struct file *f)
{
	struct stat st;

	return stat(s->database, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino;
}

static bool
be_open(struct sql *s, struct file *f, const char **ret_reason)
{
	if (f->db && is_same_file(s, f))
		return true;
	leave(f);
	/* A file costs little to try, so no pause: it is there as soon as it is there. */
	*ret_reason = open_file(s, f);
	if (!*ret_reason)
		return true;
	sql_failed(
		s, *ret_reason, f->db ? sqlite3_errmsg(f->db) : strerrordesc_np(errno));
	leave(f);
	return false;
}

static bool
bind(struct file *f, const struct view values[SQL_PARAMETERS])
{
	int n = sqlite3_bind_parameter_count(f->query);

	for (int i = 1; i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(f->query, i);
		if (!name || name[0] != '$' || name[1] < '1' || name[1] > '3' || name[2])
			return false;
		struct view v = values[name[1] - '1'];
		if (sqlite3_bind_text64(f->query, i, (const char *)v.p, v.n,
			    SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
			return false;
	}
	return true;
}

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
put_row(struct file *f, struct helper_fields *ret)
{
	for (int i = 0; i < sqlite3_column_count(f->query); i++) {
		const char *name = sqlite3_column_name(f->query, i);
		const uint8_t *p = sqlite3_column_type(f->query, i) == SQLITE_NULL
			? NULL
			: sqlite3_column_text(f->query, i);
		if (name && p)
			helper_fields_put(ret, view_of(name),
				(struct view){
					p, (size_t)sqlite3_column_bytes(f->query, i)});
	}
}

static bool
ask(struct sql *s, const struct view values[SQL_PARAMETERS], uint64_t deadline_ms,
	struct helper_fields *ret_fields, size_t *ret_rows, const char **ret_reason)
{
	struct file *f = s->own;
	int r;

	f->deadline_ms = deadline_ms;
	if (!be_open(s, f, ret_reason))
		return false;
	wait_for_locks(f);
	*ret_rows = 0;
	r = bind(f, values) ? SQLITE_OK : SQLITE_MISUSE;
	while (r == SQLITE_OK || (r == SQLITE_ROW && *ret_rows < 2)) {
		r = sqlite3_step(f->query);
		if (r == SQLITE_ROW && ++*ret_rows == 1)
			put_row(f, ret_fields);
	}
	bool good = r == SQLITE_DONE || r == SQLITE_ROW;
	if (good) {
		sql_succeeded(s);
	} else {
		*ret_reason = r == SQLITE_INTERRUPT ? "SQLite took too long"
						    : "SQLite refuses the question";
		sql_failed(s, *ret_reason, sqlite3_errmsg(f->db));
	}
	(void)sqlite3_reset(f->query);
	(void)sqlite3_clear_bindings(f->query);
	/* After a fault nothing of the old state is trusted. */
	if (!good)
		leave(f);
	return good;
}

const struct sql_ops sql_sqlite = {.prepare = prepare, .ask = ask};
