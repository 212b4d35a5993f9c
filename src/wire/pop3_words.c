#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "wire/pop3_flight.h"

#include <string.h>

/* RFC 2449 s.8 and RFC 3206 s.4; a prefix is enough, the longest stands first. */
static const struct {
	const char *name;
	enum pop3_code code;
} codes[] = {
	{"SYS/PERM", POP3_CODE_SYS_PERM},
	{"SYS", POP3_CODE_SYS_TEMP}, /* of an unknown kind: nothing says that it lasts */
	{"AUTH", POP3_CODE_AUTH},
	{"IN-USE", POP3_CODE_IN_USE},
	{"LOGIN-DELAY", POP3_CODE_LOGIN_DELAY},
};

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct view
behind(struct view v, size_t n)
{
	return (struct view){v.p + n, v.n - n};
}

static struct view
trim_start(struct view v)
{
	size_t n = 0;

	while (n < v.n && is_blank(v.p[n]))
		n++;
	return n > 0 ? behind(v, n) : v;
}

struct view
words_take(struct view *v)
{
	struct view word = trim_start(*v);
	size_t n = 0;

	while (n < word.n && !is_blank(word.p[n]))
		n++;
	*v = n > 0 ? behind(word, n) : word;
	word.n = n;
	return word;
}

static bool
starts_with(struct view v, const char *word)
{
	struct view w = {(const uint8_t *)word, strlen(word)};

	return v.n >= w.n && ascii_equal_nocase((struct view){v.p, w.n}, w);
}

/* RFC 2449 s.8: levels apart by "/"; a client that knows SYS takes SYS/X for it. */
static enum pop3_code
code_of(struct view name)
{
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		size_t n = strlen(codes[i].name);
		if (starts_with(name, codes[i].name) && (name.n == n || name.p[n] == '/'))
			return codes[i].code;
	}
	return POP3_CODE_OTHER;
}

/* "[" 1*graph "]", or nothing: brackets around other words are words. */
static struct view
code_name(struct view text)
{
	size_t n = 1;

	if (text.n == 0 || text.p[0] != '[')
		return (struct view){text.p, 0};
	while (n < text.n && ascii_is_graph(text.p[n]) && text.p[n] != ']')
		n++;
	if (n == text.n || text.p[n] != ']')
		n = 1;
	return (struct view){text.p + 1, n - 1};
}

bool
answer_read_status(struct view line, struct pop3_answer *ret)
{
	size_t n = 0;

	if (starts_with(line, "+OK"))
		n = 3;
	else if (starts_with(line, "-ERR"))
		n = 4;
	if (n == 0)
		return false;
	/* "+OK." is one, "+OKAY" is not. */
	uint8_t next = line.n > n ? ascii_lower(line.p[n]) : ' ';
	if (ascii_is_digit(next) || (next >= 'a' && next <= 'z'))
		return false;
	ret->ok = n == 3;
	ret->text = ascii_trim_end(trim_start(behind(line, n)));
	struct view name = code_name(ret->text);
	if (name.n == 0)
		return true;
	ret->code = code_of(name);
	if (ret->code != POP3_CODE_OTHER)
		ret->text = trim_start(behind(ret->text, name.n + 2));
	return true;
}

/*
 * A msg-id of RFC 822, as RFC 1939 s.7 asks: printable, one "@" with something at both
 * sides. A digest over anything else could be steered by a man in the middle
 * (CVE-2007-1558). v begins with "<"; the octets with ">", or 0.
 */
static size_t
stamp_octets(struct view v)
{
	size_t at = 0, n = 1;

	for (; n < v.n && v.p[n] != '>'; n++) {
		if (!ascii_is_graph(v.p[n]) || v.p[n] == '<')
			return 0;
		if (v.p[n] != '@')
			continue;
		if (at > 0)
			return 0;
		at = n;
	}
	return n < v.n && at > 1 && at + 1 < n ? n + 1 : 0;
}

struct view
answer_find_stamp(struct view text)
{
	for (size_t i = 0; i < text.n; i++) {
		size_t n = text.p[i] == '<' ? stamp_octets(behind(text, i)) : 0;
		if (n > 0)
			return (struct view){text.p + i, n};
	}
	return (struct view){text.p, 0};
}

static bool
is_msgno(struct view word, uint32_t *ret)
{
	uint64_t n;

	if (!num_decimal(word, UINT32_MAX, &n) || n == 0)
		return false;
	*ret = (uint32_t)n;
	return true;
}

/* "count octets", and words behind that say nothing (RFC 1939 s.5). */
static bool
read_stat(struct pop3_answer *ret)
{
	struct view rest = ret->text, first = words_take(&rest);
	uint64_t count;

	if (!num_decimal(first, UINT32_MAX, &count) ||
		!num_decimal(words_take(&rest), UINT64_MAX, &ret->value))
		return false;
	ret->msgno = (uint32_t)count;
	return true;
}

/* "n octets"; the octets alone are taken too. */
static bool
read_list_one(struct pop3_answer *ret)
{
	struct view rest = ret->text, first = words_take(&rest);
	struct view second = words_take(&rest);
	uint32_t msgno;

	if (second.n == 0)
		return num_decimal(first, UINT64_MAX, &ret->value);
	return is_msgno(first, &msgno) && msgno == ret->msgno &&
		num_decimal(second, UINT64_MAX, &ret->value);
}

/* "n uid"; the uid alone is taken too (Twisted). */
static bool
read_uidl_one(struct pop3_answer *ret)
{
	struct view rest = ret->text, first = words_take(&rest);
	struct view second = words_take(&rest);
	uint32_t msgno;
	bool numbered = second.n > 0 && is_msgno(first, &msgno);

	ret->uid = numbered ? second : first;
	return ret->uid.n > 0 && (!numbered || msgno == ret->msgno);
}

void
answer_read_text(struct pop3_answer *ret)
{
	bool good = true;

	if (!ret->ok)
		return;
	if (ret->command == POP3_STAT)
		good = read_stat(ret);
	else if (ret->command == POP3_LIST)
		good = read_list_one(ret);
	else if (ret->command == POP3_UIDL)
		good = read_uidl_one(ret);
	ret->bad_row = !good;
	if (good)
		return;
	ret->value = 0;
	ret->uid.n = 0;
}

void
answer_read_row(struct pop3_answer *ret)
{
	struct view rest = ret->text, first, second;
	bool good;

	if (ret->command != POP3_LIST && ret->command != POP3_UIDL)
		return;
	first = words_take(&rest);
	second = words_take(&rest);
	good = is_msgno(first, &ret->msgno) && second.n > 0;
	if (ret->command == POP3_UIDL)
		ret->uid = second;
	else
		good = good && num_decimal(second, UINT64_MAX, &ret->value);
	ret->bad_row = !good;
	if (good)
		return;
	ret->msgno = 0;
	ret->uid.n = 0;
}
