/*
 * task_import.c: --import KIND:FILE: what another retriever has collected counts as seen.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "fetch/fetch_json.h"
#include "fetch/import_rows.h"
#include "fetch/state.h"
#include "fetch/tasks.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define IMPORT_OCTETS_MAX ((size_t)512 * 1024 * 1024)
#define MARKS_AT_ONCE	  4096
#define SHOWN_MAX	  10 /* unreadable lines that are told one by one */

/* The rows that one account takes. */
struct taker {
	const struct fetch_account *account;
	struct remembered memory;
	struct known_table known;
	uint64_t matched, fresh;
	size_t marks_n;
	struct mark marks[MARKS_AT_ONCE];
};

struct importing {
	struct import_sink sink; /* first */
	const struct fetch_command *command;
	enum import_kind kind;
	const char *path;
	struct view file; /* its name without directory */
	struct state *state;
	struct taker *taker; /* whose rows are taken in this pass; NULL: count only */
	bool all_his;	     /* all rows are the taker's */
	bool several;	     /* the file speaks of more than one host and user */
	bool has_first;
	struct view first_host, first_user;
	uint64_t rows, later, unreadable, taken;
	int result;
};

static void
complain(const char *what, const char *why)
{
	(void)fprintf(stderr, "restante fetch: %s: %s\n", what, why);
}

/* ---- whose row ---- */

/* "recent:" is Gmail's word, not a part of the name. */
static struct view
name_of(const struct fetch_account *a)
{
	struct view user = text_view(a->user);

	if (user.n > 7 && memcmp(user.p, "recent:", 7) == 0)
		user = (struct view){user.p + 7, user.n - 7};
	return user;
}

static bool
is_of(const struct importing *m, const struct fetch_account *a,
	const struct import_row *row)
{
	struct view user = row->user, name = name_of(a);

	if (m->kind == IMPORT_GETMAIL)
		return import_getmail_is(m->file, text_view(a->host), a->port, name) ||
			import_getmail_is(
				m->file, text_view(a->host), a->port, text_view(a->user));
	if (user.n > 7 && memcmp(user.p, "recent:", 7) == 0)
		user = (struct view){user.p + 7, user.n - 7};
	return ascii_equal_nocase(row->host, text_view(a->host)) &&
		view_equal(user, name);
}

static bool
is_of_any(const struct importing *m, const struct import_row *row)
{
	const struct fetch_settings *s = &m->command->settings;

	for (size_t i = 0; i < s->accounts_n; i++)
		if (is_of(m, &s->accounts[i], row))
			return true;
	return false;
}

/* ---- the first pass: what there is ---- */

static void
count_row(struct import_sink *sink, const struct import_row *row)
{
	struct importing *m = (struct importing *)sink;

	m->rows++;
	m->taken += is_of_any(m, row);
	if (!m->has_first) {
		m->has_first = true;
		m->first_host = row->host;
		m->first_user = row->user;
	}
	m->several |= !ascii_equal_nocase(row->host, m->first_host) ||
		!view_equal(row->user, m->first_user);
}

static void
count_later(struct import_sink *sink, const struct import_row *row)
{
	(void)row;
	((struct importing *)sink)->later++;
}

static void
tell_unreadable(struct import_sink *sink, uint32_t line, const char *why)
{
	struct importing *m = (struct importing *)sink;

	if (m->unreadable++ < SHOWN_MAX)
		(void)fprintf(stderr, "restante fetch: %s:%u: left out: %s\n", m->path,
			line, why);
}

/* ---- the others: into the state ---- */

static void
flush(struct importing *m)
{
	struct taker *t = m->taker;

	if (m->result == 0 && t->marks_n > 0)
		m->result = state_mark(
			m->state, t->memory.row, t->marks, t->marks_n, clock_unix_s());
	t->marks_n = 0;
}

static void
take_row(struct import_sink *sink, const struct import_row *row)
{
	struct importing *m = (struct importing *)sink;
	struct taker *t = m->taker;

	if (m->result != 0 || (!m->all_his && !is_of(m, t->account, row)))
		return;
	t->matched++;
	const struct known *k = known_find(&t->known, row->uid);
	/* What is on its way is settled by the next run. */
	if (k && k->stage != KNOWN_SEEN)
		return;
	t->fresh++;
	t->marks[t->marks_n++] =
		(struct mark){.kind = MARK_ADOPTED, .uid = row->uid, .size = UINT64_MAX};
	if (t->marks_n == MARKS_AT_ONCE)
		flush(m);
}

static void
pass_later(struct import_sink *sink, const struct import_row *row)
{
	(void)sink;
	(void)row;
}

static void
pass_unreadable(struct import_sink *sink, uint32_t line, const char *why)
{
	(void)sink;
	(void)line;
	(void)why;
}

static int
take_for(struct importing *m, struct view text, struct taker *t)
{
	int r = state_account(m->state, t->account, &t->memory);

	if (r == 0)
		r = state_load(m->state, t->memory.row, &t->known);
	if (r < 0)
		return r;
	m->taker = t;
	m->result = 0;
	m->sink = (struct import_sink){take_row, pass_later, pass_unreadable};
	import_read(m->kind, text, &m->sink);
	flush(m);
	/* The next session looks at the whole listing, not at its end alone. */
	t->memory.count = UINT32_MAX;
	if (m->result == 0 && t->fresh > 0)
		m->result = state_remember(m->state, &t->memory);
	return m->result;
}

static void
tell_account(const struct importing *m, const struct taker *t)
{
	uint8_t text[1024];
	struct buf b = buf_over(text, sizeof(text));

	if (!m->command->settings.json) {
		(void)printf("%s: %llu matched, %llu of them new\n", t->account->name,
			(unsigned long long)t->matched, (unsigned long long)t->fresh);
		return;
	}
	buf_put_str(&b, "{");
	json_field_text(&b, "event", text_view("imported"), 16);
	json_field_text(&b, "account", text_view(t->account->name), 512);
	json_field_number(&b, "matched", t->matched);
	json_field_number(&b, "new", t->fresh);
	buf_put_str(&b, "}\n");
	(void)fwrite(text, 1, b.n, stdout);
}

static int
take_all(struct importing *m, struct view text)
{
	const struct fetch_settings *s = &m->command->settings;

	for (size_t i = 0; i < s->accounts_n; i++) {
		AUTO_FREE struct taker *t = calloc(1, sizeof(*t));

		if (!t)
			return -ENOMEM;
		t->account = &s->accounts[i];
		int r = take_for(m, text, t);
		known_free(&t->known);
		free(t->memory.tls_session);
		if (r < 0)
			return r;
		if (t->matched > 0 || s->accounts_n == 1)
			tell_account(m, t);
	}
	return 0;
}

static void
tell_rest(const struct importing *m)
{
	uint64_t others = m->all_his ? 0 : m->rows - m->taken;
	uint8_t text[512];
	struct buf b = buf_over(text, sizeof(text));

	if (m->command->settings.json) {
		buf_put_str(&b, "{");
		json_field_text(&b, "event", text_view("summary"), 16);
		json_field_number(&b, "rows", m->rows);
		json_field_number(&b, "others", others);
		json_field_number(&b, "not_collected", m->later);
		json_field_number(&b, "unreadable", m->unreadable);
		buf_put_str(&b, "}\n");
		(void)fwrite(text, 1, b.n, stdout);
		return;
	}
	(void)printf("%llu for other accounts, %llu not collected yet, %llu lines not "
		     "readable\n",
		(unsigned long long)others, (unsigned long long)m->later,
		(unsigned long long)m->unreadable);
	if (others > 0)
		(void)printf(
			"For other accounts: those of the file whose server and user "
			"are none of yours.\n");
}

static int
run(struct importing *m, struct view text)
{
	const struct fetch_settings *s = &m->command->settings;
	char why[LETTER_WHY_MAX];

	m->sink = (struct import_sink){count_row, count_later, tell_unreadable};
	import_read(m->kind, text, &m->sink);
	if (m->unreadable > SHOWN_MAX)
		(void)fprintf(stderr, "restante fetch: %s: %llu more such lines\n",
			m->path, (unsigned long long)(m->unreadable - SHOWN_MAX));
	/* Who names one account says whose a file is that speaks of one only. */
	m->all_his = m->command->named && s->accounts_n == 1 && !m->several;
	if (m->rows == 0 && m->unreadable > 0) {
		complain(m->path, "no line of it can be read: is it of that kind?");
		return EX_DATAERR;
	}
	int r = state_open(s->state, true, &m->state, why, sizeof(why));
	if (r < 0) {
		complain("state", why);
		return state_exit_status(r);
	}
	r = take_all(m, text);
	if (r < 0)
		complain("state", r == -ENOMEM ? "out of memory" : state_why(m->state));
	state_close(&m->state);
	if (r < 0)
		return state_exit_status(r);
	tell_rest(m);
	return m->unreadable > 0 ? EX_DATAERR : EX_OK;
}

int
task_import(const struct fetch_command *c)
{
	struct importing m = {.command = c};
	const char *colon = strchr(c->argument, ':');
	AUTO_FREE uint8_t *text = NULL;
	size_t n = 0;

	CHECK(colon);
	m.kind = import_kind_of((struct view){
		(const uint8_t *)c->argument, (size_t)(colon - c->argument)});
	if (m.kind == IMPORT_KINDS) {
		complain(c->argument, "fetchids:, mpop:, getmail: or popstate: is meant");
		return EX_USAGE;
	}
	m.path = colon + 1;
	const char *slash = strrchr(m.path, '/');
	m.file = text_view(slash ? slash + 1 : m.path);
	AUTO_FD fd = open(m.path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r = fd < 0 ? -errno : fd_read_file(fd, IMPORT_OCTETS_MAX, &text, &n);
	if (r < 0) {
		complain(m.path, strerrordesc_np(-r));
		return EX_NOINPUT;
	}
	return run(&m, (struct view){text, n});
}
