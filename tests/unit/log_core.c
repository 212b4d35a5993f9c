#include "unit.h"

#include "base/check.h"
#include "ipc/log.h"
#include "log/core.h"

#include <stdio.h>
#include <string.h>

/* 2026-08-01T12:34:56.789Z */
#define WHEN_MS UINT64_C(1785587696789)

static struct log_from from;
static char text[LOG_LINE_MAX + 1];

/* The line of a record, as a C string, or NULL. */
static const char *
line_of(enum log_form form, uint64_t ms, struct msg_log_record m)
{
	struct buf out = buf_over(text, LOG_LINE_MAX);

	if (log_format(form, &from, ms, &m, &out) != LOG_WRITTEN) {
		assert_int_equal(out.n, 0);
		return NULL;
	}
	text[out.n] = 0;
	return text;
}

static const char *
line_with(const char *key, struct view value)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, "login");
	log_text(&r, key, value);
	return line_of(LOG_FORM_LINE, WHEN_MS,
		(struct msg_log_record){.level = r.level,
			.event = VIEW("login"),
			.pairs = buf_view(&r.buf)});
}

static const char head[] =
	"time=2026-08-01T12:34:56.789Z level=info program=restante-front "
	"pid=7 event=login";

static void
assert_value(struct view value, const char *wanted)
{
	const char *line = line_with("user", value);

	assert_non_null(line);
	assert_memory_equal(line, head, strlen(head));
	line += strlen(head);
	assert_memory_equal(line, " user=", 6);
	size_t n = strlen(line + 6);
	assert_int_equal(line[6 + n - 1], '\n');
	assert_int_equal(n - 1, strlen(wanted));
	assert_memory_equal(line + 6, wanted, n - 1);
}

static void
values_are_quoted_where_it_matters(void **state)
{
	(void)state;
	assert_value(VIEW("bob"), "bob");
	assert_value(VIEW("bob@example.org"), "bob@example.org");
	assert_value(VIEW("[::1]"), "\"[::1]\"");
	assert_value(VIEW("/srv/mail/a_b+c-d:1"), "/srv/mail/a_b+c-d:1");
	assert_value(VIEW(""), "\"\"");
	assert_value(VIEW("two words"), "\"two words\"");
	assert_value(VIEW("a=b"), "\"a=b\"");
	assert_value(VIEW("say \"x\""), "\"say \\x22x\\x22\"");
	assert_value(VIEW("back\\slash"), "\"back\\x5Cslash\"");
	assert_value(VIEW("nul\0nl\ncr\r"), "\"nul\\x00nl\\x0Acr\\x0D\"");
	assert_value(VIEW("\x7F\x80\xC3\xA4\xFF"), "\"\\x7F\\x80\\xC3\\xA4\\xFF\"");
	assert_value(VIEW("\x1B[31mred"), "\"\\x1B[31mred\"");
}

static void
no_octet_breaks_out(void **state)
{
	(void)state;
	for (unsigned int c = 0; c < 256; c++) {
		uint8_t octet = (uint8_t)c;
		const char *line = line_with("user", (struct view){&octet, 1});
		assert_non_null(line);
		size_t n = strlen(line), quotes = 0;
		assert_int_equal(strcspn(line, "\n"), n - 1);
		for (size_t i = 0; i < n - 1; i++) {
			assert_in_range(line[i], 0x20, 0x7E);
			quotes += line[i] == '"';
		}
		assert_true(quotes == 0 || quotes == 2);
	}
}

static void
every_level_has_its_name_and_severity(void **state)
{
	(void)state;
	static const struct {
		uint8_t level;
		const char *name, *syslog;
	} rows[] = {
		{LOG_LEVEL_ERROR, " level=error ", "<19>"},
		{LOG_LEVEL_WARNING, " level=warning ", "<20>"},
		{LOG_LEVEL_INFO, " level=info ", "<22>"},
		{LOG_LEVEL_DEBUG, " level=debug ", "<23>"},
	};
	struct msg_log_record m = {.event = VIEW("x")};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		m.level = rows[i].level;
		assert_non_null(strstr(line_of(LOG_FORM_LINE, WHEN_MS, m), rows[i].name));
		assert_non_null(
			strstr(line_of(LOG_FORM_SYSLOG, WHEN_MS, m), rows[i].name));
		assert_memory_equal(text, rows[i].syslog, 4);
	}
}

static void
syslog_has_its_own_head(void **state)
{
	(void)state;
	struct msg_log_record m = {.level = LOG_LEVEL_INFO, .event = VIEW("login")};

	assert_string_equal(line_of(LOG_FORM_SYSLOG, WHEN_MS, m),
		"<22>Aug  1 12:34:56 restante-front[7]: level=info event=login");
}

static void
assert_time(uint64_t seconds, const char *wanted)
{
	struct msg_log_record m = {.level = LOG_LEVEL_INFO, .event = VIEW("x")};
	const char *line = line_of(LOG_FORM_LINE, seconds * 1000 + 5, m);

	assert_memory_equal(line, "time=", 5);
	assert_memory_equal(line + 5, wanted, strlen(wanted));
	assert_memory_equal(line + 5 + strlen(wanted), ".005Z ", 6);
}

static void
dates_are_right_for_centuries(void **state)
{
	(void)state;
	assert_time(0, "1970-01-01T00:00:00");
	assert_time(951782399, "2000-02-28T23:59:59");
	assert_time(951782400, "2000-02-29T00:00:00");
	assert_time(951868800, "2000-03-01T00:00:00");
	assert_time(1709164800, "2024-02-29T00:00:00");
	assert_time(1735689599, "2024-12-31T23:59:59");
	assert_time(1735689600, "2025-01-01T00:00:00");
	assert_time(4107542400, "2100-03-01T00:00:00");
	assert_time(4107456000, "2100-02-28T00:00:00");
	assert_time(253402300799, "9999-12-31T23:59:59");
}

static bool
accepted(uint8_t level, struct view event, struct view pairs)
{
	return line_of(LOG_FORM_LINE, WHEN_MS,
		       (struct msg_log_record){
			       .level = level, .event = event, .pairs = pairs}) != NULL;
}

static void
malformed_records_are_refused(void **state)
{
	(void)state;
	struct view none = VIEW(""), ok = VIEW("\1k\1\0v");

	assert_true(accepted(LOG_LEVEL_INFO, VIEW("a-b_9"), ok));
	assert_false(accepted(0, VIEW("x"), none));
	assert_false(accepted(LOG_LEVEL_DEBUG + 1, VIEW("x"), none));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW(""), none));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("a b"), none));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("a\n"), none));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("A"), none));
	/* Keys: empty, capitals, a line end, too long. */
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("x"), VIEW("\0\1\0v")));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("x"), VIEW("\1K\1\0v")));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("x"), VIEW("\1\n\1\0v")));
	assert_true(accepted(LOG_LEVEL_INFO, VIEW("x"),
		VIEW("\x20zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\0\0")));
	assert_false(accepted(LOG_LEVEL_INFO, VIEW("x"),
		VIEW("\x21zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\0\0")));
	/* Cut at every octet. */
	for (size_t n = 1; n < ok.n; n++)
		assert_false(accepted(LOG_LEVEL_INFO, VIEW("x"), (struct view){ok.p, n}));
}

static void
nobody_speaks_in_anothers_name(void **state)
{
	(void)state;
	static const char *const ours[] = {"time", "level", "program", "pid", "event"};

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		const char *line = line_with(ours[i], VIEW("x"));
		assert_non_null(line);
		assert_memory_equal(line, head, strlen(head));
		assert_memory_equal(line + strlen(head), " said_", 6);
		assert_memory_equal(line + strlen(head) + 6, ours[i], strlen(ours[i]));
	}
	assert_memory_equal(
		line_with("programs", VIEW("x")) + strlen(head), " programs=x\n", 12);
}

static void
lines_have_a_limit(void **state)
{
	(void)state;
	uint8_t pairs[8192], value[4000];
	struct buf b = buf_over(pairs, sizeof(pairs));

	memset(value, 0xFF, sizeof(value));
	for (size_t n = 0; n < sizeof(value); n += 37) {
		b.n = 0;
		for (int i = 0; i < 2; i++) {
			buf_put(&b, "\5value", 6);
			buf_put_u16(&b, (uint16_t)n);
			buf_put(&b, value, n);
		}
		const char *line = line_of(LOG_FORM_LINE, WHEN_MS,
			(struct msg_log_record){.level = LOG_LEVEL_INFO,
				.event = VIEW("login"),
				.pairs = buf_view(&b)});
		assert_non_null(line);
		size_t octets = strlen(line), quotes = 0;
		assert_true(octets <= LOG_LINE_MAX);
		assert_int_equal(line[octets - 1], '\n');
		for (size_t i = 0; i < octets; i++)
			quotes += line[i] == '"';
		assert_int_equal(quotes % 2, 0);
		bool cut = octets > 7 && memcmp(line + octets - 7, " cut=1\n", 7) == 0;
		assert_int_equal(
			cut, strlen(head) + 2 * (7 + 2 + 4 * n) + 8 > LOG_LINE_MAX);
	}
}

static void
names_of_programs(void **state)
{
	(void)state;
	struct log_from f;

	log_from_set(&f, VIEW("restante-auth"), 12);
	assert_int_equal(f.program_n, 13);
	assert_int_equal(f.pid, 12);
	log_from_set(&f, VIEW("two words"), 1);
	assert_memory_equal(f.program, "unknown", 7);
	log_from_set(&f, VIEW(""), 1);
	assert_int_equal(f.program_n, 7);
	log_from_set(&f, VIEW("a234567890123456789012345678901234"), 1);
	assert_int_equal(f.program_n, 7);
}

static void
floods_are_counted(void **state)
{
	(void)state;
	struct log_limit l = {0};
	uint64_t now = 5000;

	for (int i = 0; i < LOG_RATE; i++)
		assert_true(log_limit_take(&l, now + (uint64_t)i / 20));
	for (int i = 0; i < 10; i++)
		assert_false(log_limit_take(&l, now + 999));
	assert_int_equal(l.dropped, 10);
	assert_true(log_limit_take(&l, now + 1000));
	assert_int_equal(l.dropped, 10);
}

static int
set_up(void **state)
{
	(void)state;
	log_from_set(&from, VIEW("restante-front"), 7);
	return 0;
}

static const char *
ban_line(enum log_form form, struct view program, struct view user)
{
	struct buf out = buf_over(text, LOG_LINE_MAX);
	struct log_from who;
	struct log_record r;

	log_from_set(&who, program, 7);
	log_begin(&r, LOG_LEVEL_WARNING, "fail2ban");
	log_text(&r, "user", user);
	log_str(&r, "method", "PLAIN");
	log_str(&r, "address", "192.0.2.7");
	struct msg_log_record m = {
		.level = r.level, .event = VIEW("fail2ban"), .pairs = buf_view(&r.buf)};
	assert_int_equal(log_format(form, &who, WHEN_MS, &m, &out), LOG_WRITTEN);
	text[out.n] = 0;
	return text;
}

static void
lines_for_fail2ban_come_from_auth_alone(void **state)
{
	(void)state;
	static const char tail[] =
		" dovecot[7]: pop3-login: Info: Disconnected (auth failed, "
		"1 attempts): user=<bob>, method=PLAIN, rip=192.0.2.7";
	char wanted[256];
	(void)snprintf(wanted, sizeof(wanted), "2026-08-01T12:34:56.789Z%s\n", tail);
	assert_string_equal(
		ban_line(LOG_FORM_LINE, VIEW("restante-auth"), VIEW("bob")), wanted);
	(void)snprintf(wanted, sizeof(wanted), "<22>Aug  1 12:34:56%s", tail);
	assert_string_equal(
		ban_line(LOG_FORM_SYSLOG, VIEW("restante-auth"), VIEW("bob")), wanted);
	/* A name cannot end its field, nor a line. */
	assert_non_null(strstr(ban_line(LOG_FORM_LINE, VIEW("restante-auth"),
				       VIEW("a>, rip=192.0.2.9\n")),
		"user=<a???rip=192.0.2.9?>, method=PLAIN, rip=192.0.2.7\n"));
	/* Another program's record of that name is a record as any. */
	const char *other = ban_line(LOG_FORM_LINE, VIEW("restante-front"), VIEW("bob"));
	assert_memory_equal(other, "time=", 5);
	assert_null(strstr(other, "rip="));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_quoted_where_it_matters),
		cmocka_unit_test(no_octet_breaks_out),
		cmocka_unit_test(every_level_has_its_name_and_severity),
		cmocka_unit_test(syslog_has_its_own_head),
		cmocka_unit_test(dates_are_right_for_centuries),
		cmocka_unit_test(malformed_records_are_refused),
		cmocka_unit_test(nobody_speaks_in_anothers_name),
		cmocka_unit_test(lines_have_a_limit),
		cmocka_unit_test(names_of_programs),
		cmocka_unit_test(floods_are_counted),
		cmocka_unit_test(lines_for_fail2ban_come_from_auth_alone),
	};
	return cmocka_run_group_tests(tests, set_up, NULL);
}
