/* restante-auth-sql: users in SQLite or PostgreSQL. */
#include "helper/helper.h"
#include "helper/sql.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_MS_MIN 50
#define PAUSE_MS_MAX 1000

bool
sql_may_try(const struct sql *s, uint64_t now_ms)
{
	return now_ms >= s->retry_ms;
}

void
sql_failed(struct sql *s, const char *what, const char *detail)
{
	s->pause_ms = s->pause_ms == 0 ? PAUSE_MS_MIN : s->pause_ms * 2;
	if (s->pause_ms > PAUSE_MS_MAX)
		s->pause_ms = PAUSE_MS_MAX;
	s->retry_ms = clock_ms() + s->pause_ms;
	if (!s->told)
		helper_log("database_lost", what, detail);
	s->told = true;
}

void
sql_succeeded(struct sql *s)
{
	if (s->told)
		helper_log("database_back", "it answers again", "");
	s->told = false;
	s->pause_ms = 0;
	s->retry_ms = 0;
}

static const char *
prepare(struct helper *h)
{
	static const char prefix[] = "sqlite:";
	static struct sql state; /* too large for a stack */
	struct sql *s = &state;
	const char *database = helper_setting(h, "sql_database");

	s->h = h;
	helper_keep(h, s);
	if (!*database)
		return "sql_database is empty: give sqlite:PATH, or postgresql://... or "
		       "host=... "
		       "for PostgreSQL";
	bool is_file = strncmp(database, prefix, strlen(prefix)) == 0;
	s->ops = is_file ? &sql_sqlite : &sql_pgsql;
	s->database = is_file ? database + strlen(prefix) : database;
	s->query = helper_setting(h, "sql_query");
	const char *why = sql_query_read(s->query, s->uses);
	return why ? why : s->ops->prepare(s);
}

static void
ask(struct helper *h, const struct helper_ask *a, struct helper_answer *ret)
{
	struct sql *s = helper_state(h);
	struct helper_fields *f = &s->fields;
	const struct view values[SQL_PARAMETERS] = {
		a->name, helper_name_local(a->name), helper_name_domain(a->name)};
	/* Auth waits timeout_ms in all, for the way there and back too. */
	uint64_t deadline = clock_ms() + (uint64_t)helper_timeout_ms(h) * 9 / 10;
	size_t rows = 0;

	if (a->kind != ASK_LOOKUP && a->kind != ASK_VERIFY) {
		ret->reason = "a database of users is asked for users alone";
		return;
	}
	if (!helper_name_can_be(a->name)) {
		ret->outcome = ANSWER_NO_USER;
		ret->reason = "no database has such a name";
		return;
	}
	helper_fields_init(f, a->name);
	if (!s->ops->ask(s, values, deadline, f, &rows, &ret->reason))
		ret->outcome = ANSWER_TEMPORARY;
	else if (rows == 0)
		ret->outcome = ANSWER_NO_USER;
	else if (rows > 1)
		ret->reason = "sql_query gave more than one row for the name";
	else
		helper_fields_answer(f, true, ret);
	explicit_bzero(f, sizeof(*f));
}

static void
idle(struct helper *h)
{
	struct sql *s = helper_state(h);

	if (s->ops->idle)
		s->ops->idle(s);
}

int
main(void)
{
	static const struct helper_ops ops = {
		.backend = BACKEND_SQL,
		.name = "sql",
		.prepare = prepare,
		.ask = ask,
		.idle = idle,
	};

	return helper_main(&ops);
}
