#include "unit.h"

#include "wire_lmtp_talk.h"

#include "wire/limits.h"

static void
a_message_beyond_the_limit(void **state)
{
	(void)state;
	static char sent[3000];
	char x[1100];

	memset(x, 'x', sizeof(x));
	talk("MAIL FROM:<s@x> SIZE=1001\r\nMAIL FROM:<s@x> SIZE=1000\r\n",
		"MAIL 1000s@x\n", LARGE_REPLY MAIL_REPLY);
	(void)snprintf(sent, sizeof(sent),
		MAIL RCPT RCPT "DATA\r\n%.*s\r\nQUIT\r\n.\r\n" MAIL, 1001, x);
	talk(sent, "MAIL s@x\nRCPT a@x\nRCPT a@x\nRESET\nMAIL s@x\n",
		MAIL_REPLY RCPT_REPLY RCPT_REPLY GO_AHEAD LARGE_REPLY LARGE_REPLY
			MAIL_REPLY);
	/* The answer to a chunk that is too much, to those behind it, to the last. */
	(void)snprintf(sent, sizeof(sent),
		MAIL RCPT RCPT
		"BDAT 500\r\n%.*sBDAT 501\r\n%.*sBDAT 5\r\n%.*sBDAT 6 LAST\r\n"
		"%.*s" MAIL,
		500, x, 501, x, 5, x, 6, x);
	talk(sent, "MAIL s@x\nRCPT a@x\nRCPT a@x\nRESET\nMAIL s@x\n",
		MAIL_REPLY RCPT_REPLY RCPT_REPLY CHUNK_REPLY LARGE_REPLY
		"503 5.5.1 a chunk before this one was refused\r\n" LARGE_REPLY
			LARGE_REPLY MAIL_REPLY);
	(void)snprintf(
		sent, sizeof(sent), MAIL RCPT "BDAT 1001\r\n%.*sRSET\r\n" MAIL, 1001, x);
	talk(sent, "MAIL s@x\nRCPT a@x\nRESET\nMAIL s@x\n",
		MAIL_REPLY RCPT_REPLY LARGE_REPLY "250 2.0.0 forgotten\r\n" MAIL_REPLY);
}

/* What was forgotten does not count for the next one. */
static void
the_count_begins_anew(void **state)
{
	(void)state;
	static char sent[3000], events[3000];
	char x[600];

	memset(x, 'x', sizeof(x));
	(void)snprintf(sent, sizeof(sent),
		MAIL RCPT "BDAT 600\r\n%.*sRSET\r\n" MAIL RCPT "BDAT 600 LAST\r\n%.*s",
		600, x, 600, x);
	(void)snprintf(events, sizeof(events),
		"MAIL s@x\nRCPT a@x\nRESET\nMAIL s@x\nRCPT a@x\nEND %.*s$\n", 600, x);
	talk(sent, events,
		MAIL_REPLY RCPT_REPLY CHUNK_REPLY
		"250 2.0.0 forgotten\r\n" MAIL_REPLY RCPT_REPLY STORED);
}

/* Undone dots and the end do not count: 1000 octets are taken. */
static void
a_message_at_the_limit(void **state)
{
	(void)state;
	static char sent[3000], events[3000];
	char x[1000];

	memset(x, 'x', sizeof(x));
	(void)snprintf(
		events, sizeof(events), "MAIL s@x\nRCPT a@x\nEND .%.*s\r\n$\n", 997, x);
	(void)snprintf(sent, sizeof(sent), MAIL RCPT "DATA\r\n..%.*s\r\n.\r\n", 997, x);
	talk(sent, events, MAIL_REPLY RCPT_REPLY GO_AHEAD STORED);
	(void)snprintf(
		sent, sizeof(sent), MAIL RCPT "BDAT 1000 LAST\r\n.%.*s\r\n", 997, x);
	talk(sent, events, MAIL_REPLY RCPT_REPLY STORED);
}

static void
recipients_have_a_limit(void **state)
{
	(void)state;
	talk(MAIL RCPT "RCPT TO:<no@x>\r\n" RCPT RCPT RCPT "DATA\r\n.\r\n",
		"MAIL s@x\nRCPT a@x\nRCPT no@x\nRCPT a@x\nRCPT a@x\nEND $\n",
		MAIL_REPLY RCPT_REPLY
		"550 5.1.1 there is no such user\r\n" RCPT_REPLY RCPT_REPLY
		"452 4.5.3 too many recipients, send the others in another "
		"transaction\r\n" GO_AHEAD STORED STORED STORED);
	/* As many as there can be: each gets its answer through a small buffer. */
	static char sent[64 * LMTP_RECIPIENTS_MAX];
	struct lmtp_limits most = {0, LMTP_RECIPIENTS_MAX, "mx", false};
	int n = snprintf(sent, sizeof(sent), HELLO MAIL);
	size_t stored = 0;

	for (int i = 0; i < LMTP_RECIPIENTS_MAX; i++)
		n += snprintf(sent + n, sizeof(sent) - (size_t)n, "RCPT TO:<u%d>\r\n", i);
	(void)snprintf(sent + n, sizeof(sent) - (size_t)n, "DATA\r\n.\r\nQUIT\r\n");
	play(&one, &most, text(sent), 70000, 70000);
	for (size_t i = 0; i + 8 <= one.replies.n; i++)
		stored += memcmp(one.replies.p + i, "> stored", 8) == 0;
	assert_int_equal(stored, LMTP_RECIPIENTS_MAX);
	assert_true(one.over);
}

/* Who is refused counts too: a transaction cannot grow without end. */
static void
refused_recipients_have_a_limit(void **state)
{
	(void)state;
	static char sent[64 * (LMTP_REFUSED_MAX + 8)];
	struct lmtp_limits most = {0, LMTP_RECIPIENTS_MAX, "mx", false};
	int n = snprintf(sent, sizeof(sent), HELLO MAIL);
	size_t asked = 0, many = 0;

	for (int i = 0; i < LMTP_REFUSED_MAX + 3; i++)
		n += snprintf(
			sent + n, sizeof(sent) - (size_t)n, "RCPT TO:<no%d>\r\n", i);
	(void)snprintf(sent + n, sizeof(sent) - (size_t)n,
		"RSET\r\n" MAIL "RCPT TO:<no@x>\r\nQUIT\r\n");
	play(&one, &most, text(sent), 70000, 70000);
	for (size_t i = 0; i + 5 <= one.events.n; i++)
		asked += memcmp(one.events.p + i, "RCPT ", 5) == 0;
	for (size_t i = 0; i + 9 <= one.replies.n; i++)
		many += memcmp(one.replies.p + i, "452 4.5.3", 9) == 0;
	assert_int_equal(asked, LMTP_REFUSED_MAX + 1);
	assert_int_equal(many, 3);
	assert_true(one.over);
}

static void
lines_have_a_limit(void **state)
{
	(void)state;
	static char sent[LMTP_LINE_MAX + 64], x[LMTP_LINE_MAX + 1];
	static const char *const second[] = {
		"250 2.0.0 ok\r\n", "500 5.5.2 line too long\r\n"};

	memset(x, 'x', sizeof(x));
	for (int more = 0; more < 2; more++) {
		char want[256];

		(void)snprintf(want, sizeof(want),
			"220 mx.example LMTP\r\n%s221 2.0.0 bye\r\n", second[more]);
		(void)snprintf(sent, sizeof(sent), "NOOP %.*s\r\nQUIT\r\n",
			LMTP_LINE_MAX - 7 + more, x);
		for (size_t first = LMTP_LINE_MAX - 20; first < LMTP_LINE_MAX + 8;
			first++) {
			play(&one, &usual, text(sent), first, 1);
			same(&one.replies, want, "replies");
			same(&one.events, "QUIT\n", "events");
		}
		play(&one, &usual, text(sent), SIZE_MAX, 1);
		same(&one.replies, want, "replies");
	}
	/* Said before the end of the line, which may never come. */
	play(&one, &usual, (struct view){(const uint8_t *)x, LMTP_LINE_MAX - 1}, SIZE_MAX,
		1);
	same(&one.replies, "220 mx.example LMTP\r\n", "replies");
	play(&one, &usual, (struct view){(const uint8_t *)x, LMTP_LINE_MAX}, SIZE_MAX, 1);
	same(&one.replies, "220 mx.example LMTP\r\n500 5.5.2 line too long\r\n",
		"replies");
	/* BDAT within a line that is too long, and one that has no end. */
	memcpy(sent, "BDAT ", 5);
	play(&one, &usual, text(sent), 3, 1000);
	same(&one.events, "CLOSE\n", "events");
	static uint8_t flood[LINE_DISCARD_MAX + 2 * LMTP_LINE_MAX];
	memset(flood, 'x', sizeof(flood));
	play(&one, &usual, (struct view){flood, sizeof(flood)}, 5000, 5000);
	same(&one.events, "CLOSE\n", "events");
	same(&one.replies,
		"220 mx.example LMTP\r\n500 5.5.2 line too long\r\n"
		"421 4.7.0 a line without end\r\n",
		"replies");
}

static void
bad_commands_are_counted(void **state)
{
	(void)state;
	static char sent[20 * LMTP_BAD_MAX];
	size_t good = LMTP_BAD_MAX - 1;

	/* A message that came whole begins the count anew. */
	for (int round = 0; round < 2; round++) {
		size_t n = (size_t)snprintf(sent, sizeof(sent), HELLO MAIL RCPT);

		for (size_t i = 0; i < good; i++)
			n += (size_t)snprintf(sent + n, sizeof(sent) - n, "?\r\n");
		(void)snprintf(sent + n, sizeof(sent) - n, "%s?\r\nQUIT\r\n",
			round ? "DATA\r\n.\r\n" : "NOOP\r\n");
		play(&one, &usual, text(sent), SIZE_MAX, 1);
		same(&one.events,
			round ? "MAIL s@x\nRCPT a@x\nEND $\nQUIT\n"
			      : "MAIL s@x\nRCPT a@x\nCLOSE\n",
			"events");
	}
	/* Pipelined behind a MAIL, or behind recipients, that were refused: nobody's
	 * fault. */
	static const char *const ways[] = {
		HELLO MAIL, HELLO "MAIL FROM:<> SIZE=9999\r\n"};
	for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
		size_t n = (size_t)snprintf(sent, sizeof(sent), "%s", ways[w]);

		for (size_t i = 0; i < LMTP_BAD_MAX + 1; i++)
			n += (size_t)snprintf(sent + n, sizeof(sent) - n, "DATA\r\n");
		play(&one, &usual, text(sent), SIZE_MAX, 1);
		assert_false(one.over);
	}
}

/* Large pieces that lie in the input; dense dots in pieces that are not crumbs. */
static void
pieces_are_large(void **state)
{
	(void)state;
	static uint8_t data[300000];
	static struct lmtp_server s;
	static uint8_t out_p[LMTP_REPLY_MAX];
	static const size_t lost[] = {0, sizeof(data) / 4, 1};
	static const size_t most[] = {1, sizeof(data) / 12000 + 1, 3};
	struct lmtp_limits limits = {0, 1, "mx", false};

	for (int dots = 0; dots < 3; dots++) {
		struct buf out = buf_over(out_p, sizeof(out_p));
		struct view in = VIEW(HELLO MAIL RCPT "DATA\r\n");
		struct lmtp_event e;
		size_t pieces = 0, total = 0;

		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = dots == 1 ? (uint8_t) "..\r\n"[i % 4]
					    : (uint8_t) "line\r\n"[i % 6];
		if (dots == 2)
			data[180000] = '.'; /* of "line" */
		lmtp_server_init(&s, &limits);
		while (lmtp_server_next(&s, &in, &out, &e),
			e.kind != LMTP_EVENT_NEED_INPUT) {
			out.n = 0;
			if (e.kind == LMTP_EVENT_RCPT)
				assert_true(lmtp_server_recipient(
					&s, LMTP_RECIPIENT_ACCEPTED, &out));
		}
		out.n = 0;
		in = (struct view){data, sizeof(data)};
		while (lmtp_server_next(&s, &in, &out, &e), e.kind == LMTP_EVENT_DATA) {
			pieces++;
			total += e.octets.n;
			if (pieces == 1 && dots != 1)
				assert_ptr_equal(e.octets.p, data);
		}
		assert_int_equal(e.kind, LMTP_EVENT_NEED_INPUT);
		assert_true(lmtp_server_in_message(&s));
		assert_int_equal(total, sizeof(data) - lost[dots]);
		assert_in_range(pieces, 1, most[dots]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_beyond_the_limit),
		cmocka_unit_test(the_count_begins_anew),
		cmocka_unit_test(a_message_at_the_limit),
		cmocka_unit_test(recipients_have_a_limit),
		cmocka_unit_test(refused_recipients_have_a_limit),
		cmocka_unit_test(lines_have_a_limit),
		cmocka_unit_test(bad_commands_are_counted),
		cmocka_unit_test(pieces_are_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
