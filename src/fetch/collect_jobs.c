/*
 * collect_jobs.c: what waits for disks or other programs, on a thread: the state,
 * commits, filters.
 */
#include "fetch/collect.h"

#include "fetch/filter.h"
#include "fetch/status.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MARKS_AT_ONCE 4096

/* A job of a session with a few words of its own. */
struct session_job {
	struct work_job job;
	struct collect *c;
	struct mail *mail;
	int result;
	enum filter_verdict verdict;
	char why[LETTER_WHY_MAX]; /* of the state, where it failed */
	size_t header_n;
	uint8_t header[];
};

static void
submit_on(struct collect *c, struct work_lane *lane, struct work_job *j,
	void (*run)(struct work_job *), void (*done)(struct work_job *))
{
	j->run = run;
	j->done = done;
	c->jobs++;
	work_submit(c->run->work, lane, j);
}

static void
submit(struct collect *c, struct work_job *j, void (*run)(struct work_job *),
	void (*done)(struct work_job *))
{
	submit_on(c, &c->lane, j, run, done);
}

static struct session_job *
job_new(struct collect *c, size_t header_n)
{
	struct session_job *j = calloc(1, sizeof(*j) + header_n);

	if (!j) {
		session_fail(c->session, OUTCOME_LOCAL, "no memory");
		return NULL;
	}
	j->c = c;
	j->header_n = header_n;
	return j;
}

/* At the end of a job, on its thread: another account may use the state for seconds, and
 * what it says is of whoever failed last. */
static void
keep_why(const struct collect *c, int r, char why[LETTER_WHY_MAX])
{
	if (r != 0)
		snprintf(why, LETTER_WHY_MAX, "the state cannot be used: %s (%s)",
			state_why(c->run->state), strerror(-r));
}

/* ---- load
 * ------------------------------------------------------------------------------- */

static void
load_run(struct work_job *job)
{
	struct session_job *j = (struct session_job *)job;

	j->result = state_load(j->c->run->state, j->c->memory.row, &j->c->known);
	keep_why(j->c, j->result, j->why);
	/* A list or a dry run changes no state; else there is nothing left to change. */
	if (j->result == 0 && j->c->account->retry_aside &&
		(j->c->run->task == RUN_LIST || j->c->account->dry_run))
		known_retry_aside(&j->c->known);
}

static void
load_done(struct work_job *job)
{
	struct session_job *j = (struct session_job *)job;
	struct collect *c = j->c;

	c->jobs--;
	if (j->result == 0)
		collect_recall_failed(c);
	if (j->result == 0)
		session_loaded(c->session, &c->known);
	else
		session_fail(c->session, OUTCOME_LOCAL, j->why);
	free(j);
	collect_step(c);
}

void
collect_load(struct collect *c)
{
	struct session_job *j = job_new(c, 0);

	if (j)
		submit(c, &j->job, load_run, load_done);
}

/* ---- marks
 * ------------------------------------------------------------------------------ */

/* Where UIDLs move from message to message, those who take one and those who had it must
 * be marked together (state_marks.c): then all go at once. */
static size_t
marks_at_once(const struct mails *m, bool end)
{
	bool moves = false;

	for (uint32_t i = 0; i < m->n && !end && !moves; i++)
		moves = m->at[i].number && m->at[i].renamed;
	return moves && m->n >= MARKS_AT_ONCE / SESSION_MARKS_MAX
		? ((size_t)m->n + 1) * SESSION_MARKS_MAX
		: MARKS_AT_ONCE;
}

int
collect_write_marks(struct collect *c, bool end)
{
	size_t cap = marks_at_once(&c->mails, end);
	struct mark *marks = calloc(cap, sizeof(*marks));
	uint64_t at = 0;
	size_t n;
	int r = marks ? 0 : -ENOMEM;

	while (r == 0 && (n = session_marks(c->session, end, &at, marks, cap)) > 0)
		r = state_mark(c->run->state, c->memory.row, marks, n, clock_unix_s());
	free(marks);
	return r;
}

static void
mark_run(struct work_job *job)
{
	struct session_job *j = (struct session_job *)job;

	j->result = collect_write_marks(j->c, false);
	keep_why(j->c, j->result, j->why);
}

static void
mark_done(struct work_job *job)
{
	struct session_job *j = (struct session_job *)job;
	struct collect *c = j->c;

	c->jobs--;
	if (j->result == 0)
		session_marked(c->session);
	else
		session_fail(c->session, OUTCOME_LOCAL, j->why);
	free(j);
	collect_step(c);
}

void
collect_mark(struct collect *c)
{
	struct session_job *j = job_new(c, 0);

	if (j)
		submit(c, &j->job, mark_run, mark_done);
}

/* ---- filters
 * ---------------------------------------------------------------------------- */

static void
filter_run(struct work_job *job)
{
	struct session_job *j = (struct session_job *)job;

	j->verdict = filter_ask(j->c->account, (struct view){j->header, j->header_n});
}

static void
filter_done(struct work_job *job)
{
	struct session_job *j = (struct session_job *)job;
	struct collect *c = j->c;

	c->jobs--;
	session_filtered(c->session, j->mail, j->verdict);
	free(j);
	collect_step(c);
}

void
collect_filter(struct collect *c, struct mail *m)
{
	struct session_job *j = job_new(c, c->header_n);

	if (!j)
		return;
	j->mail = m;
	if (c->header_n > 0)
		memcpy(j->header, c->header, c->header_n);
	submit(c, &j->job, filter_run, filter_done);
}

/* ---- commits
 * ---------------------------------------------------------------------------- */

static void
keep_refused(struct collect *c, struct letter *l)
{
	char path[512], why[LETTER_WHY_MAX];

	memcpy(why, l->why, sizeof(why));
	if (spool_quarantine(c->spool, l, why, path, sizeof(path)) != 0)
		l->fate = LETTER_TEMPORARY;
}

static void
commit_run(struct work_job *job)
{
	struct batch *b = (struct batch *)job;

	b->result = deliver_commit(b->c->deliver, b->letters, b->n);
	keep_why(b->c, b->result, b->why);
	for (size_t i = 0; i < b->n; i++) {
		if (b->letters[i]->fate == LETTER_REFUSED)
			keep_refused(b->c, b->letters[i]);
	}
}

static void
tell_fate(struct collect *c, const struct letter *l)
{
	static const enum report_event events[] = {
		[LETTER_COMING] = REPORT_FAILED_MESSAGE,
		[LETTER_DELIVERED] = REPORT_DELIVERED,
		[LETTER_KNOWN] = REPORT_KNOWN,
		[LETTER_TEMPORARY] = REPORT_FAILED_MESSAGE,
		[LETTER_REFUSED] = REPORT_QUARANTINED,
		[LETTER_UNKNOWN] = REPORT_UNKNOWN_FATE,
	};
	struct report_facts f = REPORT_NOTHING;
	char subject[HEADER_FIELD_MAX + 1], from[HEADER_FIELD_MAX + 1];

	memcpy(subject, l->scan.subject, l->scan.subject_n);
	subject[l->scan.subject_n] = 0;
	memcpy(from, l->scan.from, l->scan.from_n);
	from[l->scan.from_n] = 0;
	f.account = c->account->name;
	f.uid = l->uid;
	f.msgno = l->msgno;
	f.octets = l->octets;
	f.subject = subject;
	f.from = from;
	f.why = l->why[0] ? l->why : NULL;
	report_tell(c->run->report, events[l->fate], &f);
}

uint32_t
collect_share(const struct run *r)
{
	uint32_t share = COLLECT_HOLD / (r->sessions ? r->sessions : 1);

	if (share < COLLECT_HOLD_MIN)
		share = COLLECT_HOLD_MIN;
	return share < r->files.letters / 2 ? share : r->files.letters / 2;
}

/* Files that are made ahead. */
static uint32_t
stock_most(const struct collect *c)
{
	uint32_t most = collect_share(c->run) / 8;

	return most < SPOOL_STOCK_MAX ? most : SPOOL_STOCK_MAX;
}

void
collect_room(struct collect *c)
{
	uint32_t letters = c->run->files.letters;

	/* The stock is never more than that, however few sessions there are. */
	session_room(c->session, letters - letters / 2 / 8);
}

static void commit_done(struct work_job *job);

static void
commit_synced(struct collect *c)
{
	struct batch *b = c->synced;

	if (!b || c->committing)
		return;
	c->synced = NULL;
	c->committing = true;
	submit(c, &b->job, commit_run, commit_done);
}

static void
commit_done(struct work_job *job)
{
	struct batch *b = (struct batch *)job;
	struct collect *c = b->c;

	c->jobs--;
	c->committing = false;
	if (b->result != 0)
		session_fail(c->session, OUTCOME_LOCAL, b->why);
	for (size_t i = 0; i < b->n; i++) {
		struct letter *l = b->letters[i];

		tell_fate(c, l);
		session_committed(c->session, b->mails[i], l->fate);
		if (l->fd >= 0)
			spool_abort(c->spool, l);
		collect_letter_free(l);
	}
	c->on_the_way -= (uint32_t)b->n;
	if (c->on_the_way < collect_share(c->run) / 2)
		session_hold(c->session, false);
	collect_room(c); /* the configuration may have been read anew */
	free(b);
	commit_synced(c);
	collect_commit(c, false);
	collect_step(c);
}

static void
sync_run(struct work_job *job)
{
	struct batch *b = (struct batch *)job;

	deliver_sync(b->c->deliver, b->c->run->together, b->letters, b->n);
}

static void
sync_done(struct work_job *job)
{
	struct batch *b = (struct batch *)job;
	struct collect *c = b->c;

	c->jobs--;
	c->syncing = false;
	c->synced = b;
	commit_synced(c);
	collect_commit(c, false);
	collect_step(c);
}

/*
 * Large batches cost the least, as many files share what their directories cost; small
 * ones are the soonest done. So the fewer are still to come, the fewer are waited for:
 * little is left to do once the last is here.
 */
static bool
is_large_enough(const struct collect *c, const struct batch *b)
{
	const struct fetch_session *s = c->session;
	/* Half of what may be on its way, or nothing would come meanwhile. */
	uint32_t share = collect_share(c->run), most = share / 2;
	uint32_t least = share < COLLECT_BATCH_MIN ? most : COLLECT_BATCH_MIN;
	uint32_t enough = (s->retrievals + c->mails.order_n - s->order_sent) / 2;

	if (enough > most)
		enough = most;
	if (enough < least || s->now_ms - b->since_ms >= COLLECT_BATCH_MS)
		enough = least;
	return b->n >= enough || b->octets >= COLLECT_BATCH_OCTETS;
}

/*
 * One batch is synced while the one before is committed; the next goes when there is room
 * for it: the slower the disk, the more letters share its syncs. now: nothing more comes
 * for a while.
 */
void
collect_commit(struct collect *c, bool now)
{
	struct batch *b = c->batch;

	c->commit_wanted = c->commit_wanted || now;
	if (!b || b->n == 0 || c->syncing || c->synced)
		return;
	if (!c->commit_wanted && !is_large_enough(c, b))
		return;
	c->commit_wanted = false;
	c->syncing = true;
	c->batch = NULL;
	submit_on(c, &c->sync_lane, &b->job, sync_run, sync_done);
}

/* ---- files for letters that are to come
 * ---------------------------------------------------------------------------- */

static void
stock_run(struct work_job *job)
{
	struct collect *c =
		(struct collect *)((char *)job - offsetof(struct collect, stock_job));

	spool_stock(c->spool, c->stock);
}

static void
stock_done(struct work_job *job)
{
	struct collect *c =
		(struct collect *)((char *)job - offsetof(struct collect, stock_job));

	c->jobs--;
	c->stocking = false;
	collect_step(c);
}

/* Letters that will begin after the one that has just begun. */
static uint32_t
letters_to_begin(const struct collect *c)
{
	const struct fetch_session *s = c->session;
	uint32_t n = s->retrievals + c->mails.order_n - s->order_sent;

	return n > 0 ? n - 1 : 0;
}

void
collect_stock(struct collect *c)
{
	uint32_t most = stock_most(c), left = letters_to_begin(c);

	if (c->stocking)
		return;
	if (most > left)
		most = left;
	if (most < COLLECT_STOCK_MIN || spool_stocked(c->spool) > most / 2)
		return;
	c->stocking = true;
	c->stock = most;
	submit_on(c, &c->stock_lane, &c->stock_job, stock_run, stock_done);
}

/* ---- words
 * ------------------------------------------------------------------------------ */

static void
tell_plan(struct collect *c, const struct mail *m)
{
	struct report_facts f = REPORT_NOTHING;

	if (m->plan == MAIL_LEAVE || m->plan == MAIL_UNDECIDED)
		return;
	f.account = c->account->name;
	f.msgno = m->number;
	f.octets = m->size;
	f.uid = mail_uid(&c->mails, m);
	f.target = plan_name(m);
	f.why = m->reason;
	report_tell(c->run->report, REPORT_WOULD, &f);
}

void
collect_planned(struct collect *c)
{
	bool talk = c->account->dry_run;
	uint64_t octets = 0;
	uint32_t n = 0;

	if (c->run->task == RUN_LIST) {
		status_list(stdout, c->run->settings->json, c->account->name, &c->mails);
		return;
	}
	for (uint32_t i = 0; i < c->mails.n; i++) {
		const struct mail *m = &c->mails.at[i];

		if (!m->number)
			continue;
		if (talk)
			tell_plan(c, m);
		n += m->plan == MAIL_FETCH;
		octets += m->plan == MAIL_FETCH && m->size != MAIL_NO_SIZE ? m->size : 0;
	}
	if (!talk)
		report_expect(c->run->report, n, octets);
}
