/*
 * cases_sasl.c: AUTH (RFC 5034, RFC 4422, RFC 4616).
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <string.h>

static bool mechanisms(struct trial *t);
static bool challenge_form(struct trial *t);
static bool long_response(struct trial *t);

#define P (NEED_PLAIN)
#define L (NEED_PLAIN | NEED_LOGIN)

const struct torture_case cases_sasl[] = {
	ROW("auth-alone", "RFC 1734 s.2", ROBUST, AT_GREETING, 0,
		"AUTH alone: -ERR, or the mechanisms", SAY("AUTH\r\n", "m")),
	ROW("auth-blank", "RFC 1734 s.2", ROBUST, AT_GREETING, 0,
		"'AUTH ' with a blank: -ERR, or the mechanisms", SAY("AUTH \r\n", "m")),
	ROW("auth-unknown", "RFC 5034 s.4", MUST, AT_GREETING, 0,
		"an unknown mechanism: -ERR", SAY("AUTH XYZZY\r\n", "-")),
	ROW("auth-unknown-response", "RFC 5034 s.4", MUST, AT_GREETING, 0,
		"an unknown mechanism with a response: -ERR",
		SAY("AUTH XYZZY AGEAYg==\r\n", "-")),
	ROW("auth-odd-name", "RFC 4422 s.3.1", ROBUST, AT_GREETING, 0,
		"a name of 100 octets: -ERR",
		STEPS(STEP("AUTH ", ""), REPEAT("M", "", 100), STEP("\r\n", "-"))),
	ROW("auth-nul-name", "robustness", ROBUST, AT_GREETING, P,
		"PLAIN, a NUL and more is no mechanism: -ERR",
		SAY("AUTH PLAIN\0X\r\n", "-")),
	ROW("auth-each", "RFC 5034 s.3", SHOULD, AT_GREETING, NEED_SASL,
		"each mechanism announced is one", .run = mechanisms),
	ROW("auth-plain", "RFC 5034 s.4", MUST, AT_GREETING, L,
		"PLAIN with the response in the line: +OK",
		SAY("AUTH PLAIN $B\r\n", "+")),
	ROW("auth-plain-two", "RFC 5034 s.4", MUST, AT_GREETING, L,
		"PLAIN with the response after the challenge: +OK",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("$B\r\n", "+"))),
	ROW("auth-lower-case", "RFC 5034 s.4", SHOULD, AT_GREETING, L, "auth plain: +OK",
		SAY("auth plain $B\r\n", "+")),
	ROW("auth-challenge", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"the empty challenge of PLAIN is '+ '", .run = challenge_form),
	ROW("auth-cancel", "RFC 5034 s.4", MUST, AT_GREETING, P, "'*' cancels: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("*\r\n", "-"))),
	ROW("auth-cancel-then", "RFC 5034 s.4", MUST, AT_GREETING, L,
		"after '*' a login is served",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("*\r\n", "-"),
			STEP("AUTH PLAIN $B\r\n", "+"))),
	ROW("auth-empty-line", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"an empty line for a response of PLAIN: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("\r\n", "-"))),
	ROW("auth-equals", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"'=' is an empty response, which PLAIN refuses: -ERR",
		SAY("AUTH PLAIN =\r\n", "-")),
	ROW("auth-equals-later", "RFC 5034 s.4", ROBUST, AT_GREETING, P,
		"'=' for a response after the challenge: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("=\r\n", "-"))),
	ROW("auth-garbage", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"a response that is no base64: -ERR", SAY("AUTH PLAIN !!!!\r\n", "-")),
	ROW("auth-garbage-later", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"no base64 after the challenge: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("{{{{}}}}\r\n", "-"))),
	ROW("auth-padding", "RFC 4648 s.3.2", MUST, AT_GREETING, P,
		"base64 with its padding in the middle: -ERR",
		SAY("AUTH PLAIN AA==AA==\r\n", "-")),
	ROW("auth-padding-missing", "RFC 4648 s.3.2", SHOULD, AT_GREETING, P,
		"base64 that is cut: -ERR", SAY("AUTH PLAIN AGEAYgB\r\n", "-")),
	ROW("auth-padding-alone", "RFC 4648 s.3.2", MUST, AT_GREETING, P,
		"nothing but padding: -ERR", SAY("AUTH PLAIN ====\r\n", "-")),
	ROW("auth-blank-within", "RFC 4648 s.3.3", MUST, AT_GREETING, P,
		"a blank within base64: -ERR", SAY("AUTH PLAIN AGEA Yg==\r\n", "-")),
	ROW("auth-behind", "RFC 5034 s.4", SHOULD, AT_GREETING, L,
		"a word behind the response: -ERR", SAY("AUTH PLAIN $B XYZZY\r\n", "-")),
	ROW("auth-nul", "robustness", ROBUST, AT_GREETING, L,
		"a NUL behind the response: -ERR", SAY("AUTH PLAIN $B\0\r\n", "-")),
	ROW("auth-eight-bit", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"octets above 127 for a response: -ERR",
		SAY("AUTH PLAIN \xff\xfe\xfd\xfc\r\n", "-")),
	ROW("auth-url-alphabet", "RFC 4648 s.4", MUST, AT_GREETING, P,
		"'-' and '_' are not of base64: -ERR",
		SAY("AUTH PLAIN AGEA-_==\r\n", "-")),
	ROW("auth-no-nul", "RFC 4616 s.2", MUST, AT_GREETING, P,
		"PLAIN without NULs: -ERR", SAY("AUTH PLAIN YWJjZGVm\r\n", "-")),
	ROW("auth-one-nul", "RFC 4616 s.2", MUST, AT_GREETING, P,
		"PLAIN with one NUL: -ERR", SAY("AUTH PLAIN YWIAY2Q=\r\n", "-")),
	ROW("auth-many-nul", "RFC 4616 s.2", MUST, AT_GREETING, P,
		"PLAIN with four NULs: -ERR", SAY("AUTH PLAIN AGEAYgAA\r\n", "-")),
	ROW("auth-empty-name", "RFC 4616 s.2", MUST, AT_GREETING, P,
		"PLAIN without a name: -ERR", SAY("AUTH PLAIN AABzZWNyZXQ=\r\n", "-")),
	ROW("auth-empty-password", "RFC 4616 s.2", MUST, AT_GREETING, P,
		"PLAIN without a password: -ERR",
		SAY("AUTH PLAIN AHRlc3RlcgA=\r\n", "-")),
	ROW("auth-other", "RFC 4616 s.2", MUST, AT_GREETING, P, "PLAIN for another: -ERR",
		SAY("AUTH PLAIN cm9vdABub2JvZHkAc2VjcmV0\r\n", "-")),
	ROW("auth-command-within", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"QUIT for a response is a response: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("QUIT\r\n", "-"))),
	ROW("auth-auth-within", "RFC 5034 s.4", MUST, AT_GREETING, P,
		"AUTH within AUTH is a response: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("AUTH PLAIN\r\n", "-"))),
	ROW("auth-12k", "RFC 5034 s.4", ROBUST, AT_GREETING, P,
		"a response of 12 KiB: -ERR", .run = long_response),
	ROW("auth-64k", "robustness", ROBUST, AT_GREETING, P,
		"a response of 64 KiB: -ERR, or the end",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), REPEAT("QUJD", "", 16384),
			STEP("\r\n", "e"))),
	ROW("auth-1m-line", "robustness", ROBUST, AT_GREETING, P,
		"a response of 1 MiB in the line: -ERR, or the end",
		STEPS(STEP("AUTH PLAIN ", ""), REPEAT("QUJD", "", 262144),
			STEP("\r\n", "e"))),
	ROW("auth-then-user", "RFC 5034 s.4", MUST, AT_GREETING, L | NEED_USER,
		"after AUTH was refused USER and PASS log in",
		STEPS(STEP("AUTH PLAIN !!!!\r\n", "-"), STEP("USER $U\r\n", "+"),
			STEP("PASS $P\r\n", "+"))),
	ROW("auth-user-forgotten", "robustness", ROBUST, AT_GREETING, L | NEED_USER,
		"a response is no password for USER's name",
		STEPS(STEP("USER $U\r\n", "?"), STEP("AUTH PLAIN\r\n", "c"),
			STEP("PASS $P\r\n", "-"))),
	ROW("auth-cut", "robustness", ROBUST, AT_GREETING, P,
		"a response with CR in it: -ERR",
		STEPS(STEP("AUTH PLAIN\r\n", "c"), STEP("AGEA\rYg==\r\n", "-"))),
	NO_MORE_ROWS,
};

/* A challenge or a refusal of this one, then '*'. Not "unknown". */
static bool
mechanisms(struct trial *t)
{
	const char *p = torture_capa_of(&t->all->before, "SASL");
	struct answer a;

	while (p && *p) {
		size_t n = strcspn(p, " ");

		if (!trial_say(t, &t->link, "AUTH ", 5) ||
			!trial_say(t, &t->link, p, n) ||
			!trial_ask(t, &t->link, "\r\n", &a))
			return false;
		if (a.sign != SIGN_CHALLENGE)
			return trial_fail(t, "%.*s: no challenge: %s", (int)n, p, a.text);
		if (!trial_expect(t, &t->link, "*\r\n", "-"))
			return false;
		p += n;
		p += strspn(p, " ");
		/* Cancelled talks may be counted against one connection. */
		link_close(&t->link);
		if (!trial_open(t, &t->link, AT_GREETING))
			return false;
	}
	return trial_quit(t, &t->link);
}

static bool
challenge_form(struct trial *t)
{
	struct answer a;

	if (!trial_ask(t, &t->link, "AUTH PLAIN\r\n", &a))
		return false;
	if (strcmp(a.text, "+ ") != 0)
		return trial_fail(t, "it is \"%s\"", a.text);
	return trial_expect(t, &t->link, "*\r\n", "-") && trial_quit(t, &t->link);
}

static bool
long_response(struct trial *t)
{
	char quad[12288 + 3];

	memset(quad, 'A', 12288);
	memcpy(quad + 12288, "\r\n", 3);
	return trial_expect(t, &t->link, "AUTH PLAIN\r\n", "c") &&
		trial_expect(t, &t->link, quad, "e") &&
		(t->over || trial_quit(t, &t->link));
}
