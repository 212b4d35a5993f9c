/*
 * plan_identify.h: which known message is this one? By its UIDL, and by its header where
 * UIDLs are of no use. For plan.c.
 */
#ifndef FETCH_PLAN_IDENTIFY_H
#define FETCH_PLAN_IDENTIFY_H

#include "fetch/plan.h"

static inline const struct known *
known_of(const struct plan_facts *f, const struct mail *mail)
{
	return mail->known == MAIL_NO_KNOWN ? NULL : &f->known->rows[mail->known];
}

static inline void
set_known(const struct plan_facts *f, struct mails *m, struct mail *mail,
	const struct known *k)
{
	mail->known = (uint32_t)(k - f->known->rows);
	m->listed[mail->known / 8] |= (uint8_t)(1u << mail->known % 8);
}

static inline bool
size_agrees(const struct plan_facts *f, const struct mail *mail, const struct known *k)
{
	return f->sizes_lie || mail->size == MAIL_NO_SIZE || k->size == MAIL_NO_SIZE ||
		mail->size == k->size;
}

/* It was delivered, and session_same can tell it by its octets. */
static inline bool
plan_octets_are_known(const struct known *k)
{
	uint8_t all = 0;

	for (size_t i = 0; i < HEADER_DIGEST; i++)
		all |= k->digest[i];
	return k->stage == KNOWN_SYNCED && all != 0;
}

/* plan.c: why what was delivered is to go from the server now; NULL: it stays. */
const char *plan_removal_reason(const struct plan_facts *f, const struct mails *m,
	const struct mail *mail, const struct known *k);
/*
 * Most of the listing is unknown while messages that were delivered are missing: the
 * server has probably given new UIDLs to old mail.
 */
bool plan_uids_changed(const struct plan_facts *f, const struct mails *m);
/*
 * The next row, from *at on (0: the first), that had this UIDL once and has a name of our
 * own now: it shared it with another message, or lost it to one. NULL: no more.
 */
const struct known *plan_former(const struct known_table *t, struct view uid, size_t *at);
/* Whether a message is known that once had this UIDL and can be recognised. */
bool plan_had_twin(
	const struct plan_facts *f, const struct mails *m, const struct mail *mail);
/*
 * Headers have come: messages whose UIDL was made of their header are found by it, others
 * as what is known under another UIDL and was not listed. Those of MAIL_CHECK that are
 * not what their UIDL says become MAIL_IDENTIFY first.
 */
void plan_identify(const struct plan_facts *f, struct mails *m);

#endif
