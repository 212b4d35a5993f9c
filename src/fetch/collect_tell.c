#include "fetch/collect_tell.h"

#include "fetch/collect.h"

#include <string.h>

/* Only what QUIT has confirmed is gone. */
static void
tell_deleted(const struct collect *c)
{
	struct report_facts f = REPORT_NOTHING;

	f.account = c->account->name;
	for (uint32_t i = 0; c->session->quit_ok && i < c->mails.n; i++) {
		const struct mail *m = &c->mails.at[i];

		if (!m->number || m->stage != MAIL_DELETED)
			continue;
		f.msgno = m->number;
		f.uid = mail_uid(&c->mails, m);
		f.octets = m->size;
		f.why = m->plan == MAIL_DELETE ? m->reason : NULL;
		report_tell(c->run->report, REPORT_DELETED, &f);
	}
}

/* Only a filter has deleted what was not delivered before. */
static bool
is_unwanted(const struct collect *c, const struct mail *m)
{
	return m->number && m->plan == MAIL_DELETE && m->stage == MAIL_FAILED &&
		(m->known == MAIL_NO_KNOWN || !c->session->known ||
			c->session->known->rows[m->known].stage != KNOWN_SYNCED);
}

static void
keep_undeleted(struct collect *c)
{
	const struct fetch_session *s = c->session;
	struct undeleted *u = &c->undeleted;
	bool in_order = s->outcome.kind == OUTCOME_OK || s->outcome.kind == OUTCOME_MORE;

	/* One that broke off has not come to all of them. */
	if (!in_order && s->counts.undeleted <= u->n)
		return;
	*u = (struct undeleted){.n = s->counts.undeleted};
	if (u->n == 0)
		return;
	for (uint32_t i = 0; i < c->mails.n; i++)
		u->unwanted |= is_unwanted(c, &c->mails.at[i]);
	memcpy(u->said, s->words, sizeof(u->said));
}

void
collect_tell_deleted(struct collect *c)
{
	tell_deleted(c);
	keep_undeleted(c);
}

void
collect_tell_undeleted(struct collect *c)
{
	struct undeleted *u = &c->undeleted;
	struct report_facts f = REPORT_NOTHING;

	if (u->n == 0)
		return;
	f.account = c->account->name;
	f.count = u->n;
	f.why = u->unwanted
		? "delivered before or unwanted by the filter, and tried again next time"
		: "delivered before, and tried again next time";
	f.server_said.p = (const uint8_t *)u->said;
	f.server_said.n = strlen(u->said);
	report_tell(c->run->report, REPORT_NOT_DELETED, &f);
	*u = (struct undeleted){0};
}
