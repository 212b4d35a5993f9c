/*
 * torture_expect.c: steps of a row, and what is expected of each (torture_trial.h).
 */
#include "os/clock.h"
#include "torture/torture_steps.h"
#include "torture/torture_talk.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	char letter;
	const char *signs; /* that will do, of "+-c" */
	const char *words;
} patterns[] = {
	{'+', "+", "+OK"},
	{'-', "-", "-ERR"},
	{'?', "+-", "+OK or -ERR"},
	{'.', "+", "+OK and lines"},
	{'m', "+-", "-ERR, or +OK and lines"},
	{'c', "c", "a challenge"},
	{'e', "-", "-ERR, or the end of the connection"},
	{'a', "+-", "+OK, -ERR, or the end of the connection"},
	{'o', "+-c", "an answer"},
};

static bool
judge(struct trial *t, struct link *l, char letter)
{
	static const char of_sign[] = {[SIGN_OK] = '+',
		[SIGN_ERR] = '-',
		[SIGN_CHALLENGE] = 'c',
		[SIGN_END] = 0};
	struct answer a;
	struct body b;

	if (letter == 'x')
		return trial_end(t, l, false);
	t->may_end = letter == 'e' || letter == 'a';
	if (!trial_answer(t, l, t->may_end, &a))
		return false;
	if (a.sign == SIGN_END) {
		t->over = true;
		return true;
	}
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		if (patterns[i].letter != letter)
			continue;
		if (!strchr(patterns[i].signs, of_sign[a.sign]))
			return trial_fail(
				t, "%s came, not %s", a.text, patterns[i].words);
	}
	if (a.sign != SIGN_OK || (letter != '.' && letter != 'm'))
		return true;
	bool good = trial_body(t, l, 0, &b);
	body_free(&b);
	return good;
}

static bool
judge_all(struct trial *t, struct link *l, const char *pattern)
{
	for (const char *p = pattern; *p && !t->over; p++)
		if (!judge(t, l, *p))
			return false;
	return true;
}

bool
trial_expect(struct trial *t, struct link *l, const char *text, const char *pattern)
{
	return trial_say(t, l, text, strlen(text)) && judge_all(t, l, pattern);
}

/* The text of a step so many times over. */
static bool
say_again(struct trial *t, const struct step *s)
{
	size_t n = s->n * s->times;
	char *all = malloc(n);

	for (uint32_t i = 0; all && i < s->times; i++)
		memcpy(all + i * s->n, s->text, s->n);
	bool said = all && trial_say(t, &t->link, all, n);
	free(all);
	return said || trial_fail(t, "there is no memory");
}

static bool
play_step(struct trial *t, const struct step *s)
{
	uint32_t answers = s->many ? s->times : 1;

	if (s->times > 1 ? !say_again(t, s) : !trial_say(t, &t->link, s->text, s->n))
		return false;
	for (uint32_t i = 0; i < answers && !t->over; i++)
		if (!judge_all(t, &t->link, s->expect))
			return false;
	if (strchr(s->expect, 'x'))
		t->over = true;
	return true;
}

bool
trial_play(struct trial *t, const struct step *steps)
{
	for (const struct step *s = steps; s->expect && !t->over; s++)
		if (!play_step(t, s))
			return false;
	return true;
}

bool
trial_end(struct trial *t, struct link *l, bool may_speak)
{
	uint64_t octets;

	l->deadline_ms = t->until_ms;
	enum link_state s = link_drain(l, &octets);
	if (s == LINK_LATE || s == LINK_FULL)
		return trial_fail(t, "the server does not close: %s", link_words(s));
	return may_speak || octets == 0 ||
		trial_fail(t, "%llu octets came after the last answer",
			(unsigned long long)octets);
}

bool
trial_quit(struct trial *t, struct link *l)
{
	struct answer a;

	if (!trial_say(t, l, "QUIT\r\n", 6) || !trial_answer(t, l, t->may_end, &a))
		return false;
	if (a.sign == SIGN_END)
		return true;
	if (a.sign != SIGN_OK)
		return trial_fail(t, "QUIT was answered with %s", a.text);
	return trial_end(t, l, false);
}
