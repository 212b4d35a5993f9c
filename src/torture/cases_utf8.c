/*
 * cases_utf8.c: UTF8 and LANG (RFC 6856).
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool lang_list(struct trial *t);
static bool lang_answer(struct trial *t);
static bool lang_any(struct trial *t);
static bool utf8_login(struct trial *t);

#define CLAUSE "RFC 6856 s.2"
#define LANGC  "RFC 6856 s.3"

const struct torture_case cases_utf8[] = {
	ROW("utf8", CLAUSE, MUST, AT_GREETING, NEED_UTF8, "UTF8 before login: +OK",
		SAY("UTF8\r\n", "+")),
	ROW("utf8-lower-case", "RFC 1939 s.3", MUST, AT_GREETING, NEED_UTF8, "utf8: +OK",
		SAY("utf8\r\n", "+")),
	ROW("utf8-argument", CLAUSE, SHOULD, AT_GREETING, NEED_UTF8, "UTF8 x: -ERR",
		SAY("UTF8 x\r\n", "-")),
	ROW("utf8-twice", CLAUSE, ROBUST, AT_GREETING, NEED_UTF8,
		"UTF8 twice: two answers", SAY("UTF8\r\nUTF8\r\n", "+?")),
	ROW("utf8-login", CLAUSE, MUST, AT_GREETING, NEED_UTF8 | NEED_LOGIN | NEED_USER,
		"after UTF8 a login, and as many messages", .run = utf8_login),
	ROW("utf8-late", CLAUSE, ROBUST, AT_LOGIN, NEED_UTF8,
		"UTF8 after STAT: one answer", SAY("STAT\r\nUTF8\r\n", "+?")),
	ROW("utf8-user", "RFC 6856 s.2.1", ROBUST, AT_GREETING, NEED_UTF8,
		"a name that is UTF-8: one answer",
		SAY("UTF8\r\nUSER \xc3\xa4\r\n", "+?")),
	ROW("utf8-user-broken", "RFC 6856 s.2.1", ROBUST, AT_GREETING, NEED_UTF8,
		"a name that is no UTF-8: one answer",
		SAY("UTF8\r\nUSER \xc3\x28\r\n", "+?")),
	ROW("lang", LANGC, MUST, AT_GREETING, NEED_LANG, "LANG: +OK and lines, or -ERR",
		SAY("LANG\r\n", "m")),
	ROW("lang-rows", LANGC, MUST, AT_GREETING, NEED_LANG,
		"rows are a tag, perhaps a blank and a name", .run = lang_list),
	ROW("lang-answer", LANGC, MUST, AT_GREETING, NEED_LANG,
		"LANG with a tag of the list: +OK, the tag, a blank", .run = lang_answer),
	ROW("lang-any", LANGC, MUST, AT_GREETING, NEED_LANG,
		"LANG *: +OK, a tag, a blank; or -ERR", .run = lang_any),
	ROW("lang-default", "RFC 2277 s.4.5", ROBUST, AT_GREETING, NEED_LANG,
		"LANG i-default: one answer", SAY("LANG i-default\r\n", "?")),
	ROW("lang-unknown", LANGC, MUST, AT_GREETING, NEED_LANG, "LANG tlh-xx: -ERR",
		SAY("LANG tlh-xx\r\n", "-")),
	ROW("lang-garbage", LANGC, MUST, AT_GREETING, NEED_LANG, "LANG !!!: -ERR",
		SAY("LANG !!!\r\n", "-")),
	ROW("lang-long", "robustness", ROBUST, AT_GREETING, NEED_LANG,
		"a tag of 200 octets: -ERR",
		STEPS(STEP("LANG ", ""), REPEAT("e", "", 200), STEP("\r\n", "-"))),
	ROW("lang-after-login", LANGC, MUST, AT_SHARED, NEED_LANG,
		"LANG after login: +OK and lines, or -ERR", SAY("LANG\r\n", "m")),
	NO_MORE_ROWS,
};

#define TAGS_MAX 32
#define TAG_MAX	 64

/* The tags of the list; false: it failed. */
static bool
read_tags(struct trial *t, char tags[TAGS_MAX][TAG_MAX], int *ret_n)
{
	struct body b;
	bool good = trial_lines(t, &t->link, "LANG\r\n", 65536, &b);

	*ret_n = 0;
	for (size_t i = 0; good && i < b.text_n && *ret_n < TAGS_MAX;) {
		const char *p = (const char *)b.text + i;
		const char *lf = memchr(p, '\n', b.text_n - i);
		size_t line = (size_t)(lf - p), tag = 0;

		while (tag < line && p[tag] != ' ' && p[tag] != '\r')
			tag++;
		if (tag == 0 || tag >= TAG_MAX)
			good = trial_fail(
				t, "no row: %.*s", (int)(line > 60 ? 60 : line), p);
		else
			(void)snprintf(tags[(*ret_n)++], TAG_MAX, "%.*s", (int)tag, p);
		i += line + 1;
	}
	body_free(&b);
	return good;
}

static bool
lang_list(struct trial *t)
{
	char tags[TAGS_MAX][TAG_MAX];
	int n;

	return read_tags(t, tags, &n) && trial_quit(t, &t->link);
}

static bool
lang_answer(struct trial *t)
{
	char tags[TAGS_MAX][TAG_MAX], text[TAG_MAX + 16];
	struct answer a;
	int n;

	if (!read_tags(t, tags, &n))
		return false;
	for (int i = 0; i < n; i++) {
		size_t length = strlen(tags[i]);

		(void)snprintf(text, sizeof(text), "LANG %s\r\n", tags[i]);
		if (!trial_ask(t, &t->link, text, &a))
			return false;
		if (a.sign != SIGN_OK || a.n < 5 + length || a.text[4 + length] != ' ' ||
			strncasecmp(a.text + 4, tags[i], length) != 0)
			return trial_fail(t, "LANG %s is %s", tags[i], a.text);
	}
	return trial_quit(t, &t->link);
}

static bool
lang_any(struct trial *t)
{
	struct answer a;

	if (!trial_ask(t, &t->link, "LANG *\r\n", &a))
		return false;
	const char *blank = a.n > 4 ? strchr(a.text + 4, ' ') : NULL;
	return a.sign == SIGN_ERR || (blank && blank > a.text + 4) ||
		trial_fail(t, "it is %s", a.text);
}

static bool
utf8_login(struct trial *t)
{
	struct answer a;
	uint64_t n[2];

	if (!trial_expect(t, &t->link, "UTF8\r\n", "+") || !trial_log_in(t, &t->link) ||
		!trial_ask(t, &t->link, "STAT\r\n", &a))
		return false;
	if (answer_numbers(&a, n, 2) != 2 || n[0] != t->all->count)
		return trial_fail(t, "STAT is %s", a.text);
	return trial_quit(t, &t->link);
}
