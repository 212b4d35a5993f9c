#include "unit.h"

#include "fetch/fetch_json.h"
#include "fetch/fetch_report.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VIEW_OF(s) ((struct view){(const uint8_t *)(s), strlen(s)})

static char out[64 * 1024], err[64 * 1024];
static int saved[2], files[2];

/* stdout and stderr go to files (stderr to `terminal` where it is one). */
static void catch (int terminal)
{
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		char path[] = "/tmp/restante-report-XXXXXX";
		saved[i] = dup(i + 1);
		files[i] = i == 1 && terminal >= 0 ? dup(terminal) : mkstemp(path);
		if (i == 0 || terminal < 0)
			unlink(path);
		assert_true(files[i] >= 0);
		dup2(files[i], i + 1);
	}
}

static void
caught(void)
{
	fflush(stdout);
	fflush(stderr);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i + 1);
		close(saved[i]);
		char *to = i == 0 ? out : err;
		ssize_t n = pread(files[i], to, sizeof(out) - 1, 0);
		to[n > 0 ? n : 0] = '\0';
		close(files[i]);
	}
}

static void
tell(bool json, bool quiet, bool verbose, enum report_event e,
	const struct report_facts *f)
{
	struct report *r;

	catch (-1);
	r = report_new(json, quiet, verbose);
	assert_non_null(r);
	report_tell(r, e, f);
	report_free(&r);
	caught();
	assert_null(r);
}

static void
plain_words(void **state)
{
	(void)state;
	struct report_facts f = REPORT_NOTHING;

	f.account = "work";
	f.server_said = VIEW_OF("wrong password");
	tell(false, true, false, REPORT_REFUSED_LOGIN, &f);
	assert_string_equal(out, "");
	assert_string_equal(err, "work: login refused: server said \"wrong password\"\n");

	f = REPORT_NOTHING;
	f.account = "work";
	f.msgno = 12;
	f.octets = 4096;
	f.uid = VIEW_OF("abc");
	f.subject = "hello";
	f.why = "the header does not end";
	tell(false, false, false, REPORT_QUARANTINED, &f);
	assert_string_equal(err,
		"work: message 12 (UIDL abc), 4.0 kB: put aside: the "
		"header does not end; --retry-aside tries it again\n");
	tell(false, false, true, REPORT_DELIVERED, &f);
	assert_string_equal(out,
		"work: message 12 (UIDL abc), 4.0 kB, \"hello\": "
		"delivered: the header does not end\n");
	assert_string_equal(err, "");

	f = REPORT_NOTHING;
	f.seconds = 3671;
	tell(false, false, true, REPORT_NEXT_POLL, &f);
	assert_string_equal(out, "restante fetch: next poll: in 1:01:11\n");
}

static void
nothing_is_said_where_there_is_nothing_to_say(void **state)
{
	(void)state;
	struct report_facts f = REPORT_NOTHING;
	static const enum report_event quiet[] = {REPORT_CONNECTED, REPORT_LOGGED_IN,
		REPORT_LISTED, REPORT_RETRIEVED, REPORT_DELIVERED, REPORT_DELETED,
		REPORT_FINISHED, REPORT_NEXT_POLL};
	struct report *r;

	catch (-1);
	r = report_new(false, false, false);
	assert_non_null(r);
	report_expect(r, 10, 1000);
	for (size_t i = 0; i < sizeof(quiet) / sizeof(quiet[0]); i++)
		report_tell(r, quiet[i], &f);
	report_progress(r, 5, 500, 1, 1000);
	report_end(r);
	report_free(&r);
	caught();
	assert_string_equal(out, "");
	assert_string_equal(err, "");
	tell(false, true, false, REPORT_TEMPORARY, &f);
	assert_string_equal(err, "");
	tell(false, false, false, REPORT_TEMPORARY, &f);
	assert_string_equal(err, "restante fetch: not now\n");
}

static void
json_lines(void **state)
{
	(void)state;
	struct report_facts f = REPORT_NOTHING;

	f.account = "work";
	f.msgno = 1;
	f.octets = 0;
	f.uid = VIEW_OF("a\"b\\c\xff\x1b");
	f.target = "maildir:/m";
	tell(true, false, false, REPORT_DELIVERED, &f);
	assert_string_equal(err, "");
	assert_int_equal(strncmp(out, "{\"event\":\"delivered\",\"time\":\"20", 31), 0);
	const char *rest = strstr(out, "Z\",");
	assert_non_null(rest);
	assert_string_equal(rest,
		"Z\",\"account\":\"work\",\"message\":1,\"uid\":\"a\\\"b\\\\c\xef\xbf\xbd"
		"\\u001b\",\"octets\":0,\"target\":\"maildir:/m\"}\n");
	/* With --quiet only what is grave. */
	tell(true, true, false, REPORT_DELIVERED, &f);
	assert_string_equal(out, "");
	tell(true, true, false, REPORT_PROTOCOL, &f);
	assert_non_null(strstr(out, "\"event\":\"protocol\""));
}

static const struct {
	const char *in, *shown, *json;
} texts[] = {
	{"plain", "plain", "\"plain\""},
	{"", "", "\"\""},
	{"\x1b[2J\x07", "?[2J?", "\"\\u001b[2J\\u0007\""},
	{"a\r\nb\t\x7f", "a??b??", "\"a\\u000d\\u000ab\\u0009\\u007f\""},
	{"\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac", "\"\xc3\xa4\xe2\x82\xac\""},
	{"\xc2\x9b" /* CSI as C1 */ "31m", "?31m", "\"\\u009b31m\""},
	{"\x9b"
	 "31m",
		"?31m",
		"\"\xef\xbf\xbd"
		"31m\""},
	{"\xe2\x80\xae" /* right to left */ "fdp", "?fdp", "\"\\u202efdp\""},
	{"\xe2\x80\x8b", "?", "\"\\u200b\""},
	{"\xc0\xaf" /* overlong */, "??", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	{"\xed\xa0\x80" /* surrogate */, "???",
		"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	{"\xf3\xa0\x81\x81" /* a tag */, "?", "\"\\udb40\\udc41\""},
	{"\xf5\x80\x80\x80", "????",
		"\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	{"cut \xe2\x82", "cut ??", "\"cut \xef\xbf\xbd\xef\xbf\xbd\""},
};

static void
texts_from_outside_are_harmless(void **state)
{
	(void)state;
	char text[4096];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct buf b = buf_over(text, sizeof(text) - 1);
		text_printable(&b, VIEW_OF(texts[i].in), 1000, true);
		text[b.n] = '\0';
		assert_string_equal(text, texts[i].shown);
		b = buf_over(text, sizeof(text) - 1);
		json_text(&b, VIEW_OF(texts[i].in), 1000);
		text[b.n] = '\0';
		assert_string_equal(text, texts[i].json);
		b = buf_over(text, sizeof(text) - 1);
		text_printable(&b, VIEW_OF(texts[i].in), 1000, false);
		for (size_t k = 0; k < b.n; k++)
			assert_in_range(text[k], 0x20, 0x7E);
	}
	struct buf b = buf_over(text, sizeof(text) - 1);
	json_text(&b, VIEW_OF("0123456789"), 4);
	text[b.n] = '\0';
	assert_string_equal(text, "\"0123...\"");
}

static void
a_line_is_bounded(void **state)
{
	(void)state;
	static uint8_t long_text[100000];
	struct report_facts f = REPORT_NOTHING;

	memset(long_text, 1, sizeof(long_text));
	f.server_said = f.uid = (struct view){long_text, sizeof(long_text)};
	f.msgno = 1;
	tell(true, false, false, REPORT_PROTOCOL, &f);
	size_t n = strlen(out);
	assert_true(n < 20000);
	assert_string_equal(out + n - 6, "...\"}\n");
	tell(false, false, false, REPORT_PROTOCOL, &f);
	assert_true(strlen(err) < 600);
}

static void
sizes_and_times(void **state)
{
	(void)state;
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {{0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {4150, "4.1 kB"},
		{16400000, "16.4 MB"}, {2000000000, "2.0 GB"},
		{UINT64_MAX, "18446744.0 TB"}};
	char text[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = buf_over(text, sizeof(text) - 1);
		text_size(&b, rows[i].n);
		text[b.n] = '\0';
		assert_string_equal(text, rows[i].text);
	}
	struct buf b = buf_over(text, sizeof(text) - 1);
	text_time(&b, 1795331700);
	text_time(&b, UINT64_MAX);
	text[b.n] = '\0';
	assert_string_equal(text, "2026-11-22T07:15:00Z9999-12-31T23:59:59Z");
}

/* A terminal gives what was written in pieces: up to the end of the first line. */
static void
read_line(int terminal)
{
	size_t n = 0;

	memset(err, 0, sizeof(err));
	while (!strchr(err, '\n')) {
		struct pollfd p = {.fd = terminal, .events = POLLIN};
		assert_int_equal(poll(&p, 1, 10000), 1);
		ssize_t more = read(terminal, err + n, sizeof(err) - 1 - n);
		assert_true(more > 0);
		n += (size_t)more;
	}
}

static void
one_live_line_on_a_terminal(void **state)
{
	(void)state;
	struct winsize w = {.ws_row = 24, .ws_col = 80};
	int master, slave;
	struct report_facts f = REPORT_NOTHING;
	struct report *r;

	setenv("TERM", "xterm", 1);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &w), 0);
	catch (slave);
	r = report_new(false, false, false);
	assert_non_null(r);
	report_expect(r, 2000, 16400000);
	report_progress(r, 0, 0, 3, 1000);
	report_progress(r, 1, 1, 3, 1099); /* within a tenth of a second: nothing */
	report_progress(r, 1204, 9840000, 3, 19000);
	report_tell(r, REPORT_PROTOCOL, &f);
	f.count = 1204;
	f.octets = 9840000;
	report_tell(r, REPORT_DELIVERED, &f);
	report_end(r);
	report_free(&r);
	caught();
	read_line(master);
	close(master);
	close(slave);
	assert_string_equal(err,
		"\r0/2000 mails, 0.0/16.4 MB, 3 accounts\x1b[K"
		"\r1204/2000 mails, 9.8/16.4 MB, 3 accounts, ETA 0:12\x1b[K"
		"\r\x1b[Krestante fetch: protocol error\r\n");
	assert_string_equal(out, "1204 mails, 9.8 MB\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_words),
		cmocka_unit_test(nothing_is_said_where_there_is_nothing_to_say),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(texts_from_outside_are_harmless),
		cmocka_unit_test(a_line_is_bounded),
		cmocka_unit_test(sizes_and_times),
		cmocka_unit_test(one_live_line_on_a_terminal),
	};
	unsetenv("LC_ALL");
	unsetenv("LC_CTYPE");
	unsetenv("LANG");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
