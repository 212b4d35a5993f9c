#include "unit.h"

#include "base/ticket.h"

#include <string.h>

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static void
known_tickets(void **state)
{
	(void)state;
	static const struct {
		uint32_t id;
		const char *text;
	} rows[] = {{0, "0000-000"}, {1, "0000-001"}, {31, "0000-00Z"}, {32, "0000-010"},
		{32768, "0001-000"}, {UINT32_MAX, "3ZZZ-ZZZ"}, {0x12345678, "0938-NKR"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t text[TICKET_OCTETS];
		uint32_t id = ~rows[i].id;
		ticket_put(rows[i].id, text);
		assert_memory_equal(text, rows[i].text, TICKET_OCTETS);
		assert_true(ticket_read(view_of(rows[i].text), &id));
		assert_true(id == rows[i].id);
	}
}

static void
every_digit_comes_back(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		uint32_t id = i * UINT32_C(2654435761), back;
		uint8_t text[TICKET_OCTETS];
		ticket_put(id, text);
		assert_true(ticket_read((struct view){text, sizeof(text)}, &back));
		assert_true(back == id);
	}
}

static void
what_people_copy_wrong_is_forgiven(void **state)
{
	(void)state;
	static const char *const good[] = {
		"1100-ABC", "1100abc", "iLoO-aBc", "LIoo-ABC", "I1O0ABC"};
	static const char *const bad[] = {"", "1100-AB", "1100-ABCD", "110-0ABC",
		"1100--AB", "1100 ABC", "1100-ABU", "1100-AB!", "-1100ABC", "1100ABC-",
		"4000-000", "ZZZZ-ZZZ", "1100-AB\xc3"};
	uint32_t first = 0, id;

	assert_true(ticket_read(view_of(good[0]), &first));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(ticket_read(view_of(good[i]), &id));
		assert_true(id == first);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		id = 4711;
		assert_false(ticket_read(view_of(bad[i]), &id));
		assert_true(id == 4711);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_tickets),
		cmocka_unit_test(every_digit_comes_back),
		cmocka_unit_test(what_people_copy_wrong_is_forgiven),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
