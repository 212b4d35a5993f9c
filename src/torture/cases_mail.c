/*
 * cases_mail.c: RETR and TOP: sizes, line ends, dots, heads.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool retr_size(struct trial *t);
static bool retr_first_line(struct trial *t);
static bool retr_crlf(struct trial *t);
static bool retr_dots(struct trial *t);
static bool retr_twice(struct trial *t);
static bool top_none(struct trial *t);
static bool top_one(struct trial *t);
static bool top_five(struct trial *t);
static bool top_all(struct trial *t);
static bool top_dots(struct trial *t);
static bool top_marks_nothing(struct trial *t);
static bool retr_marks_nothing(struct trial *t);
static bool retr_slowly(struct trial *t);

const struct torture_case cases_mail[] = {
	ROW("retr-size", "RFC 1939 s.11", MUST, AT_SHARED, NEED_MAIL,
		"RETR brings as many octets as LIST says", .run = retr_size),
	ROW("retr-first-line", "RFC 1939 s.5", ROBUST, AT_SHARED, NEED_MAIL,
		"a number in RETR's first line is the size", .run = retr_first_line),
	ROW("retr-line-ends", "RFC 1939 s.3", MUST, AT_SHARED, NEED_MAIL,
		"each line of a message ends in CRLF", .run = retr_crlf),
	ROW("retr-dots", "RFC 1939 s.3", MUST, AT_SHARED, NEED_MAIL,
		"a line that begins with a dot gets another", .run = retr_dots),
	ROW("retr-twice", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"RETR twice brings the same octets", .run = retr_twice),
	ROW("retr-marks-nothing", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"RETR changes neither STAT nor LIST", .run = retr_marks_nothing),
	ROW("retr-slow-reader", "robustness", ROBUST, AT_LOGIN, NEED_MAIL,
		"a client that reads slowly gets all of it", .run = retr_slowly),
	ROW("retr-lower-case", "RFC 1939 s.3", MUST, AT_SHARED, NEED_MAIL, "retr 1: +OK",
		SAY("retr 1\r\n", ".")),
	ROW("top-none", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"TOP n 0: headers and the blank line, as RETR has them", .run = top_none),
	ROW("top-one", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"TOP n 1: one line of the body more", .run = top_one),
	ROW("top-five", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"TOP n 5: five lines of the body", .run = top_five),
	ROW("top-all", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"TOP n 99999999: the whole message", .run = top_all),
	ROW("top-dots", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"dots of TOP are stuffed, line ends CRLF", .run = top_dots),
	ROW("top-marks-nothing", "RFC 1939 s.7", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"TOP changes neither STAT nor LIST", .run = top_marks_nothing),
	ROW("top-lower-case", "RFC 1939 s.3", MUST, AT_SHARED, NEED_MAIL | NEED_TOP,
		"top 1 0: +OK", SAY("top 1 0\r\n", ".")),
	NO_MORE_ROWS,
};

#define MAILS_MAX 40
#define KEEP_MAX  (UINT32_C(4) << 20)

/* Calls for each message that may be read: 40 at most, and --octets together. */
static bool
each_mail(struct trial *t, bool (*judge)(struct trial *t, uint32_t i))
{
	uint64_t octets = 0;
	int n = 0;

	for (uint32_t i = 0; i < t->all->count && n < MAILS_MAX; i++) {
		if (octets + t->all->mails[i].size > t->all->options.octets_max)
			continue;
		octets += t->all->mails[i].size;
		n++;
		if (!judge(t, i))
			return false;
	}
	return n > 0 || trial_skip(t, "all messages are larger than --octets");
}

static bool
retrieve(struct trial *t, uint32_t i, size_t keep, struct body *ret)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "RETR %u\r\n", i + 1);
	return trial_lines(t, &t->link, text, keep, ret);
}

static bool
judge_size(struct trial *t, uint32_t i)
{
	struct body b;
	bool good = retrieve(t, i, 0, &b);

	return good &&
		(b.octets == t->all->mails[i].size ||
			trial_fail(t, "message %u: LIST %llu, RETR %llu", i + 1,
				(unsigned long long)t->all->mails[i].size,
				(unsigned long long)b.octets));
}

static bool
retr_size(struct trial *t)
{
	return each_mail(t, judge_size);
}

static bool
judge_first_line(struct trial *t, uint32_t i)
{
	char text[32];
	struct answer a;
	struct body b;
	uint64_t n;

	(void)snprintf(text, sizeof(text), "RETR %u\r\n", i + 1);
	if (!trial_ask(t, &t->link, text, &a) || !trial_body(t, &t->link, 0, &b))
		return false;
	return answer_numbers(&a, &n, 1) != 1 || n == b.octets ||
		trial_fail(t, "message %u: %s, and %llu octets follow", i + 1, a.text,
			(unsigned long long)b.octets);
}

static bool
retr_first_line(struct trial *t)
{
	return each_mail(t, judge_first_line);
}

static bool
judge_crlf(struct trial *t, uint32_t i)
{
	struct body b;

	return retrieve(t, i, 0, &b) &&
		(b.bare_lf == 0 ||
			trial_fail(t, "message %u: %llu lines end in a bare LF", i + 1,
				(unsigned long long)b.bare_lf));
}

static bool
retr_crlf(struct trial *t)
{
	return each_mail(t, judge_crlf);
}

static bool
judge_dots(struct trial *t, uint32_t i)
{
	struct body b;

	return retrieve(t, i, 0, &b) &&
		(b.unstuffed == 0 ||
			trial_fail(t, "message %u: %llu lines begin with one dot", i + 1,
				(unsigned long long)b.unstuffed));
}

static bool
retr_dots(struct trial *t)
{
	return each_mail(t, judge_dots);
}

static bool
judge_twice(struct trial *t, uint32_t i)
{
	struct body a, b;

	if (!retrieve(t, i, 0, &a) || !retrieve(t, i, 0, &b))
		return false;
	return (a.digest == b.digest && a.octets == b.octets) ||
		trial_fail(t, "message %u is another the second time", i + 1);
}

static bool
retr_twice(struct trial *t)
{
	return each_mail(t, judge_twice);
}

/* ---- TOP ---- */

/* How many octets of the message TOP n lines has. */
static size_t
octets_of_top(const struct body *whole, uint64_t lines)
{
	size_t at = whole->head ? (size_t)whole->head : whole->text_n;

	for (uint64_t i = 0; i < lines && at < whole->text_n; i++) {
		const uint8_t *lf = memchr(whole->text + at, '\n', whole->text_n - at);

		at = lf ? (size_t)(lf + 1 - whole->text) : whole->text_n;
	}
	return at;
}

static bool
judge_top(struct trial *t, uint32_t i, uint64_t lines)
{
	struct body whole = {0}, top = {0};
	char text[64];

	if (t->all->mails[i].size > KEEP_MAX / 2)
		return true;
	(void)snprintf(
		text, sizeof(text), "TOP %u %llu\r\n", i + 1, (unsigned long long)lines);
	bool good = retrieve(t, i, KEEP_MAX, &whole) &&
		trial_lines(t, &t->link, text, KEEP_MAX, &top);
	if (good) {
		size_t n = octets_of_top(&whole, lines);
		/* A message without a blank line gets one from some servers. */
		bool added = !whole.head && top.text_n == n + 2 && top.head == n + 2;

		if ((top.text_n != n && !added) ||
			(n > 0 && memcmp(top.text, whole.text, n) != 0))
			good = trial_fail(t, "message %u: %zu octets, not these %zu",
				i + 1, top.text_n, n);
	}
	body_free(&whole);
	body_free(&top);
	return good;
}

static bool
judge_top_none(struct trial *t, uint32_t i)
{
	return judge_top(t, i, 0);
}

static bool
judge_top_one(struct trial *t, uint32_t i)
{
	return judge_top(t, i, 1);
}

static bool
judge_top_five(struct trial *t, uint32_t i)
{
	return judge_top(t, i, 5);
}

static bool
judge_top_all(struct trial *t, uint32_t i)
{
	return judge_top(t, i, 99999999);
}

static bool
top_none(struct trial *t)
{
	return each_mail(t, judge_top_none);
}

static bool
top_one(struct trial *t)
{
	return each_mail(t, judge_top_one);
}

static bool
top_five(struct trial *t)
{
	return each_mail(t, judge_top_five);
}

static bool
top_all(struct trial *t)
{
	return each_mail(t, judge_top_all);
}

static bool
judge_top_dots(struct trial *t, uint32_t i)
{
	struct body b;
	char text[64];

	(void)snprintf(text, sizeof(text), "TOP %u 1000\r\n", i + 1);
	if (!trial_lines(t, &t->link, text, 0, &b))
		return false;
	return (b.unstuffed == 0 && b.bare_lf == 0) ||
		trial_fail(t, "message %u: %llu lines with one dot, %llu with a bare LF",
			i + 1, (unsigned long long)b.unstuffed,
			(unsigned long long)b.bare_lf);
}

static bool
top_dots(struct trial *t)
{
	return each_mail(t, judge_top_dots);
}

/* ---- what stays ---- */

static bool
same_stat(struct trial *t)
{
	struct answer a;
	uint64_t n[2];

	if (!trial_ask(t, &t->link, "STAT\r\n", &a))
		return false;
	if (answer_numbers(&a, n, 2) != 2 || n[0] != t->all->count ||
		n[1] != t->all->octets)
		return trial_fail(t, "STAT was %u %llu, now %s", t->all->count,
			(unsigned long long)t->all->octets, a.text);
	return true;
}

static bool
retr_marks_nothing(struct trial *t)
{
	return trial_expect(t, &t->link, "RETR 1\r\n", ".") && same_stat(t) &&
		trial_expect(t, &t->link, "LIST 1\r\n", "+");
}

static bool
top_marks_nothing(struct trial *t)
{
	return trial_expect(t, &t->link, "TOP 1 0\r\n", ".") && same_stat(t) &&
		trial_expect(t, &t->link, "LIST 1\r\n", "+");
}

/* Much is asked for before anything is read; then it must all be there. */
static bool
retr_slowly(struct trial *t)
{
	struct body b;
	uint64_t size = t->all->mails[0].size;

	if (size > t->all->options.octets_max / 8)
		return trial_skip(t, "message 1 is larger than an eighth of --octets");
	for (int i = 0; i < 8; i++)
		if (!trial_say(t, &t->link, "RETR 1\r\n", 8))
			return false;
	for (int i = 0; i < 8; i++) {
		if (!trial_lines(t, &t->link, "", 0, &b))
			return false;
		if (b.octets != size)
			return trial_fail(t, "the %d. time %llu octets came", i + 1,
				(unsigned long long)b.octets);
	}
	return trial_quit(t, &t->link);
}
