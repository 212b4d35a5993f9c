/* dovecot-uidlist as Dovecot 2.3 and its forerunners wrote it. */
#include "move_foreign_help.h"

static void
check(const char *format, const char *text, const char *want)
{
	char storage[4096];
	struct said s = said_into(storage, sizeof(storage));
	struct foreign_options o = {{(const uint8_t *)format, strlen(format)}, test_md5};

	foreign_dovecot_read(
		(struct view){(const uint8_t *)text, strlen(text)}, &o, &s.sink);
	assert_said(&s, want);
}

static void
version_3(void **state)
{
	(void)state;
	check("%08Xu%08Xv",
		"3 V1700000000 N9 G0520e72ee9bc026b8327000083ecc375\n"
		"2 Pold-a W777 O5 :1700000001.M1P1.test\n"
		"4 O3 Gguid4 W133 :1700000002.M1P1.test,S=3,W=4\n"
		"5 P :1700000003.M1P1.test:2,S\n"
		"7 O1 Pwith:colon W133 :a b\n"
		"8 Qnew :1700000005.M1P1.test\n",
		"2/5/777/1700000001.M1P1.test=old-a*;"
		"4/3/133/1700000002.M1P1.test,S=3,W=4=000000046553f100;"
		"5/-/-/1700000003.M1P1.test=1700000003.M1P1.test*;"
		"7/1/133/a b=with:colon*;"
		"8/-/-/1700000005.M1P1.test=000000086553f100;");
	check("%g", "3 N9 V5\n4 Gguid4 :one\n5 :two\n6 G :three\n",
		"4/-/-/one=guid4;5/-/-/two=two;6/-/-/three=three;");
}

static void
version_1(void **state)
{
	(void)state;
	check("%v.%u", "1 1700000000 9\n2 1700000001.M1P1.test\n7 a b:2,S\n",
		"2/-/-/1700000001.M1P1.test=1700000000.2;7/-/-/a b=1700000000.7;");
}

static void
bad_lines(void **state)
{
	(void)state;
	check("%u",
		"3 V5 N9\nx :one\n3\n4 \n5 :\n6 O99999999999 :x\n7  :x\n8 :a/b\n\n9 "
		":good\n",
		"!2;!3;!4;!5;!6;!7;!8;!9;9/-/-/good=9;");
	check("%u", "3 V5 N9\n0 :x\n9 :good\n", "!2;");
	check("%u", "3 V5 N9\n1 :a\n2 :b", "1/-/-/a=1;!3;");
	/* Dovecot itself stops there. */
	check("%u", "3 V5 N9\n5 :a\n5 :b\n6 :c\n", "5/-/-/a=5;!3;");
}

static void
bad_headers(void **state)
{
	(void)state;
	check("%u", "", "!0;");
	check("%u", "2 1700000000 9\n1 a\n", "!1;");
	check("%u", "3 N9\n1 :a\n", "!1;");
	check("%u", "3 Vx N9\n1 :a\n", "!1;");
	check("%u", "3 V0 N9\n1 :a\n", "!1;");
	check("%u", "1\n1 a\n", "!1;");
	check("%u", "From a b\n", "!1;");
	check("%u", "3 V4294967296 N9\n1 :a\n", "!1;");
}

static void
long_line(void **state)
{
	static char text[9000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "3 V5\n1 :", 8);
	memcpy(text + 8500, "\n2 :good\n", 10);
	check("%u", text, "!2;2/-/-/good=2;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_3),
		cmocka_unit_test(version_1),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(bad_headers),
		cmocka_unit_test(long_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
