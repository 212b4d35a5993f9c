/* courierpop3dsizelist of every version. */
#include "move_foreign_help.h"

static void
check(const char *text, const char *want)
{
	char storage[4096];
	struct said s = said_into(storage, sizeof(storage));

	foreign_courier_read((struct view){(const uint8_t *)text, strlen(text)}, &s.sink);
	assert_said(&s, want);
}

static void
versions(void **state)
{
	(void)state;
	check("/3 7 1795341564\n"
	      "1700000001.M000001P1.test:2, 133 1:1795341564:0\n"
	      "1700000003.M000003P1.test 134 0:0:1\n"
	      "1700000004.M000004P1.test:2,S 135 9:0:0\n",
		"-/2/133/1700000001.M000001P1.test=UID1-1795341564*;"
		"-/3/134/1700000003.M000003P1.test=1700000003.M000003P1.test*;"
		"-/4/135/1700000004.M000004P1.test=UID9*;");
	check("/2 7 555\na b:2, 5 3:555\n", "-/2/5/a b=UID3-555*;");
	check("/1 7\nname 5 3\n", "-/2/5/name=UID3*;");
	check("1.M1.host:2,S 133\n2.it's+\"x\" 7\n",
		"-/1/133/1.M1.host=1.M1.host*;-/2/7/2.it's+\"x\"=2.it+27s+2B+22x+22*;");
}

static void
bad_lines(void **state)
{
	(void)state;
	check("", "");
	check("/4 7 555\na 1 1:1\n", "!1;");
	check("/0 7 555\na 1 1:1\n", "!1;");
	check("/x\n", "!1;");
	check("/3\na 1 1:1:0\n", "!1;");
	check("/3 7 555\n\n 1 1:1:0\na 1:1:0\na x 1:1:0\na/b 1 1:1:0\na 1 1:1:\na 1 1\na "
	      "1 "
	      "1:x\nb 1 2:3\n",
		"!2;!3;!4;!5;!6;!7;!8;!9;-/10/1/b=UID2-3*;");
	check("/3 7 555\na 1 1:1:0\nb 1 2:1", "-/2/1/a=UID1-1*;!3;");
	check("/1 7\nname 5 x\n", "!2;");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions),
		cmocka_unit_test(bad_lines),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
