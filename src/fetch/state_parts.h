/*
 * state_parts.h: what the files of the state share. Nobody else includes it.
 *
 * A public function begins with state_enter or state_enter_read, which take the mutex,
 * and ends with state_leave, which commits (or rolls back where r < 0) and gives it back:
 *
 *     int r = state_enter(s, "noting what was seen");
 *     if (r < 0)
 *             return r;
 *     r = ...;
 *     return state_leave(s, r);
 */
#ifndef FETCH_STATE_PARTS_H
#define FETCH_STATE_PARTS_H

#include "fetch/state.h"

#include <pthread.h>
#include <sqlite3.h>

enum state_statement {
#define STATE_STATEMENT(id, sql) STATE_##id,
#include "fetch/state_statements.def"
#undef STATE_STATEMENT
	STATE_STATEMENTS,
};

enum delivery_stage {
	DELIVERY_OWED = 0,     /* tried, or lost in a crash: to be fetched again */
	DELIVERY_INTENDED = 1, /* on its way */
	DELIVERY_SYNCED = 2,
};

#define STATE_WHY_MAX	512
#define STATE_WHYS	8
#define STATE_ASIDE_MAX 64 /* what an old uid grows by when it steps aside */

struct state {
	pthread_mutex_t mutex;
	sqlite3 *db;
	sqlite3_stmt *statements[STATE_STATEMENTS];
	int dir, lock;
	bool read_only, broken;
	bool writing;	      /* a transaction that must end with COMMIT */
	int64_t next_message; /* id of the next new row */
	const char *what;     /* is being done */
	char *path;	      /* of the database */
	size_t whys_n;
	char whys[STATE_WHYS][STATE_WHY_MAX]; /* the last few */
};

/* ---- state_sql.c ---- */
[[nodiscard]] int state_enter(struct state *s, const char *what);
[[nodiscard]] int state_enter_read(struct state *s, const char *what);
/* Within state_enter_read, where it turned out that something must be written. */
[[nodiscard]] int state_begin(struct state *s);
[[nodiscard]] int state_leave(struct state *s, int r);
/* Notes the text (with the path and what was being done) and returns r. */
[[gnu::format(printf, 3, 4)]] int state_fail(
	struct state *s, int r, const char *format, ...);
/* -errno of SQLite's result, noted. SQLITE_OK, ROW and DONE: 0. */
[[nodiscard]] int state_error(struct state *s, int result);
[[nodiscard]] int state_errno(sqlite3 *db, int result);
/* Before the first database: reads that fail are known from then on (see state_sql.c). */
void state_watch_reads(void);
[[nodiscard]] int state_prepare_all(struct state *s);
void state_finalize_all(struct state *s);

/* A statement at its start, with nothing bound; reset when it goes out of scope. */
sqlite3_stmt *state_statement(struct state *s, enum state_statement id);
void state_reset(sqlite3_stmt **q);
#define AUTO_RESET __attribute__((cleanup(state_reset))) sqlite3_stmt
/* Steps once: 1 a row, 0 none, -errno. */
[[nodiscard]] int state_step(struct state *s, sqlite3_stmt *q);
/* Steps a statement that gives no row. */
[[nodiscard]] int state_run(struct state *s, sqlite3_stmt *q);

/* What is bound is borrowed until the statement is reset. UINT64_MAX is NULL. */
void bind_i64(sqlite3_stmt *q, int at, int64_t v);
void bind_u64(sqlite3_stmt *q, int at, uint64_t v);
void bind_text(sqlite3_stmt *q, int at, const char *v); /* NULL: NULL */
void bind_blob(sqlite3_stmt *q, int at, struct view v); /* p NULL: NULL */
/* NULL reads as `absent`. */
uint64_t column_u64(sqlite3_stmt *q, int at, uint64_t absent);
uint32_t column_u32(sqlite3_stmt *q, int at, uint32_t absent);
/* Cut where it does not fit. */
void column_text(sqlite3_stmt *q, int at, char *ret, size_t cap);
struct view column_blob(sqlite3_stmt *q, int at);
/* False (and zeroes) unless the blob has exactly n octets. */
bool column_octets(sqlite3_stmt *q, int at, uint8_t *ret, size_t n);

/* ---- state_schema.c ---- */
/* One connection's settings; checks that those that matter took. */
[[nodiscard]] int state_settle_in(struct state *s);
/* The version found is checked, an older one upgraded by steps[version] and on. */
[[nodiscard]] int state_upgrade(struct state *s, const char *const *steps, size_t n);
[[nodiscard]] int state_upgrade_to_ours(struct state *s);
/* A new file at path, complete with the tables of ours, closed and synced. */
[[nodiscard]] int state_create_file(struct state *s, const char *path);

/* ---- state_marks.c ---- */
/* The row of that uid: 1 and its id, 0 none, -errno. */
[[nodiscard]] int state_message_id(
	struct state *s, int64_t account, struct view uid, int64_t *ret);
/* Gives the uid free: the row's own becomes uid NUL old ID. A tombstone where gone. */
[[nodiscard]] int state_step_aside(
	struct state *s, int64_t account, int64_t id, struct view uid, uint64_t gone_s);

#endif
