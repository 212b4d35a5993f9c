/* pop3_uidl_format, each form as Dovecot 2.3 expanded it for UID 7, UIDVALIDITY
 * 1700000000 and a file 1700000001.M000001P1.test. */
#include "move_foreign_help.h"

static const struct foreign_values values = {.uid = 7,
	.uidvalidity = 1700000000,
	.name = {(const uint8_t *)"1700000001.M000001P1.test", 25},
	.guid = {(const uint8_t *)"0a1b", 4}};

static void
check(const char *format, const char *want)
{
	char storage[512];
	struct buf b = buf_over(storage, sizeof(storage) - 1);
	struct view f = {(const uint8_t *)format, strlen(format)};

	assert_null(foreign_format_fault(f));
	assert_true(foreign_format_put(f, &values, test_md5, &b));
	storage[b.n] = '\0';
	assert_string_equal(storage, want);
}

static void
expands(void **state)
{
	(void)state;
	check("%08Xu%08Xv", "000000076553f100");
	check("%v.%u", "1700000000.7");
	check("%f", "1700000001.M000001P1.test");
	check("%g", "0a1b");
	check("%Mf", "707da20832b12ccd118787b6737c11fc");
	check("UID%u-%v", "UID7-1700000000");
	check("%08u", "00000007");
	check("%6u", "7");
	check("%UXu-%Lf", "7-1700000001.m000001p1.test");
	check("%%%u", "%7");
	check("%Rf", "tset.1P100000M.1000000071");
	check("%XMf", "cfcd208495d565ef66e7dff9f98764da");
}

/* Offsets and widths. */
static void
cuts(void **state)
{
	(void)state;
	check("%-4.2u", "7");
	check("%5.3f", "000");
	check("%-9.4f", "01P1");
	check("%010.5f", ".M000");
	check("%-6f", "170000");
	check("%0.-3f", "1700000001.M000001P1.t");
	check("%5.-3f", "00001.M000001P1.t");
	check("%30.4f%u", "7");
	check("%2.04u%f", "00001700000001.M000001P1.test");
}

static void
refuses(void **state)
{
	static const char *const formats[] = {"%m", "%v", "fixed", "", "%", "%08",
		"%{uid}", "%z", "%Hu", "%Nf", "%u%LLLLLLLLLLLf", "%u%m", "%08X"};
	char storage[600];

	(void)state;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		assert_non_null(foreign_format_fault(
			(struct view){(const uint8_t *)formats[i], strlen(formats[i])}));
	memset(storage, 'u', sizeof(storage));
	storage[0] = '%';
	assert_null(foreign_format_fault((struct view){(uint8_t *)storage, 255}));
	assert_non_null(foreign_format_fault((struct view){(uint8_t *)storage, 256}));
}

/* A message without a name or a number, and one UIDL that does not fit. */
static void
lacks(void **state)
{
	struct foreign_values v = {.uid = 7};
	char storage[8];
	struct buf b = buf_over(storage, sizeof(storage));

	(void)state;
	assert_false(foreign_format_put(VIEW("%f"), &v, test_md5, &b));
	assert_false(foreign_format_put(VIEW("%u%v"), &v, test_md5, &b));
	assert_false(foreign_format_put(VIEW("%4000.02g%u"), &v, test_md5, &b));
	b = buf_over(storage, sizeof(storage));
	assert_false(foreign_format_put(VIEW("%09u"), &v, test_md5, &b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expands),
		cmocka_unit_test(cuts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(lacks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
