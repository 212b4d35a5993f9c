/*
 * cases_marks.c: DELE and RSET. Marks are taken back by RSET before QUIT: nothing is
 * deleted here.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <stdio.h>

static bool stat_less(struct trial *t);
static bool list_less(struct trial *t);
static bool uidl_less(struct trial *t);
static bool numbers_stay(struct trial *t);
static bool rset_restores(struct trial *t);
static bool last_form(struct trial *t);
static bool dele_all(struct trial *t);

#define M(id, expects, text, pattern)                                                    \
	ROW(id, "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL, expects,                     \
		STEPS(STEP("DELE 1\r\n", "+"), STEP(text, pattern)))

const struct torture_case cases_marks[] = {
	M("dele", "DELE 1: +OK", "NOOP\r\n", "+"),
	M("dele-twice", "DELE of a marked message: -ERR", "DELE 1\r\n", "-"),
	M("dele-then-retr", "RETR of a marked message: -ERR", "RETR 1\r\n", "-"),
	M("dele-then-top", "TOP of a marked message: -ERR", "TOP 1 0\r\n", "-"),
	M("dele-then-list-one", "LIST n of a marked message: -ERR", "LIST 1\r\n", "-"),
	M("dele-then-uidl-one", "UIDL n of a marked message: -ERR", "UIDL 1\r\n", "-"),
	M("dele-then-zero", "0 stays no number", "RETR 0\r\n", "-"),
	M("dele-then-beyond", "count + 1 stays no number", "LIST $M\r\n", "-"),
	M("dele-rset", "RSET: +OK, and the message is there", "RSET\r\nRETR 1\r\n", "+."),
	M("dele-rset-dele", "RSET, and DELE again: +OK", "RSET\r\nDELE 1\r\n", "++"),
	ROW("dele-lower-case", "RFC 1939 s.3", MUST, AT_SHARED, NEED_MAIL, "dele 1: +OK",
		SAY("dele 1\r\n", "+")),
	ROW("dele-stat", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"STAT leaves out what is marked", .run = stat_less),
	ROW("dele-list", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"LIST leaves out what is marked", .run = list_less),
	ROW("dele-uidl", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_UIDL,
		"UIDL leaves out what is marked", .run = uidl_less),
	ROW("dele-numbers", "RFC 1939 s.5", MUST, AT_SHARED, NEED_TWO,
		"the numbers of others stay", .run = numbers_stay),
	ROW("dele-last", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"the message with the highest number can be marked",
		STEPS(STEP("DELE $N\r\n", "+"), STEP("LIST $N\r\n", "-"))),
	ROW("dele-all", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"all marked: STAT is 0 0, LIST is empty, RSET brings them back",
		.run = dele_all),
	ROW("rset", "RFC 1939 s.5", MUST, AT_SHARED, 0, "RSET without marks: +OK",
		SAY("RSET\r\n", "+")),
	ROW("rset-restores", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"after RSET STAT is as at first", .run = rset_restores),
	ROW("last-form", "RFC 1460 s.5", ROBUST, AT_SHARED, 0,
		"LAST: -ERR, or +OK and a number", .run = last_form),
	NO_MORE_ROWS,
};

static bool
mark(struct trial *t)
{
	return trial_expect(t, &t->link, "DELE 1\r\n", "+");
}

static bool
stat_is(struct trial *t, uint64_t count, uint64_t octets)
{
	struct answer a;
	uint64_t n[2];

	if (!trial_ask(t, &t->link, "STAT\r\n", &a))
		return false;
	return (answer_numbers(&a, n, 2) == 2 && n[0] == count && n[1] == octets) ||
		trial_fail(t, "STAT is %s, not %llu %llu", a.text,
			(unsigned long long)count, (unsigned long long)octets);
}

static bool
stat_less(struct trial *t)
{
	return mark(t) &&
		stat_is(t, t->all->count - 1, t->all->octets - t->all->mails[0].size);
}

static bool
rows_are(struct trial *t, const char *command, uint64_t rows)
{
	struct body b;

	return trial_lines(t, &t->link, command, 0, &b) &&
		(b.lines == rows ||
			trial_fail(t, "%llu rows, not %llu", (unsigned long long)b.lines,
				(unsigned long long)rows));
}

static bool
list_less(struct trial *t)
{
	return mark(t) && rows_are(t, "LIST\r\n", t->all->count - 1);
}

static bool
uidl_less(struct trial *t)
{
	return mark(t) && rows_are(t, "UIDL\r\n", t->all->count - 1);
}

static bool
numbers_stay(struct trial *t)
{
	struct answer a;
	uint64_t n[2];

	if (!mark(t) || !trial_ask(t, &t->link, "LIST 2\r\n", &a))
		return false;
	return (answer_numbers(&a, n, 2) == 2 && n[0] == 2 &&
		       n[1] == t->all->mails[1].size) ||
		trial_fail(t, "LIST 2 is %s", a.text);
}

static bool
restore(struct trial *t)
{
	return trial_expect(t, &t->link, "RSET\r\n", "+") &&
		stat_is(t, t->all->count, t->all->octets) &&
		rows_are(t, "LIST\r\n", t->all->count);
}

static bool
rset_restores(struct trial *t)
{
	return mark(t) && restore(t);
}

static bool
last_form(struct trial *t)
{
	struct answer a;
	uint64_t n;

	if (!trial_ask(t, &t->link, "LAST\r\n", &a))
		return false;
	return a.sign == SIGN_ERR ||
		(answer_numbers(&a, &n, 1) == 1 && n <= t->all->count) ||
		trial_fail(t, "it is %s", a.text);
}

static bool
dele_all(struct trial *t)
{
	char text[32];

	if (t->all->count > 2000)
		return trial_skip(t, "more than 2000 messages");
	for (uint32_t i = 1; i <= t->all->count; i++) {
		(void)snprintf(text, sizeof(text), "DELE %u\r\n", i);
		if (!trial_expect(t, &t->link, text, "+"))
			return false;
	}
	return stat_is(t, 0, 0) && rows_are(t, "LIST\r\n", 0) &&
		trial_expect(t, &t->link, "RETR 1\r\n", "-") && restore(t);
}
