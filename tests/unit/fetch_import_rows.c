/* What other retrievers wrote, row by row, and what is left out with which line. */
#include "unit.h"

#include "base/buf.h"
#include "fetch/import_rows.h"

#include <string.h>

/* "HOST/USER/UID;" for a row, "-UID;" for one not collected, "!LINE;" for a bad line. */
struct got {
	struct import_sink sink;
	struct buf text;
};

static void
row(struct import_sink *s, const struct import_row *r)
{
	struct buf *b = &((struct got *)s)->text;

	buf_put_view(b, r->host);
	buf_put_u8(b, '/');
	buf_put_view(b, r->user);
	buf_put_u8(b, '/');
	buf_put_view(b, r->uid);
	buf_put_u8(b, ';');
}

static void
later(struct import_sink *s, const struct import_row *r)
{
	struct buf *b = &((struct got *)s)->text;

	buf_put_u8(b, '-');
	buf_put_view(b, r->uid);
	buf_put_u8(b, ';');
}

static void
unreadable(struct import_sink *s, uint32_t line, const char *why)
{
	struct buf *b = &((struct got *)s)->text;

	assert_true(why[0] != '\0');
	buf_put_u8(b, '!');
	buf_put_dec(b, line);
	buf_put_u8(b, ';');
}

static void
check(enum import_kind kind, const char *text, size_t n, const char *want)
{
	char storage[2048];
	struct got g = {{row, later, unreadable}, buf_over(storage, sizeof(storage) - 1)};

	import_read(kind, (struct view){(const uint8_t *)text, n}, &g.sink);
	assert_false(g.text.full);
	storage[g.text.n] = '\0';
	assert_string_equal(storage, want);
}
#define CHECK_ROWS(kind, text, want) check(kind, text, sizeof(text) - 1, want)

static void
test_fetchids(void **state)
{
	(void)state;
	CHECK_ROWS(IMPORT_FETCHIDS,
		"anna@pop.example uid1\n  anna@pop.example uid2  \r\n",
		"pop.example/anna/uid1;pop.example/anna/uid2;");
	/* An @ in the UIDL, in the user's name; a blank in the user's name. */
	CHECK_ROWS(IMPORT_FETCHIDS, "anna@h <a@b>\na@b.example@h u\nAnna Abt/Co@h u",
		"h/anna/<a@b>;h/a@b.example/u;h/Anna Abt/Co/u;");
	CHECK_ROWS(IMPORT_FETCHIDS, "nothing\n\n@h u\na@ u\na@h\na@h u\1\n",
		"!1;!3;!4;!5;!6;");
}

static void
test_mpop(void **state)
{
	(void)state;
	CHECK_ROWS(IMPORT_MPOP, "# comment\n 2 pop.example anna\nu1\nu2\n 1 h a b\n#u\n",
		"pop.example/anna/u1;pop.example/anna/u2;h/a b/#u;");
	CHECK_ROWS(IMPORT_MPOP,
		"u0\n 1 h a\nu1\nu2\n# end\n 0 h b\n x h b\n 1 h\n 3 h c\nu\n",
		"!1;h/a/u1;!4;!7;!8;h/c/u;!10;");
	CHECK_ROWS(IMPORT_MPOP, " 2 h a\nu1\n 1 h b\nu2\n", "h/a/u1;!3;h/b/u2;");
	CHECK_ROWS(IMPORT_MPOP, " 99999999999999999999 h a\nu1\n", "!1;!2;");
}

static void
test_getmail(void **state)
{
	(void)state;
	CHECK_ROWS(IMPORT_GETMAIL,
		"u1\0"
		"1700000000\nu2\0"
		"1\n\nold\nu3\0x\nu4\0\n\0"
		"7\n",
		"//u1;//u2;//old;!5;!6;!7;");
	struct view h = VIEW("pop.example"), u = VIEW("anna"), odd = VIEW("a/:b|c");
	assert_true(import_getmail_is(VIEW("oldmail-pop.example-995-anna"), h, 995, u));
	assert_true(
		import_getmail_is(VIEW("oldmail-POP.example-995-anna-INBOX"), h, 995, u));
	assert_false(
		import_getmail_is(VIEW("oldmail-pop.example-995-annabel"), h, 995, u));
	assert_false(import_getmail_is(VIEW("oldmail-pop.example-110-anna"), h, 995, u));
	assert_false(import_getmail_is(VIEW("oldmail"), h, 995, u));
	assert_true(
		import_getmail_is(VIEW("oldmail-pop.example-995-a-b-c"), h, 995, odd));
}

static void
test_popstate(void **state)
{
	(void)state;
	CHECK_ROWS(IMPORT_POPSTATE,
		"# POP3 State File\r\n\r\n*pop.example anna\r\nk u1 1700000000\r\nd "
		"u2\r\n"
		"b u3 1\r\nf u4 1\r\n*h b c\r\nk u5 2\r\n",
		"pop.example/anna/u1;pop.example/anna/u2;-u3;-u4;h/b c/u5;");
	CHECK_ROWS(IMPORT_POPSTATE,
		"k u 1\n*h\n*h a\nx u 1\nkk u 1\nk u x\nk\n*\nk u 1\n",
		"!1;!2;!4;!5;!6;!7;!8;!9;");
}

static void
test_limits(void **state)
{
	char text[IMPORT_LINE_MAX + 64];
	char want[1400];

	(void)state;
	memset(text, 'u', sizeof(text));
	memcpy(text, "a@h ", 4);
	memset(want, 'u', sizeof(want));
	memcpy(want, "h/a/", 4);
	memcpy(want + 4 + 1024, ";", 2);
	check(IMPORT_FETCHIDS, text, 4 + 1024, want);
	check(IMPORT_FETCHIDS, text, 4 + 1025, "!1;");
	check(IMPORT_FETCHIDS, text, IMPORT_LINE_MAX + 1, "!1;");
	check(IMPORT_FETCHIDS, text, 0, "");
}

static void
test_kinds(void **state)
{
	(void)state;
	assert_int_equal(import_kind_of(VIEW("mpop")), IMPORT_MPOP);
	assert_int_equal(import_kind_of(VIEW("popstate")), IMPORT_POPSTATE);
	assert_int_equal(import_kind_of(VIEW("mpop2")), IMPORT_KINDS);
	assert_int_equal(import_kind_of(VIEW("")), IMPORT_KINDS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fetchids),
		cmocka_unit_test(test_mpop),
		cmocka_unit_test(test_getmail),
		cmocka_unit_test(test_popstate),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
