#include "unit.h"

#include "base/check.h"
#include "wire_client_play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELLO                                                                            \
	{                                                                                \
		"", "", "+OK\r\n", "G+ - ||\n"                                           \
	}
#define PLAY(...)                                                                        \
	do {                                                                             \
		static const struct step steps[] = {HELLO, __VA_ARGS__};                 \
		play_everywhere(steps, ARRAY_SIZE(steps));                               \
	} while (0)
#define GREET(server, events)                                                            \
	do {                                                                             \
		static const struct step steps[] = {{"", "", server, events}};           \
		play_everywhere(steps, 1);                                               \
	} while (0)

static void
greetings(void **state)
{
	(void)state;
	GREET("+OK ready <1.2@here.example>\r\n",
		"G+ - |ready <1.2@here.example>| stamp=<1.2@here.example>\n");
	GREET("+ok\r\n", "G+ - ||\n");
	GREET("+OK\n", "G+ - ||\n");
	GREET("+OK.\r\n", "G+ - |.|\n");
	GREET("-ERR [sys/temp] later\r\n", "G- - [TEMP] |later|\n");
	GREET("-err [SYS/PERM/X] <1.2@here.example>\r\n",
		"G- - [PERM] |<1.2@here.example>|\n");
	GREET("+OK <here> <a@> <@b> <a b@c> <a@b@c> <a<b@c>\r\n",
		"G+ - |<here> <a@> <@b> <a b@c> <a@b@c> <a<b@c>| stamp=<b@c>\n");
	GREET("+OK <here> <a@> <@b>\r\n", "G+ - |<here> <a@> <@b>|\n");
	GREET("+OK <caf\xe9@x> <a@b\r\n", "G+ - |<caf\\e9@x> <a@b|\n");
}

static void
what_is_no_greeting(void **state)
{
	(void)state;
	GREET("\r\n", "B neither +OK nor -ERR where an answer begins ||\n");
	GREET("* OK IMAP4rev1 ready\r\n",
		"B neither +OK nor -ERR where an answer begins |* OK IMAP4rev1 ready|\n");
	GREET("+OKAY\r\n", "B neither +OK nor -ERR where an answer begins |+OKAY|\n");
	GREET("+\r\n", "B neither +OK nor -ERR where an answer begins |+|\n");
	GREET(" +OK\r\n", "B neither +OK nor -ERR where an answer begins | +OK|\n");
}

static void
response_codes(void **state)
{
	(void)state;
	PLAY({"PASS x", "PASS x\r\n", "-ERR [AUTH] no\r\n", "S- PASS [AUTH] |no|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [in-use/other]\r\n", "S- NOOP [IN-USE] ||\n"},
		{"NOOP", "NOOP\r\n", "-ERR [Login-Delay] wait \t\r\n",
			"S- NOOP [LOGIN-DELAY] |wait|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [SYS] x\r\n", "S- NOOP [TEMP] |x|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [SYS/NEW] x\r\n", "S- NOOP [TEMP] |x|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [SYS/PERMIT] x\r\n", "S- NOOP [TEMP] |x|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [AUTHOR] x\r\n",
			"S- NOOP [OTHER] |[AUTHOR] x|\n"},
		{"NOOP", "NOOP\r\n", "+OK [two words] x\r\n",
			"S+ NOOP |[two words] x|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [] x\r\n", "S- NOOP |[] x|\n"},
		{"NOOP", "NOOP\r\n", "-ERR [AUTH\r\n", "S- NOOP |[AUTH|\n"},
		{"NOOP", "NOOP\r\n", "-ERR[AUTH]x\r\n", "S- NOOP [AUTH] |x|\n"});
}

static void
single_lines_are_read(void **state)
{
	(void)state;
	PLAY({"STAT", "STAT\r\n", "+OK 2 320\r\n", "S+ STAT 2 |2 320| =320\n"},
		{"STAT", "STAT\r\n", "+OK  2\t  320   octets\r\n",
			"S+ STAT 2 |2\\09  320   octets| =320\n"},
		{"STAT", "STAT\r\n", "+OK two\r\n", "S+ STAT |two| bad\n"},
		{"STAT", "STAT\r\n", "+OK 2 x\r\n", "S+ STAT |2 x| bad\n"},
		{"LIST 2", "LIST 2\r\n", "+OK 2 200 octets\r\n",
			"S+ LIST 2 |2 200 octets| =200\n"},
		{"LIST 2", "LIST 2\r\n", "+OK 200\r\n", "S+ LIST 2 |200| =200\n"},
		{"LIST 2", "LIST 2\r\n", "+OK 3 200\r\n", "S+ LIST 2 |3 200| bad\n"},
		{"LIST 2", "LIST 2\r\n", "-ERR none\r\n", "S- LIST 2 |none|\n"},
		{"UIDL 7", "UIDL 7\r\n", "+OK 7  a\x80z more\r\n",
			"S+ UIDL 7 |7  a\\80z more| uid=a\\80z\n"},
		{"UIDL 7", "UIDL 7\r\n", "+OK lone\r\n", "S+ UIDL 7 |lone| uid=lone\n"},
		{"UIDL 7", "UIDL 7\r\n", "+OK 6 six\r\n", "S+ UIDL 7 |6 six| bad\n"},
		{"UIDL 7", "UIDL 7\r\n", "+OK\r\n", "S+ UIDL 7 || bad\n"},
		{"LAST", "LAST\r\n", "+OK 1\r\n", "S+ LAST |1|\n"});
}

static void
rows_are_read(void **state)
{
	(void)state;
	PLAY({"LIST", "LIST\r\n",
		     "+OK\r\n1 120\r\n  2   200 x y\n0 5\r\n4294967296 1\r\n3\r\n\r\n"
		     "4 18446744073709551616\r\n..5 6\r\n.\r\n",
		     "S+ LIST || ...\nR+ LIST 1 |1 120| =120\n"
		     "R+ LIST 2 |  2   200 x y| =200\nR+ LIST |0 5| bad\n"
		     "R+ LIST |4294967296 1| bad\nR+ LIST |3| bad\nR+ LIST || bad\n"
		     "R+ LIST |4 18446744073709551616| bad\nR+ LIST |.5 6| bad\n"
		     "E+ LIST\n"},
		{"UIDL", "UIDL\r\n", "+OK x\n1 a\n2  b  c\n3 \n.\n",
			"S+ UIDL |x| ...\nR+ UIDL 1 |1 a| uid=a\n"
			"R+ UIDL 2 |2  b  c| uid=b\nR+ UIDL |3 | bad\nE+ UIDL\n"},
		{"CAPA", "CAPA\r\n", "+OK\r\nTOP\r\nsasl PLAIN\r\n.\r\n",
			"S+ CAPA || ...\nR+ CAPA |TOP|\nR+ CAPA |sasl PLAIN|\nE+ CAPA\n"},
		{"CAPA", "CAPA\r\n", "-ERR what\r\n", "S- CAPA |what|\n"},
		{"AUTH", "AUTH\r\n", "+OK\r\nPLAIN\r\n.\r\n",
			"S+ AUTH || ...\nR+ AUTH |PLAIN|\nE+ AUTH\n"});
}

static void
messages_strictly(void **state)
{
	(void)state;
	PLAY({"RETR 1", "RETR 1\r\n",
		     "+OK 9 octets\r\n..a\r\n.b\r\n\r\n.c.\r\n.\rd\r\r\n...\r\n.\r\n",
		     "S+ RETR 1 |9 octets| ...\nD .a\\r\\nb\\r\\n\\r\\nc.\\r\\n"
		     "\\rd\\r\\r\\n..\\r\\n\nE+ RETR 1 octets=22 dots=5\n"},
		{"RETR 2", "RETR 2\r\n", "+OK\r\n.\r\n", "S+ RETR 2 || ...\nE+ RETR 2\n"},
		{"RETR 2", "RETR 2\r\n", "+OK\r\na\n.\nb\n.\r\nc\r\n.\nd\r\n.\r\n",
			"S+ RETR 2 || ...\nD a\\n.\\nb\\n.\\r\\nc\\r\\n\\nd\\r\\n\n"
			"E+ RETR 2 octets=16 dots=1 lf=4\n"},
		{"TOP 3 0", "TOP 3 0\r\n", "+OK\r\n\x80\xff\r\n\r\n.\r\n",
			"S+ TOP 3 || ...\nD \\80\\ff\\r\\n\\r\\n\nE+ TOP 3 octets=6\n"},
		{"RETR 4", "RETR 4\r\n", "-ERR [SYS/PERM] gone\r\n",
			"S- RETR 4 [PERM] |gone|\n"});
}

static void
messages_unstuffed(void **state)
{
	(void)state;
	PLAY({"RAW 1", "RETR 1\r\n", "+OK\r\n..a\r\n.b\r\n.\rc\r\n..\r\n.\r\n",
		     "S+ RETR 1 || ...\nD ..a\\r\\n.b\\r\\n.\\rc\\r\\n..\\r\\n\n"
		     "E+ RETR 1 octets=18 dots=4\n"},
		{"LENIENT\nRAW 1", "RETR 1\r\n", "+OK\r\n..a\n.b\n.\n",
			"S+ RETR 1 || ...\nD ..a\\n.b\\n\nE+ RETR 1 octets=7 dots=2 "
			"lf=2\n"});
}

static void
bare_line_feeds(void **state)
{
	(void)state;
	/* The status line's end is the evidence, for what comes right behind it. */
	PLAY({"RETR 1", "RETR 1\r\n", "+OK\na\n..b\r\n..c\n.\n",
		     "S+ RETR 1 || ...\nD a\\n.b\\r\\n.c\\n\n"
		     "E+ RETR 1 octets=9 dots=2 lf=2\n"},
		{"RETR 1", "RETR 1\r\n", "+OK\na\n.\r\n",
			"S+ RETR 1 || ...\nD a\\n\nE+ RETR 1 octets=2 lf=1\n"},
		{"RETR 1", "RETR 1\r\n", "+OK\r\na\n.\nb\r\n.\r\n",
			"S+ RETR 1 || ...\nD a\\n.\\nb\\r\\n\n"
			"E+ RETR 1 octets=7 lf=2\n"},
		{"LENIENT\nRETR 1", "RETR 1\r\n", "+OK\r\na\n.\n",
			"S+ RETR 1 || ...\nD a\\n\nE+ RETR 1 octets=2 lf=1\n"});
}

static void
nul_octets_travel(void **state)
{
	(void)state;
	static const char text[] = "+OK\0\r\n"
				   "a\0b\r\n.\r\n";
	static struct trace t;
	uint8_t storage[64];

	for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
		struct pop3_client c;
		struct buf out = buf_over(storage, sizeof(storage));
		pop3_client_init(&c);
		t = (struct trace){0};
		client_feed(&c, VIEW("+OK\r\n"), 0, 0, &t);
		client_say(&c, "RETR 1", &out);
		client_feed(&c, (struct view){(const uint8_t *)text, sizeof(text) - 1},
			cut, 0, &t);
		assert_string_equal(t.text,
			"G+ - ||\nS+ RETR 1 |\\00| ...\nD a\\00b\\r\\n\n"
			"E+ RETR 1 octets=5\n");
	}
}

static void
empty_status_lines(void **state)
{
	(void)state;
	PLAY({"DELE 1\nDELE 2", "DELE 1\r\nDELE 2\r\n", "\r\n+OK\r\n",
		     "S+ DELE 1 ||\nS+ DELE 2 ||\n"},
		{"NOOP", "NOOP\r\n", "\r\n",
			"B neither +OK nor -ERR where an answer begins ||\n"});
}

static void
pipelines(void **state)
{
	(void)state;
	PLAY({"STAT\nUIDL 2\nLIST\nRETR 1\nDELE 1\nQUIT",
		"STAT\r\nUIDL 2\r\nLIST\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n",
		"+OK 1 5\r\n-ERR no\r\n+OK\r\n1 5\r\n.\r\n+OK\r\nab\r\n.\r\n+OK\r\n+OK "
		"bye\r\n",
		"S+ STAT 1 |1 5| =5\nS- UIDL 2 |no|\nS+ LIST || ...\nR+ LIST 1 |1 5| =5\n"
		"E+ LIST\nS+ RETR 1 || ...\nD ab\\r\\n\nE+ RETR 1 octets=4\n"
		"S+ DELE 1 ||\nS+ QUIT |bye|\n"});
}

static void
nobody_asked(void **state)
{
	(void)state;
	PLAY({"NOOP", "NOOP\r\n", "+OK\r\n-ERR [SYS/TEMP] idle too long\r\n",
		"S+ NOOP ||\nB the server said something that was not asked "
		"|idle too long|\n"});
}

static void
sasl(void **state)
{
	(void)state;
	PLAY({"AUTH PLAIN =", "AUTH PLAIN =\r\n", "-ERR [AUTH] no\r\n",
		     "S- AUTH [AUTH] |no|\n"},
		{"AUTH PLAIN", "AUTH PLAIN\r\n", "+ \r\n", "C ||\n"},
		{"> abc", "YWJj\r\n", "+\r\n", "C ||\n"},
		{"> ", "\r\n", "+ YWJj \r\n", "C |abc|\n"},
		{"> x", "eA==\r\n", "+ what?\r\n", "C || bad64\n"},
		{"*", "*\r\n", "-ERR cancelled\r\n", "S- AUTH |cancelled|\n"},
		{"AUTH SCRAM-SHA-1 =n", "AUTH SCRAM-SHA-1 bg==\r\n", "+ cg==\r\n",
			"C |r|\n"},
		{"> p\nSTAT", "cA==\r\nSTAT\r\n", "+OK\r\n+OK 0 0\r\n",
			"S+ AUTH ||\nS+ STAT |0 0|\n"},
		/* A server that does not wait for the response. */
		{"AUTH CRAM-MD5", "AUTH CRAM-MD5\r\n", "+ YQ==\r\n-ERR too late\r\n",
			"C |a|\nS- AUTH |too late|\n"},
		{"NOOP", "NOOP\r\n", "+OK\r\n", "S+ NOOP ||\n"},
		/* Challenges belong to AUTH alone. */
		{"NOOP", "NOOP\r\n", "+ YWJj\r\n",
			"B neither +OK nor -ERR where an answer begins |+ YWJj|\n"});
}

static void
sasl_ahead(void **state)
{
	(void)state;
	PLAY({"AUTH PLAIN\n> a\nSTAT", "AUTH PLAIN\r\nYQ==\r\nSTAT\r\n",
		     "+ \r\n+OK\r\n+OK 1 2\r\n",
		     "C ||\nS+ AUTH ||\nS+ STAT 1 |1 2| =2\n"},
		/* Refused at once, the response was read as a command. */
		{"AUTH FOO\n> a\n> b\nSTAT", "AUTH FOO\r\nYQ==\r\nYg==\r\nSTAT\r\n",
			"-ERR no\r\n-ERR what\r\n-ERR what\r\n+OK 1 2\r\n",
			"S- AUTH |no|\nS+ STAT 1 |1 2| =2\n"},
		/* A challenge that nobody reckoned with eats the command behind AUTH. */
		{"AUTH FOO =a\nSTAT\nNOOP", "AUTH FOO YQ==\r\nSTAT\r\nNOOP\r\n",
			"+ YQ==\r\n-ERR no\r\n+OK noop\r\n",
			"C |a| ...\nS- AUTH |no|\nS+ NOOP |noop|\n"});
}

static void
stls(void **state)
{
	(void)state;
	PLAY({"STLS", "STLS\r\n", "+OK go\r\n", "S+ STLS |go|\n"},
		{"TLS\nCAPA", "CAPA\r\n", "+OK\r\n.\r\n", "S+ CAPA || ...\nE+ CAPA\n"});
	PLAY({"STLS", "STLS\r\n", "-ERR no\r\n", "S- STLS |no|\n"},
		{"NOOP", "NOOP\r\n", "+OK\r\n", "S+ NOOP ||\n"});
	PLAY({"STLS", "STLS\r\n", "+OK go\r\n+OK injected\r\n",
		"S+ STLS |go|\nB octets behind the +OK of STLS, before TLS ||\n"});
	PLAY({"STLS", "STLS\r\n", "+OK go\r\nx",
		"S+ STLS |go|\nB octets behind the +OK of STLS, before TLS ||\n"});
}

/* One command of a random flight: what the server answers, and the events of it. */
static void
model_one(struct pop3_client *c, struct buf *out, struct buf *octets, struct trace *want)
{
	uint32_t msgno = 1 + (uint32_t)rand() % 99;
	char text[256];
	const char *events = "";
	int pick = rand() % 5, n = 0;

	if (pick == 0) {
		assert_true(pop3_client_send(c, POP3_DELE, msgno, 0, out));
		n = snprintf(text, sizeof(text), "S- DELE %u |no|\n", msgno);
		events = "-ERR no\r\n";
	} else if (pick == 1) {
		assert_true(pop3_client_send(c, POP3_LIST, 0, 0, out));
		n = snprintf(text, sizeof(text),
			"S+ LIST || ...\nR+ LIST 1 |1 9| =9\nE+ LIST\n");
		events = "+OK\r\n1 9\r\n.\r\n";
	} else if (pick == 2) {
		assert_true(pop3_client_send(c, POP3_TOP, msgno, 0, out));
		n = snprintf(text, sizeof(text),
			"S+ TOP %u || ...\nD .\\n.x\\r\\n\nE+ TOP %u octets=6 dots=1 "
			"lf=1\n",
			msgno, msgno);
		events = "+OK\r\n..\n.x\r\n.\r\n";
	} else if (pick == 3) {
		assert_true(pop3_client_retrieve(c, msgno, POP3_RAW, out));
		n = snprintf(text, sizeof(text),
			"S+ RETR %u || ...\nD .x\\r\\n\nE+ RETR %u octets=4 dots=1\n",
			msgno, msgno);
		events = "+OK\r\n.x\r\n.\r\n";
	} else {
		assert_true(pop3_client_send(c, POP3_UIDL, msgno, 0, out));
		n = snprintf(text, sizeof(text), "S+ UIDL %u |u%u| uid=u%u\n", msgno,
			msgno, msgno);
		n = n < 0 ? 0 : n;
		octets->n += (size_t)snprintf(
			(char *)octets->p + octets->n, 64, "+OK u%u\r\n", msgno);
	}
	memcpy(octets->p + octets->n, events, strlen(events));
	octets->n += strlen(events);
	memcpy(want->text + want->n, text, (size_t)n + 1);
	want->n += (size_t)n;
}

static void
random_pipelines(void **state)
{
	(void)state;
	static struct trace want, got;
	static uint8_t server[1 << 17], lines[1 << 15];
	struct pop3_client c;

	srand(1939);
	for (int round = 0; round < 300; round++) {
		struct buf out = buf_over(lines, sizeof(lines));
		struct buf octets = buf_over(server, sizeof(server));
		uint32_t n = 1 + (uint32_t)rand() % (POP3_FLIGHT_MAX - 1);
		pop3_client_init(&c);
		/* The ring of commands begins anywhere. */
		c.first = (uint16_t)(rand() % POP3_FLIGHT_MAX);
		c.flight[c.first] = (struct pop3_expected){.command = POP3_COMMANDS};
		want = got = (struct trace){0};
		client_feed(&c, VIEW("+OK\r\n"), 0, 0, &got);
		got = (struct trace){0};
		for (uint32_t i = 0; i < n; i++)
			model_one(&c, &out, &octets, &want);
		client_feed(&c, buf_view(&octets), 0, 1 + (size_t)rand() % 2000, &got);
		assert_string_equal(got.text, want.text);
		assert_int_equal(pop3_client_waits(&c), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(greetings),
		cmocka_unit_test(what_is_no_greeting),
		cmocka_unit_test(response_codes),
		cmocka_unit_test(single_lines_are_read),
		cmocka_unit_test(rows_are_read),
		cmocka_unit_test(messages_strictly),
		cmocka_unit_test(messages_unstuffed),
		cmocka_unit_test(bare_line_feeds),
		cmocka_unit_test(nul_octets_travel),
		cmocka_unit_test(empty_status_lines),
		cmocka_unit_test(pipelines),
		cmocka_unit_test(nobody_asked),
		cmocka_unit_test(sasl),
		cmocka_unit_test(sasl_ahead),
		cmocka_unit_test(stls),
		cmocka_unit_test(random_pipelines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
