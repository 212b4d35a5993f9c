/*
 * cases_capa.c: CAPA and what it promises (RFC 2449).
 */
#include "torture/torture_cases.h"
#include "torture/torture_facts.h"

#include "base/ascii.h"
#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool tags(struct trial *t);
static bool lengths(struct trial *t);
static bool twice(struct trial *t);
static bool stays(struct trial *t);
static bool expire(struct trial *t);
static bool login_delay(struct trial *t);
static bool sasl_names(struct trial *t);
static bool codes_form(struct trial *t);
static bool auth_code(struct trial *t);
static bool top_works(struct trial *t);
static bool uidl_works(struct trial *t);
static bool user_promise(struct trial *t);
static bool stls_gone(struct trial *t);
static bool stls_not_after_login(struct trial *t);

const struct torture_case cases_capa[] = {
	ROW("capa", "RFC 2449 s.5", MUST, AT_GREETING, NEED_CAPA,
		"CAPA before login: +OK and lines", SAY("CAPA\r\n", ".")),
	ROW("capa-lower-case", "RFC 1939 s.3", MUST, AT_GREETING, NEED_CAPA,
		"capa is CAPA", SAY("capa\r\n", ".")),
	ROW("capa-after-login", "RFC 2449 s.5", MUST, AT_SHARED, NEED_CAPA,
		"CAPA after login: +OK and lines", SAY("CAPA\r\n", ".")),
	ROW("capa-argument", "RFC 2449 s.5", ROBUST, AT_GREETING, NEED_CAPA,
		"CAPA x: one answer, whole", SAY("CAPA x\r\n", "m")),
	ROW("capa-tags", "RFC 2449 s.3", MUST, AT_GREETING, NEED_CAPA,
		"tags are letters, digits, '.', '-' and '_', arguments printable",
		.run = tags),
	ROW("capa-lengths", "RFC 2449 s.4", MUST, AT_GREETING, NEED_CAPA,
		"a line has 512 octets at most", .run = lengths),
	ROW("capa-once", "RFC 2449 s.3", ROBUST, AT_GREETING, NEED_CAPA,
		"each tag comes once", .run = twice),
	ROW("capa-both-states", "RFC 2449 s.6", MUST, AT_LOGIN, NEED_CAPA,
		"TOP, UIDL, PIPELINING, RESP-CODES and others are announced in both "
		"states",
		.run = stays),
	ROW("capa-expire", "RFC 2449 s.6.7", MUST, AT_GREETING, NEED_CAPA,
		"EXPIRE is days or NEVER, then perhaps USER", .run = expire),
	ROW("capa-login-delay", "RFC 2449 s.6.5", MUST, AT_GREETING, NEED_CAPA,
		"LOGIN-DELAY is seconds, then perhaps USER", .run = login_delay),
	ROW("capa-sasl", "RFC 5034 s.3", MUST, AT_GREETING, NEED_CAPA | NEED_SASL,
		"SASL has names of mechanisms: A to Z, digits, '-' and '_', 1 to 20",
		.run = sasl_names),
	ROW("capa-codes", "RFC 2449 s.8", MUST, AT_GREETING, NEED_CAPA | NEED_CODES,
		"a '[' behind -ERR begins a response code", .run = codes_form),
	ROW("capa-auth-code", "RFC 3206 s.4", SHOULD, AT_GREETING, NEED_CAPA | NEED_USER,
		"with AUTH-RESP-CODE a wrong password gets [AUTH]", .run = auth_code),
	ROW("capa-top", "RFC 2449 s.6.1", MUST, AT_SHARED, NEED_TOP | NEED_MAIL,
		"TOP is announced and works", .run = top_works),
	ROW("capa-uidl", "RFC 2449 s.6.8", MUST, AT_SHARED, NEED_CAPA,
		"UIDL is announced if it works, and only then", .run = uidl_works),
	ROW("capa-user", "RFC 2449 s.6.2", MUST, AT_GREETING, NEED_CAPA,
		"USER works if it is announced", .run = user_promise),
	ROW("capa-stls-gone", "RFC 2595 s.4", SHOULD, AT_GREETING, NEED_TLS | NEED_CAPA,
		"STLS is not announced within TLS", .run = stls_gone),
	ROW("capa-stls-login", "RFC 2595 s.4", MUST, AT_LOGIN, NEED_CAPA,
		"STLS is not announced after login", .run = stls_not_after_login),
	NO_MORE_ROWS,
};

/* CAPA anew into *ret_body, with its text. */
static bool
ask(struct trial *t, struct body *ret)
{
	return trial_lines(t, &t->link, "CAPA\r\n", TORTURE_CAPA_MAX, ret);
}

/* Calls for each line without its CRLF; false: it failed. */
static bool
each_line(struct trial *t, bool (*judge)(struct trial *t, struct view line))
{
	struct body b;
	bool good = ask(t, &b);

	for (size_t i = 0; good && i < b.text_n;) {
		const uint8_t *lf = memchr(b.text + i, '\n', b.text_n - i);
		size_t n = (size_t)(lf - b.text) - i;

		good = judge(t, (struct view){b.text + i, n > 0 ? n - 1 : 0});
		i += n + 1;
	}
	body_free(&b);
	return good && trial_quit(t, &t->link);
}

static bool
judge_tag(struct trial *t, struct view line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] != ' ') {
		uint8_t c = ascii_lower(line.p[n++]);
		bool letter = (c >= 'a' && c <= 'z') || ascii_is_digit(c);

		if (!letter && (n == 1 || (c != '.' && c != '-' && c != '_')))
			return trial_fail(t, "no tag: %.*s", (int)line.n, line.p);
	}
	for (size_t i = n; i < line.n; i++)
		if (line.p[i] != ' ' && !ascii_is_graph(line.p[i]))
			return trial_fail(t, "octet 0x%02X in arguments", line.p[i]);
	return n > 0 || trial_fail(t, "a line without a tag");
}

static bool
tags(struct trial *t)
{
	return each_line(t, judge_tag);
}

static bool
judge_length(struct trial *t, struct view line)
{
	return line.n + 2 <= 512 || trial_fail(t, "a line of %zu octets", line.n + 2);
}

static bool
lengths(struct trial *t)
{
	return each_line(t, judge_length);
}

static bool
twice(struct trial *t)
{
	const struct torture_capa *c = &t->all->before;

	for (const char *p = c->text; p < c->text + c->n; p += strlen(p) + 1) {
		char tag[64];
		const char *first;

		(void)snprintf(tag, sizeof(tag), "%.*s", (int)strcspn(p, " "), p);
		first = torture_capa_of(c, tag);
		if (first && (first < p || first > p + strlen(p)))
			return trial_fail(t, "%s comes twice", tag);
	}
	return trial_quit(t, &t->link);
}

/* RFC 2449 s.6: "Announced states / possible differences". */
static bool
stays(struct trial *t)
{
	static const char *const both[] = {"TOP", "UIDL", "RESP-CODES", "PIPELINING",
		"LOGIN-DELAY", "EXPIRE", "AUTH-RESP-CODE", "UTF8", "LANG"};

	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
		if (torture_capa_of(&t->all->before, both[i]) &&
			!torture_capa_of(&t->all->after, both[i]))
			return trial_fail(
				t, "%s is announced before login only", both[i]);
	return trial_quit(t, &t->link);
}

static bool
judge_term(struct trial *t, const char *tag, bool never)
{
	const struct torture_capa *both[] = {&t->all->before, &t->all->after};

	for (size_t i = 0; i < 2; i++) {
		const char *p = torture_capa_of(both[i], tag);
		uint64_t days;

		if (!p)
			continue;
		size_t n = strcspn(p, " ");
		struct view number = {(const uint8_t *)p, n};
		bool good = num_decimal(number, UINT32_MAX, &days) ||
			(never && n == 5 && memcmp(p, "NEVER", 5) == 0);
		if (!good || (p[n] && strcmp(p + n, " USER") != 0))
			return trial_fail(t, "%s %s", tag, p);
	}
	return trial_quit(t, &t->link);
}

static bool
expire(struct trial *t)
{
	return judge_term(t, "EXPIRE", true);
}

static bool
login_delay(struct trial *t)
{
	return judge_term(t, "LOGIN-DELAY", false);
}

static bool
sasl_names(struct trial *t)
{
	const char *p = torture_capa_of(&t->all->before, "SASL");

	while (p && *p) {
		size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");

		if (n == 0 || n > 20 || (p[n] && p[n] != ' '))
			return trial_fail(t, "no mechanism: %s", p);
		p += n;
		p += strspn(p, " ");
	}
	return trial_quit(t, &t->link);
}

static bool
codes_form(struct trial *t)
{
	/* Each answer is judged as it is read, once RESP-CODES is known. */
	return trial_expect(t, &t->link, "XYZZY\r\n", "-") &&
		trial_expect(t, &t->link, "STAT\r\n", "-") &&
		trial_expect(t, &t->link, "PASS x\r\n", "-") && trial_quit(t, &t->link);
}

static bool
auth_code(struct trial *t)
{
	struct answer a;

	if (!torture_capa_of(&t->all->before, "AUTH-RESP-CODE"))
		return trial_skip(t, "AUTH-RESP-CODE is not announced");
	if (!trial_ask(t, &t->link, "USER nobody-of-that-name\r\n", &a))
		return false;
	if (a.sign == SIGN_OK && !trial_ask(t, &t->link, "PASS wrong\r\n", &a))
		return false;
	return (a.sign == SIGN_ERR && strstr(a.text, "[AUTH]")) ||
		trial_fail(t, "a wrong login got %s", a.text);
}

static bool
top_works(struct trial *t)
{
	return trial_expect(t, &t->link, "TOP 1 0\r\n", ".");
}

static bool
uidl_works(struct trial *t)
{
	bool announced = torture_capa_of(&t->all->after, "UIDL") != NULL;

	return announced == t->all->has_uidls ||
		trial_fail(t,
			announced ? "it is announced and does not work"
				  : "it works and is not announced");
}

static bool
user_promise(struct trial *t)
{
	struct answer a;

	if (!torture_capa_of(&t->all->before, "USER"))
		return trial_skip(t, "USER is not announced");
	if (!trial_ask(t, &t->link, "USER nobody-of-that-name\r\n", &a))
		return false;
	/* It may say at once that there is no such user (RFC 1939 s.7). */
	if (a.sign == SIGN_ERR && t->all->options.user &&
		!trial_ask(t, &t->link, "USER $U\r\n", &a))
		return false;
	if (a.sign != SIGN_OK && t->all->options.user)
		return trial_fail(t, "USER got %s", a.text);
	return trial_quit(t, &t->link);
}

static bool
stls_gone(struct trial *t)
{
	if (torture_capa_of(&t->all->before, "STLS"))
		return trial_fail(t, "STLS is announced within TLS");
	return trial_quit(t, &t->link);
}

static bool
stls_not_after_login(struct trial *t)
{
	if (torture_capa_of(&t->all->after, "STLS"))
		return trial_fail(t, "STLS is announced after login");
	return trial_quit(t, &t->link);
}
