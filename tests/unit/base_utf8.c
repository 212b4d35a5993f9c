#include "unit.h"

#include "base/check.h"
#include "base/utf8.h"

#include <string.h>

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
sound_or_not(void **state)
{
	(void)state;
	static const char *const good[] = {"", "a", "\xC2\x80", "\xE0\xA0\x80",
		"\xED\x9F\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
		"a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"};
	static const char *const wrong[] = {"\x80", "\xC0\x80", "\xC1\x80", "\xC1\xBF",
		"\xC2", "\xC2\x41", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
		"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "a\xE2\x82",
		"\xE2\x28\xA1"};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(utf8_is_sound(text(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		assert_false(utf8_is_sound(text(wrong[i])));
}

/* Every character there is, encoded by the rule of RFC 3629 s.3, and its length. */
static void
every_character(void **state)
{
	(void)state;
	for (uint32_t c = 0; c <= 0x10FFFF; c++) {
		uint8_t o[4];
		size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
		static const uint8_t first[] = {0, 0, 0xC0, 0xE0, 0xF0};
		for (size_t i = n; i-- > 1;)
			o[i] = (uint8_t)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3F));
		o[0] = (uint8_t)(first[n] | c >> (6 * (n - 1)));
		bool surrogate = c >= 0xD800 && c <= 0xDFFF;
		assert_int_equal(utf8_octets((struct view){o, n}), surrogate ? 0 : n);
		assert_int_equal(utf8_octets((struct view){o, n - 1}), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_or_not),
		cmocka_unit_test(every_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
