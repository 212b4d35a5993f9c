/*
 * cases_delete.c: what deletes mail, and what must not. Only with --destructive; the
 * order matters, as each case has fewer messages. At last the maildrop is empty.
 */
#include "torture/torture_cases.h"
#include "torture/torture_facts.h"

#include <stdio.h>
#include <stdlib.h>

static bool nothing_lost(struct trial *t);
static bool drop_keeps(struct trial *t);
static bool fin_keeps(struct trial *t);
static bool reset_keeps(struct trial *t);
static bool rset_keeps(struct trial *t);
static bool quit_commits(struct trial *t);
static bool others_keep(struct trial *t);
static bool quit_unread(struct trial *t);
static bool empties(struct trial *t);

#define D(id, section, weight, needs, expects, fn)                                       \
	ROW(id, "RFC 1939 s." section, weight, AT_LOGIN, NEED_LEAVE | (needs), expects,  \
		.run = (fn))

const struct torture_case cases_delete[] = {
	ROW("nothing-lost", "RFC 1939 s.6", MUST, AT_LOGIN, 0,
		"after all of this the maildrop is as it was", .run = nothing_lost),
	D("delete-not-by-close", "6", MUST, NEED_MAIL,
		"DELE, and the connection is closed: nothing is deleted", drop_keeps),
	D("delete-not-by-fin", "6", MUST, NEED_MAIL, "DELE, and FIN: nothing is deleted",
		fin_keeps),
	D("delete-not-by-reset", "6", MUST, NEED_MAIL,
		"DELE, and a reset: nothing is deleted", reset_keeps),
	D("delete-not-after-rset", "5", MUST, NEED_MAIL,
		"DELE, RSET, QUIT: nothing is deleted", rset_keeps),
	D("delete-by-quit", "6", MUST, NEED_TWO, "DELE, QUIT: the message is gone",
		quit_commits),
	D("delete-others-stay", "6", MUST, NEED_TWO | NEED_UIDL,
		"the others stay, with their UIDLs, numbered from 1", others_keep),
	D("delete-quit-unread", "6", ROBUST, NEED_TWO,
		"DELE, QUIT, and the answer is not read: deleted, or whole", quit_unread),
	D("delete-all", "6", MUST, NEED_MAIL, "all deleted: an empty maildrop is served",
		empties),
	ROW("empty-stat", "RFC 1939 s.5", MUST, AT_LOGIN, NEED_LEAVE,
		"an empty maildrop: STAT, LIST and UIDL are empty, RETR 1 is -ERR",
		STEPS(STEP("STAT\r\n", "+"), STEP("LIST\r\n", "."), STEP("UIDL\r\n", "m"),
			STEP("RETR 1\r\n", "-"), STEP("DELE 1\r\n", "-"),
			STEP("RSET\r\n", "+"))),
	NO_MORE_ROWS,
};

/* What there is now, in a session of its own, becomes what the run knows. gone: the
 * first message is, and no other. */
static bool
look(struct trial *t, bool gone)
{
	struct torture *all = t->all;
	struct link other = {.fd = -1};
	struct torture_mail *mails = NULL;
	uint32_t count = 0, first = gone ? 1 : 0;
	uint64_t octets = 0;

	bool good = trial_open(t, &other, AT_LOGIN) &&
		torture_ask_mails(t, &other, &mails, &count, &octets) &&
		trial_quit(t, &other);
	link_close(&other);
	if (good && count != all->count - first)
		good = trial_fail(t, "there were %u messages, now %u", all->count, count);
	for (uint32_t i = 0; good && i < count; i++)
		if (mails[i].size != all->mails[i + first].size ||
			mails[i].uidl != all->mails[i + first].uidl)
			good = trial_fail(t, "message %u is another now", i + 1);
	if (!mails)
		return good;
	/* Also after a fault: the next case begins with what there is. */
	free(all->mails);
	all->mails = mails;
	all->count = count;
	all->octets = octets;
	return good;
}

static bool
mark(struct trial *t)
{
	return trial_expect(t, &t->link, "DELE 1\r\n", "+");
}

static bool
nothing_lost(struct trial *t)
{
	return trial_quit(t, &t->link) && look(t, false);
}

static bool
drop_keeps(struct trial *t)
{
	if (!mark(t))
		return false;
	link_close(&t->link);
	return look(t, false);
}

static bool
fin_keeps(struct trial *t)
{
	if (!mark(t))
		return false;
	link_half_close(&t->link);
	return trial_end(t, &t->link, true) && look(t, false);
}

static bool
reset_keeps(struct trial *t)
{
	if (!mark(t))
		return false;
	link_reset(&t->link);
	return look(t, false);
}

static bool
rset_keeps(struct trial *t)
{
	return mark(t) && trial_expect(t, &t->link, "RSET\r\n", "+") &&
		trial_quit(t, &t->link) && look(t, false);
}

static bool
quit_commits(struct trial *t)
{
	return mark(t) && trial_quit(t, &t->link) && look(t, true);
}

static bool
others_keep(struct trial *t)
{
	struct body b;

	if (!mark(t) || !trial_quit(t, &t->link) || !look(t, true))
		return false;
	link_close(&t->link);
	if (!trial_open(t, &t->link, AT_LOGIN) ||
		!trial_lines(t, &t->link, "RETR 1\r\n", 0, &b))
		return false;
	if (b.octets != t->all->mails[0].size)
		return trial_fail(t, "message 1 is not what it was");
	return trial_quit(t, &t->link);
}

static bool
quit_unread(struct trial *t)
{
	uint32_t before = t->all->count;

	if (!mark(t) || !trial_say(t, &t->link, "QUIT\r\n", 6))
		return false;
	link_reset(&t->link);
	/* Either is right; a half is not, and look() sees it. */
	if (look(t, true))
		return true;
	if (t->all->count != before)
		return false;
	t->why[0] = '\0';
	return look(t, false);
}

static bool
empties(struct trial *t)
{
	char text[32];

	for (uint32_t i = 1; i <= t->all->count; i++) {
		(void)snprintf(text, sizeof(text), "DELE %u\r\n", i);
		if (!trial_expect(t, &t->link, text, "+"))
			return false;
	}
	if (!trial_quit(t, &t->link))
		return false;
	link_close(&t->link);
	if (!trial_open(t, &t->link, AT_LOGIN))
		return false;
	struct answer a;
	uint64_t n[2];
	if (!trial_ask(t, &t->link, "STAT\r\n", &a))
		return false;
	if (answer_numbers(&a, n, 2) != 2 || n[0] != 0 || n[1] != 0)
		return trial_fail(t, "STAT is %s", a.text);
	return trial_quit(t, &t->link);
}
