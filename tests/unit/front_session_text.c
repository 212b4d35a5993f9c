#include "front_session_drive.h"

static const char *
time_text(uint64_t unix_s)
{
	static char text[64];
	struct pop3_line l = {0};

	session_line_time(&l, unix_s);
	memcpy(text, l.octets, l.n);
	text[l.n] = '\0';
	return text;
}

static void
known_times(void **state)
{
	(void)state;
	assert_string_equal(time_text(0), "1970-01-01T00:00:00Z");
	assert_string_equal(time_text(86399), "1970-01-01T23:59:59Z");
	assert_string_equal(time_text(951782400), "2000-02-29T00:00:00Z");
	assert_string_equal(time_text(951868800), "2000-03-01T00:00:00Z");
	assert_string_equal(time_text(1735689599), "2024-12-31T23:59:59Z");
	assert_string_equal(time_text(1795318811), "2026-11-22T03:40:11Z");
	assert_string_equal(time_text(4107542400), "2100-03-01T00:00:00Z");
	assert_string_equal(time_text(253402300799), "9999-12-31T23:59:59Z");
}

/* Day after day through four centuries, against a calendar that only counts. */
static void
every_day_of_four_centuries(void **state)
{
	(void)state;
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year = 1970, month = 1, day = 1;
	char want[32];

	for (uint64_t days = 0; days < 146097; days++) {
		bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
		snprintf(
			want, sizeof(want), "%04d-%02d-%02dT00:00:00Z", year, month, day);
		assert_string_equal(time_text(days * 86400), want);
		if (++day > lengths[month - 1] + (month == 2 && leap)) {
			day = 1;
			month++;
		}
		if (month > 12) {
			month = 1;
			year++;
		}
	}
}

static void
addresses(void **state)
{
	(void)state;
	static const struct {
		uint8_t octets[16];
		const char *text;
	} rows[] = {
		{{[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 7}, "192.0.2.7"},
		{{[10] = 0xFF, [11] = 0xFF, 255, 255, 255, 255}, "255.255.255.255"},
		{{[15] = 1}, "::1"},
		{{0}, "::"},
		{{0x20, 0x01, 0x0d, 0xb8, [15] = 1}, "2001:db8::1"},
		{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1},
			"2001:db8:0:1:1:1:1:1"},
		{{0x20, 0x01, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, "2001:0:0:1::1"},
		{{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1},
			"2001:db8::1:0:0:1"},
		{{0xfe, 0x80}, "fe80::"},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			 0xff, 0xff, 0x0a, 0xbc},
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:abc"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop3_line l = {0};
		session_line_address(&l, (struct view){rows[i].octets, 16});
		assert_int_equal(l.n, strlen(rows[i].text));
		assert_memory_equal(l.octets, rows[i].text, l.n);
	}
	struct pop3_line l = {0};
	session_line_address(&l, (struct view){rows[0].octets, 4});
	assert_int_equal(l.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_times),
		cmocka_unit_test(every_day_of_four_centuries),
		cmocka_unit_test(addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
