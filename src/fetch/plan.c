#include "fetch/plan_identify.h"

#include "base/check.h"

#include <string.h>

/* ---- one mail
 * -------------------------------------------------------------------------- */

static void
plan_as(struct mail *mail, enum mail_plan plan, const char *reason)
{
	mail->plan = (uint8_t)plan;
	mail->reason = reason;
}

static void
plan_removal(const struct plan_facts *f, struct mail *mail, const struct known *k,
	const char *reason)
{
	/* Nothing is deleted unseen: a UIDL may have been given to another message. */
	if (k->has_header && f->has_top && !mail->has_header)
		plan_as(mail, MAIL_CHECK, reason);
	else if (!mail->has_header && mail->size != k->size &&
		mail->size != MAIL_NO_SIZE && k->size != MAIL_NO_SIZE)
		plan_as(mail, MAIL_LEAVE, "its size has changed, its header is unknown");
	else
		plan_as(mail, MAIL_DELETE, reason);
}

static uint64_t
age_ms(const struct plan_facts *f, const struct known *k)
{
	if (k->delivered_s == 0 || k->delivered_s >= f->now_s)
		return 0;
	return (f->now_s - k->delivered_s) * 1000;
}

const char *
plan_removal_reason(const struct plan_facts *f, const struct mails *m,
	const struct mail *mail, const struct known *k)
{
	const struct fetch_account *a = f->account;

	if (!a->keep)
		return "delivered before";
	if (a->delete_after_ms != FETCH_NEVER && age_ms(f, k) >= a->delete_after_ms)
		return "delivered long enough ago (delete_after)";
	if (a->delete_larger != FETCH_NEVER && mail->size != MAIL_NO_SIZE &&
		mail->size > a->delete_larger)
		return "larger than delete_larger";
	if (a->keep_newest != FETCH_NEVER && f->whole &&
		m->base + m->n - mail->number >= a->keep_newest)
		return "not among the newest (keep_newest)";
	return NULL;
}

static void
plan_delivered(const struct plan_facts *f, struct mails *m, struct mail *mail,
	const struct known *k)
{
	const char *reason = plan_removal_reason(f, m, mail, k);

	if (reason)
		plan_removal(f, mail, k, reason);
	else
		plan_as(mail, MAIL_LEAVE, "delivered before");
}

static void
plan_fetch(const struct plan_facts *f, const struct mails *m, struct mail *mail)
{
	const struct fetch_account *a = f->account;

	plan_as(mail, MAIL_FETCH, "new");
	mail->delete_too = !a->keep || a->delete_after_ms == 0 ||
		(a->delete_larger != FETCH_NEVER && mail->size != MAIL_NO_SIZE &&
			mail->size > a->delete_larger) ||
		(a->keep_newest != FETCH_NEVER && f->whole &&
			m->base + m->n - mail->number >= a->keep_newest);
}

static void
plan_new(const struct plan_facts *f, const struct mails *m, struct mail *mail)
{
	const struct fetch_account *a = f->account;

	if (a->adopt)
		plan_as(mail, MAIL_ADOPT, "marked as seen (adopt)");
	else if (a->skip_larger != FETCH_NEVER && mail->size != MAIL_NO_SIZE &&
		mail->size > a->skip_larger)
		plan_as(mail, MAIL_LEAVE, "larger than skip_larger");
	else if (a->filter && f->has_top) {
		plan_as(mail, MAIL_FILTER, "a filter decides");
		/* It wants to read the header, of which only a digest was kept. */
		mail->has_header = false;
	} else
		plan_fetch(f, m, mail);
}

static void
plan_known(const struct plan_facts *f, struct mails *m, struct mail *mail,
	const struct known *k)
{
	switch ((enum known_stage)k->stage) {
	case KNOWN_SYNCED: plan_delivered(f, m, mail, k); return;
	case KNOWN_ADOPTED: plan_as(mail, MAIL_LEAVE, "marked as seen before"); return;
	case KNOWN_QUARANTINED:
		plan_as(mail, MAIL_LEAVE,
			"put aside before; --retry-aside tries it again");
		return;
	case KNOWN_SKIPPED: plan_as(mail, MAIL_LEAVE, "skipped before"); return;
	case KNOWN_SEEN:
	case KNOWN_INTENDED:
	case KNOWN_STAGES: break;
	}
	if (k->failed >= KNOWN_FAILED_MAX) {
		plan_as(mail, MAIL_LEAVE, "the next run tries it again");
		mail->stage = MAIL_FAILED;
		mail->left = true;
		return;
	}
	mail->suspect = k->tries > 0;
	plan_new(f, m, mail);
}

/* A UIDL may be made of the header alone: what was delivered and is gone, and what comes
 * with another size, are two messages unless their octets are the same. */
static bool
is_like_what_was(const struct mail *mail, const struct known *k)
{
	return k->gone_s != 0 && k->stage == KNOWN_SYNCED && mail->size != MAIL_NO_SIZE &&
		k->size != MAIL_NO_SIZE && mail->size != k->size;
}

/*
 * Many may have such a header: only octets tell them apart. That its UIDL is the same,
 * and about its size (servers count the end of a last line, or not), is enough to leave
 * it where it is, not to delete it.
 */
static bool
may_be_another(const struct plan_facts *f, const struct mails *m, const struct mail *mail,
	const struct known *k)
{
	bool sized = mail->size != MAIL_NO_SIZE && k->size != MAIL_NO_SIZE;
	uint64_t more =
		mail->size > k->size ? mail->size - k->size : k->size - mail->size;

	return mail->weak && plan_octets_are_known(k) &&
		((sized && more > 2) || k->gone_s != 0 ||
			plan_removal_reason(f, m, mail, k));
}

static void
plan_as_another(const struct plan_facts *f, struct mails *m, struct mail *mail)
{
	const struct known *k = known_of(f, mail);

	mail->dele_same = k && plan_removal_reason(f, m, mail, k);
	/* Found by its header, it is not that one until its octets say so. */
	if (k && mail->renamed)
		m->listed[mail->known / 8] &= (uint8_t) ~(1u << mail->known % 8);
	mail->old_size = mail->renamed = false;
	mail->known = MAIL_NO_KNOWN;
	mail->reused = mail->unsure = true;
	plan_new(f, m, mail);
}

/* The header has come: it is the message that we know under this UIDL. */
static void
plan_checked(const struct plan_facts *f, struct mails *m, struct mail *mail)
{
	const struct known *k = known_of(f, mail);

	mail->checked = true;
	if (k && (is_like_what_was(mail, k) || may_be_another(f, m, mail, k))) {
		plan_as_another(f, m, mail);
	} else if (k) {
		mail->resized = mail->old_size;
		mail->old_size = false;
		plan_known(f, m, mail, k);
	}
}

static void
plan_identified(const struct plan_facts *f, struct mails *m, struct mail *mail)
{
	const struct known *k = known_of(f, mail);

	mail->checked = true;
	if (k &&
		(is_like_what_was(mail, k) ||
			(!plan_needs_name(f, mail) && may_be_another(f, m, mail, k)))) {
		plan_as_another(f, m, mail);
	} else if (k) {
		plan_known(f, m, mail, k);
	} else {
		mail->unsure = mail->unsure || (mail->weak && !plan_needs_name(f, mail));
		plan_new(f, m, mail);
	}
}

bool
plan_needs_name(const struct plan_facts *f, const struct mail *mail)
{
	return mail->twin || mail->uid_n == 0 || !f->has_uidl;
}

void
plan_without_header(const struct plan_facts *f, struct mails *m, struct mail *mail)
{
	bool known = mail->plan == MAIL_CHECK && !mail->old_size;

	mail->unsure = mail->plan == MAIL_IDENTIFY || mail->old_size;
	mail->checked = true;
	mail->stage = MAIL_LISTED;
	if (known) {
		/* What was delivered is not deleted unseen: another time. */
		plan_as(mail, MAIL_LEAVE, "its header cannot be had");
		mail->stage = MAIL_FAILED;
		return;
	}
	mail->reused = mail->old_size;
	mail->known = mail->old_size ? MAIL_NO_KNOWN : mail->known;
	if (mail->plan == MAIL_FILTER)
		plan_fetch(f, m, mail);
	else
		plan_new(f, m, mail);
	/* No header, no filter. */
	if (mail->plan == MAIL_FILTER)
		plan_fetch(f, m, mail);
}

/* Of messages that came to the others this one has the UIDL of one that is still there.
 */
static bool
is_beside(const struct plan_facts *f, const struct known *k)
{
	return !f->whole && k->gone_s == 0 && k->stage != KNOWN_SEEN;
}

/* The UIDL was gone: its message may have come back, or its name was given to another. */
static bool
came_back(const struct plan_facts *f, const struct known *k)
{
	return k->gone_s != 0 && k->stage != KNOWN_SEEN && k->has_header && f->has_top;
}

/* It was delivered and gone (or should be: DELE was sent), and no header can say whether
 * its name was given to another: only its octets tell. */
static bool
only_octets_tell(const struct plan_facts *f, const struct known *k)
{
	return (k->gone_s != 0 || k->dele_sent) && k->stage == KNOWN_SYNCED &&
		!(k->has_header && f->has_top);
}

/* LIST said the same when it was listed before: where its sizes are no evidence of what
 * RETR sends, another one is still reason enough to look at the header. */
static bool
size_is_as_it_was(
	const struct plan_facts *f, const struct mail *mail, const struct known *k)
{
	bool looks = f->has_top && k->has_header && k->stage != KNOWN_SEEN;

	return mail->size == k->size || mail->size == MAIL_NO_SIZE ||
		k->size == MAIL_NO_SIZE || (f->sizes_lie && !looks);
}

static void
plan_one(const struct plan_facts *f, struct mails *m, struct mail *mail, bool changed)
{
	const struct known *k = known_of(f, mail);

	mail->unsure = !f->has_top &&
		(changed || plan_needs_name(f, mail) || plan_had_twin(f, m, mail));
	if (plan_needs_name(f, mail) && f->has_top)
		plan_as(mail, MAIL_IDENTIFY, "its UIDL does not tell it from others");
	else if (f->has_top && (!k || k->stage == KNOWN_SEEN) &&
		(changed || plan_had_twin(f, m, mail))) {
		plan_as(mail, MAIL_IDENTIFY, "UIDLs have changed");
		mail->known = MAIL_NO_KNOWN;
	} else if (!k)
		plan_new(f, m, mail);
	else if (size_is_as_it_was(f, mail, k) && !is_beside(f, k) && !came_back(f, k) &&
		!only_octets_tell(f, k))
		plan_known(f, m, mail, k);
	else if (f->has_top && k->has_header) {
		mail->old_size = true;
		plan_as(mail, MAIL_CHECK,
			"its size has changed, or its UIDL was gone or is used twice");
	} else {
		plan_as_another(f, m, mail);
	}
}

/* ---- all
 * ------------------------------------------------------------------------------- */

static void
find_known(const struct plan_facts *f, struct mails *m)
{
	if (f->known->n > 0) /* else there is no room for it either */
		memset(m->listed, 0, (f->known->n + 7) / 8);
	if (!f->has_uidl)
		return;
	mails_mark_twins(m);
	for (uint32_t i = 0; i < m->n; i++) {
		struct mail *mail = &m->at[i];

		if (!mail->number || mail->uid_n == 0 || mail->twin)
			continue;
		const struct known *k = known_find(f->known, mail_uid(m, mail));
		if (k)
			set_known(f, m, mail, k);
	}
}

static bool
needs_top(const struct mail *mail)
{
	return mail->plan == MAIL_CHECK || mail->plan == MAIL_IDENTIFY ||
		mail->plan == MAIL_FILTER;
}

uint32_t
plan_all(const struct plan_facts *f, struct mails *m)
{
	uint32_t tops = 0;
	bool first = true, changed = false;

	for (uint32_t i = 0; i < m->n; i++)
		first = first && m->at[i].plan == MAIL_UNDECIDED;
	if (first) {
		find_known(f, m);
		changed = plan_uids_changed(f, m);
	} else {
		plan_identify(f, m);
	}
	for (uint32_t i = 0; i < m->n; i++) {
		struct mail *mail = &m->at[i];

		if (!mail->number)
			continue;
		if (mail->plan == MAIL_UNDECIDED)
			plan_one(f, m, mail, changed);
		else if (mail->plan == MAIL_CHECK && mail->has_header && !mail->checked)
			plan_checked(f, m, mail);
		else if (mail->plan == MAIL_IDENTIFY && mail->has_header &&
			!mail->checked)
			plan_identified(f, m, mail);
		tops += needs_top(mail) && mail->stage == MAIL_LISTED;
	}
	return tops;
}

void
plan_filtered(const struct plan_facts *f, struct mails *m, struct mail *mail,
	enum filter_verdict v)
{
	switch (v) {
	case FILTER_FETCH: plan_fetch(f, m, mail); return;
	case FILTER_SKIP:
		plan_as(mail, MAIL_LEAVE, "the filter skips it");
		mail->skipped = true;
		return;
	case FILTER_DELETE: plan_as(mail, MAIL_DELETE, "the filter deletes it"); return;
	case FILTER_LATER: break;
	}
	plan_as(mail, MAIL_LEAVE, "the filter said: later");
	mail->stage = MAIL_FAILED;
}

bool
plan_order(const struct plan_facts *f, struct mails *m, uint32_t *ret_suspects)
{
	uint32_t suspects = 0, first_suspect = 0;
	bool begins_anew = false;

	m->order_n = 0;
	for (uint32_t i = 0; i < m->n; i++) {
		struct mail *mail = &m->at[i];

		if (!mail->number || mail->plan != MAIL_FETCH ||
			mail->stage != MAIL_LISTED)
			continue;
		if (mail->suspect && suspects++ == 0)
			first_suspect = i;
		if (mail->suspect)
			continue;
		m->order[m->order_n++] = i;
		begins_anew = begins_anew || (mail->unsure && f->account->keep);
	}
	mails_sort(m, f->account->order);
	/* Else no session would ever be the suspect's own. */
	if (suspects > 0 && (m->order_n == 0 || begins_anew)) {
		m->order[m->order_n++] = first_suspect;
		suspects--;
	}
	*ret_suspects = suspects;
	return begins_anew;
}

uint64_t
plan_next_delete(const struct plan_facts *f, const struct mails *m)
{
	const struct fetch_account *a = f->account;
	uint64_t first = 0;

	if (!a->keep || a->delete_after_ms == FETCH_NEVER)
		return 0;
	for (size_t i = 0; i < f->known->n; i++) {
		const struct known *k = &f->known->rows[i];
		uint64_t due = k->delivered_s + (a->delete_after_ms + 999) / 1000;

		if (k->stage == KNOWN_SYNCED && k->gone_s == 0 && due > f->now_s &&
			(first == 0 || due < first))
			first = due;
	}
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->at[i].stage == MAIL_COMMITTED && !m->at[i].delete_too) {
			uint64_t due = f->now_s + (a->delete_after_ms + 999) / 1000;

			return first == 0 || due < first ? due : first;
		}
	}
	return first;
}

uint64_t
plan_fingerprint(const struct fetch_account *a)
{
	const uint64_t words[] = {a->keep, a->adopt, a->recent, a->delete_after_ms,
		a->delete_larger, a->skip_larger, a->keep_newest, a->filter != NULL};
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		h = (h ^ words[i]) * UINT64_C(0x100000001b3);
	return h >> 1; /* fits SQLite's integers */
}

const char *
plan_name(const struct mail *mail)
{
	static const char *const names[] = {
		[MAIL_UNDECIDED] = "leave",
		[MAIL_LEAVE] = "leave",
		[MAIL_FETCH] = "fetch",
		[MAIL_DELETE] = "delete",
		[MAIL_CHECK] = "check",
		[MAIL_IDENTIFY] = "identify",
		[MAIL_FILTER] = "filter",
		[MAIL_ADOPT] = "adopt",
	};

	return mail->plan == MAIL_FETCH && mail->delete_too ? "fetch and delete"
							    : names[mail->plan];
}
