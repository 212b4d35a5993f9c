/*
 * torture_talk.c: commands out, answers in. Strict, as a client's reader is not: what a
 * client forgives is what is looked for here.
 */
#include "torture/torture_talk.h"

#include "base/ascii.h"
#include "base/num.h"
#include "os/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAY_MAX (UINT32_C(64) << 10)

bool
trial_fail(struct trial *t, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	if (!t->why[0])
		(void)vsnprintf(t->why, sizeof(t->why), format, list);
	va_end(list);
	return false;
}

bool
trial_skip(struct trial *t, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	(void)vsnprintf(t->why, sizeof(t->why), format, list);
	va_end(list);
	t->skipped = true;
	return false;
}

/* ---- out ---- */

/* The value of a variable, in scratch where it is a number. */
static const char *
value_of(const struct torture *all, char name, char scratch[24])
{
	uint64_t n = all->count;

	switch (name) {
	case 'U': return all->options.user;
	case 'P': return (const char *)all->password.octets;
	case 'B': return all->plain;
	case 'M': n++; break;
	case 'N': break;
	default: return "$";
	}
	(void)snprintf(scratch, 24, "%llu", (unsigned long long)n);
	return scratch;
}

bool
trial_say(struct trial *t, struct link *l, const char *text, size_t n)
{
	char *out = malloc(n + SAY_MAX), scratch[24];
	size_t put = 0;

	for (size_t i = 0; out && i < n; i++) {
		if (text[i] != '$' || i + 1 == n) {
			out[put++] = text[i];
			continue;
		}
		const char *value = value_of(t->all, text[++i], scratch);
		size_t length = value ? strlen(value) : 0;
		if (put + length + (n - i) > n + SAY_MAX)
			break;
		memcpy(out + put, value ? value : "", length);
		put += length;
	}
	enum link_state s =
		out ? link_send(l, (struct view){(uint8_t *)out, put}) : LINK_FULL;
	if (out)
		explicit_bzero(out, put);
	free(out);
	/* A reset shows at the answer, where it may be what is expected. */
	return s != LINK_LATE || trial_fail(t, "it does not take what is sent");
}

/* ---- in ---- */

static bool
judge_line(struct trial *t, struct view line, struct answer *ret)
{
	/* The survey only learns; each fault has a case that finds it. */
	if (!t->all->surveyed)
		return true;
	if (line.n < 2 || line.p[line.n - 2] != '\r')
		return trial_fail(t, "an answer ends in a bare LF (RFC 1939 s.3): %.60s",
			ret->text);
	if (line.n > TRIAL_ANSWER_MAX)
		return trial_fail(
			t, "an answer of %zu octets, at most 512 (RFC 2449 s.4)", line.n);
	for (size_t i = 0; i < ret->n; i++)
		if ((uint8_t)ret->text[i] < 0x20 || ret->text[i] == 0x7F)
			return trial_fail(t,
				"an answer holds a control character, 0x%02X",
				(unsigned)(uint8_t)ret->text[i]);
	return true;
}

static bool
judge_sign(struct trial *t, struct answer *ret)
{
	static const struct {
		const char *word;
		enum sign sign;
	} signs[] = {{"+OK", SIGN_OK}, {"-ERR", SIGN_ERR}};

	for (size_t i = 0; i < 2; i++) {
		size_t n = strlen(signs[i].word);

		if (strncmp(ret->text, signs[i].word, n) != 0)
			continue;
		ret->sign = signs[i].sign;
		return ret->text[n] == '\0' || ret->text[n] == ' ' ||
			trial_fail(
				t, "no blank behind %s: %.60s", signs[i].word, ret->text);
	}
	ret->sign = SIGN_CHALLENGE;
	return strncmp(ret->text, "+ ", 2) == 0 || strcmp(ret->text, "+") == 0 ||
		trial_fail(t, "that is no answer (RFC 1939 s.3): %.60s", ret->text);
}

/* RFC 2449 s.8: a code is "[", atoms and "/", "]", and stands right behind the sign. */
static bool
judge_code(struct trial *t, const struct answer *a)
{
	const char *p = a->text + 5;

	if (!t->all->surveyed || a->sign != SIGN_ERR || a->n < 6 || *p != '[' ||
		!torture_capa_of(&t->all->before, "RESP-CODES"))
		return true;
	size_t n = strcspn(p, "]");
	bool good = n > 1 && p[n] == ']';
	for (size_t i = 1; i < n && good; i++)
		good = ascii_is_graph((uint8_t)p[i]) && !strchr("(){%*\"\\", p[i]);
	return good || trial_fail(t, "no response code (RFC 2449 s.8): %.60s", a->text);
}

bool
trial_answer(struct trial *t, struct link *l, bool may_end, struct answer *ret)
{
	struct view line;
	enum link_state s;

	*ret = (struct answer){.sign = SIGN_END};
	l->deadline_ms = t->until_ms;
	s = link_line(l, &line);
	if (s != LINK_OPEN) {
		if (link_rest(l).n > 0)
			return trial_fail(t, "an answer is cut: %s", link_words(s));
		return (may_end && s != LINK_LATE) ||
			trial_fail(t, "instead of an answer: %s", link_words(s));
	}
	ret->n = line.n - (line.n > 1 && line.p[line.n - 2] == '\r' ? 2 : 1);
	if (ret->n > TRIAL_ANSWER_MAX)
		ret->n = TRIAL_ANSWER_MAX;
	memcpy(ret->text, line.p, ret->n);
	return judge_line(t, line, ret) && judge_sign(t, ret) && judge_code(t, ret);
}

bool
trial_ask(struct trial *t, struct link *l, const char *text, struct answer *ret)
{
	return trial_say(t, l, text, strlen(text)) && trial_answer(t, l, false, ret);
}

/* ---- lines up to the dot ---- */

void
body_free(struct body *b)
{
	free(b->text);
	*b = (struct body){0};
}

static void
digest(struct body *b, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) /* FNV-1a */
		b->digest = (b->digest ^ p[i]) * UINT64_C(0x100000001B3);
}

static bool
keep_text(struct body *b, struct view line, size_t keep)
{
	if (b->text_n + line.n > keep)
		return true;
	if (b->text_cap - b->text_n < line.n) {
		size_t cap = 2 * (b->text_n + line.n);
		uint8_t *text = realloc(b->text, cap);

		if (!text)
			return false;
		b->text = text;
		b->text_cap = cap;
	}
	memcpy(b->text + b->text_n, line.p, line.n);
	b->text_n += line.n;
	return true;
}

/* A line that is not the terminator. */
static bool
add_line(struct body *b, struct view line, size_t keep)
{
	bool crlf = line.n >= 2 && line.p[line.n - 2] == '\r';

	b->bare_lf += !crlf;
	if (line.p[0] == '.') {
		b->dots++;
		b->unstuffed += line.p[1] != '.';
		line.p++;
		line.n--;
	}
	b->octets += line.n;
	b->lines++;
	if (!b->head && line.n == (crlf ? 2 : 1))
		b->head = b->octets;
	digest(b, line.p, line.n);
	return keep_text(b, line, keep);
}

bool
trial_body(struct trial *t, struct link *l, size_t keep, struct body *ret)
{
	struct view line;

	*ret = (struct body){.digest = UINT64_C(0xCBF29CE484222325)};
	l->deadline_ms = t->until_ms;
	for (;;) {
		enum link_state s = link_line(l, &line);

		if (s != LINK_OPEN)
			return trial_fail(t, "lines without the dot at their end: %s",
				link_words(s));
		if (line.n == 3 && memcmp(line.p, ".\r\n", 3) == 0)
			return true;
		if (line.n == 2 && line.p[0] == '.')
			return trial_fail(t, "the dot ends in a bare LF (RFC 1939 s.3)");
		if (!add_line(ret, line, keep))
			return trial_fail(t, "there is no memory");
	}
}

bool
trial_lines(
	struct trial *t, struct link *l, const char *text, size_t keep, struct body *ret)
{
	struct answer a;

	*ret = (struct body){0};
	if (!trial_ask(t, l, text, &a))
		return false;
	if (a.sign != SIGN_OK)
		return trial_fail(t, "%.40s was answered with %.60s", text, a.text);
	return trial_body(t, l, keep, ret);
}

int
answer_numbers(const struct answer *a, uint64_t *ret, int cap)
{
	const char *p = a->text + 3;
	int n = 0;

	while (n < cap && p[0] == ' ' && ascii_is_digit((uint8_t)p[1])) {
		size_t digits = strspn(p + 1, "0123456789");
		struct view v = {(const uint8_t *)p + 1, digits};

		if (p[1 + digits] != ' ' && p[1 + digits] != '\0')
			return -1;
		if (!num_decimal(v, UINT64_MAX, &ret[n++]))
			return -1;
		p += 1 + digits;
	}
	return n;
}
