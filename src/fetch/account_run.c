#include "fetch/account_run_parts.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sysexits.h>

static void begin_with_secret(struct account_run *a);

static const struct fetch_account *
settings_of(const struct account_run *a)
{
	return a->collect.account;
}

static void
job(struct account_run *a, enum account_phase phase, struct work_lane *lane,
	void (*run)(struct work_job *), void (*done)(struct work_job *))
{
	a->phase = phase;
	a->job.run = run;
	a->job.done = done;
	work_submit(a->all->run.work, lane, &a->job);
}

static struct account_run *
of_job(struct work_job *j)
{
	return (struct account_run *)((char *)j - offsetof(struct account_run, job));
}

/* ---- the end of a run of this account
 * ---------------------------------------------------- */

/* The next session is the daemon's affair; a list or a dry run learns nothing. */
static bool
is_for_show(const struct account_run *a)
{
	return a->all->run.task == RUN_LIST || settings_of(a)->dry_run;
}

void
account_run_poll_later(struct account_run *a, uint64_t next_s)
{
	struct account_runs *r = a->all;
	struct report_facts f = REPORT_NOTHING;

	if (next_s == 0)
		return;
	f.account = settings_of(a)->name;
	f.seconds = schedule_wait_s(settings_of(a), next_s, clock_unix_s());
	report_tell(r->run.report, REPORT_NEXT_POLL, &f);
	if (loop_timer_set(r->run.loop, &a->poll, clock_ms() + f.seconds * 1000) != 0) {
		r->status = EX_OSERR;
		loop_stop(r->run.loop);
	}
}

/* The next poll opens all anew and replays what the journal says. */
static void
close_targets(struct account_run *a)
{
	struct collect *c = &a->collect;

	deliver_close(&c->deliver);
	spool_close(&c->spool);
}

static void
forget_tls_session(struct remembered *m)
{
	if (m->tls_session)
		explicit_bzero(m->tls_session, m->tls_session_n);
	free(m->tls_session);
	m->tls_session = NULL;
	m->tls_session_n = 0;
}

static void
over(struct account_run *a)
{
	struct account_runs *r = a->all;
	bool daemon = r->run.settings->daemon;
	struct report_facts f = REPORT_NOTHING;

	a->phase = PHASE_IDLE;
	a->begun = true;
	if (a->outcome.kind == OUTCOME_LOCAL || !r->run.files.keep_open)
		close_targets(a);
	/* What a daemon met on its way is no verdict on how it ended. */
	if (!daemon)
		r->status = schedule_worse(r->status, a->schedule.status);
	collect_tell_undeleted(&a->collect);
	f.account = settings_of(a)->name;
	report_tell(r->run.report, REPORT_FINISHED, &f);
	if (daemon && !r->run.ending && !a->retired)
		account_run_poll_later(a, a->collect.memory.next_poll_s);
	account_runs_over(a);
}

/* By the signal that ends all: nobody's failure. */
static bool
is_stopped(const struct account_run *a)
{
	return a->all->run.ending && a->outcome.kind == OUTCOME_LOCAL;
}

static void
tell_outcome(struct account_run *a)
{
	static const enum report_event events[] = {
		[OUTCOME_OK] = REPORT_EVENTS,
		[OUTCOME_MORE] = REPORT_EVENTS,
		[OUTCOME_CUT] = REPORT_TEMPORARY,
		[OUTCOME_TEMPORARY] = REPORT_TEMPORARY,
		[OUTCOME_REFUSED] = REPORT_REFUSED_LOGIN,
		[OUTCOME_PROTOCOL] = REPORT_PROTOCOL,
		[OUTCOME_UNREACHABLE] = REPORT_UNREACHABLE,
		[OUTCOME_LOCAL] = REPORT_LOCAL,
		[OUTCOME_FILE] = REPORT_LOCAL,
	};
	char why[LETTER_WHY_MAX + 100];
	struct report_facts f = REPORT_NOTHING;
	enum report_event e = events[a->outcome.kind];
	const struct run *run = &a->all->run;
	bool last = a->outcome.kind == OUTCOME_REFUSED && run->settings->daemon &&
		a->collect.memory.next_poll_s == 0;

	if (e == REPORT_EVENTS || is_stopped(a))
		return;
	snprintf(why, sizeof(why), "%s%s", a->outcome.why,
		last ? "; it is not polled any more until the configuration is read "
		       "again (SIGHUP)"
		     : "");
	f.account = settings_of(a)->name;
	f.why = why;
	report_tell(a->all->run.report, e, &f);
}

static void
remember_run(struct work_job *j)
{
	struct account_run *a = of_job(j);

	/* It has failed as it is; that the state fails too is told where that counts. */
	(void)!state_remember(a->collect.run->state, &a->collect.memory);
}

static void
remember_done(struct work_job *j)
{
	over(of_job(j));
}

/* Before any session, or between two: it cannot go on. */
static void
fail(struct account_run *a, enum session_outcome_kind kind, const char *why)
{
	struct remembered *m = &a->collect.memory;
	uint64_t now_s = clock_unix_s();

	a->outcome = (struct session_outcome){.kind = kind};
	snprintf(a->outcome.why, sizeof(a->outcome.why), "%s", why);
	tell_outcome(a);
	a->schedule.status =
		schedule_worse(a->schedule.status, schedule_status(&a->outcome));
	if (!is_stopped(a)) {
		schedule_count(m, &a->outcome);
		m->last_try_s = now_s;
		memcpy(m->last_error, a->outcome.why, sizeof(m->last_error));
	}
	m->next_poll_s = schedule_poll(
		settings_of(a), m, &a->outcome, false, now_s, clock_unix_ns());
	if (m->row == 0 || is_for_show(a))
		over(a);
	else
		job(a, PHASE_CLOSE, &a->collect.lane, remember_run, remember_done);
}

/* ---- after a session
 * --------------------------------------------------------------------- */

static void
remember_outcome(struct account_run *a)
{
	struct remembered *m = &a->collect.memory;
	struct fetch_session *s = a->collect.session;
	uint64_t now_s = clock_unix_s(), random = clock_unix_ns();

	m->last_try_s = now_s;
	m->collected += s->counts.committed;
	m->collected_octets += s->counts.octets;
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	if (!is_stopped(a))
		schedule_count(m, &a->outcome);
	if (a->outcome.kind == OUTCOME_OK || a->outcome.kind == OUTCOME_MORE) {
		m->last_success_s = now_s;
		m->last_error[0] = 0;
	} else if (!is_stopped(a)) {
		memcpy(m->last_error, a->outcome.why, sizeof(m->last_error));
	}
	/* Learnt once a poll, however many sessions it takes. */
	m->interval_ms = a->interval_ms;
	m->next_poll_s =
		schedule_poll(settings_of(a), m, &a->outcome, a->won, now_s, random);
}

static void
close_run(struct work_job *j)
{
	struct account_run *a = of_job(j);
	struct collect *c = &a->collect;
	uint64_t before_s;

	a->result = 0;
	if (is_for_show(a))
		return;
	a->result = collect_write_marks(c, true);
	if (a->result == 0) {
		collect_remember_failed(c);
		session_learn(c->session);
		remember_outcome(a);
		a->result = state_remember(c->run->state, &c->memory);
	}
	before_s = schedule_forget_before(c->account, clock_unix_s());
	if (a->result == 0 && c->session->whole && before_s > 0)
		a->result = state_sweep(c->run->state, c->memory.row, before_s);
	if (a->result != 0)
		snprintf(a->why, sizeof(a->why), "the state cannot be written: %s",
			state_why(c->run->state)[0] ? state_why(c->run->state)
						    : strerror(-a->result));
}

/* A signal: another session would have followed. */
static void
leave_off(struct account_run *a)
{
	a->schedule.status = schedule_worse(a->schedule.status, EX_TEMPFAIL);
	over(a);
}

static void
close_done(struct work_job *j)
{
	struct account_run *a = of_job(j);
	enum schedule_next next;

	collect_done(&a->collect);
	if (a->result != 0) {
		fail(a, OUTCOME_LOCAL, a->why);
		return;
	}
	next = schedule_after(&a->schedule, &a->outcome, &a->gain);
	/* What is tried again at once is no news. */
	if (next == SCHEDULE_DONE) {
		tell_outcome(a);
		over(a);
	} else if (a->all->run.ending) {
		leave_off(a);
	} else {
		begin_with_secret(a);
	}
}

static void
finished(struct collect *c)
{
	struct account_run *a = (struct account_run *)c;
	const struct fetch_session *s = c->session;

	collect_tell_deleted(c);
	a->outcome = s->outcome;
	collect_gain(c, &a->gain);
	a->won = a->won || a->gain.committed > 0;
	if (a->outcome.kind == OUTCOME_REFUSED)
		a->refresh_secret = true;
	job(a, PHASE_CLOSE, &c->lane, close_run, close_done);
}

/* ---- before a session
 * -------------------------------------------------------------------- */

static void
begin(struct account_run *a)
{
	int r;

	a->phase = PHASE_SESSION;
	r = collect_start(&a->collect);
	if (r != 0) {
		collect_done(&a->collect);
		fail(a, OUTCOME_LOCAL, strerror(-r));
	}
}

static void
secret_run(struct work_job *j)
{
	account_run_secret(of_job(j));
}

static void
secret_done(struct work_job *j)
{
	struct account_run *a = of_job(j);
	struct report_facts f = REPORT_NOTHING;

	if (a->warning[0]) {
		f.account = settings_of(a)->name;
		f.why = a->warning;
		report_tell(a->all->run.report, REPORT_CAREFUL, &f);
		a->warning[0] = 0;
	}
	if (a->result != 0)
		fail(a, OUTCOME_LOCAL, a->why);
	else if (a->all->run.ending)
		leave_off(a);
	else
		begin(a);
}

/* A token may live for minutes: each session has its own. A password is read once. */
static void
begin_with_secret(struct account_run *a)
{
	if (a->schedule.sessions > 0 && !a->schedule.renews)
		begin(a);
	else
		job(a, PHASE_SECRET, &a->all->run.secrets, secret_run, secret_done);
}

/* Once an account had TLS it is not used without, unless somebody says so. */
static bool
would_lose_tls(const struct account_run *a)
{
	return a->collect.memory.tls_seen && settings_of(a)->tls == FETCH_TLS_NONE &&
		!settings_of(a)->forget_tls;
}

static int
open_all(struct account_run *a)
{
	struct collect *c = &a->collect;
	const struct fetch_account *settings = c->account;
	const char *state = a->configuration->command.settings.state;
	int r;

	if (c->deliver && deliver_stands(c->deliver))
		return 0;
	close_targets(a);
	if (settings->tls != FETCH_TLS_NONE && !c->tls) {
		r = configuration_tls(
			a->configuration, settings, &c->tls, a->why, sizeof(a->why));
		a->no_file = r != 0 && state_exit_status(r) != EX_TEMPFAIL;
		if (r != 0)
			return r;
	}
	forget_tls_session(&c->memory);
	r = state_account(c->run->state, settings, &c->memory);
	if (r != 0) {
		snprintf(a->why, sizeof(a->why), "the state cannot be read: %s",
			state_why(c->run->state));
		return r;
	}
	a->interval_ms = c->memory.interval_ms;
	if (is_for_show(a))
		return 0;
	r = spool_open(settings, state, &c->spool, a->why, sizeof(a->why));
	if (r == 0)
		r = deliver_open(settings, c->spool, c->run->state, c->memory.row,
			&c->deliver, a->why, sizeof(a->why));
	if (r == 0)
		r = deliver_replay(c->deliver, a->why, sizeof(a->why));
	/* Once a run, so that what fails again stays put aside. */
	if (r == 0 && settings->retry_aside) {
		r = state_retry_aside(c->run->state, &c->memory);
		if (r != 0)
			snprintf(a->why, sizeof(a->why),
				"the state cannot be written: %s",
				state_why(c->run->state));
	}
	return r;
}

static void
open_run(struct work_job *j)
{
	struct account_run *a = of_job(j);

	a->no_file = false;
	a->result = open_all(a);
}

/* LOGIN-DELAY counts over a restart too. */
static bool
too_early(const struct account_run *a)
{
	uint64_t now_s = clock_unix_s();

	return a->all->run.settings->daemon && !a->begun &&
		schedule_not_before(&a->collect.memory, now_s) > now_s;
}

static void
wait_for_it(struct account_run *a)
{
	a->collect.memory.next_poll_s =
		schedule_not_before(&a->collect.memory, clock_unix_s());
	over(a);
}

static void
open_done(struct work_job *j)
{
	struct account_run *a = of_job(j);

	if (a->result != 0)
		fail(a, a->no_file ? OUTCOME_FILE : OUTCOME_LOCAL, a->why);
	else if (a->all->run.ending)
		over(a);
	else if (too_early(a))
		wait_for_it(a);
	else if (would_lose_tls(a))
		fail(a, OUTCOME_PROTOCOL,
			"this account had TLS before and is not used without it; "
			"--forget-tls, "
			"once, if that is meant");
	else {
		account_run_tell_former(a);
		begin_with_secret(a);
	}
}

void
account_run_start(struct account_run *a)
{
	a->schedule = (struct schedule){.renews = settings_of(a)->token_command};
	a->won = false;
	collect_forget_failed(&a->collect);
	a->interval_ms = a->collect.memory.interval_ms;
	a->collect.finished = finished;
	job(a, PHASE_OPEN, &a->collect.lane, open_run, open_done);
}

void
account_run_free(struct account_run *a)
{
	struct collect *c = &a->collect;

	collect_done(c);
	collect_forget_failed(c);
	close_targets(a);
	tls_context_unref(&c->tls);
	secret_wipe(&c->password);
	secret_wipe(&c->token);
	forget_tls_session(&c->memory);
	configuration_unref(&a->configuration);
	/* Its timer or its job may be what is being called. */
	loop_defer_free(c->run->loop, a);
}
