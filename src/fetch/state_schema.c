/* The tables of the state, their versions, and how a connection is set up. */
#include "fetch/state_parts.h"

#include "base/check.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID 0x52737446 /* "RstF" */
#define STRINGS_OF(x)  #x
#define STRING_OF(x)   STRINGS_OF(x)
#define BUSY_MS	       5000

/*
 * steps[i] makes version i + 1 out of version i. A step that was released is never
 * changed again; what is new comes as a new one.
 *
 * message is kept in the order of its key, so that an account is loaded by reading on.
 * place is a target's number in the configuration of the run that intended last.
 * gone, delivered: 0 not (yet). size, header, digest: NULL not known.
 */
static const char *const our_steps[] = {
	"CREATE TABLE account("
	" id INTEGER PRIMARY KEY, name TEXT NOT NULL, host TEXT NOT NULL, user TEXT NOT "
	"NULL,"
	" keep INTEGER NOT NULL DEFAULT 0, delete_after_s INTEGER,"
	" tls_seen INTEGER NOT NULL DEFAULT 0, has_capabilities INTEGER NOT NULL DEFAULT "
	"0,"
	" before_has INTEGER NOT NULL DEFAULT 0, before_delay_s INTEGER NOT NULL DEFAULT "
	"0,"
	" before_mechanisms TEXT NOT NULL DEFAULT '',"
	" after_has INTEGER NOT NULL DEFAULT 0, after_delay_s INTEGER NOT NULL DEFAULT 0,"
	" after_mechanisms TEXT NOT NULL DEFAULT '', mechanism TEXT NOT NULL DEFAULT '',"
	" unstuffed INTEGER NOT NULL DEFAULT 0, sizes_lie INTEGER NOT NULL DEFAULT 0,"
	" has_no_uidl INTEGER NOT NULL DEFAULT 0, has_no_top INTEGER NOT NULL DEFAULT 0,"
	" count INTEGER, octets INTEGER NOT NULL DEFAULT 0, probes BLOB,"
	" next_delete_s INTEGER NOT NULL DEFAULT 0, last_success_s INTEGER NOT NULL "
	"DEFAULT 0,"
	" next_poll_s INTEGER NOT NULL DEFAULT 0, last_try_s INTEGER NOT NULL DEFAULT 0,"
	" failures INTEGER NOT NULL DEFAULT 0, last_error TEXT NOT NULL DEFAULT '',"
	" collected INTEGER NOT NULL DEFAULT 0, collected_octets INTEGER NOT NULL "
	"DEFAULT 0,"
	" interval_ms INTEGER NOT NULL DEFAULT 0, policy INTEGER NOT NULL DEFAULT 0,"
	" not_ahead INTEGER NOT NULL DEFAULT 0,"
	" refusals INTEGER NOT NULL DEFAULT 0, uidl_refusals INTEGER NOT NULL DEFAULT 0,"
	" tls_session BLOB,"
	" UNIQUE(name, host, user));"
	"CREATE TABLE message("
	" account INTEGER NOT NULL, uid BLOB NOT NULL, id INTEGER NOT NULL,"
	" size INTEGER, header BLOB, digest BLOB,"
	" octets INTEGER NOT NULL DEFAULT 0, stored INTEGER NOT NULL DEFAULT 0,"
	" stage INTEGER NOT NULL DEFAULT 0, tries INTEGER NOT NULL DEFAULT 0,"
	" first_seen INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,"
	" gone INTEGER NOT NULL DEFAULT 0, dele_sent INTEGER NOT NULL DEFAULT 0,"
	" PRIMARY KEY(account, uid)) WITHOUT ROWID;"
	"CREATE UNIQUE INDEX message_id ON message(id);"
	"CREATE INDEX message_gone ON message(account, gone) WHERE gone > 0;"
	"CREATE TABLE delivery("
	" message INTEGER NOT NULL, target TEXT NOT NULL, stage INTEGER NOT NULL,"
	" tmp TEXT, name TEXT, place INTEGER,"
	" PRIMARY KEY(message, target)) WITHOUT ROWID;"
	"CREATE INDEX delivery_intended ON delivery(message) WHERE stage = 1;"
	"PRAGMA application_id = " STRING_OF(APPLICATION_ID) ";",
};

/* One value of a PRAGMA, as a number. */
static int
pragma_value(struct state *s, const char *sql, int64_t *ret)
{
	sqlite3_stmt *q = NULL;
	int result = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);

	if (result == SQLITE_OK)
		result = sqlite3_step(q);
	if (result == SQLITE_ROW)
		*ret = sqlite3_column_int64(q, 0);
	int r = state_error(s, result);
	(void)sqlite3_finalize(q);
	if (r == 0 && result != SQLITE_ROW)
		return state_fail(s, -EIO, "%s gave nothing", sql);
	return r;
}

static int
execute(struct state *s, const char *sql)
{
	return state_error(s, sqlite3_exec(s->db, sql, NULL, NULL, NULL));
}

static int
set_up_defence(struct state *s)
{
	static const struct {
		int option, on;
	} options[] = {
		{SQLITE_DBCONFIG_DEFENSIVE, 1},
		{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
		{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
		{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
		{SQLITE_DBCONFIG_DQS_DDL, 0},
		{SQLITE_DBCONFIG_DQS_DML, 0},
		{SQLITE_DBCONFIG_ENABLE_FKEY, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int is = -1;
		int result =
			sqlite3_db_config(s->db, options[i].option, options[i].on, &is);
		if (result == SQLITE_OK && is != options[i].on)
			result = SQLITE_ERROR;
		if (result != SQLITE_OK)
			return state_fail(s, -EIO,
				"SQLite does not take its setting %d: install 3.31 or "
				"newer",
				options[i].option);
	}
	return 0;
}

/* The file must be in WAL mode by now: that is kept in its first page. */
static int
check_settings(struct state *s)
{
	sqlite3_stmt *q = NULL;
	int64_t synchronous = -1;
	bool wal = false;
	int result = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode", -1, &q, NULL);

	if (result == SQLITE_OK)
		result = sqlite3_step(q);
	if (result == SQLITE_ROW) {
		char mode[16];
		column_text(q, 0, mode, sizeof(mode));
		wal = strcmp(mode, "wal") == 0;
	}
	int r = state_error(s, result);
	(void)sqlite3_finalize(q);
	if (r == 0)
		r = pragma_value(s, "PRAGMA synchronous", &synchronous);
	if (r == 0)
		r = execute(s, "PRAGMA mmap_size = 0");
	if (r < 0)
		return r;
	if (!wal || synchronous != 2)
		return state_fail(s, -EIO,
			"SQLite does not write durably here (WAL %d, synchronous %d): "
			"use a "
			"local file system",
			wal, (int)synchronous);
	return 0;
}

int
state_settle_in(struct state *s)
{
	int result = sqlite3_extended_result_codes(s->db, 1);
	int r = state_error(s, result);

	if (r == 0)
		r = state_error(s, sqlite3_busy_timeout(s->db, BUSY_MS));
	if (r == 0)
		r = set_up_defence(s);
	/* cache_size in KiB: the whole program is to stay small. */
	if (r == 0)
		r = execute(s,
			"PRAGMA locking_mode = NORMAL; PRAGMA temp_store = MEMORY;"
			" PRAGMA cache_size = -1024; PRAGMA cell_size_check = ON;"
			" PRAGMA synchronous = FULL");
	if (r == 0 && !s->read_only)
		r = execute(s,
			"PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 1000;"
			" PRAGMA journal_size_limit = 8388608");
	return r < 0 ? r : check_settings(s);
}

static int
run_steps(struct state *s, const char *const *steps, size_t from, size_t n)
{
	char set[64];
	int r = execute(s, "BEGIN IMMEDIATE");

	for (size_t i = from; r == 0 && i < n; i++)
		r = execute(s, steps[i]);
	(void)snprintf(set, sizeof(set), "PRAGMA user_version = %zu", n);
	if (r == 0)
		r = execute(s, set);
	if (r == 0)
		r = execute(s, "COMMIT");
	if (!sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int
state_upgrade(struct state *s, const char *const *steps, size_t n)
{
	int64_t application = 0, version = 0;
	int r = pragma_value(s, "PRAGMA application_id", &application);

	if (r == 0)
		r = pragma_value(s, "PRAGMA user_version", &version);
	if (r < 0)
		return r;
	if (application != APPLICATION_ID || version < 0)
		return state_fail(s, -EUCLEAN,
			"is a database of another program, or damaged: move it away and "
			"use "
			"--reconcile MAILDIR so that nothing is fetched twice");
	if ((uint64_t)version > n)
		return state_fail(s, -EPROTONOSUPPORT,
			"was written by a newer restante (version %lld, this one knows "
			"%zu): "
			"use that one",
			(long long)version, n);
	if ((uint64_t)version == n)
		return 0;
	if (s->read_only)
		return state_fail(s, -EROFS,
			"was written by an older restante (version %lld): collect once, "
			"which brings it up to version %zu",
			(long long)version, n);
	return run_steps(s, steps, (size_t)version, n);
}

int
state_upgrade_to_ours(struct state *s)
{
	return state_upgrade(s, our_steps, ARRAY_SIZE(our_steps));
}

static int
fill_file(struct state *s, const char *path)
{
	int result = sqlite3_open_v2(path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	int r = state_error(s, result);

	/* Nobody knows the file yet: it is synced once, when it is complete. */
	if (r == 0)
		r = execute(s, "PRAGMA synchronous = OFF; PRAGMA cache_size = -256");
	if (r == 0)
		r = run_steps(s, our_steps, 0, ARRAY_SIZE(our_steps));
	if (r == 0)
		r = execute(s, "PRAGMA journal_mode = WAL");
	result = sqlite3_close(s->db);
	CHECK(result == SQLITE_OK);
	s->db = NULL;
	return r;
}

int
state_create_file(struct state *s, const char *path)
{
	/* SQLite makes files as the umask allows; one that is there keeps its mode, and
	 * the WAL takes it over. */
	AUTO_FD fd = open(
		path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)0600);

	if (fd < 0)
		return state_fail(
			s, -errno, "cannot be made: %s", strerrordesc_np(errno));
	/* No descriptor of ours may be closed while SQLite holds its classic locks. */
	fd_close(&fd);
	int r = fill_file(s, path);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return state_fail(
			s, -errno, "cannot be synced: %s", strerrordesc_np(errno));
	return 0;
}
