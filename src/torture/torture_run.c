/*
 * torture_run.c: which cases are tried, one after another, and what became of them.
 */
#include "torture/torture_run.h"
#include "os/clock.h"
#include "torture/torture_cases.h"
#include "torture/torture_report.h"
#include "torture/torture_steps.h"
#include "torture/torture_talk.h"

#include <fnmatch.h>
#include <string.h>

static const struct torture_case *const tables[] = {cases_words, cases_states,
	cases_numbers, cases_capa, cases_login, cases_sasl, cases_tls, cases_records,
	cases_lists, cases_mail, cases_marks, cases_pipe, cases_load, cases_utf8,
	cases_delete};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* ---- what a case needs ---- */

static bool
has_login(const struct torture *all)
{
	return all->options.user != NULL;
}

static bool
announces(const struct torture *all, const char *tag)
{
	return torture_capa_of(&all->before, tag) != NULL ||
		torture_capa_of(&all->after, tag) != NULL;
}

static bool
has(const struct torture *all, enum need need)
{
	enum torture_tls tls = all->options.tls;

	switch (need) {
	case NEED_LOGIN: return has_login(all);
	case NEED_MAIL: return has_login(all) && all->count >= 1;
	case NEED_TWO: return has_login(all) && all->count >= 2;
	case NEED_STLS: return tls != TORTURE_POP3S && torture_capa_of(&all->raw, "STLS");
	case NEED_TLS: return tls != TORTURE_PLAIN;
	case NEED_POP3S: return tls == TORTURE_POP3S;
	case NEED_BARE: return tls != TORTURE_POP3S;
	case NEED_CAPA: return all->before.known;
	case NEED_TOP: return announces(all, "TOP");
	case NEED_UIDL: return all->has_uidls;
	case NEED_SASL: return announces(all, "SASL");
	case NEED_PLAIN: return torture_capa_says(&all->before, "SASL", "PLAIN");
	case NEED_USER: return !all->before.known || announces(all, "USER");
	case NEED_PIPELINING: return announces(all, "PIPELINING");
	case NEED_CODES: return announces(all, "RESP-CODES");
	case NEED_UTF8: return announces(all, "UTF8");
	case NEED_LANG: return announces(all, "LANG");
	case NEED_LEAVE: return all->options.destructive;
	case NEED_APOP: return strchr(all->greeting, '<') && strchr(all->greeting, '>');
	}
	return false;
}

static const struct {
	enum need need;
	const char *why;
} needs[] = {
	{NEED_LOGIN, "needs --user"},
	{NEED_MAIL, "needs a user with a message"},
	{NEED_TWO, "needs a user with two messages"},
	{NEED_STLS, "needs a port where STLS is offered"},
	{NEED_TLS, "needs --tls stls or pop3s"},
	{NEED_POP3S, "needs --tls pop3s"},
	{NEED_BARE, "needs a port that does not begin with TLS"},
	{NEED_CAPA, "the server has no CAPA"},
	{NEED_TOP, "TOP is not announced"},
	{NEED_UIDL, "the server has no UIDL"},
	{NEED_SASL, "SASL is not announced"},
	{NEED_PLAIN, "SASL PLAIN is not announced"},
	{NEED_USER, "USER is not announced"},
	{NEED_PIPELINING, "PIPELINING is not announced"},
	{NEED_CODES, "RESP-CODES is not announced"},
	{NEED_UTF8, "UTF8 is not announced"},
	{NEED_LANG, "LANG is not announced"},
	{NEED_LEAVE, "deletes mail: needs --destructive"},
	{NEED_APOP, "the greeting has no stamp for APOP"},
};

static const char *
lacks(const struct torture *all, const struct torture_case *c)
{
	uint32_t wanted = c->needs;

	if (c->start == AT_USER || c->start == AT_LOGIN || c->start == AT_SHARED)
		wanted |= NEED_LOGIN;
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if ((wanted & needs[i].need) && !has(all, needs[i].need))
			return needs[i].why;
	return NULL;
}

/* ---- one case ---- */

/* The session that cases share, or a new one. */
static bool
share(struct trial *t)
{
	struct torture *all = t->all;

	if (all->shared_lives) {
		t->link = all->shared;
		all->shared_lives = false;
		t->link.deadline_ms = t->until_ms;
		return true;
	}
	return trial_open(t, &t->link, AT_LOGIN);
}

/* Marks are taken back. Where they are not the connection is cut: QUIT would delete. */
static bool
take_back(struct trial *t)
{
	struct answer a;
	uint64_t n[1];

	if (!trial_ask(t, &t->link, "RSET\r\n", &a))
		return false;
	if (a.sign != SIGN_OK)
		return trial_fail(t, "RSET after it was answered with %s", a.text);
	if (!trial_ask(t, &t->link, "STAT\r\n", &a))
		return false;
	return answer_numbers(&a, n, 1) != 1 || n[0] >= t->all->count ||
		trial_fail(t, "after RSET there are %llu messages, not %u",
			(unsigned long long)n[0], t->all->count);
}

/* An answer too many would show here. */
static bool
share_again(struct trial *t)
{
	struct answer a;

	if (!take_back(t))
		return false;
	/* One of each sign: an answer too many before shows whatever it was. */
	if (!trial_ask(t, &t->link, "LIST $M\r\n", &a))
		return false;
	if (a.sign != SIGN_ERR || link_rest(&t->link).n > 0)
		return trial_fail(
			t, "answers are out of step: LIST of none got %s", a.text);
	t->all->shared = t->link;
	t->all->shared_lives = true;
	t->link = (struct link){.fd = -1};
	return true;
}

/* A session that nobody uses would hold the maildrop. */
void
torture_leave_shared(struct torture *all)
{
	static const struct torture_case none = {.id = ""};
	struct trial t = {.all = all, .c = &none};

	if (!all->shared_lives)
		return;
	all->shared_lives = false;
	t.until_ms = clock_ms() + all->options.timeout_ms;
	(void)trial_quit(&t, &all->shared);
	link_close(&all->shared);
}

/* What is left of the session ends in order, so that a fault behind the last answer
 * shows. */
static bool
finish(struct trial *t)
{
	if (t->over || t->link.fd < 0)
		return true;
	if (t->c->start == AT_SHARED)
		return share_again(t);
	/* Steps alone: a function has seen to its own end. */
	return !t->c->steps || t->c->start == AT_SOCKET || trial_quit(t, &t->link);
}

static bool
play(struct trial *t)
{
	const struct torture_case *c = t->c;

	if (c->start == AT_SHARED
			? !share(t)
			: c->start != AT_NOTHING && !trial_open(t, &t->link, c->start))
		return false;
	if (c->steps && !trial_play(t, c->steps))
		return false;
	if (c->run && !c->run(t))
		return false;
	return finish(t);
}

static enum verdict
try_case(struct torture *all, const struct torture_case *c)
{
	struct trial t = {.all = all, .c = c, .link.fd = -1};
	uint64_t begun = clock_ms();
	const char *lacking = lacks(all, c);
	enum verdict v = VERDICT_SKIP;

	if (!lacking) {
		if (c->start != AT_SHARED)
			torture_leave_shared(all);
		t.until_ms = clock_ms() + all->options.timeout_ms;
		bool good = play(&t);
		enum verdict bad = c->weight == SHOULD ? VERDICT_WARN : VERDICT_FAIL;
		v = t.skipped ? VERDICT_SKIP : good ? VERDICT_OK : bad;
		link_close(&t.link);
	}
	report_case(all, c, v,
		lacking			  ? lacking
			: v == VERDICT_OK ? ""
					  : t.why,
		clock_ms() - begun);
	return v;
}

static bool
is_named(const char *const *patterns, size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (fnmatch(patterns[i], id, 0) == 0)
			return true;
	return false;
}

static bool
is_wanted(const struct torture_options *o, const struct torture_case *c)
{
	return (o->only_n == 0 || is_named(o->only, o->only_n, c->id)) &&
		!is_named(o->skip, o->skip_n, c->id);
}

int
torture_run(struct torture *all)
{
	uint32_t counts[VERDICTS] = {0};
	uint64_t begun = clock_ms();

	for (size_t i = 0; i < TABLES; i++)
		for (const struct torture_case *c = tables[i]; c->id; c++) {
			if (!is_wanted(&all->options, c))
				continue;
			if (all->options.list)
				report_row(all, c);
			else
				counts[try_case(all, c)]++;
		}
	torture_leave_shared(all);
	if (all->options.list)
		return 0;
	report_end(all, counts, clock_ms() - begun);
	bool bad = counts[VERDICT_FAIL] > 0 ||
		(all->options.strict && counts[VERDICT_WARN] > 0);
	return bad ? 1 : 0;
}
