#include "unit.h"

#include "wire/pop3_parse.h"

#include <stdio.h>
#include <string.h>

static enum parse_result
parse(const char *line, struct pop3_request *r)
{
	return parse_command((struct view){(const uint8_t *)line, strlen(line)}, r);
}

static void
lines_and_what_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum parse_result result;
		enum pop3_command command;
		uint64_t msgno, lines;
		bool has_msgno;
	} rows[] = {
		{"STAT", PARSE_OK, POP3_STAT, 0, 0, false},
		{"stat \t ", PARSE_OK, POP3_STAT, 0, 0, false},
		{"STAT\t", PARSE_OK, POP3_STAT, 0, 0, false},
		{"STAT 1", PARSE_SYNTAX, POP3_STAT, 0, 0, false},
		{"LIST", PARSE_OK, POP3_LIST, 0, 0, false},
		{"LIST ", PARSE_OK, POP3_LIST, 0, 0, false},
		{"LIST 7", PARSE_OK, POP3_LIST, 7, 0, true},
		{"LIST 007 ", PARSE_OK, POP3_LIST, 7, 0, true},
		{"LIST x", PARSE_SYNTAX, POP3_LIST, 0, 0, true},
		{"RETR", PARSE_SYNTAX, POP3_RETR, 0, 0, true},
		{"RETR 4294967296", PARSE_OK, POP3_RETR, UINT64_C(4294967296), 0, true},
		{"RETR 18446744073709551616", PARSE_OK, POP3_RETR, UINT64_MAX, 0, true},
		{"RETR 1\x01", PARSE_SYNTAX, POP3_RETR, 0, 0, true},
		{"TOP 1 0", PARSE_OK, POP3_TOP, 1, 0, true},
		{"TOP 1 99999999", PARSE_OK, POP3_TOP, 1, 99999999, true},
		{"TOP 1", PARSE_SYNTAX, POP3_TOP, 0, 0, true},
		{"TOP  1 2", PARSE_SYNTAX, POP3_TOP, 0, 0, true},
		{"TOP 1 2 3", PARSE_SYNTAX, POP3_TOP, 1, 0, true},
		{"", PARSE_UNKNOWN, 0, 0, 0, false},
		{" STAT", PARSE_UNKNOWN, 0, 0, 0, false},
		{"STATS", PARSE_UNKNOWN, 0, 0, 0, false},
		{"STA", PARSE_UNKNOWN, 0, 0, 0, false},
		{"STAT:", PARSE_UNKNOWN, 0, 0, 0, false},
		{"\xD3TAT", PARSE_UNKNOWN, 0, 0, 0, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop3_request r;
		assert_int_equal(parse(rows[i].line, &r), rows[i].result);
		if (rows[i].result == PARSE_UNKNOWN)
			continue;
		assert_int_equal(r.command, rows[i].command);
		assert_int_equal(r.has_msgno, rows[i].has_msgno);
		if (rows[i].result != PARSE_OK)
			continue;
		assert_true(r.msgno == rows[i].msgno);
		assert_true(r.lines == rows[i].lines);
	}
}

static void
text_is_byte_exact(void **state)
{
	(void)state;
	struct pop3_request r;

	assert_int_equal(parse("PASS  a b\t ", &r), PARSE_OK);
	assert_int_equal(r.text.n, 6);
	assert_memory_equal(r.text.p, " a b\t ", 6);
	assert_int_equal(parse("PASS ", &r), PARSE_OK);
	assert_int_equal(r.text.n, 0);
	assert_int_equal(parse("PASS", &r), PARSE_SYNTAX);
	assert_int_equal(parse("USER ", &r), PARSE_SYNTAX);
	assert_int_equal(parse("USER x ", &r), PARSE_OK);
	assert_int_equal(r.text.n, 2);
}

static void
auth_has_three_forms(void **state)
{
	(void)state;
	struct pop3_request r;

	assert_int_equal(parse("AUTH  \t", &r), PARSE_OK);
	assert_false(r.has_mechanism);
	assert_true(pop3_answer_is_many(&r));
	assert_int_equal(parse("AUTH plAin ", &r), PARSE_OK);
	assert_true(r.has_mechanism);
	assert_false(r.has_text);
	assert_int_equal(r.mechanism, POP3_MECHANISM_PLAIN);
	assert_false(pop3_answer_is_many(&r));
	assert_int_equal(parse("AUTH PLAIN =", &r), PARSE_OK);
	assert_true(r.has_text);
	assert_memory_equal(r.text.p, "=", 1);
	assert_int_equal(parse("AUTH PLAINS", &r), PARSE_MECHANISM);
	assert_int_equal(parse("AUTH NTLM AAAA", &r), PARSE_MECHANISM);
}

static void
apop_ends_in_its_digest(void **state)
{
	(void)state;
	struct pop3_request r;

#define DIGEST "c4c9334bac560ecc979e58001b3e22fB"
	assert_int_equal(parse("APOP mrose " DIGEST " ", &r), PARSE_OK);
	assert_int_equal(r.name.n, 5);
	assert_memory_equal(r.name.p, "mrose", 5);
	assert_memory_equal(r.text.p, DIGEST, 32);
	assert_int_equal(r.text.n, 32);
	assert_int_equal(parse("APOP a  b  " DIGEST, &r), PARSE_OK);
	assert_memory_equal(r.name.p, "a  b ", 5);
	assert_int_equal(parse("APOP " DIGEST, &r), PARSE_SYNTAX);
	assert_int_equal(parse("APOP  " DIGEST, &r), PARSE_SYNTAX);
	assert_int_equal(parse("APOP a" DIGEST, &r), PARSE_SYNTAX);
	assert_int_equal(parse("APOP a 0" DIGEST, &r), PARSE_SYNTAX);
	assert_int_equal(parse("APOP a \t" DIGEST, &r), PARSE_SYNTAX);
	assert_int_equal(parse("APOP", &r), PARSE_SYNTAX);
#undef DIGEST
}

static void
xclient_rows(void **state)
{
	(void)state;
	static const struct {
		const char *arguments;
		enum parse_result result;
		bool has_address, has_port;
		uint16_t port;
		uint8_t last; /* octet of the address */
	} rows[] = {
		{" ADDR=192.0.2.7 PORT=40000", PARSE_OK, true, true, 40000, 7},
		{"  port=0   ADDR=192.0.2.8", PARSE_OK, true, true, 0, 8},
		{" ADDR=IPV6:2001:db8::9", PARSE_OK, true, false, 0, 9},
		{" ADDR=2001:db8::a", PARSE_OK, true, false, 0, 10},
		{" ADDR=ipv6:+3A+3Ab", PARSE_OK, true, false, 0, 11},
		{" ADDR=[UNAVAILABLE] PORT=[tempunavail]", PARSE_OK, false, false, 0, 0},
		{"", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR=", PARSE_SYNTAX, 0, 0, 0, 0},
		{" =192.0.2.7", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR=192.0.2.7 ADDR=192.0.2.7", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR=192.0.2.7 LOGIN=kermit", PARSE_SYNTAX, 0, 0, 0, 0},
		{" NAME=host", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR=192.0.2.256", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR=IPV6:192.0.2.7", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR=host.example", PARSE_SYNTAX, 0, 0, 0, 0},
		{" PORT=65536", PARSE_SYNTAX, 0, 0, 0, 0},
		{" PORT=-1", PARSE_SYNTAX, 0, 0, 0, 0},
		{" PORT=+3", PARSE_SYNTAX, 0, 0, 0, 0},
		{" PORT=+3a", PARSE_SYNTAX, 0, 0, 0, 0},
		{" PORT=1=2", PARSE_SYNTAX, 0, 0, 0, 0},
		{" ADDR="
		 "0000000000000000000000000000000000000000000000000000000000000000000",
			PARSE_SYNTAX, 0, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pop3_request r;
		char line[256];
		snprintf(line, sizeof(line), "XCLIENT%s", rows[i].arguments);
		assert_int_equal(parse(line, &r), rows[i].result);
		assert_int_equal(r.command, POP3_XCLIENT);
		if (rows[i].result != PARSE_OK)
			continue;
		assert_int_equal(r.peer.has_address, rows[i].has_address);
		assert_int_equal(r.peer.has_port, rows[i].has_port);
		assert_int_equal(r.peer.port, rows[i].port);
		assert_int_equal(r.peer.address[15], rows[i].last);
	}
}

static void
every_row_is_within_the_protocol(void **state)
{
	(void)state;

	for (int c = 0; c < POP3_COMMANDS; c++) {
		const struct command_row *row = command_row((enum pop3_command)c);
		size_t n = strlen(row->name);
		/* RFC 1939 s.3: keywords are three or four characters long; XCLIENT is
		 * for proxies and of another family. */
		assert_in_range(n, 3, c == POP3_XCLIENT ? 7 : 4);
		assert_int_equal(strncmp(row->usage, row->name, n), 0);
		assert_in_range(row->states, IN_AUTHORIZATION, IN_BOTH);
		struct pop3_request r;
		assert_int_not_equal(parse(row->name, &r), PARSE_UNKNOWN);
		assert_int_equal(r.command, c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_and_what_they_are),
		cmocka_unit_test(text_is_byte_exact),
		cmocka_unit_test(auth_has_three_forms),
		cmocka_unit_test(apop_ends_in_its_digest),
		cmocka_unit_test(xclient_rows),
		cmocka_unit_test(every_row_is_within_the_protocol),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
