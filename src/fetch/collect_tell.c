/* What a session's deletions came to, as a person or a program is told. */
#include "fetch/collect.h"

#include <string.h>

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

static void
tell_undeleted(const struct collect *c)
{
	struct report_facts f = REPORT_NOTHING;

	if (c->session->counts.undeleted == 0)
		return;
	f.account = c->account->name;
	f.count = c->session->counts.undeleted;
	f.why = "delivered before, and tried again next time";
	f.server_said.p = (const uint8_t *)c->session->words;
	f.server_said.n = strlen(c->session->words);
	report_tell(c->run->report, REPORT_NOT_DELETED, &f);
}

void
collect_tell_deletions(const struct collect *c)
{
	tell_deleted(c);
	tell_undeleted(c);
}
