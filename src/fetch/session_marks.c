/*
 * session_marks.c: what the state is told of a session, and what the account remembers.
 */
#include "fetch/session_parts.h"

#include <string.h>

/* ---- marks
 * ------------------------------------------------------------------------------- */

static struct mark *
put(struct mark *marks, size_t *n, enum mark_kind kind, struct view uid)
{
	marks[*n] = (struct mark){.kind = kind, .uid = uid};
	return &marks[(*n)++];
}

static void
planned_marks(const struct fetch_session *s, const struct mail *m, struct mark *marks,
	size_t *n)
{
	struct view uid = mail_uid(s->mails, m);
	const struct known *k =
		m->known == MAIL_NO_KNOWN ? NULL : &s->known->rows[m->known];

	if (uid.n == 0)
		return;
	/* Where its header could not be had, the letter itself tells: session_same. A row
	 * of another header steps aside for one that is renamed as well. */
	if (m->renamed && k)
		put(marks, n, MARK_RENAMED, k->uid)->new_uid = uid;
	else if (m->reused && (!m->unsure || m->plan == MAIL_ADOPT || m->skipped))
		put(marks, n, MARK_REUSED, uid);
	if (m->resized)
		put(marks, n, MARK_SIZE, uid)->size = m->size;
	if (m->plan == MAIL_ADOPT)
		put(marks, n, MARK_ADOPTED, uid)->size = m->size;
	if (m->skipped)
		put(marks, n, MARK_SKIPPED, uid)->size = m->size;
}

static const struct known *
known_of(const struct fetch_session *s, const struct mail *m)
{
	return m->known == MAIL_NO_KNOWN || !s->known ? NULL : &s->known->rows[m->known];
}

/* A line or a server that is bad for a minute cuts one message several times in a run:
 * that counts once. */
static bool
is_counted(const struct fetch_session *s, const struct mail *m)
{
	const struct known *k = known_of(s, m);

	return k && k->failed > 0;
}

bool
session_is_last_try(const struct fetch_session *s, const struct mail *m)
{
	const struct known *k = known_of(s, m);

	return !is_counted(s, m) && (k ? k->tries : 0) + 1u >= s->account->tries;
}

bool
session_gives_up(const struct fetch_session *s, const struct mail *m)
{
	return m->put_aside || (m->tried && session_is_last_try(s, m));
}

static void
end_marks(const struct fetch_session *s, const struct mail *m, struct mark *marks,
	size_t *n)
{
	struct view uid = mail_uid(s->mails, m);

	if (uid.n == 0)
		return;
	if (m->known != MAIL_NO_KNOWN && s->known->rows[m->known].gone_s != 0)
		put(marks, n, MARK_BACK, uid);
	if (m->stage == MAIL_DELETED && s->quit_ok)
		put(marks, n, MARK_DELETED, uid);
	else if (m->stage == MAIL_DELETED || m->stage == MAIL_DELE_SENT)
		put(marks, n, MARK_DELE_SENT, uid);
	if (m->tried && !is_counted(s, m)) {
		struct mark *try = put(marks, n, MARK_TRY, uid);

		/* By its header it is found under another UIDL. */
		try->size = m->size;
		if (m->has_header)
			memcpy(try->header, m->header, HEADER_DIGEST);
	}
	if (session_gives_up(s, m))
		put(marks, n, MARK_QUARANTINED, uid)->size = m->size;
}

static bool
is_listed(const struct fetch_session *s, uint64_t row)
{
	return s->mails->listed[row / 8] & (1u << row % 8);
}

size_t
session_marks(const struct fetch_session *s, bool end, uint64_t *at, struct mark *marks,
	size_t cap)
{
	size_t n = 0;

	if (!s->known) /* it did not come to a plan */
		return 0;
	for (; *at < s->mails->n && n + SESSION_MARKS_MAX <= cap; ++*at) {
		const struct mail *m = &s->mails->at[*at];

		if (!m->number)
			continue;
		if (end)
			end_marks(s, m, marks, &n);
		else
			planned_marks(s, m, marks, &n);
	}
	/* Before headers have come, what has a new UIDL only seems to be gone. */
	if (!end || !s->whole || !s->planned || s->unsure_left)
		return n;
	for (; *at >= s->mails->n && *at - s->mails->n < s->known->n && n < cap; ++*at) {
		uint64_t row = *at - s->mails->n;
		const struct known *k = &s->known->rows[row];

		if (!is_listed(s, row) && k->gone_s == 0)
			put(marks, &n, MARK_GONE, k->uid);
	}
	return n;
}

/* ---- what the account remembers
 * ---------------------------------------------------------- */

static void
add_probe(struct remembered *r, uint32_t number, struct view uid)
{
	struct probe *p = &r->probes[r->probes_n];

	if (uid.n == 0 || uid.n > PROBE_UID_MAX || memchr(uid.p, 0, uid.n))
		return;
	p->msgno = number;
	p->uid_n = (uint8_t)uid.n;
	memcpy(p->uid, uid.p, uid.n);
	r->probes_n++;
}

/* A message that this session should have settled and did not. */
static bool
is_unsettled(const struct mail *m)
{
	return m->stage == MAIL_FAILED || m->stage == MAIL_DELE_SENT ||
		(m->plan == MAIL_FETCH && m->stage != MAIL_COMMITTED &&
			m->stage != MAIL_DELETED) ||
		(m->plan == MAIL_DELETE && m->stage != MAIL_DELETED) ||
		(m->delete_too && m->stage == MAIL_COMMITTED);
}

static bool
settled_all(const struct fetch_session *s)
{
	for (uint32_t i = 0; i < s->mails->n; i++) {
		if (s->mails->at[i].number && is_unsettled(&s->mails->at[i]))
			return false;
	}
	return true;
}

/* Every step-th of what stays, and the last of it first. */
static void
learn_probes(struct fetch_session *s, uint32_t staying)
{
	struct remembered *r = s->memory;
	uint32_t step = staying / (PROBES_MAX - 1) + 1, number = s->mails->base, seen = 0;
	struct probe old[PROBES_MAX];
	uint32_t old_n = s->mails->base > 0 ? r->probes_n : 0;

	memcpy(old, r->probes, sizeof(old));
	r->probes_n = 0;
	for (int last = 1; last >= 0; last--) {
		number = s->mails->base;
		seen = 0;
		for (uint32_t i = 0; i < s->mails->n; i++) {
			const struct mail *m = &s->mails->at[i];

			if (!m->number || m->stage == MAIL_DELETED)
				continue;
			number++;
			seen++;
			if (r->probes_n < PROBES_MAX &&
				(last ? seen == staying
				      : seen != staying && seen % step == 0))
				add_probe(r, number, mail_uid(s->mails, m));
		}
	}
	/* With only the tail listed, what was known of the rest stays known: those all
	 * over the drop rather than what was its last. */
	for (uint32_t i = old_n; i > 0 && r->probes_n < PROBES_MAX; i--)
		r->probes[r->probes_n++] = old[i - 1];
}

/* What is missing may come back, with the number that a new one would have. */
static bool
all_known_are_listed(const struct fetch_session *s)
{
	for (uint32_t row = 0; row < s->known->n; row++)
		if (!is_listed(s, row))
			return false;
	return s->counts.dele_sent == 0;
}

void
session_learn(struct fetch_session *s)
{
	struct remembered *r = s->memory;
	struct plan_facts f = session_facts(s);
	uint64_t octets = s->stat_octets;
	uint32_t staying = 0;

	if (s->outcome.kind != OUTCOME_OK || !s->quit_ok || s->list_only ||
		s->account->dry_run) {
		if (s->counts.dele_sent > 0 || s->outcome.kind != OUTCOME_OK)
			r->count = UINT32_MAX;
		return;
	}
	if (!s->known) /* nothing new; all is as it was */
		return;
	if (!s->has_stat || !settled_all(s) ||
		s->mails->base + s->mails->count != s->stat_count) {
		r->count = UINT32_MAX;
		return;
	}
	for (uint32_t i = 0; i < s->mails->n; i++) {
		const struct mail *m = &s->mails->at[i];

		if (!m->number)
			continue;
		if (m->stage != MAIL_DELETED)
			staying++;
		else if (m->size == MAIL_NO_SIZE || octets == MAIL_NO_SIZE ||
			octets < m->size)
			octets = MAIL_NO_SIZE;
		else
			octets -= m->size;
	}
	if (s->whole)
		r->all_listed = all_known_are_listed(s);
	learn_probes(s, staying);
	r->count = s->mails->base + staying;
	r->octets = r->count == 0 ? 0 : octets;
	r->policy = plan_fingerprint(s->account);
	r->next_delete_s = plan_next_delete(&f, s->mails);
}
