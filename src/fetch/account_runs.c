/*
 * account_runs.c: all accounts of a run: whose turn it is, what a new reading of the
 * configuration changes, the end.
 */
#include "fetch/account_run_parts.h"

#include "fetch/account_same.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
account_run_tell_former(struct account_run *a)
{
	struct remembered *m = &a->collect.memory;
	struct report_facts f = REPORT_NOTHING;
	char why[512];

	if (!m->former[0])
		return;
	snprintf(why, sizeof(why),
		"messages of its server and user are known as those of %s and come "
		"again; if it was renamed, take the old name, or mark what its Maildir "
		"has with --reconcile first",
		m->former);
	f.account = a->collect.account->name;
	f.why = why;
	report_tell(a->all->run.report, REPORT_NEW_NAME, &f);
	m->former[0] = 0; /* once */
}

/* ---- turns
 * ------------------------------------------------------------------------------ */

static void
start_next(struct account_runs *r)
{
	struct account_run *a;

	while ((a = r->waiting) && !r->run.ending && r->running < r->run.files.parallel) {
		r->waiting = a->next;
		if (!r->waiting)
			r->waiting_last = NULL;
		a->next = NULL;
		a->waits = false;
		r->running++;
		account_run_start(a);
	}
	if (r->running == 0 && (r->run.ending || !r->run.settings->daemon))
		r->idle(r);
}

static void
enqueue(struct account_run *a)
{
	struct account_runs *r = a->all;

	a->waits = true;
	a->next = NULL;
	if (r->waiting_last)
		r->waiting_last->next = a;
	else
		r->waiting = a;
	r->waiting_last = a;
}

static void
forget_turn(struct account_run *a)
{
	struct account_runs *r = a->all;
	struct account_run *before = NULL;

	if (!a->waits)
		return;
	for (struct account_run *i = r->waiting; i != a; i = i->next)
		before = i;
	if (before)
		before->next = a->next;
	else
		r->waiting = a->next;
	if (r->waiting_last == a)
		r->waiting_last = before;
	a->next = NULL;
	a->waits = false;
}

static void
poll_fired(struct timer *t, uint64_t now_ms)
{
	struct account_run *a =
		(struct account_run *)((char *)t - offsetof(struct account_run, poll));

	(void)now_ms;
	enqueue(a);
	start_next(a->all);
}

/* ---- a new reading of the configuration
 * ------------------------------------------------- */

static struct account_run *
find(struct account_run *const *at, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(at[i]->collect.account->name, name) == 0)
			return at[i];
	}
	return NULL;
}

/* It takes the place of `old`, which runs no more (NULL: there was none). */
static void
take_over(struct account_run *a, const struct account_run *old)
{
	uint64_t next_s = old ? old->collect.memory.next_poll_s : 0;

	a->begun = old && old->begun;
	if (next_s > 0 && !old->waits &&
		account_same(a->collect.account, old->collect.account))
		account_run_poll_later(a, next_s);
	else
		enqueue(a);
}

/* still: accounts that run although the configuration in force has others. */
static void
plan_files(struct account_runs *r, size_t still)
{
	uint64_t needed;

	/* Whoever read it has looked whether they are enough. */
	(void)!files_plan(
		r->run.settings, still, r->run.files_limit, &r->run.files, &needed);
}

static void
unlink_retired(struct account_run *a)
{
	struct account_run **at = &a->all->retired;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	a->next = NULL;
}

static size_t
count_retired(const struct account_runs *r)
{
	size_t n = 0;

	for (const struct account_run *a = r->retired; a; a = a->next)
		n++;
	return n;
}

void
account_runs_over(struct account_run *a)
{
	struct account_runs *r = a->all;
	struct account_run *heir;

	r->running--;
	if (a->retired) {
		heir = find(r->at, r->n, a->collect.account->name);
		unlink_retired(a);
		plan_files(r, count_retired(r));
		if (heir && !r->run.ending)
			take_over(heir, a);
		account_run_free(a);
	}
	start_next(r);
}

static bool
runs_still(const struct account_runs *r, const char *name)
{
	for (const struct account_run *i = r->retired; i; i = i->next) {
		if (strcmp(i->collect.account->name, name) == 0)
			return true;
	}
	return false;
}

/* True: it runs still. */
static bool
retire(struct account_run *a)
{
	struct account_runs *r = a->all;

	loop_timer_clear(r->run.loop, &a->poll);
	forget_turn(a);
	if (a->phase == PHASE_IDLE)
		return false;
	a->retired = true;
	a->next = r->retired;
	r->retired = a;
	return true;
}

static void
make_free(struct account_run **at, size_t n)
{
	for (size_t i = 0; at && i < n && at[i]; i++)
		account_run_free(at[i]);
	free(at);
}

static int
make_all(struct account_runs *r, struct configuration *c, struct account_run ***ret)
{
	const struct fetch_settings *settings = &c->command.settings;
	size_t n = settings->accounts_n;
	struct account_run **at = calloc(n ? n : 1, sizeof(struct account_run *));

	if (!at)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct account_run *a = calloc(1, sizeof(*a));

		if (!a) {
			make_free(at, n);
			return -ENOMEM;
		}
		at[i] = a;
		a->all = r;
		a->configuration = c;
		c->users++;
		a->collect.run = &r->run;
		a->collect.account = &settings->accounts[i];
		a->poll = (struct timer){.fire = poll_fired};
	}
	*ret = at;
	return 0;
}

static void
put_in_force(struct account_runs *r, struct configuration *c, struct account_run **at)
{
	r->configuration = c;
	r->run.settings = &c->command.settings;
	r->at = at;
	r->n = c->command.settings.accounts_n;
	plan_files(r, r->running);
}

int
account_runs_reload(struct account_runs *r, struct configuration *c)
{
	struct configuration *old_c = r->configuration;
	struct account_run **old = r->at, **at;
	size_t old_n = r->n;
	int e;

	c->users++;
	e = make_all(r, c, &at);
	if (e != 0) {
		c->users--;
		return e;
	}
	put_in_force(r, c, at);
	for (size_t i = 0; i < r->n; i++) {
		const char *name = at[i]->collect.account->name;
		struct account_run *before = find(old, old_n, name);

		/* The one that runs hands on when it ends. */
		if (!runs_still(r, name) && (!before || before->phase == PHASE_IDLE))
			take_over(at[i], before);
	}
	for (size_t i = 0; i < old_n; i++) {
		if (!retire(old[i]))
			account_run_free(old[i]);
	}
	free(old);
	configuration_unref(&old_c);
	start_next(r);
	return 0;
}

/* ---- the beginning and the end
 * ---------------------------------------------------------- */

int
account_runs_start(struct account_runs *r, struct configuration *c)
{
	struct account_run **at;
	int e = make_all(r, c, &at);

	if (e != 0)
		return e;
	c->users++;
	put_in_force(r, c, at);
	for (size_t i = 0; i < r->n; i++)
		enqueue(r->at[i]);
	start_next(r);
	return 0;
}

static void
stop(struct account_run *a)
{
	loop_timer_clear(a->all->run.loop, &a->poll);
	if (a->phase == PHASE_SESSION)
		collect_stop(&a->collect);
}

void
account_runs_stop(struct account_runs *r)
{
	r->run.ending = true;
	for (size_t i = 0; i < r->n; i++)
		stop(r->at[i]);
	for (struct account_run *a = r->retired; a; a = a->next)
		stop(a);
	if (r->running == 0)
		r->idle(r);
}

void
account_runs_free(struct account_runs *r)
{
	struct account_run *next;

	for (struct account_run *a = r->retired; a; a = next) {
		next = a->next;
		account_run_free(a);
	}
	r->retired = NULL;
	make_free(r->at, r->n);
	r->at = NULL;
	r->n = 0;
	secret_wipe(&r->run.from_fd);
	configuration_unref(&r->configuration);
}
