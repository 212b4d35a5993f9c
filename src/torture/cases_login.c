/*
 * cases_login.c: USER, PASS, APOP, and what must not log in.
 */
#include "torture/torture_cases.h"
#include "torture/torture_talk.h"

#include <stdio.h>
#include <string.h>

static bool same_words(struct trial *t);
static bool one_stamp(struct trial *t);
static bool stamp_fresh(struct trial *t);
static bool after_refusal(struct trial *t);
static bool locked(struct trial *t);
static bool lock_goes(struct trial *t);
static bool hidden_greeting(struct trial *t);

#define U (NEED_USER | NEED_LOGIN)

const struct torture_case cases_login[] = {
	ROW("login", "RFC 1939 s.7", MUST, AT_GREETING, U, "USER, PASS: +OK",
		STEPS(STEP("USER $U\r\n", "+"), STEP("PASS $P\r\n", "+"))),
	ROW("login-lower-case", "RFC 1939 s.3", MUST, AT_GREETING, U, "user, pass: +OK",
		STEPS(STEP("user $U\r\n", "+"), STEP("pass $P\r\n", "+"))),
	ROW("login-wrong", "RFC 1939 s.7", MUST, AT_GREETING, U, "a wrong password: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS not-$P\r\n", "-"))),
	ROW("login-longer", "RFC 1939 s.7", MUST, AT_GREETING, U,
		"the password and one octet more: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS $Px\r\n", "-"))),
	ROW("login-blank-before", "RFC 1939 s.7", SHOULD, AT_GREETING, U,
		"a blank before the password belongs to it: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS  $P\r\n", "-"))),
	ROW("login-nul", "robustness", ROBUST, AT_GREETING, U,
		"the password, a NUL and more: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS $P\0x\r\n", "-"))),
	ROW("login-nul-name", "robustness", ROBUST, AT_GREETING, U,
		"the name, a NUL and more: -ERR",
		STEPS(STEP("USER $U\0x\r\n", "?"), STEP("PASS $P\r\n", "-"))),
	ROW("login-empty", "RFC 1939 s.7", MUST, AT_GREETING, U, "no password: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS\r\n", "-"))),
	ROW("login-empty-blank", "RFC 1939 s.7", MUST, AT_GREETING, U,
		"an empty password: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS \r\n", "-"))),
	ROW("login-no-user", "RFC 1939 s.7", MUST, AT_GREETING, U,
		"the password without USER: -ERR", SAY("PASS $P\r\n", "-")),
	ROW("login-user-last", "robustness", ROBUST, AT_GREETING, U,
		"USER twice: the last name counts",
		STEPS(STEP("USER nobody-of-that-name\r\n", "?"), STEP("USER $U\r\n", "?"),
			STEP("PASS $P\r\n", "+"))),
	ROW("login-user-replaced", "robustness", ROBUST, AT_GREETING, U,
		"USER twice: the first name is forgotten",
		STEPS(STEP("USER $U\r\n", "?"), STEP("USER nobody-of-that-name\r\n", "?"),
			STEP("PASS $P\r\n", "-"))),
	ROW("login-pass-again", "RFC 1939 s.7", MUST, AT_GREETING, U,
		"PASS once more after a wrong one, without USER: -ERR",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS not-$P\r\n", "-"),
			STEP("PASS $P\r\n", "-"))),
	ROW("login-after-refusal", "RFC 1939 s.4", MUST, AT_GREETING, U,
		"after a wrong password the right one logs in", .run = after_refusal),
	ROW("login-after-unknown", "robustness", ROBUST, AT_GREETING, U,
		"XYZZY before the login changes nothing",
		STEPS(STEP("XYZZY\r\n", "-"), STEP("USER $U\r\n", "+"),
			STEP("PASS $P\r\n", "+"))),
	ROW("login-same-words", "RFC 1939 s.7", SHOULD, AT_GREETING, U,
		"a wrong name and a wrong password are told in the same words",
		.run = same_words),
	ROW("login-split", "robustness", ROBUST, AT_GREETING, U,
		"PASS of a length no password has: one answer",
		STEPS(STEP("USER $U\r\n", "?"), STEP("PASS ", ""), REPEAT("p", "", 2000),
			STEP("\r\n", "e"))),
	ROW("login-long-name", "robustness", ROBUST, AT_GREETING, U,
		"a name with the right one at its start: -ERR",
		STEPS(STEP("USER $U", ""), REPEAT("x", "", 200), STEP("\r\n", "?"),
			STEP("PASS $P\r\n", "-"))),
	ROW("login-in-use", "RFC 1939 s.4", MUST, AT_LOGIN, 0,
		"a second login meanwhile is refused ([IN-USE] with RESP-CODES) or "
		"served",
		.run = locked),
	ROW("login-lock-goes", "RFC 1939 s.6", MUST, AT_LOGIN, 0,
		"a session that is cut lets the maildrop go", .run = lock_goes),
	ROW("greeting-words", "robustness", ROBUST, AT_GREETING, 0,
		"no stamp of APOP where APOP is no command", .run = hidden_greeting),
	ROW("apop-wrong", "RFC 1939 s.7", MUST, AT_GREETING, NEED_APOP,
		"APOP with a wrong digest: -ERR",
		SAY("APOP nobody c4c9334bac560ecc979e58001b3e22fb\r\n", "-")),
	ROW("apop-short", "RFC 1939 s.7", MUST, AT_GREETING, NEED_APOP,
		"APOP with half a digest: -ERR",
		SAY("APOP nobody c4c9334bac560ecc\r\n", "-")),
	ROW("apop-upper-case", "RFC 1939 s.7", ROBUST, AT_GREETING, NEED_APOP,
		"APOP with a digest that is none: -ERR",
		SAY("APOP nobody ZZZZ334BAC560ECC979E58001B3E22FB\r\n", "-")),
	ROW("apop-stamp", "RFC 1939 s.7", MUST, AT_GREETING, NEED_APOP,
		"the stamp has the form of a msg-id", .run = one_stamp),
	ROW("apop-stamp-fresh", "RFC 1939 s.7", MUST, AT_GREETING, NEED_APOP,
		"each greeting has a stamp of its own", .run = stamp_fresh),
	NO_MORE_ROWS,
};

static bool
after_refusal(struct trial *t)
{
	return trial_expect(t, &t->link, "USER $U\r\n", "?") &&
		trial_expect(t, &t->link, "PASS not-$P\r\n", "-") &&
		trial_log_in(t, &t->link) && trial_quit(t, &t->link);
}

static bool
refusal_of(struct trial *t, const char *user, struct answer *ret)
{
	if (!trial_ask(t, &t->link, user, ret))
		return false;
	if (ret->sign == SIGN_OK && !trial_ask(t, &t->link, "PASS not-$P\r\n", ret))
		return false;
	return ret->sign == SIGN_ERR || trial_fail(t, "a wrong login got %s", ret->text);
}

static bool
same_words(struct trial *t)
{
	struct answer there, nowhere;

	if (!refusal_of(t, "USER $U\r\n", &there))
		return false;
	link_close(&t->link);
	if (!trial_open(t, &t->link, AT_GREETING) ||
		!refusal_of(t, "USER nobody-of-that-name\r\n", &nowhere))
		return false;
	/* An id of a refusal may differ; its length may not. */
	return (there.n == nowhere.n && strncmp(there.text, nowhere.text, 12) == 0) ||
		trial_fail(t, "\"%.100s\" and \"%.100s\"", there.text, nowhere.text);
}

static bool
locked(struct trial *t)
{
	struct link other = {.fd = -1};
	struct answer a;

	bool good = trial_open(t, &other, AT_GREETING) &&
		trial_ask(t, &other, "USER $U\r\n", &a) &&
		(a.sign != SIGN_OK || trial_ask(t, &other, "PASS $P\r\n", &a));
	if (good && a.sign == SIGN_ERR && torture_capa_of(&t->all->before, "RESP-CODES"))
		good = strstr(a.text, "[IN-USE]") ||
			trial_fail(t, "without [IN-USE]: %s", a.text);
	if (good && a.sign == SIGN_OK)
		good = trial_quit(t, &other);
	link_close(&other);
	return good && trial_expect(t, &t->link, "NOOP\r\n", "+") &&
		trial_quit(t, &t->link);
}

static bool
lock_goes(struct trial *t)
{
	link_close(&t->link);
	return trial_open(t, &t->link, AT_LOGIN) && trial_quit(t, &t->link);
}

static bool
hidden_greeting(struct trial *t)
{
	struct answer a;

	if (!strchr(t->all->greeting, '<') || !strchr(t->all->greeting, '@'))
		return trial_quit(t, &t->link);
	if (!trial_ask(t, &t->link, "APOP x 00000000000000000000000000000000\r\n", &a))
		return false;
	return a.sign == SIGN_ERR;
}

static bool
one_stamp(struct trial *t)
{
	const char *p = strchr(t->all->greeting, '<');
	const char *end = p ? strchr(p, '>') : NULL, *at = p ? strchr(p, '@') : NULL;

	if (!end || !at || at > end || at == p + 1 || at + 1 == end)
		return trial_fail(t, "no stamp: %s", t->all->greeting);
	return trial_quit(t, &t->link);
}

static bool
stamp_fresh(struct trial *t)
{
	char first[513];

	(void)snprintf(first, sizeof(first), "%s", t->all->greeting);
	link_close(&t->link);
	if (!trial_open(t, &t->link, AT_GREETING))
		return false;
	return strcmp(first, t->all->greeting) != 0 ||
		trial_fail(t, "twice the same: %s", first);
}
