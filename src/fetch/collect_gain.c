#include "fetch/collect_gain.h"

#include "fetch/collect.h"

#include <stdlib.h>
#include <string.h>

void
collect_forget_failed(struct collect *c)
{
	for (size_t i = 0; i < c->failed.n; i++)
		free(c->failed.at[i].uid);
	free(c->failed.at);
	c->failed.at = NULL;
	c->failed.n = c->failed.cap = 0;
}

/* Without memory it is as if it had not failed in this run: it counts once more. */
static void
add_failed(struct collect *c, struct view uid, unsigned times)
{
	struct failed *f;
	uint8_t *octets;

	if (uid.n == 0)
		return;
	if (c->failed.n == c->failed.cap) {
		size_t cap = 2 * c->failed.cap + 8;

		f = reallocarray(c->failed.at, cap, sizeof(*f));
		if (!f)
			return;
		c->failed.at = f;
		c->failed.cap = cap;
	}
	octets = malloc(uid.n);
	if (!octets)
		return;
	memcpy(octets, uid.p, uid.n);
	c->failed.at[c->failed.n++] = (struct failed){
		octets, uid.n, (uint8_t)(times < UINT8_MAX ? times : UINT8_MAX)};
}

void
collect_recall_failed(struct collect *c)
{
	for (size_t i = 0; i < c->failed.n; i++) {
		const struct failed *f = &c->failed.at[i];
		const struct known *k =
			known_find(&c->known, (struct view){f->uid, f->n});

		if (k)
			c->known.rows[k - c->known.rows].failed = f->times;
	}
}

/* Each known row that has failed is among the old ones: all are written anew. */
void
collect_remember_failed(struct collect *c)
{
	if (!c->session->known)
		return;
	collect_forget_failed(c);
	for (uint32_t i = 0; i < c->mails.n; i++) {
		const struct mail *m = &c->mails.at[i];
		unsigned times = 1;

		if (!m->number || !m->tried)
			continue;
		if (m->known != MAIL_NO_KNOWN) {
			times += c->known.rows[m->known].failed;
			c->known.rows[m->known].failed = 0;
		}
		add_failed(c, mail_uid(&c->mails, m), times);
	}
	for (size_t i = 0; i < c->known.n; i++)
		if (c->known.rows[i].failed > 0)
			add_failed(c, c->known.rows[i].uid, c->known.rows[i].failed);
}

static void
tell_given_up(struct collect *c, const struct mail *m)
{
	struct report_facts f = REPORT_NOTHING;

	f.account = c->account->name;
	f.why = "it could not be had, nor was anything of it kept";
	f.msgno = m->number;
	f.uid = mail_uid(&c->mails, m);
	report_tell(c->run->report, REPORT_QUARANTINED, &f);
}

void
collect_gain(struct collect *c, struct schedule_gain *ret)
{
	const struct fetch_session *s = c->session;

	*ret = (struct schedule_gain){
		.committed = s->counts.committed - s->counts.again,
		.temporary = s->counts.temporary,
		.logged_in = s->ready,
	};
	for (uint32_t i = 0; i < c->mails.n; i++) {
		const struct mail *m = &c->mails.at[i];

		if (!m->number)
			continue;
		ret->tried += m->tried;
		ret->temporary += m->left;
		if (m->tried && m->known != MAIL_NO_KNOWN && s->known)
			ret->left +=
				s->known->rows[m->known].failed + 1u == KNOWN_FAILED_MAX;
		if (!session_gives_up(s, m))
			continue;
		ret->quarantined++;
		if (!m->told)
			tell_given_up(c, m);
	}
}
