/*
 * PostgreSQL: one connection, kept; questions with bound parameters, in transactions that
 * only read. Everything that waits, waits in poll with what is left of the time.
 */
#include "helper/sql.h"
#include "helper/helper_file.h"
#include "os/clock.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYWORDS_MAX	8
#define TYPE_BOOL	16 /* pg_type.h: BOOLOID, TEXTOID */
#define TYPE_TEXT	25
#define AUTHORITIES	"/etc/ssl/certs/ca-certificates.crt"
#define SQLSTATE_CANCEL "57014"

struct server {
	PGconn *connection;
	const char *keywords[KEYWORDS_MAX + 1], *values[KEYWORDS_MAX + 1];
	size_t n;
	char password[HELPER_PASSWORD_MAX + 1];
};

/* ---- settings ------------------------------------------------------------------- */

static void
add(struct server *v, const char *keyword, const char *value)
{
	v->keywords[v->n] = keyword;
	v->values[v->n] = value;
	v->n++;
}

static const char *
option_value(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (strcmp(options->keyword, keyword) == 0)
			return options->val && *options->val ? options->val : NULL;
	return NULL;
}

/* Every host of the list (commas between) is a unix socket or this machine. */
static bool
is_local(const char *hosts)
{
	static const char *const local[] = {"localhost", "127.0.0.1", "::1", ""};

	while (hosts) {
		size_t n = strcspn(hosts, ",");
		bool is = n > 0 && (hosts[0] == '/' || hosts[0] == '@');
		for (size_t i = 0; i < sizeof(local) / sizeof(local[0]) && !is; i++)
			is = strlen(local[i]) == n && memcmp(local[i], hosts, n) == 0;
		if (!is)
			return false;
		hosts = hosts[n] ? hosts + n + 1 : NULL;
	}
	return true;
}

/*
 * Who stands between us and a server on another machine could answer with any row he
 * likes: its certificate is checked unless the settings say otherwise.
 */
static void
settle_tls(struct server *v, const PQconninfoOption *options)
{
	const char *address = option_value(options, "hostaddr");
	const char *host = option_value(options, "host");

	/* What a service of libpq's means stands in a file that we do not read. */
	bool local =
		!option_value(options, "service") && is_local(address ? address : host);

	if (local || option_value(options, "sslmode"))
		return;
	add(v, "sslmode", "verify-full");
	if (!option_value(options, "sslrootcert"))
		add(v, "sslrootcert", AUTHORITIES);
}

static const char *
prepare(struct sql *s)
{
	static struct server server;
	struct server *v = &server;
	char *error = NULL;
	const char *why = helper_password(s->h, "sql_password_file", v->password);

	s->own = v;
	if (why)
		return why;
	PQconninfoOption *options = PQconninfoParse(s->database, &error);
	if (!options) {
		/* What it says may show a password that stands there. */
		PQfreemem(error);
		return "sql_database: neither sqlite:PATH nor a connection string "
		       "(host=... "
		       "dbname=...) or URI of PostgreSQL";
	}
	/* Later ones go before those in the string. */
	add(v, "dbname", s->database);
	add(v, "client_encoding", "UTF8");
	add(v, "fallback_application_name", "restante");
	if (v->password[0])
		add(v, "password", v->password);
	settle_tls(v, options);
	PQconninfoFree(options);
	return NULL;
}

/* ---- the connection ------------------------------------------------------------- */

static void
leave(struct server *v)
{
	PQfinish(v->connection);
	v->connection = NULL;
}

/* Until the socket is ready; false at the deadline. */
static bool
wait_for(const struct server *v, short events, uint64_t deadline_ms)
{
	struct pollfd p = {.fd = PQsocket(v->connection), .events = events};

	for (;;) {
		uint64_t now = clock_ms();
		if (p.fd < 0 || now >= deadline_ms)
			return false;
		int n = poll(&p, 1, (int)(deadline_ms - now));
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

/* Notices would go to stderr, and may hold what users typed. */
static void
keep_silent(void *context, const PGresult *r)
{
	(void)context;
	(void)r;
}

static bool
connect_until(struct server *v, uint64_t deadline_ms)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	v->connection = PQconnectStartParams(v->keywords, v->values, 1);
	if (!v->connection || PQstatus(v->connection) == CONNECTION_BAD)
		return false;
	(void)PQsetNoticeReceiver(v->connection, keep_silent, NULL);
	while (state != PGRES_POLLING_OK) {
		short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		if (state == PGRES_POLLING_FAILED || !wait_for(v, events, deadline_ms))
			return false;
		state = PQconnectPoll(v->connection);
	}
	return PQsetnonblocking(v->connection, 1) == 0;
}

/* Sends what is still unsent, and reads until a result is whole. */
static bool
await_result(struct server *v, uint64_t deadline_ms)
{
	for (;;) {
		int unsent = PQflush(v->connection);
		if (unsent < 0)
			return false;
		if (unsent == 0 && !PQisBusy(v->connection))
			return true;
		short events = (short)(POLLIN | (unsent ? POLLOUT : 0));
		if (!wait_for(v, events, deadline_ms) ||
			PQconsumeInput(v->connection) == 0)
			return false;
	}
}

/* The last result of what was sent, when all is there; NULL: it did not come. */
static PGresult *
take_result(struct server *v, uint64_t deadline_ms)
{
	PGresult *last = NULL;

	while (await_result(v, deadline_ms)) {
		PGresult *r = PQgetResult(v->connection);
		if (!r)
			return last;
		PQclear(last);
		last = r;
	}
	PQclear(last);
	return NULL;
}

static bool
set_up(struct server *v, uint32_t timeout_ms, uint64_t deadline_ms)
{
	char text[128];

	/* So that a server does not go on with what nobody waits for. */
	(void)snprintf(text, sizeof(text),
		"SET statement_timeout = %u; SET default_transaction_read_only = on",
		timeout_ms);
	if (PQsendQuery(v->connection, text) == 0)
		return false;
	PGresult *r = take_result(v, deadline_ms);
	bool good = r && PQresultStatus(r) == PGRES_COMMAND_OK;
	PQclear(r);
	return good;
}

/* One that is there and was not dropped while nobody asked. */
static bool
is_alive(struct server *v)
{
	return v->connection && PQconsumeInput(v->connection) == 1 &&
		PQstatus(v->connection) == CONNECTION_OK;
}

static bool
be_connected(
	struct sql *s, struct server *v, uint64_t deadline_ms, const char **ret_reason)
{
	*ret_reason = "PostgreSQL cannot be reached";
	if (is_alive(v))
		return true;
	leave(v);
	if (!sql_may_try(s, clock_ms()))
		return false;
	if (connect_until(v, deadline_ms) &&
		set_up(v, helper_timeout_ms(s->h), deadline_ms))
		return true;
	bool late = clock_ms() >= deadline_ms;
	sql_failed(s, *ret_reason,
		late || !v->connection ? "no answer in time"
				       : PQerrorMessage(v->connection));
	leave(v);
	return false;
}

/* ---- a question ----------------------------------------------------------------- */

static bool
send_question(struct sql *s, struct server *v, const struct view values[SQL_PARAMETERS])
{
	char texts[SQL_PARAMETERS][HELPER_USER_NAME_MAX + 1] = {{0}};
	const char *parameters[SQL_PARAMETERS];
	Oid types[SQL_PARAMETERS];
	int n = 0;

	for (int i = 0; i < SQL_PARAMETERS; i++) {
		/* Names without a NUL, and not longer: helper_name_can_be. */
		memcpy(texts[i], values[i].p, values[i].n);
		parameters[i] = texts[i];
		/* Left to the server where it can tell, so that it compares as the column
		 * does. */
		types[i] = s->uses[i] ? 0 : TYPE_TEXT;
		if (s->uses[i])
			n = i + 1;
	}
	return PQsendQueryParams(
		       v->connection, s->query, n, types, parameters, NULL, NULL, 0) == 1;
}

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
put_row(const PGresult *r, struct helper_fields *ret)
{
	for (int i = 0; i < PQnfields(r); i++) {
		struct view value = {(const uint8_t *)PQgetvalue(r, 0, i),
			(size_t)PQgetlength(r, 0, i)};
		if (PQgetisnull(r, 0, i))
			continue;
		if (PQftype(r, i) == TYPE_BOOL)
			value = value.n == 1 && value.p[0] == 't' ? VIEW("yes")
								  : VIEW("no");
		helper_fields_put(ret, view_of(PQfname(r, i)), value);
	}
}

static bool
read_result(struct sql *s, const PGresult *r, struct helper_fields *ret_fields,
	size_t *ret_rows, const char **ret_reason)
{
	const char *state;

	if (PQresultStatus(r) == PGRES_TUPLES_OK) {
		int rows = PQntuples(r);
		*ret_rows = rows < 2 ? (size_t)rows : 2;
		if (rows == 1)
			put_row(r, ret_fields);
		sql_succeeded(s);
		return true;
	}
	/* Only the code: texts of the server may show what users typed. */
	state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	*ret_reason = state && strcmp(state, SQLSTATE_CANCEL) == 0
		? "PostgreSQL took too long"
		: "PostgreSQL refuses the question";
	sql_failed(s, *ret_reason, state ? state : "");
	return false;
}

static bool
ask(struct sql *s, const struct view values[SQL_PARAMETERS], uint64_t deadline_ms,
	struct helper_fields *ret_fields, size_t *ret_rows, const char **ret_reason)
{
	struct server *v = s->own;

	/* A connection that was dropped unseen gets a second try, on a new one. */
	for (int tries = 0; tries < 2; tries++) {
		bool old = v->connection != NULL;
		if (!be_connected(s, v, deadline_ms, ret_reason))
			return false;
		PGresult *r =
			send_question(s, v, values) ? take_result(v, deadline_ms) : NULL;
		/* A server that is being shut down says so in a result, and then goes. */
		if (r && PQstatus(v->connection) == CONNECTION_OK) {
			bool good = read_result(s, r, ret_fields, ret_rows, ret_reason);
			PQclear(r);
			return good;
		}
		PQclear(r);
		leave(v);
		*ret_reason = "PostgreSQL does not answer";
		if (!old || clock_ms() >= deadline_ms)
			break;
	}
	sql_failed(s, *ret_reason,
		"the connection was lost, or there was no answer in time");
	return false;
}

static void
idle(struct sql *s)
{
	struct server *v = s->own;

	if (v->connection && !is_alive(v))
		leave(v);
}

const struct sql_ops sql_pgsql = {.prepare = prepare, .ask = ask, .idle = idle};
