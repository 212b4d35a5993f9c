#include "unit.h"

#include "control/core.h"

#include <stdlib.h>
#include <string.h>

static uint64_t pages[3][STAT_COUNT];
static struct core_source sources[3];
static struct core core;

static struct view
text(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static int
fresh(void **state)
{
	(void)state;
	memset(pages, 0, sizeof(pages));
	memset(sources, 0, sizeof(sources));
	memset(&core, 0, sizeof(core));
	return 0;
}

static enum core_added
add(size_t i, const char *program, uint32_t pid, uint32_t index)
{
	sources[i].pid = pid;
	sources[i].index = index;
	sources[i].page = pages[i];
	return core_add(&core, text(program), &sources[i]);
}

/* What a renderer gives, as a C string that lives until the next call. */
static const char *
rendered(void (*render)(const struct core *, struct buf *))
{
	static char out[1 << 17];
	struct buf b = buf_over(out, sizeof(out) - 1);

	render(&core, &b);
	assert_false(b.full);
	out[b.n] = 0;
	return out;
}

static void
counters_outlive_their_process(void **state)
{
	(void)state;
	assert_int_equal(add(0, "front", 10, 0), CORE_ADDED);
	assert_int_equal(add(1, "front", 11, 1), CORE_ADDED);
	pages[0][STAT_LOGINS] = 5;
	pages[0][STAT_SESSIONS] = 3;
	pages[1][STAT_LOGINS] = 7;
	core_refresh(&core);
	assert_int_equal(core_total(&core, STAT_LOGINS), 12);
	assert_int_equal(core_total(&core, STAT_SESSIONS), 3);

	/* The last counts are read at the end; a gauge ends with its process. */
	pages[0][STAT_LOGINS] = 6;
	assert_ptr_equal(core_remove(&core, 10), &sources[0]);
	core_refresh(&core);
	assert_int_equal(core_total(&core, STAT_LOGINS), 13);
	assert_int_equal(core_total(&core, STAT_SESSIONS), 0);

	/* The next process of the same place goes on from there. */
	pages[0][STAT_LOGINS] = 1;
	assert_int_equal(add(0, "front", 12, 0), CORE_ADDED);
	core_refresh(&core);
	assert_int_equal(core.slots_n, 2);
	assert_int_equal(core_slot_value(&core.slots[0], STAT_LOGINS), 7);
	assert_null(core_remove(&core, 10));
}

static void
a_hostile_page_moves_nothing_back(void **state)
{
	(void)state;
	assert_int_equal(add(0, "front", 10, 0), CORE_ADDED);
	pages[0][STAT_LOGINS] = 5;
	core_refresh(&core);
	pages[0][STAT_LOGINS] = 2;
	core_refresh(&core);
	assert_int_equal(core_total(&core, STAT_LOGINS), 5);

	pages[0][STAT_LOGINS] = UINT64_MAX;
	assert_int_equal(add(1, "front", 11, 1), CORE_ADDED);
	pages[1][STAT_LOGINS] = 9;
	core_refresh(&core);
	assert_int_equal(core_total(&core, STAT_LOGINS), UINT64_MAX);
}

static void
names_and_their_number_have_limits(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "Front", "a b", "a\"", "a\n", "a23456789012345678901234567890123"};
	static struct core_source many[CORE_PROGRAMS_MAX + 1];
	char name[] = "program-a";

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(add(0, bad[i], 1, 0), CORE_BAD_NAME);
	for (uint32_t i = 0; i <= CORE_PROGRAMS_MAX; i++) {
		many[i] = (struct core_source){.pid = i + 1, .page = pages[0]};
		name[8] = (char)('a' + i);
		assert_int_equal(core_add(&core, text(name), &many[i]),
			i < CORE_PROGRAMS_MAX ? CORE_ADDED : CORE_TOO_MANY_PROGRAMS);
	}
	/* High indexes share a slot, known programs still get theirs. */
	size_t before = core.slots_n;
	assert_int_equal(add(0, "program-a", 100, 5000), CORE_ADDED);
	assert_int_equal(add(1, "program-a", 101, CORE_INDEXES_MAX - 1), CORE_ADDED);
	assert_int_equal(core.slots_n, before + 1);
}

static void
texts_hold_every_row(void **state)
{
	(void)state;
	assert_int_equal(add(0, "keeper", 10, 2), CORE_ADDED);
	assert_int_equal(add(1, "keeper", 11, 70), CORE_ADDED);
	pages[0][STAT_DELETED] = 41;
	pages[1][STAT_DELETED] = 1;
	core_refresh(&core);

	const char *out = rendered(core_render_stat);
	assert_non_null(strstr(out, "messages_deleted_total 42\n"));
	size_t lines = 0;
	for (const char *p = out; *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, STAT_COUNT);

	out = rendered(core_render_prometheus);
	assert_non_null(strstr(out,
		"# HELP restante_messages_deleted_total Messages removed by verdict\n"
		"# TYPE restante_messages_deleted_total counter\n"
		"restante_messages_deleted_total{program=\"keeper\",index=\"2\"} 41\n"
		"restante_messages_deleted_total{program=\"keeper\",index=\"63+\"} 1\n"));
	assert_non_null(strstr(out, "# TYPE restante_sessions gauge\n"));

	out = rendered(core_render_json);
	assert_non_null(strstr(out, "\"messages_deleted_total\":42"));
	assert_non_null(
		strstr(out, "{\"program\":\"keeper\",\"index\":\"2\",\"counters\":{"));
	assert_string_equal(
		rendered(core_render_processes), "11 keeper 70\n10 keeper 2\n");
}

static void
too_little_room_is_seen(void **state)
{
	(void)state;
	uint8_t small[16];
	struct buf b = buf_over(small, sizeof(small));

	core_render_stat(&core, &b);
	assert_true(b.full);
}

static void
commands(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum core_command command;
	} rows[] = {
		{"stat", CORE_COMMAND_STAT},
		{"stat\r", CORE_COMMAND_STAT},
		{"stat prometheus", CORE_COMMAND_PROMETHEUS},
		{"stat json", CORE_COMMAND_JSON},
		{"processes", CORE_COMMAND_PROCESSES},
		{"reload ", CORE_COMMAND_RELOAD},
		{"drain", CORE_COMMAND_DRAIN},
		{"", CORE_COMMAND_UNKNOWN},
		{" stat", CORE_COMMAND_UNKNOWN},
		{"STAT", CORE_COMMAND_UNKNOWN},
		{"drain now", CORE_COMMAND_UNKNOWN},
		{"stat  json", CORE_COMMAND_UNKNOWN},
		{"who", CORE_COMMAND_WHO},
		{"who json", CORE_COMMAND_WHO_JSON},
		{"who jso", CORE_COMMAND_UNKNOWN},
		{"kick user a b", CORE_COMMAND_KICK},
		{"kick", CORE_COMMAND_UNKNOWN},
		{"why id 7", CORE_COMMAND_WHY},
	};
	struct view words;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
			core_command(text(rows[i].line), &words), rows[i].command);
	assert_int_equal(
		core_command(text("kick user a b\r"), &words), CORE_COMMAND_KICK);
	assert_int_equal(words.n, 8);
}

static void
http_requests(void **state)
{
	(void)state;
	static const struct {
		const char *request;
		enum core_http outcome;
	} rows[] = {
		{"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", CORE_HTTP_METRICS},
		{"GET /metrics HTTP/1.0\n\n", CORE_HTTP_METRICS},
		{"GET /metrics?a=b HTTP/1.0\r\n\r\n", CORE_HTTP_METRICS},
		{"GET / HTTP/1.0\r\n\r\n", CORE_HTTP_NOT_FOUND},
		{"GET /metricsx HTTP/1.0\r\n\r\n", CORE_HTTP_NOT_FOUND},
		{"POST /metrics HTTP/1.0\r\n\r\n", CORE_HTTP_NOT_FOUND},
		{"GET /metrics\r\n\r\n", CORE_HTTP_BAD},
		{"\r\n\r\n", CORE_HTTP_BAD},
		{"nonsense\n\n", CORE_HTTP_BAD},
	};
	static char large[CORE_REQUEST_OCTETS_MAX + 1];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view whole = text(rows[i].request);

		assert_int_equal(core_http(whole), rows[i].outcome);
		for (size_t n = 0; n < whole.n && i < 6; n++)
			if (n + 2 < whole.n)
				assert_int_equal(core_http((struct view){whole.p, n}),
					CORE_HTTP_MORE);
	}
	memset(large, 'a', sizeof(large));
	assert_int_equal(core_http((struct view){(uint8_t *)large, sizeof(large) - 2}),
		CORE_HTTP_MORE);
	assert_int_equal(core_http((struct view){(uint8_t *)large, sizeof(large) - 1}),
		CORE_HTTP_BAD);
	assert_int_equal(
		core_http((struct view){(uint8_t *)large, sizeof(large)}), CORE_HTTP_BAD);
}

static void
http_answers(void **state)
{
	(void)state;
	char out[512] = "";
	struct buf b = buf_over(out, sizeof(out) - 1);

	core_render_http(CORE_HTTP_METRICS, 12, &b);
	assert_int_equal(strncmp(out, "HTTP/1.0 200 OK\r\n", 17), 0);
	assert_non_null(strstr(out, "\r\nContent-Length: 12\r\n\r\n"));
	b = buf_over(out, sizeof(out) - 1);
	core_render_http(CORE_HTTP_NOT_FOUND, 0, &b);
	assert_int_equal(strncmp(out, "HTTP/1.0 404 ", 13), 0);
	b = buf_over(out, sizeof(out) - 1);
	core_render_http(CORE_HTTP_BAD, 0, &b);
	assert_int_equal(strncmp(out, "HTTP/1.0 400 ", 13), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counters_outlive_their_process, fresh),
		cmocka_unit_test_setup(a_hostile_page_moves_nothing_back, fresh),
		cmocka_unit_test_setup(names_and_their_number_have_limits, fresh),
		cmocka_unit_test_setup(texts_hold_every_row, fresh),
		cmocka_unit_test_setup(too_little_room_is_seen, fresh),
		cmocka_unit_test(commands),
		cmocka_unit_test(http_requests),
		cmocka_unit_test(http_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
