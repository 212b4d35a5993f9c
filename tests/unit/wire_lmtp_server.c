#include "unit.h"

#include "wire_lmtp_talk.h"

#include "wire/lmtp_parse.h"

#include <assert.h>

#include <stdio.h>

static struct play two;

/* All of it, in one go. */
static const char session[] =
	"NOOP\r\n" HELLO "MAIL FROM:<@r:s@x> SIZE=20 BODY=8BITMIME RET=HDRS\r\n"
	"RCPT TO:<a@x> NOTIFY=NEVER\r\nRCPT TO:<no@x>\r\nRCPT TO:<\"full b\"@x>\r\n"
	"DATA\r\nA: b\r\n\r\n..\r\n.x\r\n\n.\n\r.\r.\r\r\n..\r\r\n.\r\n"
	"MAIL FROM:<>\r\nRCPT TO:<later@x>\r\nDATA\r\nRSET\r\n"
	"MAIL FROM:<\xC3\xA4@x> SMTPUTF8\r\nRCPT TO:<\xC3\xB6>\r\nRCPT TO:<c>\r\n"
	"BDAT 7\r\n.\r\n\r\n.\nBDAT 0\r\nDATA\r\nBDAT 6 LAST\r\nQUIT\r\n"
	"nonsense\r\nNOOP\nMAIL FROM:<a@x>\r\nLHLO again\r\nQUIT\r\nNOOP\r\n";
static const char session_events[] =
	"MAIL 20s@x\nRCPT a@x\nRCPT no@x\nRCPT full b@x\n"
	"END A: b\r\n\r\n.\r\nx\r\n\n.\n\r.\r.\r\r\n.\r\r\n$\n"
	"MAIL \nRCPT later@x\nRESET\n"
	"MAIL utf8 \xC3\xA4@x\nRCPT \xC3\xB6\nRCPT c\nEND .\r\n\r\n.\nQUIT\r\n$\n"
	"MAIL a@x\nRESET\nQUIT\n";
static const char session_replies[] =
	"220 mx.example LMTP\r\n250 2.0.0 ok\r\n"
	"250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	"250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 SIZE "
	"1000\r\n" MAIL_REPLY RCPT_REPLY
	"550 5.1.1 there is no such user\r\n" RCPT_REPLY GO_AHEAD STORED
	"452 4.2.2 the maildrop is full\r\n" MAIL_REPLY
	"451 4.3.0 cannot tell now, try again later\r\n" NOBODY_REPLY
	"250 2.0.0 forgotten\r\n" MAIL_REPLY RCPT_REPLY RCPT_REPLY CHUNK_REPLY CHUNK_REPLY
	"503 5.5.1 the message has begun with BDAT\r\n"
	"250 2.0.0 stored\r\n250 2.0.0 <c> stored\r\n"
	"500 5.5.1 no such command\r\n500 5.5.2 a line must end in CRLF\r\n" MAIL_REPLY
	"250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	"250-ENHANCEDSTATUSCODES\r\n250-CHUNKING\r\n250 SIZE 1000\r\n"
	"221 2.0.0 bye\r\n";

static void
a_session_at_every_split(void **state)
{
	(void)state;
	struct view all = text(session);

	play(&one, &usual, all, all.n, 1);
	same(&one.events, session_events, "events");
	same(&one.replies, session_replies, "replies");
	for (size_t first = 0; first <= all.n; first++) {
		play(&two, &usual, all, first, all.n);
		same(&two.events, session_events, "events");
		same(&two.replies, session_replies, "replies");
	}
	for (size_t step = 1; step <= 64; step++) {
		play(&two, &usual, all, step, step);
		same(&two.events, session_events, "events");
		same(&two.replies, session_replies, "replies");
	}
}

/* One sound line of each command, and what it gets where it is legal. */
static const struct {
	enum lmtp_command command;
	const char *line, *code;
} samples[] = {
	{LMTP_LHLO, "LHLO c\r\n", "250-"},
	{LMTP_MAIL, MAIL, "250 2.1.0 "},
	{LMTP_RCPT, RCPT, "250 2.1.5 "},
	{LMTP_DATA, "DATA\r\n", "354 "},
	{LMTP_BDAT, "BDAT 0\r\n", "250 2.0.0 "},
	{LMTP_RSET, "RSET\r\n", "250 2.0.0 "},
	{LMTP_NOOP, "NOOP x\r\n", "250 2.0.0 "},
	{LMTP_VRFY, "VRFY a\r\n", "252 2.0.0 "},
	{LMTP_QUIT, "QUIT\r\n", "221 2.0.0 "},
	{LMTP_HELP, "HELP\r\n", "214 2.0.0 commands: LHLO MAIL "},
	{LMTP_HELO, "HELO c\r\n", "500 5.5.1 this is LMTP"},
	{LMTP_EHLO, "EHLO c\r\n", "500 5.5.1 this is LMTP"},
};
static_assert(ARRAY_SIZE(samples) == LMTP_COMMANDS);

static void
every_command_in_every_state(void **state)
{
	(void)state;
	static const struct {
		enum lmtp_state state;
		const char *way, *wrong, *bdat;
	} states[] = {
		{BEFORE_LHLO, "", "503 5.5.1 say LHLO first", "503 5.5.1 say LHLO first"},
		{READY, HELLO, "503 5.5.1 say MAIL first", "503 5.5.1 say MAIL first"},
		{IN_MAIL, HELLO MAIL RCPT, "503 5.5.1 there is a transaction already",
			"250 2.0.0 "},
		{IN_CHUNKS, HELLO MAIL RCPT "BDAT 1\r\nx",
			"503 5.5.1 the message has begun with BDAT", "250 2.0.0 "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		for (size_t c = 0; c < LMTP_COMMANDS; c++) {
			const struct lmtp_command_row *row =
				lmtp_command_row((enum lmtp_command)c);
			const char *want = samples[c].code;
			char all[512];
			size_t before;

			assert_int_equal(samples[c].command, c);
			assert_memory_equal(row->usage, row->name, strlen(row->name));
			if (c == LMTP_BDAT)
				want = states[i].bdat;
			else if (row->states != NOWHERE &&
				!(row->states & states[i].state))
				want = states[i].wrong;
			play(&one, &usual, text(states[i].way), SIZE_MAX, 1);
			before = one.replies.n;
			(void)snprintf(
				all, sizeof(all), "%s%s", states[i].way, samples[c].line);
			play(&one, &usual, text(all), SIZE_MAX, 1);
			assert_true(one.replies.n > before + strlen(want));
			assert_memory_equal(one.replies.p + before, want, strlen(want));
		}
}

static void
every_answer_is_well_made(void **state)
{
	(void)state;
	static const struct {
		const char *code, *enhanced, *words;
	} rows[] = {
#define RECIPIENT(NAME, code, enhanced, words) {code, enhanced, words},
#define OUTCOME(NAME, code, enhanced, words)   {code, enhanced, words},
#define REPLY(NAME, code, enhanced, words)     {code, enhanced, words},
#include "wire/lmtp_answers.def"
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(strlen(rows[i].code), 3);
		assert_in_range(strlen(rows[i].words), 1, 100);
		/* RFC 2034 s.3, s.4: the class is that of the code; 354 has none. */
		assert_int_equal(rows[i].enhanced[0] == '\0', rows[i].code[0] == '3');
		if (rows[i].enhanced[0] != '\0') {
			assert_int_equal(rows[i].enhanced[0], rows[i].code[0]);
			assert_int_equal(strlen(rows[i].enhanced), 5);
		}
	}
}

static void
data_and_its_dots(void **state)
{
	(void)state;
	static const struct {
		const char *sent, *message;
	} rows[] = {
		{".\r\n", ""},
		{"a\r\n.\r\n", "a\r\n"},
		{"..\r\n.\r\n", ".\r\n"},
		{".a\r\n.\r\n", "a\r\n"},
		{"a\r\n..b\r\n.\r\n", "a\r\n.b\r\n"},
		{"a\n.\nb\r\n.\r\n", "a\n.\nb\r\n"},
		{"a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n"},
		{"a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n"},
		{"a\r.\r\n.\r\n", "a\r.\r\n"},
		{"a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n"},
		{"a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n"},
		{"\r\n\r\n.\r\n", "\r\n\r\n"},
		{"\xFF\x01\r\n.\r\n", "\xFF\x01\r\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char sent[256], events[256];

		(void)snprintf(
			sent, sizeof(sent), MAIL RCPT "DATA\r\n%sNOOP\r\n", rows[i].sent);
		(void)snprintf(events, sizeof(events), "MAIL s@x\nRCPT a@x\nEND %s$\n",
			rows[i].message);
		talk(sent, events,
			MAIL_REPLY RCPT_REPLY GO_AHEAD STORED "250 2.0.0 ok\r\n");
	}
}

/* RFC 5321 s.2.3.8. At every split; where one ends the message, so it does here. */
static void
bare_line_ends_are_refused(void **state)
{
	(void)state;
	static const struct lmtp_limits strict = {30, 3, "mx.example", false};
	static const char bare[] =
		"554 5.6.0 the message has a CR or LF that stands alone\r\n";
	static const char large[] = "552 5.3.4 larger than what is taken here\r\n";
	static const char failed[] = "503 5.5.1 a chunk before this one was refused\r\n";
	static const struct {
		const char *sent, *replies[3];
	} rows[] = {
		{"DATA\r\na\nb\r\n.\r\n", {bare, bare}},
		{"DATA\r\n\n.\n\r\n.\r\n", {bare, bare}},
		{"DATA\r\na\rb\r\n.\r\n", {bare, bare}},
		{"DATA\r\na\r\r\n.\r\n", {bare, bare}},
		{"DATA\r\n.\r\r\n.\r\n", {bare, bare}},
		{"DATA\r\na\r\n.\nb\r\n.\r\n", {bare, bare}},
		{"DATA\r\na\r\n..\r\n\r\n.\r\n", {STORED, STORED}},
		{"DATA\r\n.\r\n", {STORED, STORED}},
		{"DATA\r\n\n678901234567890123456789012345\r\n.\r\n", {bare, bare}},
		{"DATA\r\n1234567890123456789012345678901\n\r\n.\r\n", {large, large}},
		{"BDAT 3 LAST\r\na\nb", {bare, bare}},
		{"BDAT 2 LAST\r\na\r", {bare, bare}},
		{"BDAT 2 LAST\r\na\n", {bare, bare}},
		{"BDAT 2\r\na\rBDAT 1 LAST\r\n\n", {CHUNK_REPLY, STORED, STORED}},
		{"BDAT 2\r\na\nBDAT 1\r\nbBDAT 0 LAST\r\n", {bare, failed, NULL}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char sent[256], replies[1024];
		int n = snprintf(sent, sizeof(sent), "%s%sNOOP\r\nQUIT\r\n",
			HELLO MAIL RCPT RCPT, rows[i].sent);
		int k = 0;

		for (int r = 0; r < 3 && rows[i].replies[r]; r++)
			k += snprintf(replies + k, sizeof(replies) - (size_t)k, "%s",
				rows[i].replies[r]);
		(void)snprintf(replies + k, sizeof(replies) - (size_t)k, "%s",
			rows[i].replies[1] == failed
				? "554 5.6.0 the message has a CR or LF that stands "
				  "alone\r\n554 5.6.0 the message has a CR or LF that "
				  "stands alone\r\n250 2.0.0 ok\r\n221 2.0.0 bye\r\n"
				: "250 2.0.0 ok\r\n221 2.0.0 bye\r\n");
		size_t end = strlen(replies);
		for (int cut = 0; cut <= n; cut++) {
			play(&one, &strict, text(sent), (size_t)cut, 1);
			assert_true(one.over && one.replies.n > end);
			assert_memory_equal(
				one.replies.p + one.replies.n - end, replies, end);
		}
	}
}

/* RFC 3030 s.2: every chunk is taken, and has its answer. */
static void
chunks(void **state)
{
	(void)state;
	talk(MAIL RCPT "BDAT 0 LAST\r\n", "MAIL s@x\nRCPT a@x\nEND $\n",
		MAIL_REPLY RCPT_REPLY STORED);
	talk(MAIL RCPT "BDAT 6\r\nQUIT\r\nBDAT 2 LAST\r\n\r\nNOOP\r\n",
		"MAIL s@x\nRCPT a@x\nEND QUIT\r\n\r\n$\n",
		MAIL_REPLY RCPT_REPLY CHUNK_REPLY STORED "250 2.0.0 ok\r\n");
	talk("BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "",
		"503 5.5.1 say MAIL first\r\n250 2.0.0 ok\r\n");
	talk(MAIL "RCPT TO:<no@x>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n",
		"MAIL s@x\nRCPT no@x\nRESET\n",
		MAIL_REPLY "550 5.1.1 there is no such user\r\n" NOBODY_REPLY
			   "250 2.0.0 forgotten\r\n");
	talk(MAIL RCPT "BDAT 1\r\nxRSET\r\n" MAIL,
		"MAIL s@x\nRCPT a@x\nRESET\nMAIL s@x\n",
		MAIL_REPLY RCPT_REPLY CHUNK_REPLY "250 2.0.0 forgotten\r\n" MAIL_REPLY);
}

/* What would be read as commands must not be the octets of a message. */
static void
a_chunk_that_cannot_be_read_ends_it(void **state)
{
	(void)state;
	static const char *const lines[] = {"BDAT x\r\n", "BDAT\r\n", "BDAT 6 FIRST\r\n",
		"BDAT 6\n", "bdat 99999999999999999999\r\n", "BDAT 6\x01\r\n"};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		char sent[256];

		(void)snprintf(sent, sizeof(sent), MAIL RCPT "%sQUIT\r\n", lines[i]);
		talk(sent, "MAIL s@x\nRCPT a@x\nCLOSE\n",
			MAIL_REPLY RCPT_REPLY
			"421 4.7.0 cannot tell where this chunk ends\r\n");
	}
}

/* RFC 6531 s.3.5; s.4.1.2 of RFC 5321 without it. */
static void
utf8_needs_its_parameter(void **state)
{
	(void)state;
	talk("MAIL FROM:<\xC3\xA4@x>\r\n" MAIL "RCPT TO:<\xC3\xA4@x>\r\n"
	     "RCPT TO:<\xC3@x>\r\n",
		"MAIL s@x\n",
		"553 5.6.7 such an address needs SMTPUTF8\r\n" MAIL_REPLY
		"553 5.6.7 such an address needs SMTPUTF8\r\n"
		"500 5.5.2 octets that no command has\r\n");
}

static void
the_end_can_come_at_any_moment(void **state)
{
	(void)state;
	static const char *const moments[] = {"", HELLO, HELLO MAIL,
		HELLO MAIL RCPT "DATA\r\nx", HELLO MAIL RCPT "BDAT 9\r\nx", "NOO"};

	for (size_t i = 0; i < ARRAY_SIZE(moments); i++)
		for (int idle = 0; idle < 2; idle++) {
			struct view in = VIEW("QUIT\r\n");
			struct lmtp_event e;

			play(&one, &usual, text(moments[i]), SIZE_MAX, 1);
			one.out.n = one.out.cap - LMTP_REPLY_MAX + 1;
			assert_false(idle ? lmtp_server_timeout(&one.s, &one.out)
					  : lmtp_server_shutdown(&one.s, &one.out));
			one.out.n = 0;
			assert_true(idle ? lmtp_server_timeout(&one.s, &one.out)
					 : lmtp_server_shutdown(&one.s, &one.out));
			same(&one.out,
				idle ? "421 4.4.2 nothing came for too long\r\n"
				     : "421 4.3.2 shutting down\r\n",
				moments[i]);
			lmtp_server_next(&one.s, &in, &one.out, &e);
			assert_int_equal(e.kind, LMTP_EVENT_CLOSE);
			/* Answers that come too late go nowhere. */
			one.out.n = 0;
			assert_true(lmtp_server_recipient(
				&one.s, LMTP_RECIPIENT_ACCEPTED, &one.out));
			assert_true(lmtp_server_outcome(
				&one.s, LMTP_OUTCOME_STORED, text("a"), &one.out));
			assert_int_equal(one.out.n, 0);
			assert_false(lmtp_server_in_transaction(&one.s));
			assert_false(lmtp_server_in_message(&one.s));
		}
}

/* Only what is printable and short comes back, and a bad name of ours does not go out. */
static void
replies_echo_nothing_strange(void **state)
{
	(void)state;
	struct lmtp_limits odd = {0, 3, "mx\r\n250 x", false};
	static const char head[] = "220 localhost LMTP\r\n250-localhost\r\n";

	play(&one, &odd, VIEW(HELLO "\x01\xFF?\r\nNOOP \x1B[2J\r\n"), SIZE_MAX, 1);
	assert_memory_equal(one.replies.p, head, sizeof(head) - 1);
	one.replies.p[one.replies.n] = '\0';
	assert_non_null(strstr((char *)one.replies.p, "250 SIZE\r\n"));
	talk(MAIL "RCPT TO:<\"a <b\"@x>\r\nRCPT TO:<\"a<b\"@x>\r\nDATA\r\n.\r\n",
		"MAIL s@x\nRCPT a <b@x\nRCPT a<b@x\nEND $\n",
		MAIL_REPLY RCPT_REPLY RCPT_REPLY GO_AHEAD
		"250 2.0.0 stored\r\n250 2.0.0 stored\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_at_every_split),
		cmocka_unit_test(every_command_in_every_state),
		cmocka_unit_test(every_answer_is_well_made),
		cmocka_unit_test(data_and_its_dots),
		cmocka_unit_test(bare_line_ends_are_refused),
		cmocka_unit_test(chunks),
		cmocka_unit_test(a_chunk_that_cannot_be_read_ends_it),
		cmocka_unit_test(utf8_needs_its_parameter),
		cmocka_unit_test(the_end_can_come_at_any_moment),
		cmocka_unit_test(replies_echo_nothing_strange),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
