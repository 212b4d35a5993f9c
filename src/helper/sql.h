/*
 * sql.h: what the parts of restante-auth-sql share. A database is a struct sql_ops.
 */
#ifndef HELPER_SQL_H
#define HELPER_SQL_H

#include "helper/helper_fields.h"

#define SQL_PARAMETERS 3

struct sql;

struct sql_ops {
	/* NULL, or what is wrong with the settings. Nothing needs to be there yet. */
	const char *(*prepare)(struct sql *s);
	/*
	 * Asks for one user until deadline_ms: true, and *ret_rows (0, 1, or 2 for more),
	 * and of one row its fields in f; false: the database does not answer, and
	 * *ret_reason (static text) says how.
	 */
	bool (*ask)(struct sql *s, const struct view values[SQL_PARAMETERS],
		uint64_t deadline_ms, struct helper_fields *f, size_t *ret_rows,
		const char **ret_reason);
	void (*idle)(struct sql *s);
};

struct sql {
	struct helper *h;
	const struct sql_ops *ops;
	const char *query;
	bool uses[SQL_PARAMETERS]; /* $1 name, $2 local part, $3 domain */
	const char *database;	   /* without "sqlite:" */
	/* No new connection before this: the server is not there. */
	uint64_t retry_ms;
	uint32_t pause_ms;
	bool told; /* in the log, that it is not there */
	void *own;
	struct helper_fields fields;
};

extern const struct sql_ops sql_sqlite, sql_pgsql;

/* sql_query.c: which parameters a query uses. Pure. NULL, or what is wrong (static). */
const char *sql_query_read(const char *query, bool ret_uses[SQL_PARAMETERS]);

/* sql_main.c: whether a connection may be tried; how a try went, for the next one. */
bool sql_may_try(const struct sql *s, uint64_t now_ms);
void sql_failed(struct sql *s, const char *what, const char *detail);
void sql_succeeded(struct sql *s);

#endif
