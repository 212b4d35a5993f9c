/*
 * cases_pipe.c: many commands in one packet, one command in many packets.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <string.h>

static bool split_octets(struct trial *t);
static bool split_login(struct trial *t);
static bool split_everywhere(struct trial *t);
static bool split_between(struct trial *t);
static bool quit_behind(struct trial *t);
static bool half_close(struct trial *t);
static bool half_close_quit(struct trial *t);
static bool half_command(struct trial *t);

#define PIPE NEED_PIPELINING

const struct torture_case cases_pipe[] = {
	ROW("pipe-2", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE, "2 commands in one packet",
		STEPS(EACH("NOOP\r\n", "+", 2))),
	ROW("pipe-10", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE,
		"10 commands in one packet", STEPS(EACH("NOOP\r\n", "+", 10))),
	ROW("pipe-100", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE, "100 commands at once",
		STEPS(EACH("NOOP\r\n", "+", 100))),
	ROW("pipe-1000", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE, "1000 commands at once",
		STEPS(EACH("NOOP\r\n", "+", 1000))),
	ROW("pipe-5000-stat", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE,
		"5000 STAT at once", STEPS(EACH("STAT\r\n", "+", 5000))),
	ROW("pipe-lists", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE,
		"30 LIST at once, each whole", STEPS(EACH("LIST\r\n", ".", 30))),
	ROW("pipe-order", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE | NEED_MAIL,
		"answers come in the order of the commands",
		SAY("NOOP\r\nLIST\r\nXYZZY\r\nRETR 1\r\nRETR $M\r\nSTAT\r\nLIST "
		    "1\r\nLIST $M\r\n",
			"+.-.-++-")),
	ROW("pipe-retr", "RFC 2449 s.6.6", MUST, AT_SHARED, PIPE | NEED_MAIL,
		"10 RETR at once, each whole", STEPS(EACH("RETR 1\r\n", ".", 10))),
	ROW("pipe-login", "RFC 2449 s.6.6", MUST, AT_GREETING,
		PIPE | NEED_USER | NEED_LOGIN,
		"USER, PASS, STAT, LIST, QUIT in one packet",
		SAY("USER $U\r\nPASS $P\r\nSTAT\r\nLIST\r\nQUIT\r\n", "+++.+x")),
	ROW("pipe-login-wrong", "RFC 2449 s.6.6", MUST, AT_GREETING,
		PIPE | NEED_USER | NEED_LOGIN,
		"after a wrong password in a packet the rest is in AUTHORIZATION",
		SAY("USER $U\r\nPASS not-$P\r\nSTAT\r\nNOOP\r\nQUIT\r\n", "?---+x")),
	ROW("pipe-login-alone", "robustness", ROBUST, AT_GREETING, NEED_USER | NEED_LOGIN,
		"USER and PASS in one packet are answered in order",
		SAY("USER $U\r\nPASS $P\r\n", "++")),
	ROW("pipe-quit", "RFC 2449 s.6.6", MUST, AT_LOGIN, PIPE,
		"all answers come before the end that QUIT makes", .run = quit_behind),
	ROW("pipe-quit-retr", "RFC 2449 s.6.6", MUST, AT_LOGIN, PIPE | NEED_MAIL,
		"a message asked for right before QUIT comes whole",
		SAY("RETR 1\r\nRETR 1\r\nRETR 1\r\nQUIT\r\n", "...+x")),
	ROW("pipe-capa", "RFC 2449 s.6.6", MUST, AT_GREETING, NEED_CAPA,
		"CAPA and QUIT in one packet", SAY("CAPA\r\nQUIT\r\n", ".+x")),
	ROW("split-octets", "RFC 1939 s.3", MUST, AT_LOGIN, 0,
		"STAT in packets of one octet", .run = split_octets),
	ROW("split-login", "RFC 1939 s.3", MUST, AT_GREETING, NEED_USER | NEED_LOGIN,
		"USER and PASS in packets of one octet", .run = split_login),
	ROW("split-everywhere", "RFC 1939 s.3", MUST, AT_LOGIN, 0,
		"NOOP, XYZZY in two packets, at each octet", .run = split_everywhere),
	ROW("split-between", "RFC 1939 s.3", MUST, AT_LOGIN, 0,
		"packets that end within the next command", .run = split_between),
	ROW("half-close", "RFC 9293 s.3.6", ROBUST, AT_LOGIN, 0,
		"the client's FIN without QUIT: the end, the maildrop is let go",
		.run = half_close),
	ROW("half-close-quit", "RFC 9293 s.3.6", SHOULD, AT_LOGIN, 0,
		"STAT, QUIT and FIN in one go are answered", .run = half_close_quit),
	ROW("half-command", "RFC 1939 s.3", ROBUST, AT_LOGIN, 0,
		"half a command and FIN: it is not obeyed, the end", .run = half_command),
	NO_MORE_ROWS,
};

static bool
split_octets(struct trial *t)
{
	t->link.piece = 1;
	bool good = trial_expect(t, &t->link, "STAT\r\n", "+") &&
		trial_expect(t, &t->link, "XYZZY\r\n", "-");
	t->link.piece = 0;
	return good && trial_quit(t, &t->link);
}

static bool
split_login(struct trial *t)
{
	t->link.piece = 1;
	bool good = trial_expect(t, &t->link, "USER $U\r\n", "+") &&
		trial_expect(t, &t->link, "PASS $P\r\n", "+");
	t->link.piece = 0;
	return good && trial_quit(t, &t->link);
}

static bool
split_everywhere(struct trial *t)
{
	static const char text[] = "NOOP\r\nXYZZY\r\n";

	for (size_t i = 1; i < sizeof(text) - 1; i++) {
		t->link.piece = i;
		if (!trial_expect(t, &t->link, text, "+-"))
			return false;
	}
	t->link.piece = 0;
	return trial_quit(t, &t->link);
}

static bool
split_between(struct trial *t)
{
	t->link.piece = 7;
	bool good = trial_expect(t, &t->link,
		"NOOP\r\nSTAT\r\nXYZZY\r\nNOOP\r\nLIST\r\nNOOP\r\nXYZZY\r\nSTAT\r\n",
		"++-+.+-+");
	t->link.piece = 0;
	return good && trial_quit(t, &t->link);
}

static bool
quit_behind(struct trial *t)
{
	for (int i = 0; i < 500; i++)
		if (!trial_say(t, &t->link, "STAT\r\n", 6))
			return false;
	if (!trial_say(t, &t->link, "QUIT\r\n", 6))
		return false;
	for (int i = 0; i < 501; i++)
		if (!trial_expect(t, &t->link, "", "+"))
			return false;
	return trial_end(t, &t->link, false);
}

static bool
half_close(struct trial *t)
{
	if (!trial_expect(t, &t->link, "NOOP\r\n", "+"))
		return false;
	link_half_close(&t->link);
	if (!trial_end(t, &t->link, true))
		return false;
	link_close(&t->link);
	return trial_open(t, &t->link, AT_LOGIN) && trial_quit(t, &t->link);
}

static bool
half_close_quit(struct trial *t)
{
	if (!trial_say(t, &t->link, "STAT\r\nQUIT\r\n", 12))
		return false;
	link_half_close(&t->link);
	return trial_expect(t, &t->link, "", "++x");
}

static bool
half_command(struct trial *t)
{
	if (!trial_say(t, &t->link, "NOOP\r\nDELE 1", 12) ||
		!trial_expect(t, &t->link, "", "+"))
		return false;
	link_half_close(&t->link);
	if (!trial_expect(t, &t->link, "", "e"))
		return false;
	return t->over || trial_end(t, &t->link, true);
}
