/*
 * cases_lists.c: STAT, LIST and UIDL: their form, and that they agree.
 */
#include "torture/torture_cases.h"
#include "torture/torture_facts.h"

#include "base/ascii.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool stat_form(struct trial *t);
static bool list_rows(struct trial *t);
static bool list_agrees(struct trial *t);
static bool list_one(struct trial *t);
static bool list_first_line(struct trial *t);
static bool uidl_rows(struct trial *t);
static bool uidl_unique(struct trial *t);
static bool uidl_one(struct trial *t);
static bool uidl_again(struct trial *t);
static bool one_is_one_line(struct trial *t);
static bool stat_again(struct trial *t);

const struct torture_case cases_lists[] = {
	ROW("stat-form", "RFC 1939 s.5", MUST, AT_SHARED, 0,
		"+OK, count, octets, one blank each", .run = stat_form),
	ROW("stat-again", "RFC 1939 s.5", MUST, AT_SHARED, 0, "STAT twice says the same",
		.run = stat_again),
	ROW("list-form", "RFC 1939 s.5", MUST, AT_SHARED, 0,
		"rows are number, blank, size; numbers rise from 1", .run = list_rows),
	ROW("list-agrees", "RFC 1939 s.5", MUST, AT_SHARED, 0,
		"LIST has as many messages as STAT, and as many octets",
		.run = list_agrees),
	ROW("list-first-line", "RFC 1939 s.5", ROBUST, AT_SHARED, 0,
		"numbers in the first line of LIST, if any, are those of STAT",
		.run = list_first_line),
	ROW("list-one", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"LIST n is the row of LIST", .run = list_one),
	ROW("list-one-line", "RFC 1939 s.5", MUST, AT_SHARED, NEED_MAIL,
		"LIST n and UIDL n are one line, without a dot behind them",
		.run = one_is_one_line),
	ROW("uidl-form", "RFC 1939 s.7", MUST, AT_SHARED, NEED_UIDL,
		"rows are number, blank, 1 to 70 octets 0x21 to 0x7E", .run = uidl_rows),
	ROW("uidl-unique", "RFC 1939 s.7", MUST, AT_SHARED, NEED_UIDL,
		"each message has a UIDL, and no two the same", .run = uidl_unique),
	ROW("uidl-one", "RFC 1939 s.7", MUST, AT_SHARED, NEED_UIDL | NEED_MAIL,
		"UIDL n is the row of UIDL", .run = uidl_one),
	ROW("uidl-stays", "RFC 1939 s.7", MUST, AT_LOGIN, NEED_UIDL,
		"UIDLs are the same in the next session", .run = uidl_again),
	NO_MORE_ROWS,
};

static bool
stat_of(struct trial *t, uint64_t n[2])
{
	struct answer a;

	if (!trial_ask(t, &t->link, "STAT\r\n", &a))
		return false;
	if (a.sign != SIGN_OK || answer_numbers(&a, n, 2) != 2)
		return trial_fail(t, "it is %s", a.text);
	return true;
}

static bool
stat_form(struct trial *t)
{
	uint64_t n[2];

	return stat_of(t, n);
}

static bool
stat_again(struct trial *t)
{
	uint64_t a[2], b[2];

	if (!stat_of(t, a) || !stat_of(t, b))
		return false;
	return (a[0] == b[0] && a[1] == b[1]) || trial_fail(t, "it does not");
}

/* Calls for each line of the answer to a command, numbered from 0. */
static bool
each_row(struct trial *t, const char *command,
	bool (*judge)(struct trial *t, struct view line, uint64_t i))
{
	struct body b;
	bool good = trial_lines(t, &t->link, command, UINT32_C(64) << 20, &b);
	uint64_t row = 0;

	for (size_t i = 0; good && i < b.text_n; row++) {
		const uint8_t *lf = memchr(b.text + i, '\n', b.text_n - i);
		size_t n = (size_t)(lf - b.text) - i;

		good = judge(t, (struct view){b.text + i, n > 0 ? n - 1 : 0}, row);
		i += n + 1;
	}
	if (good && b.bare_lf > 0)
		good = trial_fail(t, "a row ends in a bare LF");
	body_free(&b);
	return good;
}

/* "N REST" with N = i + 1 and one blank; numbers may skip nothing in a fresh session. */
static bool
split(struct trial *t, struct view line, uint64_t i, struct view *ret)
{
	const uint8_t *blank = line.n ? memchr(line.p, ' ', line.n) : NULL;
	uint64_t number;

	if (!blank ||
		!num_decimal((struct view){line.p, (size_t)(blank - line.p)}, UINT32_MAX,
			&number))
		return trial_fail(t, "no row: %.*s", (int)(line.n > 80 ? 80 : line.n),
			(const char *)line.p);
	if (number != i + 1)
		return trial_fail(t, "row %llu has number %llu",
			(unsigned long long)i + 1, (unsigned long long)number);
	*ret = (struct view){blank + 1, line.n - (size_t)(blank - line.p) - 1};
	return true;
}

static bool
judge_size(struct trial *t, struct view line, uint64_t i)
{
	struct view rest = {0};
	uint64_t size;

	if (!split(t, line, i, &rest))
		return false;
	const uint8_t *blank = rest.n ? memchr(rest.p, ' ', rest.n) : NULL;
	if (blank)
		rest.n = (size_t)(blank - rest.p);
	return num_decimal(rest, UINT64_MAX, &size) ||
		trial_fail(t, "no size: %.*s", (int)(line.n > 80 ? 80 : line.n),
			(const char *)line.p);
}

static bool
list_rows(struct trial *t)
{
	return each_row(t, "LIST\r\n", judge_size);
}

static bool
list_agrees(struct trial *t)
{
	struct torture_mail *mails = NULL;
	uint64_t octets = 0, sum = 0;
	uint32_t count = 0, listed = 0;
	bool good = torture_ask_mails(t, &t->link, &mails, &count, &octets);

	for (uint32_t i = 0; good && i < count; i++) {
		sum += mails[i].size;
		listed += mails[i].listed;
	}
	free(mails);
	if (!good)
		return false;
	return (listed == count && sum == octets) ||
		trial_fail(t, "STAT %u %llu, LIST %u %llu", count,
			(unsigned long long)octets, listed, (unsigned long long)sum);
}

/* The sample of RFC 1939 is "+OK 2 messages (320 octets)". */
static bool
list_first_line(struct trial *t)
{
	struct answer a;
	struct body b;
	uint64_t n[2];

	if (!trial_ask(t, &t->link, "LIST\r\n", &a) || !trial_body(t, &t->link, 0, &b))
		return false;
	int numbers = answer_numbers(&a, n, 2);
	return numbers <= 0 || n[0] == b.lines ||
		trial_fail(t, "it says %s, and %llu rows follow", a.text,
			(unsigned long long)b.lines);
}

static bool
list_one(struct trial *t)
{
	for (uint32_t i = 0; i < t->all->count && i < 20; i++) {
		char text[32];
		struct answer a;
		uint64_t n[2];

		(void)snprintf(text, sizeof(text), "LIST %u\r\n", i + 1);
		if (!trial_ask(t, &t->link, text, &a))
			return false;
		if (a.sign != SIGN_OK || answer_numbers(&a, n, 2) != 2 || n[0] != i + 1 ||
			n[1] != t->all->mails[i].size)
			return trial_fail(t, "LIST %u is %s, its row has %llu", i + 1,
				a.text, (unsigned long long)t->all->mails[i].size);
	}
	return true;
}

static bool
one_is_one_line(struct trial *t)
{
	/* A dot behind either would be no answer to what comes next. */
	return trial_expect(t, &t->link, "LIST 1\r\n", "+") &&
		trial_expect(t, &t->link, "UIDL 1\r\n", "?") &&
		trial_expect(t, &t->link, "NOOP\r\n", "+");
}

static bool
judge_uidl(struct trial *t, struct view line, uint64_t i)
{
	struct view rest = {0};

	if (!split(t, line, i, &rest))
		return false;
	if (rest.n < 1 || rest.n > 70)
		return trial_fail(t, "UIDL of message %llu has %zu octets",
			(unsigned long long)i + 1, rest.n);
	for (size_t k = 0; k < rest.n; k++)
		if (!ascii_is_graph(rest.p[k]))
			return trial_fail(t, "UIDL of message %llu holds 0x%02X",
				(unsigned long long)i + 1, rest.p[k]);
	return true;
}

static bool
uidl_rows(struct trial *t)
{
	return each_row(t, "UIDL\r\n", judge_uidl);
}

static int
by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool
uidl_unique(struct trial *t)
{
	uint32_t count = t->all->count;
	uint64_t *digests = calloc((size_t)count + 1, sizeof(*digests));
	bool good = true;

	if (!digests)
		return trial_fail(t, "there is no memory");
	for (uint32_t i = 0; good && i < count; i++) {
		digests[i] = t->all->mails[i].uidl;
		if (!digests[i])
			good = trial_fail(t, "message %u has none", i + 1);
	}
	if (good)
		qsort(digests, count, sizeof(*digests), by_value);
	for (uint32_t i = 1; good && i < count; i++)
		if (digests[i] == digests[i - 1])
			good = trial_fail(t, "two messages have the same");
	free(digests);
	return good;
}

static uint64_t
digest_of(const char *p, size_t n)
{
	uint64_t d = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < n; i++)
		d = (d ^ (uint8_t)p[i]) * UINT64_C(0x100000001B3);
	return d ? d : 1;
}

static bool
uidl_one(struct trial *t)
{
	for (uint32_t i = 0; i < t->all->count && i < 20; i++) {
		char text[32];
		struct answer a;
		uint64_t n;

		(void)snprintf(text, sizeof(text), "UIDL %u\r\n", i + 1);
		if (!trial_ask(t, &t->link, text, &a))
			return false;
		const char *p = a.n > 4 ? strchr(a.text + 4, ' ') : NULL;
		if (a.sign != SIGN_OK || answer_numbers(&a, &n, 1) != 1 || n != i + 1 ||
			!p)
			return trial_fail(t, "UIDL %u is %s", i + 1, a.text);
		if (digest_of(p + 1, strlen(p + 1)) != t->all->mails[i].uidl)
			return trial_fail(
				t, "UIDL %u is %s, its row is not", i + 1, a.text);
	}
	return true;
}

static bool
uidl_again(struct trial *t)
{
	struct torture_mail *mails = NULL;
	uint64_t octets;
	uint32_t count = 0;
	bool good = torture_ask_mails(t, &t->link, &mails, &count, &octets);

	if (good && count != t->all->count)
		good = trial_fail(
			t, "there were %u messages, now %u", t->all->count, count);
	for (uint32_t i = 0; good && i < count; i++)
		if (mails[i].uidl != t->all->mails[i].uidl)
			good = trial_fail(t, "message %u has another", i + 1);
	free(mails);
	return good && trial_quit(t, &t->link);
}
