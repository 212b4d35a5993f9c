#include "fetch/plan_identify.h"

#include "fetch/reconcile_rows.h"

#include <string.h>

static bool
is_listed(const struct mails *m, uint32_t row)
{
	return m->listed[row / 8] & (1u << row % 8);
}

#define SAME_HEADER_MAX 64 /* messages of one header that are told apart by size */

/* Of those that are to be identified, the first with this header that is not yet found.
 */
static struct mail *
find_by_header(const struct plan_facts *f, const struct mails *m, const struct known *k)
{
	uint32_t from = mails_header_from(m, k->header);

	for (uint32_t i = from; i < m->order_n && i - from < SAME_HEADER_MAX; i++) {
		struct mail *mail = &m->at[m->order[i]];

		if (memcmp(mail->header, k->header, HEADER_DIGEST) != 0)
			return NULL;
		if (mail->known == MAIL_NO_KNOWN && size_agrees(f, mail, k))
			return mail;
	}
	return NULL;
}

static bool
has_header(const struct mail *mail, const struct known *k)
{
	return memcmp(k->header, mail->header, HEADER_DIGEST) == 0;
}

/* The header is not that of the message that we know under this UIDL: which is it? */
static bool
find_reused(const struct plan_facts *f, struct mails *m)
{
	bool found = false;

	for (uint32_t i = 0; i < m->n; i++) {
		struct mail *mail = &m->at[i];
		const struct known *k = known_of(f, mail);

		if (!mail->number || mail->plan != MAIL_CHECK || !mail->has_header ||
			mail->checked || !k || !k->has_header || has_header(mail, k))
			continue;
		mail->old_size = false;
		mail->known = MAIL_NO_KNOWN;
		mail->reused = found = true;
		/* TOP of some servers differs from RETR; what was delivered is told by
		 * its octets before it is delivered again. */
		mail->unsure = plan_octets_are_known(k);
		mail->dele_same =
			mail->unsure && plan_removal_reason(f, m, mail, k) != NULL;
		mail->plan = MAIL_IDENTIFY;
	}
	return found;
}

/*
 * While headers are compared, the message of a row whose UIDL was given to another may be
 * listed under one of the others. Afterwards the row steps aside by itself (MARK_REUSED):
 * no later mark by this UIDL is to say that what has it now is gone.
 */
static void
list_reused(const struct plan_facts *f, struct mails *m, bool listed)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct mail *mail = &m->at[i];
		const struct known *k = mail->number && mail->reused
			? known_find(f->known, mail_uid(m, mail))
			: NULL;
		size_t row = k ? (size_t)(k - f->known->rows) : 0;
		uint8_t bit = (uint8_t)(1u << row % 8);

		if (k && listed)
			m->listed[row / 8] |= bit;
		else if (k)
			m->listed[row / 8] &= (uint8_t)~bit;
	}
	for (uint32_t i = 0; i < m->n && !listed; i++)
		if (m->at[i].number && m->at[i].known != MAIL_NO_KNOWN)
			set_known(f, m, &m->at[i], known_of(f, &m->at[i]));
}

/* UIDLs have moved: what seems to be new may be a message that had another one. */
static void
doubt_new_ones(struct mails *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct mail *mail = &m->at[i];

		if (!mail->number || mail->plan != MAIL_FETCH || mail->has_header ||
			mail->known != MAIL_NO_KNOWN || mail->checked ||
			mail->stage != MAIL_LISTED)
			continue;
		mail->plan = MAIL_IDENTIFY;
		mail->delete_too = false;
	}
}

/* Of messages of one name only one is that of its row; the octets of the others tell. */
static void
find_by_uid(const struct plan_facts *f, struct mails *m, bool seen)
{
	for (uint32_t i = 0; i < m->order_n; i++) {
		struct mail *mail = &m->at[m->order[i]];
		const struct known *k = mail->known == MAIL_NO_KNOWN
			? known_find(f->known, mail_uid(m, mail))
			: NULL;

		if (!k || (k->stage == KNOWN_SEEN) != seen ||
			!(k->has_header ? has_header(mail, k) : mail->named))
			continue;
		if (is_listed(m, (uint32_t)(k - f->known->rows)))
			mail->unsure = true;
		else
			set_known(f, m, mail, k);
	}
}

/* A UIDL that the session or the state made has a NUL. Of others, a header that may be
 * another's does not say that its message has a new one: session_same tells. */
static bool
only_octets_say(
	const struct plan_facts *f, const struct mail *mail, const struct known *k)
{
	return mail->weak && plan_octets_are_known(k) && k->uid.n > 0 &&
		!memchr(k->uid.p, 0, k->uid.n) && !plan_needs_name(f, mail);
}

void
plan_identify(const struct plan_facts *f, struct mails *m)
{
	if (find_reused(f, m))
		doubt_new_ones(m);
	list_reused(f, m, false);
	mails_by_header(m);
	find_by_uid(f, m, false);
	for (uint32_t i = 0; m->order_n > 0 && i < f->known->n; i++) {
		const struct known *k = &f->known->rows[i];
		struct mail *mail;

		if (!k->has_header || k->stage == KNOWN_SEEN || is_listed(m, i))
			continue;
		mail = find_by_header(f, m, k);
		if (!mail || only_octets_say(f, mail, k))
			continue;
		set_known(f, m, mail, k);
		mail->renamed = true;
		mail->unsure = mail->dele_same = false;
	}
	list_reused(f, m, true);
	/* What only failed so far is no better than a delivery under another UIDL. */
	find_by_uid(f, m, true);
	m->order_n = 0;
}

/* session_plan.c made this name of a header, and of the size where that was known. */
static bool
is_nameless(struct view uid)
{
	return uid.n >= 1 + 2 * HEADER_DIGEST && uid.p[0] == 0;
}

/* Rows of --reconcile wait for their UIDLs, and so do those of sessions in which UIDL was
 * refused: they are gone after the first session with it. */
static bool
waits_for_uids(const struct plan_facts *f)
{
	for (size_t i = 0; i < f->known->n; i++) {
		const struct known *k = &f->known->rows[i];

		if (k->gone_s == 0 &&
			(reconcile_is_uid(k->uid) ||
				(f->has_uidl && k->has_header && k->stage != KNOWN_SEEN &&
					is_nameless(k->uid))))
			return true;
	}
	return false;
}

bool
plan_uids_changed(const struct plan_facts *f, const struct mails *m)
{
	uint32_t unknown = 0;

	if (!f->whole || f->known->n == 0)
		return false;
	for (uint32_t i = 0; i < m->n; i++)
		unknown += m->at[i].number && m->at[i].known == MAIL_NO_KNOWN;
	if (unknown > 0 && waits_for_uids(f))
		return true;
	if (unknown == 0 || unknown < m->count - unknown)
		return false;
	for (size_t i = 0; i < f->known->n; i++) {
		const struct known *k = &f->known->rows[i];

		if (k->has_header && k->stage != KNOWN_SEEN && k->gone_s == 0 &&
			!is_listed(m, (uint32_t)i))
			return true;
	}
	return false;
}

/* Their names are the UIDL, NUL, and the header or what the state made up: they stand
 * together, behind the UIDL itself. */
const struct known *
plan_former(const struct known_table *t, struct view uid, size_t *at)
{
	const struct known *k;

	if (uid.n == 0)
		return NULL;
	if (*at == 0)
		*at = known_before(t, uid);
	if (*at < t->n && t->rows[*at].uid.n == uid.n &&
		memcmp(t->rows[*at].uid.p, uid.p, uid.n) == 0)
		++*at;
	if (*at == t->n)
		return NULL;
	k = &t->rows[*at];
	if (k->uid.n <= uid.n || memcmp(k->uid.p, uid.p, uid.n) != 0 ||
		k->uid.p[uid.n] != 0)
		return NULL;
	++*at;
	return k;
}

bool
plan_had_twin(const struct plan_facts *f, const struct mails *m, const struct mail *mail)
{
	const struct known *k;
	size_t at = 0;

	/* Of some a try is all that is known. */
	while ((k = plan_former(f->known, mail_uid(m, mail), &at)))
		if (k->has_header)
			return true;
	return false;
}
