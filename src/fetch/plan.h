/*
 * plan.h: what is to be done with each message: the policies of an account (account.h)
 * over the listing and what is remembered. Pure.
 */
#ifndef FETCH_PLAN_H
#define FETCH_PLAN_H

#include "fetch/account.h"
#include "fetch/mails.h"

struct plan_facts {
	const struct fetch_account *account;
	const struct known_table *known;
	uint64_t now_s;
	bool has_top;	/* TOP can be used */
	bool has_uidl;	/* else messages are known by size and header */
	bool sizes_lie; /* LIST's sizes are no evidence */
	bool whole;	/* the listing is whole, not only its tail */
};

/*
 * Decides for every mail of the table; again for those of which a header came meanwhile.
 * Returns how many need a TOP first (MAIL_CHECK, MAIL_IDENTIFY, MAIL_FILTER with stage
 * MAIL_LISTED).
 */
uint32_t plan_all(const struct plan_facts *f, struct mails *m);
/* Whether its UIDL does not tell it from others, so that it gets one of its header. */
bool plan_needs_name(const struct plan_facts *f, const struct mail *mail);
/* TOP was refused for it. */
void plan_without_header(const struct plan_facts *f, struct mails *m, struct mail *mail);
/* The filter's word for a mail whose plan is MAIL_FILTER. */
enum filter_verdict { FILTER_FETCH, FILTER_SKIP, FILTER_DELETE, FILTER_LATER };
void plan_filtered(const struct plan_facts *f, struct mails *m, struct mail *mail,
	enum filter_verdict v);
/*
 * Puts into m->order what is to be fetched in this session, in order. A message that
 * failed before (suspect) is fetched alone, in a session of its own, after all others:
 * *ret_suspects says how many wait for that. True: there are messages that stay, and that
 * nothing but RETR tells from those that came before. Each session begins anew with them,
 * so it goes on to the end, and one suspect comes last in it.
 */
bool plan_order(const struct plan_facts *f, struct mails *m, uint32_t *ret_suspects);
/* "fetch", "delete" ... for people. */
const char *plan_name(const struct mail *mail);
/* When the first delivered message that stays falls due (unix time), or 0. */
uint64_t plan_next_delete(const struct plan_facts *f, const struct mails *m);
/* A number that changes with any option that decides here: a poll that finds nothing new
 * may stop early only if it is the same as last time. */
uint64_t plan_fingerprint(const struct fetch_account *a);

#endif
