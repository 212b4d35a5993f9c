/*
 * Which differences of two lists a client would notice.
 */
#include "unit.h"

#include "base/check.h"
#include "move/compare_lists.h"

#include <stdio.h>
#include <string.h>

#define ROWS 64

struct list {
	struct compare_side side;
	struct compare_message messages[ROWS];
	uint32_t order[ROWS];
	char uidls[ROWS][128];
};

struct told {
	struct compare_sink sink; /* first */
	char text[4096];
};

static struct told told;

static void
tell(struct compare_sink *s, enum difference what, const struct compare_message *old,
	const struct compare_message *new)
{
	struct told *t = (struct told *)(void *)s;
	size_t n = strlen(t->text);

	(void)snprintf(t->text + n, sizeof(t->text) - n, "%s%s:%u:%u", n > 0 ? " " : "",
		difference_word(what), old ? old->number : 0, new ? new->number : 0);
}

/* Rows "UIDL=HEADER/SIZE+WHOLE", blanks between; all but HEADER may be missing. UIDL "-":
 * none; HEADER "?": refused, "": not known. */
static void
fill(struct list *l, const char *text)
{
	memset(l, 0, sizeof(*l));
	l->side = (struct compare_side){l->messages, 0, true, l->order};
	while (*text) {
		struct compare_message *m = &l->messages[l->side.n];
		char *uidl = l->uidls[l->side.n++];
		size_t n = strcspn(text, "=");

		memcpy(uidl, text, n);
		if (strcmp(uidl, "-") != 0)
			m->uidl = (struct view){(uint8_t *)uidl, n};
		text += n + 1;
		m->number = l->side.n;
		m->size = 100;
		if (*text == '?')
			m->refused = true;
		else if (*text != ' ' && *text)
			m->has_header = true;
		if (m->has_header)
			m->header[0] = (uint8_t)*text;
		text += *text != ' ' && *text;
		if (*text == '/') {
			m->size = (uint64_t)(text[1] - '0');
			text += 2;
		}
		if (*text == '+') {
			m->has_whole = true;
			m->whole[0] = (uint8_t)text[1];
			text += 2;
		}
		text += *text == ' ';
	}
}

static const char *
compare(const char *old, const char *new)
{
	static struct list a, b;
	struct compare_pair p;

	fill(&a, old);
	fill(&b, new);
	p = (struct compare_pair){.old = a.side, .new = b.side};
	told = (struct told){.sink = {tell}};
	compare_match(&p);
	compare_tell(&p, &told.sink);
	return told.text;
}

static void
differences(void **state)
{
	static const struct {
		const char *old, *new, *told;
	} rows[] = {
		{"", "", ""},
		{"a=A b=B c=C", "a=A b=B c=C", ""},
		{"a= b= c=", "a= b= c=", ""},
		{"a=A b=B c=C", "a=A c=C", "lost:2:0"},
		{"a=A b=B", "a=A x=B", "uidl:2:2"},
		{"a=A b=B", "a=A b=B x=B y=A z=B w=C",
			"doubled:0:3 doubled:0:4 doubled:0:5 new:0:6"},
		{"a=A b=A", "a=A b=A", ""},
		{"a=A b=B", "a=A b=X", "reused:2:2 lost:2:0"},
		/* swapped: each is another message, and both are downloaded again */
		{"a=A b=B", "a=B b=A",
			"reused:1:1 uidl:1:2 reused:2:2 uidl:2:1 order:2:1"},
		{"a=A b=B c=C", "a=A c=C b=B", "order:3:2"},
		{"a=A b=B", "a=A b=B n=N", "new:0:3"},
		/* what is no new mail, where it stands */
		{"a=A", "n=N a=A", "hidden:0:1"},
		{"a=A b=B", "a=A m=M n=N b=B o=O", "hidden:0:2 hidden:0:3 new:0:5"},
		{"a=A/5", "a=A/6", "size:1:1"},
		{"a=A+1", "a=A+2", "body:1:1"},
		{"a=A+1", "a=A", ""},
		{"a=A b=B", "a=A a=B", "uidl:2:2 duplicate:1:1 duplicate:2:2"},
		{"a=A a=B", "a=A a=B", "duplicate-kept:1:1 duplicate-kept:2:2"},
		{"a=A a=B", "a=A b=B", "uidl:2:2"},
		{"a=A", "-=A", "no-uidl:1:1"},
		{"-=A", "a=A", "no-uidl-old:1:1"},
		{"a=A", "\x80=A", "uidl:1:1 illegal:1:1"},
		{"\x80=A", "\x80=A", "illegal-kept:1:1"},
		{"a=A", "=A", "uidl:1:1 illegal:1:1"},
		{"a=?", "a=A", "unreadable-old:1:1"},
		{"a=A", "a=?", "unreadable:1:1"},
		{"a=?", "b=B", "unknown:1:0 new:0:1"},
		{"a=?", "", "lost:1:0"},
		/* twins: by whole digest and size, then by number */
		{"a=A/1 b=A/2", "x=A/2 y=A/1", "uidl:1:2 uidl:2:1 order:2:1"},
		{"a=A b=A", "x=A y=A", "uidl:1:1 uidl:2:2"},
		{"a=A b=A", "x=A", "uidl:1:1 lost:2:0"},
		{"a=A+1 b=A+2", "x=A+2", "lost:1:0 uidl:2:1"},
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(compare(rows[i].old, rows[i].new), rows[i].told);
}

static void
long_uidls(void **state)
{
	char uidl[100], row[128];
	(void)state;

	memset(uidl, 'u', sizeof(uidl));
	(void)snprintf(row, sizeof(row), "%.71s=A", uidl);
	assert_string_equal(compare("a=A", row), "uidl:1:1 long:1:1");
	assert_string_equal(compare(row, row), "long-kept:1:1");
	(void)snprintf(row, sizeof(row), "%.70s=A", uidl);
	assert_string_equal(compare("a=A", row), "uidl:1:1");
}

static uint64_t
want(struct compare_pair *p, const char *old, const char *new, uint32_t sample, bool all)
{
	static struct list a, b;

	fill(&a, old);
	fill(&b, new);
	*p = (struct compare_pair){.old = a.side, .new = b.side};
	compare_match(p);
	return compare_want(p, sample, 12345, all);
}

static void
wanted_headers(void **state)
{
	struct compare_pair p;
	(void)state;

	assert_int_equal(want(&p, "a= b= c=", "a= b= c=", 0, false), 0);
	assert_int_equal(want(&p, "a= b= c=", "a= b= c=", 0, true), 6);
	assert_int_equal(want(&p, "a= b= c=", "a= b= c=", 2, false), 4);
	assert_int_equal(want(&p, "a= b= c=", "a= b= c=", 9, false), 6);
	/* What is without a partner on both sides can be the same; and what NEW has
	 * besides can be one that stands there twice. */
	assert_int_equal(want(&p, "a= b=", "a=", 0, false), 0);
	assert_int_equal(want(&p, "a= c=", "a= c= b= d=", 0, false), 4);
	assert_true(p.old.messages[1].want);
	assert_false(p.new.messages[1].want);
	assert_int_equal(want(&p, "a=A/1", "a=A/1 b=B/2", 0, false), 0);
	assert_false(p.new.messages[1].want);
	assert_int_equal(want(&p, "a= b=", "a= x=", 0, false), 3);
	assert_true(p.old.messages[1].want);
	assert_true(p.new.messages[1].want);
	assert_int_equal(want(&p, "a=/1 b=", "a=/2 b=", 0, false), 2);
	assert_int_equal(want(&p, "a= a= b=", "a= a= b=", 0, false), 4);
	assert_int_equal(want(&p, "a=A b=", "a=A b=?", 0, true), 1);
}

/* Every size of sample takes so many, and over all seeds every message. */
static void
samples(void **state)
{
	static struct list a, b;
	char rows[ROWS * 4] = "";
	struct compare_pair p;
	(void)state;

	for (int i = 0; i < 40; i++)
		(void)snprintf(rows + 4 * i, sizeof(rows) - (size_t)(4 * i),
			"%c%c= ", 'a' + i % 26, '0' + i / 26);
	rows[4 * 40 - 1] = '\0';
	for (uint32_t sample = 1; sample <= 40; sample++) {
		uint64_t seen = 0;
		for (uint64_t seed = 0; seed < 40; seed++) {
			fill(&a, rows);
			fill(&b, rows);
			p = (struct compare_pair){.old = a.side, .new = b.side};
			compare_match(&p);
			assert_int_equal(p.matched, 40);
			assert_int_equal(
				compare_want(&p, sample, seed, false), 2 * sample);
			for (uint32_t i = 0; i < 40; i++)
				seen |= (uint64_t)a.messages[i].want << i;
		}
		assert_int_equal(seen, (UINT64_C(1) << 40) - 1);
	}
}

static void
which_are_safe(void **state)
{
	(void)state;
	assert_false(difference_is_safe(DIFFERENCE_LOST));
	assert_false(difference_is_safe(DIFFERENCE_UIDL));
	assert_false(difference_is_safe(DIFFERENCE_UNKNOWN));
	assert_false(difference_is_safe(DIFFERENCE_HIDDEN));
	assert_false(difference_is_safe(DIFFERENCE_LOGIN));
	assert_true(difference_is_safe(DIFFERENCE_NEW_MAIL));
	assert_true(difference_is_safe(DIFFERENCE_KEPT_LONG));
	for (size_t i = 0; i < DIFFERENCES; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(difference_word((enum difference)i),
				difference_word((enum difference)j));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(differences),
		cmocka_unit_test(long_uidls),
		cmocka_unit_test(wanted_headers),
		cmocka_unit_test(samples),
		cmocka_unit_test(which_are_safe),
	};

	return cmocka_run_group_tests_name("move_compare_lists", tests, NULL, NULL);
}
