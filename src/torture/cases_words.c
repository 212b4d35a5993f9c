/*
 * cases_words.c: command lines before login: what is a command, how long it may be, what
 * ends it.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <stdlib.h>
#include <string.h>

#define G AT_GREETING

static bool greeting_form(struct trial *t);
static bool lf_alone(struct trial *t);
static bool endless_line(struct trial *t);
static bool http_request(struct trial *t);
static bool tls_hello(struct trial *t);
static bool bad_commands(struct trial *t);

const struct torture_case cases_words[] = {
	ROW("greeting", "RFC 1939 s.4", MUST, AT_NOTHING, 0,
		"one line, +OK, of 512 octets at most", .run = greeting_form),
	ROW("quit", "RFC 1939 s.4", MUST, G, 0, "QUIT: +OK, and the connection ends",
		SAY("QUIT\r\n", "+x")),
	ROW("quit-lower-case", "RFC 1939 s.3", MUST, G, 0, "quit is QUIT",
		SAY("quit\r\n", "+x")),
	ROW("quit-mixed-case", "RFC 1939 s.3", MUST, G, 0, "qUiT is QUIT",
		SAY("qUiT\r\n", "+x")),
	ROW("quit-then-more", "RFC 1939 s.4", MUST, G, 0,
		"what comes behind QUIT is not answered",
		SAY("QUIT\r\nCAPA\r\nUSER x\r\n", "+x")),
	ROW("unknown", "RFC 1939 s.3", MUST, G, 0, "XYZZY: -ERR", SAY("XYZZY\r\n", "-")),
	ROW("unknown-short", "RFC 1939 s.3", MUST, G, 0, "Q: -ERR", SAY("Q\r\n", "-")),
	ROW("unknown-prefix", "RFC 1939 s.3", MUST, G, 0, "QUI is not QUIT: -ERR",
		SAY("QUI\r\n", "-")),
	ROW("unknown-longer", "RFC 1939 s.3", MUST, G, 0, "QUITX is not QUIT: -ERR",
		SAY("QUITX\r\n", "-")),
	ROW("unknown-arguments", "RFC 1939 s.3", MUST, G, 0, "XYZZY a b c: -ERR",
		SAY("XYZZY a b c\r\n", "-")),
	ROW("unknown-smtp", "RFC 1939 s.3", MUST, G, 0, "EHLO x: -ERR",
		SAY("EHLO x\r\n", "-")),
	ROW("unknown-xtnd", "RFC 1939 s.3", MUST, G, 0, "XTND XMIT: -ERR",
		SAY("XTND XMIT\r\n", "-")),
	ROW("unknown-many", "RFC 1939 s.3", ROBUST, G, 0,
		"5 unknown commands in one packet: an -ERR each",
		STEPS(EACH("XYZZY\r\n", "-", 5))),
	ROW("unknown-flood", "robustness", ROBUST, G, 0,
		"2000 unknown commands: -ERR each, or the server has enough of it",
		.run = bad_commands),
	ROW("empty-line", "RFC 1939 s.3", MUST, G, 0, "an empty line: -ERR",
		SAY("\r\n", "-")),
	ROW("blank-line", "RFC 1939 s.3", MUST, G, 0, "a line of blanks: -ERR",
		SAY("    \r\n", "-")),
	ROW("blank-before", "RFC 1939 s.3", ROBUST, G, 0,
		"a blank before the command: one answer", SAY(" XYZZY\r\n", "-")),
	ROW("tab-for-blank", "RFC 1939 s.3", ROBUST, G, 0,
		"a tab for the blank: one answer", SAY("USER\tx\r\n", "?")),
	ROW("trailing-blank", "RFC 1939 s.3", ROBUST, G, 0,
		"a blank behind an unknown command: -ERR", SAY("XYZZY \r\n", "-")),
	ROW("missing-user", "RFC 1939 s.7", MUST, G, 0, "USER without a name: -ERR",
		SAY("USER\r\n", "-")),
	ROW("missing-pass", "RFC 1939 s.7", MUST, G, 0, "PASS without USER: -ERR",
		SAY("PASS\r\n", "-")),
	ROW("missing-apop", "RFC 1939 s.7", MUST, G, 0, "APOP without arguments: -ERR",
		SAY("APOP\r\n", "-")),
	ROW("missing-apop-digest", "RFC 1939 s.7", MUST, G, 0,
		"APOP without digest: -ERR", SAY("APOP mrose\r\n", "-")),
	ROW("cr-alone", "RFC 1939 s.3", SHOULD, G, 0, "a CR alone does not end a command",
		SAY("XYZZY\rXYZZY\r\n", "-")),
	ROW("lf-alone", "RFC 1939 s.3", ROBUST, G, 0,
		"an LF alone ends a command or does not: as many answers",
		.run = lf_alone),
	ROW("cr-cr-lf", "RFC 1939 s.3", ROBUST, G, 0, "CR CR LF: one answer",
		SAY("XYZZY\r\r\n", "-")),
	ROW("nul", "robustness", ROBUST, G, 0, "a NUL does not end a command",
		SAY("QUIT\0\r\n", "-")),
	ROW("nul-between", "robustness", ROBUST, G, 0,
		"a NUL between commands: one answer", SAY("XYZZY\0XYZZY\r\n", "-")),
	ROW("nul-first", "robustness", ROBUST, G, 0, "a NUL before a command: -ERR",
		SAY("\0QUIT\r\n", "-")),
	ROW("nul-line", "robustness", ROBUST, G, 0, "a line of NULs: -ERR",
		SAY("\0\0\0\0\0\0\0\0\r\n", "-")),
	ROW("eight-bit", "RFC 1939 s.3", MUST, G, 0, "octets above 127: -ERR",
		SAY("\xff\xfe\xfd\x80\r\n", "-")),
	ROW("eight-bit-blank", "RFC 1939 s.3", ROBUST, G, 0, "a no-break space is none",
		SAY("QUIT\xa0\r\n", "-")),
	ROW("telnet", "robustness", ROBUST, G, 0, "IAC of Telnet: one answer",
		SAY("\xff\xfb\x01XYZZY\r\n", "-")),
	ROW("control", "robustness", ROBUST, G, 0,
		"control characters come back in no answer",
		SAY("\x1b[31mXYZZY\x07\x7f\x08 \x1b]0;x\x07\r\n", "-")),
	ROW("format", "robustness", ROBUST, G, 0, "%s%n: -ERR",
		SAY("%s%s%n%n%999999d\r\n", "-")),
	ROW("user-format", "robustness", ROBUST, G, 0, "USER %s%n: one answer",
		SAY("USER %s%s%n%n%999999d\r\n", "?")),
	ROW("user-path", "robustness", ROBUST, G, 0, "USER ../../etc/passwd: one answer",
		SAY("USER ../../../../etc/passwd\r\n", "?")),
	ROW("user-quotes", "robustness", ROBUST, G, 0, "USER ' OR ''=': one answer",
		SAY("USER ' OR ''=' -- \"; (|(uid=*)) `id`\r\n", "?")),
	ROW("user-nul", "robustness", ROBUST, G, 0, "a NUL in a name: one answer",
		SAY("USER a\0b\r\n", "?")),
	ROW("user-control", "robustness", ROBUST, G, 0,
		"control characters of a name come back in no answer",
		SAY("USER \x1b[31mx\x07\x7f\r\n", "?")),
	ROW("line-255", "RFC 2449 s.4", MUST, G, 0, "a command of 255 octets: one answer",
		STEPS(REPEAT("X", "", 253), STEP("\r\n", "-"))),
	ROW("user-248", "RFC 2449 s.4", MUST, G, 0, "a name of 248 octets: one answer",
		STEPS(STEP("USER ", ""), REPEAT("u", "", 248), STEP("\r\n", "?"))),
	ROW("line-256", "RFC 2449 s.4", ROBUST, G, 0,
		"256 octets: one answer, or the end",
		STEPS(REPEAT("X", "", 254), STEP("\r\n", "e"))),
	ROW("line-512", "RFC 2449 s.4", ROBUST, G, 0,
		"512 octets: one answer, or the end",
		STEPS(REPEAT("X", "", 510), STEP("\r\n", "e"))),
	ROW("line-1024", "RFC 2449 s.4", ROBUST, G, 0,
		"1024 octets: one answer, or the end",
		STEPS(REPEAT("X", "", 1022), STEP("\r\n", "e"))),
	ROW("line-1025", "RFC 2449 s.4", ROBUST, G, 0,
		"1025 octets: one answer, or the end",
		STEPS(REPEAT("X", "", 1023), STEP("\r\n", "e"))),
	ROW("line-4096", "RFC 2449 s.4", ROBUST, G, 0,
		"4096 octets: one answer, or the end",
		STEPS(REPEAT("X", "", 4094), STEP("\r\n", "e"))),
	ROW("line-65536", "RFC 2449 s.4", ROBUST, G, 0,
		"65536 octets: one answer, or the end",
		STEPS(REPEAT("X", "", 65534), STEP("\r\n", "e"))),
	ROW("line-words", "robustness", ROBUST, G, 0,
		"the end of a long line is not a command of its own",
		STEPS(REPEAT("QUIT ", "", 3000), STEP("\r\n", "e"))),
	ROW("line-user-long", "robustness", ROBUST, G, 0,
		"a name of 100,000 octets: one answer, or the end",
		STEPS(STEP("USER ", ""), REPEAT("u", "", 100000), STEP("\r\n", "a"))),
	ROW("line-endless", "robustness", ROBUST, G, 0,
		"4 MiB without an end of line: others are served meanwhile",
		.run = endless_line),
	ROW("http", "robustness", ROBUST, G, NEED_BARE,
		"a request of HTTP: -ERR, and an end at QUIT or before",
		.run = http_request),
	ROW("tls-hello-in-plain", "robustness", ROBUST, AT_SOCKET, NEED_BARE,
		"a TLS handshake without STLS: -ERR or the end", .run = tls_hello),
	NO_MORE_ROWS,
};

static bool
greeting_form(struct trial *t)
{
	/* Every answer is judged as it is read. */
	return trial_open(t, &t->link, AT_GREETING) && trial_quit(t, &t->link);
}

/* Reads answers up to the end of the connection; how many were -ERR, and whether the
 * last was +OK. */
static bool
read_to_end(struct trial *t, uint32_t *ret_refused, bool *ret_ok)
{
	struct answer a;

	*ret_refused = 0;
	*ret_ok = false;
	for (;;) {
		if (!trial_answer(t, &t->link, true, &a))
			return false;
		if (a.sign == SIGN_END)
			return true;
		*ret_refused += a.sign == SIGN_ERR;
		*ret_ok = a.sign == SIGN_OK;
	}
}

static bool
lf_alone(struct trial *t)
{
	static const char text[] = "XYZZY\nXYZZY\r\nQUIT\r\n";
	uint32_t refused;
	bool ok;

	if (!trial_say(t, &t->link, text, sizeof(text) - 1) ||
		!read_to_end(t, &refused, &ok))
		return false;
	return (ok && (refused == 1 || refused == 2)) ||
		trial_fail(t, "%u times -ERR, and QUIT was %sanswered", refused,
			ok ? "" : "not ");
}

static bool
bad_commands(struct trial *t)
{
	uint32_t refused;
	char text[16];
	bool ok;

	for (int i = 0; i < 2000 && t->link.state == LINK_OPEN; i++) {
		memcpy(text, "XYZZY\r\n", 8);
		if (!trial_say(t, &t->link, text, 7))
			return false;
	}
	if (!trial_say(t, &t->link, "QUIT\r\n", 6) || !read_to_end(t, &refused, &ok))
		return false;
	return (ok ? refused == 2000 : refused <= 2000) ||
		trial_fail(t, "%u answers to 2000 commands", refused);
}

static bool
endless_line(struct trial *t)
{
	uint8_t *octets = malloc(65536);
	bool good = octets != NULL;
	struct link other = {.fd = -1};

	if (good)
		memset(octets, 'X', 65536);
	for (int i = 0; i < 64 && good && t->link.state == LINK_OPEN; i++) {
		enum link_state s = link_send(&t->link, (struct view){octets, 65536});
		good = s != LINK_LATE ||
			trial_fail(t, "it takes no more: %s", link_words(s));
	}
	free(octets);
	good = good && trial_open(t, &other, AT_GREETING) && trial_quit(t, &other);
	link_close(&other);
	return good;
}

static bool
http_request(struct trial *t)
{
	static const char text[] =
		"GET / HTTP/1.1\r\nHost: pop.example\r\nAccept: */*\r\n"
		"\r\nQUIT\r\n";
	uint32_t refused;
	bool ok;

	if (!trial_say(t, &t->link, text, sizeof(text) - 1) ||
		!read_to_end(t, &refused, &ok))
		return false;
	return refused <= 4 || trial_fail(t, "%u answers to 4 lines", refused);
}

/* The first octets of a ClientHello; it holds no line end. */
static bool
tls_hello(struct trial *t)
{
	static const char text[] = "\x16\x03\x01\x00\x30\x01\x00\x00\x2c\x03\x03"
				   "abcdefghijklmnopqrstuvwxyz012345\0\0\x04\x13\x01"
				   "\x13\x02\x01\0\r\nQUIT\r\n";
	uint32_t refused;
	bool ok;

	if (!trial_say(t, &t->link, text, sizeof(text) - 1) ||
		!read_to_end(t, &refused, &ok))
		return false;
	return refused >= 1 || !ok || trial_fail(t, "it was not refused");
}
