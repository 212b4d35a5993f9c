/*
 * session_plan.c: between the listing and the mail: what is known, which headers must be
 * seen first, what a filter says, what is remembered before anything moves.
 */
#include "base/ascii.h"
#include "base/buf.h"
#include "fetch/plan_identify.h"
#include "fetch/session_parts.h"

#include <string.h>

#define NOTHING	    ((struct view){0})
#define FILTERS_MAX 64 /* that wait, each with its header */

static void top_send(struct fetch_session *s);

struct plan_facts
session_facts(const struct fetch_session *s)
{
	return (struct plan_facts){
		.account = s->account,
		.known = s->known,
		.now_s = s->now_s,
		.has_top = !s->memory->has_no_top,
		.has_uidl = !s->memory->has_no_uidl,
		.sizes_lie = s->memory->sizes_lie,
		.whole = s->whole,
	};
}

static bool
is_to_be_marked(const struct mail *m)
{
	return m->reused || m->renamed || m->resized || m->skipped ||
		m->plan == MAIL_ADOPT;
}

static void
tell_renamed(struct fetch_session *s)
{
	struct report_facts f = REPORT_NOTHING;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->mails->n; i++)
		n += s->mails->at[i].number && s->mails->at[i].renamed;
	if (n == 0)
		return;
	f.count = n;
	f.why = "known messages were recognised by their headers";
	session_tell(s, REPORT_UIDS_CHANGED, &f);
}

/* All headers are here: what was decided is remembered, then mail moves. */
static void
planned(struct fetch_session *s)
{
	bool marks = false;

	s->planned = true;
	tell_renamed(s);
	for (uint32_t i = 0; i < s->mails->n && !marks; i++)
		marks = s->mails->at[i].number && is_to_be_marked(&s->mails->at[i]);
	session_push(s, SESSION_PLANNED);
	if (s->list_only || s->account->dry_run) {
		session_quit(s);
		return;
	}
	s->step = STEP_MARK;
	if (marks)
		session_push(s, SESSION_MARK);
	else
		session_marked(s);
}

void
session_marked(struct fetch_session *s)
{
	struct plan_facts f = session_facts(s);

	if (s->step != STEP_MARK)
		return;
	s->begins_anew = plan_order(&f, s->mails, &s->counts.suspects);
	s->step = STEP_MAIL;
	session_guess_adopt(s);
	session_mail_send(s);
}

void
session_plan(struct fetch_session *s)
{
	struct plan_facts f = session_facts(s);

	s->check_next = 0;
	s->counts.tops_waiting = plan_all(&f, s->mails);
	if (s->counts.tops_waiting > 0) {
		s->step = STEP_TOP;
		top_send(s);
	} else {
		planned(s);
	}
}

void
session_loaded(struct fetch_session *s, const struct known_table *known)
{
	struct mails *m = s->mails;

	s->known = known;
	if (s->step != STEP_LOAD)
		return;
	if ((known->n + 7) / 8 > m->listed_cap && !m->room(m, 0, 0, known->n)) {
		session_end(s, OUTCOME_LOCAL, "no memory for what is known", NOTHING);
		return;
	}
	session_plan(s);
}

/* ---- TOP
 * --------------------------------------------------------------------------------- */

static bool
wants_top(const struct mail *m)
{
	return m->number && m->stage == MAIL_LISTED && !m->has_header &&
		(m->plan == MAIL_CHECK || m->plan == MAIL_IDENTIFY ||
			m->plan == MAIL_FILTER);
}

/* Each header that is under way may have to wait for the filter. */
static bool
has_room_for_header(const struct fetch_session *s)
{
	return !s->account->filter ||
		s->counts.filters_waiting + pop3_client_waits(&s->client) < FILTERS_MAX;
}

static void
top_send(struct fetch_session *s)
{
	for (; s->check_next < s->mails->n && session_may_send(s) &&
		has_room_for_header(s);
		s->check_next++) {
		struct mail *m = &s->mails->at[s->check_next];

		if (!wants_top(m))
			continue;
		if (!pop3_client_send(&s->client, POP3_TOP, m->number, 0, &s->out))
			return;
		m->stage = MAIL_ASKED;
	}
}

static void
top_done(struct fetch_session *s)
{
	if (s->counts.tops_waiting > 0 || s->counts.filters_waiting > 0)
		return;
	/* What follows comes behind the answer to a NOOP. */
	if (pop3_client_waits(&s->client) > (s->guess != 0))
		return;
	session_plan(s);
}

void
session_top_drive(struct fetch_session *s)
{
	top_send(s);
	top_done(s);
	if (s->step == STEP_TOP)
		session_keep_awake(s);
}

void
session_top_status(struct fetch_session *s, const struct pop3_answer *a)
{
	struct mail *m = mails_find(s->mails, a->msgno);
	struct plan_facts f = session_facts(s);

	if (a->more || !m)
		return;
	/* No header: what was known is not touched, what was not is fetched. */
	s->noop_ms = s->now_ms;
	s->counts.tops_waiting--;
	plan_without_header(&f, s->mails, m);
	/* A server that says that it has TOP has it, whatever ails it now. */
	s->tops_refused += a->code != POP3_CODE_SYS_TEMP;
	if (s->tops_refused > 0 && s->counts.tops_waiting == 0 && !s->tops_given &&
		!(s->caps.has & POP3_CAPA_TOP))
		s->memory->has_no_top = true;
	top_done(s);
}

void
session_top_end(struct fetch_session *s, const struct pop3_answer *a)
{
	struct mail *m = mails_find(s->mails, a->msgno);

	s->tops_given = true;
	s->top_octets = 0;
	s->noop_ms = s->now_ms;
	if (m)
		session_push(s, SESSION_HEADER_END)->mail = m;
}

/* NUL, the header's digest, a dot and the size. */
#define MADE_MAX (1 + 2 * HEADER_DIGEST + 1 + 20)

/* A UIDL of our own for a message whose own does not tell it from others: with its size,
 * as many may have one header. */
static bool
make_uid(struct fetch_session *s, struct mail *m)
{
	uint8_t uid[LETTER_UID_MAX];
	struct buf b = buf_over(uid, sizeof(uid));
	struct view own = mail_uid(s->mails, m);

	if (own.n > sizeof(uid) - MADE_MAX)
		own.n = sizeof(uid) - MADE_MAX;
	buf_put_view(&b, own);
	buf_put_u8(&b, 0);
	for (size_t i = 0; i < HEADER_DIGEST; i++) {
		buf_put_u8(&b, (uint8_t) "0123456789abcdef"[m->header[i] >> 4]);
		buf_put_u8(&b, (uint8_t) "0123456789abcdef"[m->header[i] & 15]);
	}
	if (m->size != MAIL_NO_SIZE && !s->memory->sizes_lie) {
		buf_put_u8(&b, '.');
		buf_put_dec(&b, m->size);
	}
	m->named = true;
	return !b.full && mails_set_uid(s->mails, m, buf_view(&b));
}

void
session_header(
	struct fetch_session *s, struct mail *m, const uint8_t digest[HEADER_DIGEST])
{
	struct plan_facts f = session_facts(s);

	if (s->step != STEP_TOP)
		return;
	memcpy(m->header, digest, HEADER_DIGEST);
	m->has_header = true;
	s->counts.tops_waiting--;
	if (m->plan == MAIL_FILTER) {
		s->counts.filters_waiting++;
		session_push(s, SESSION_FILTER)->mail = m;
		return;
	}
	m->stage = MAIL_LISTED;
	if (m->plan == MAIL_IDENTIFY && plan_needs_name(&f, m) && !make_uid(s, m)) {
		session_end(s, OUTCOME_LOCAL, "no memory for the listing", NOTHING);
		return;
	}
	top_done(s);
}

void
session_filtered(struct fetch_session *s, struct mail *m, enum filter_verdict v)
{
	struct plan_facts f = session_facts(s);

	s->counts.filters_waiting--;
	m->stage = MAIL_LISTED;
	plan_filtered(&f, s->mails, m, v);
	if (s->step == STEP_TOP)
		top_done(s);
}

bool
session_name(struct fetch_session *s, struct mail *m, const uint8_t digest[HEADER_DIGEST])
{
	bool nameless = !m->named && (m->uid_n == 0 || m->twin);

	memcpy(m->header, digest, HEADER_DIGEST);
	m->has_header = true;
	return !nameless || make_uid(s, m);
}

static bool
is_same(const struct fetch_session *s, const struct known *k, const uint8_t *digest)
{
	size_t row = (size_t)(k - s->known->rows);

	return k->stage == KNOWN_SYNCED &&
		memcmp(k->digest, digest, HEADER_DIGEST) == 0 &&
		!(s->mails->listed[row / 8] & (1u << row % 8));
}

/* Of all that have or had this UIDL: the one with these octets. Both the same, it is that
 * message, whatever else is listed. */
static const struct known *
find_former(const struct fetch_session *s, const struct mail *m, const uint8_t *digest)
{
	struct view uid = mail_uid(s->mails, m);
	const uint8_t *end = uid.n > 0 ? memchr(uid.p, 0, uid.n) : NULL;
	const struct known *k;
	size_t at = 0;

	if (end)
		uid.n = (size_t)(end - uid.p);
	k = known_find(s->known, uid);
	if (k && is_same(s, k, digest))
		return k;
	while ((k = plan_former(s->known, uid, &at)))
		if (is_same(s, k, digest))
			return k;
	return NULL;
}

/*
 * The header of this message could not be had before it was fetched, so it may have been
 * delivered under another UIDL. It is that message only if all octets are the same, which
 * the state tells, and if that one is not listed beside it: two equal messages that are
 * there at once are two. What was deleted and has come again under a UIDL that tells it
 * from others is never asked about: nothing is lost to spare a double.
 */
int64_t
session_same(struct fetch_session *s, struct mail *m, const uint8_t *digest)
{
	struct plan_facts f = session_facts(s);
	const struct known *own, *k;

	if (!s->known || !m->unsure)
		return 0;
	own = known_find(s->known, mail_uid(s->mails, m));
	if (own && own->stage != KNOWN_SYNCED)
		own = NULL;
	if (own && memcmp(own->digest, digest, HEADER_DIGEST) == 0)
		return own->row;
	k = find_former(s, m, digest);
	if (k) {
		set_known(&f, s->mails, m, k);
		return k->row;
	}
	for (size_t i = 0; s->whole && i < s->known->n; i++) {
		k = &s->known->rows[i];
		if (!is_same(s, k, digest))
			continue;
		set_known(&f, s->mails, m, k);
		return k->row;
	}
	/* Another message has this name now. */
	return own && (m->reused || plan_octets_are_known(own)) ? own->row : 0;
}
