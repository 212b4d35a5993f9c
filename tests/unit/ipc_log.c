#include "unit.h"

#include "base/check.h"
#include "base/cursor.h"
#include "ipc/channel.h"
#include "ipc/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int pair[2];
static struct received got;

/* The next record, and its pairs as "key=value;" text. */
static void
take(struct msg_log_record *m, char *text, size_t n)
{
	struct view payload;

	assert_int_equal(channel_recv(pair[1], &got, 0), 0);
	assert_int_equal(message_number(got.message, &payload), MSG_LOG_RECORD);
	assert_true(msg_log_record_get(m, payload));
	struct cursor c = cursor_over(m->pairs);
	size_t at = 0;
	text[0] = 0;
	while (c.n > 0) {
		struct view key = cursor_take(&c, cursor_u8(&c));
		struct view value = cursor_take(&c, cursor_u16(&c));
		assert_false(c.bad);
		int put = snprintf(text + at, n - at, "%.*s=%.*s;", (int)key.n,
			(const char *)key.p, (int)value.n, (const char *)value.p);
		assert_in_range(put, 0, n - at - 1);
		at += (size_t)put;
	}
}

static void
a_record_arrives_as_it_was_built(void **state)
{
	(void)state;
	static const uint8_t v4[16] = {[10] = 0xFF, [11] = 0xFF, 192, 0, 2, 1};
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
	struct log_record r;
	struct msg_log_record m;
	char text[4096];

	log_begin(&r, LOG_LEVEL_WARNING, "login");
	log_str(&r, "user", "bob");
	log_number(&r, "octets", UINT64_MAX);
	log_error(&r, "error", -ENOENT);
	log_error(&r, "other", -9999);
	log_address(&r, "four", (struct view){v4, 16});
	log_address(&r, "six", (struct view){v6, 16});
	log_address(&r, "none", (struct view){v6, 0});
	log_send(&r);
	take(&m, text, sizeof(text));
	assert_int_equal(m.level, LOG_LEVEL_WARNING);
	assert_int_equal(m.event.n, 5);
	assert_memory_equal(m.event.p, "login", 5);
	assert_string_equal(text,
		"user=bob;octets=18446744073709551615;"
		"error=No such file or directory;other=error -9999;"
		"four=192.0.2.1;six=2001:db8::1;none=unknown;");
}

static void
what_does_not_fit_is_left_out_whole(void **state)
{
	(void)state;
	uint8_t much[5000];
	struct log_record r;
	struct msg_log_record m;
	char text[4096];

	memset(much, 'x', sizeof(much));
	log_begin(&r, LOG_LEVEL_INFO, "login");
	log_text(&r, "a", (struct view){much, sizeof(much)}); /* cut at 1024 */
	log_text(&r, "b", (struct view){much, 900});
	log_text(&r, "c", (struct view){much, 900});
	log_str(&r, "d", "small");
	log_send(&r);
	take(&m, text, sizeof(text));
	assert_int_equal(
		strlen(text), 2 + 1024 + 1 + 2 + 900 + 1 + strlen("d=small;cut=1;"));
	assert_non_null(strstr(text, ";d=small;cut=1;"));
}

static void
records_are_dropped_not_waited_for(void **state)
{
	(void)state;
	struct log_record r;
	struct msg_log_record m;
	char text[4096];
	uint64_t before = log_dropped(), sent = 0;

	while (log_dropped() < before + 3) {
		log_begin(&r, LOG_LEVEL_INFO, "flood");
		log_send(&r);
		assert_true(++sent < 1000000);
	}
	for (uint64_t i = 0; i < sent - 3; i++) {
		take(&m, text, sizeof(text));
		assert_string_equal(text, "");
	}
	/* The next one tells of the three, once. */
	for (int i = 0; i < 2; i++) {
		log_begin(&r, LOG_LEVEL_INFO, "after");
		log_send(&r);
		take(&m, text, sizeof(text));
		assert_string_equal(text, i == 0 ? "lost=3;" : "");
	}
	assert_int_equal(log_dropped(), before + 3);
}

static void
a_dead_log_costs_nothing(void **state)
{
	(void)state;
	struct log_record r;
	uint64_t before = log_dropped();

	log_to(-1);
	log_begin(&r, LOG_LEVEL_INFO, "x");
	log_send(&r);
	assert_int_equal(log_dropped(), before + 1);
	log_to(pair[0]);
}

static int
set_up(void **state)
{
	(void)state;
	CHECK(channel_pair(pair) == 0);
	log_to(pair[0]);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	return close(pair[0]) + close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_arrives_as_it_was_built),
		cmocka_unit_test(what_does_not_fit_is_left_out_whole),
		cmocka_unit_test(records_are_dropped_not_waited_for),
		cmocka_unit_test(a_dead_log_costs_nothing),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
