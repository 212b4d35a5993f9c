#include "wire/pop3_parse.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "wire/limits.h"
#include "wire/pop3_xclient.h"

#include <string.h>

static const struct command_row commands[] = {
#define COMMAND(NAME, states, arguments, answer, user, when, usage)                      \
	[POP3_##NAME] = {#NAME, usage, states, arguments, answer, user, when},
#include "wire/pop3_commands.def"
#undef COMMAND
};
static_assert(ARRAY_SIZE(commands) == POP3_COMMANDS);

static const struct mechanism_row mechanisms[] = {
#define MECHANISM(NAME, name, shows, first, needs)                                       \
	[POP3_MECHANISM_##NAME] = {name, shows, first, needs},
#include "wire/pop3_mechanisms.def"
#undef MECHANISM
};
static_assert(ARRAY_SIZE(mechanisms) == POP3_MECHANISMS);

const struct command_row *
command_row(enum pop3_command c)
{
	CHECK(c < POP3_COMMANDS);
	return &commands[c];
}

const struct mechanism_row *
mechanism_row(enum pop3_mechanism m)
{
	CHECK(m < POP3_MECHANISMS);
	return &mechanisms[m];
}

const char *
pop3_command_usage(enum pop3_command c)
{
	return command_row(c)->usage;
}

bool
pop3_answer_is_many(const struct pop3_request *r)
{
	bool alone = !r->has_mechanism && !r->has_msgno &&
		!(r->command == POP3_LANG && r->has_text);

	switch ((enum command_answer)command_row(r->command)->answer) {
	case ONE: return false;
	case MANY: return true;
	case MANY_ALONE: return alone;
	}
	UNREACHABLE();
}

/* Up to the first SP; *rest is what follows that SP, false if there is none. */
static bool
split(struct view v, struct view *word, struct view *rest)
{
	const uint8_t *sp = v.n > 0 ? memchr(v.p, ' ', v.n) : NULL;
	size_t n = sp ? (size_t)(sp - v.p) : v.n;

	*word = (struct view){v.p, n};
	*rest = sp ? (struct view){sp + 1, v.n - n - 1} : (struct view){v.p + v.n, 0};
	return sp;
}

static bool
is_word(struct view v, const char *word)
{
	return ascii_equal_nocase(v, (struct view){(const uint8_t *)word, strlen(word)});
}

static bool
find_command(struct view word, enum pop3_command *ret)
{
	for (int c = 0; c < POP3_COMMANDS; c++) {
		if (!is_word(word, commands[c].name))
			continue;
		*ret = (enum pop3_command)c;
		return true;
	}
	return false;
}

/*
 * A message number as written (RFC 1939 s.4; wire point 4). One that is all digits but
 * beyond 64 bits is a number too, only no message has it.
 */
static bool
parse_msgno(struct view v, uint64_t *ret)
{
	if (v.n == 0)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_is_digit(v.p[i]))
			return false;
	if (!num_decimal(v, UINT64_MAX, ret))
		*ret = UINT64_MAX;
	return true;
}

static bool
parse_msgno_lines(struct view v, struct pop3_request *ret)
{
	struct view msgno, lines;

	return split(v, &msgno, &lines) && parse_msgno(msgno, &ret->msgno) &&
		parse_msgno(lines, &ret->lines);
}

static enum parse_result
parse_auth(struct view v, struct pop3_request *ret)
{
	struct view name;

	if (v.n == 0)
		return PARSE_OK; /* wire point 22 */
	ret->has_mechanism = true;
	ret->has_text = split(v, &name, &ret->text);
	for (int m = 0; m < POP3_MECHANISMS; m++) {
		if (!is_word(name, mechanisms[m].name))
			continue;
		ret->mechanism = (enum pop3_mechanism)m;
		return PARSE_OK;
	}
	return PARSE_MECHANISM;
}

static bool
is_hex(struct view v)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = ascii_lower(v.p[i]);
		if (!ascii_is_digit(c) && (c < 'a' || c > 'f'))
			return false;
	}
	return true;
}

/* The digest is the last word; a name may hold blanks. */
static bool
parse_apop(struct view v, struct pop3_request *ret)
{
	if (v.n < APOP_DIGEST_OCTETS + 2)
		return false;
	size_t n = v.n - APOP_DIGEST_OCTETS;
	ret->text = (struct view){v.p + n, APOP_DIGEST_OCTETS};
	ret->has_text = true;
	ret->name = (struct view){v.p, n - 1};
	return v.p[n - 1] == ' ' && is_hex(ret->text);
}

static enum parse_result
parse_arguments(struct view arg, bool any, struct pop3_request *ret)
{
	const struct command_row *row = command_row(ret->command);
	struct view trimmed = ascii_trim_end(arg);
	bool ok = false;

	switch ((enum command_arguments)row->arguments) {
	case ARG_NONE: ok = trimmed.n == 0; break;
	case ARG_NUMBER_MAYBE:
		ret->has_msgno = trimmed.n > 0;
		ok = trimmed.n == 0 || parse_msgno(trimmed, &ret->msgno);
		break;
	case ARG_NUMBER:
		ret->has_msgno = true;
		ok = parse_msgno(trimmed, &ret->msgno);
		break;
	case ARG_NUMBER_LINES:
		ret->has_msgno = true;
		ok = parse_msgno_lines(trimmed, ret);
		break;
	case ARG_TEXT:
		/* Byte-exact (wire points 24 and 54); only a name cannot be empty. */
		ret->has_text = any;
		ret->text = arg;
		ok = any && (arg.n > 0 || ret->command == POP3_PASS);
		break;
	case ARG_SASL: return parse_auth(trimmed, ret);
	case ARG_APOP: ok = parse_apop(trimmed, ret); break;
	case ARG_LANG:
		ret->has_text = trimmed.n > 0;
		ret->text = trimmed;
		ok = trimmed.n == 0 || !memchr(trimmed.p, ' ', trimmed.n);
		break;
	case ARG_XCLIENT: ok = xclient_parse(trimmed, &ret->peer); break;
	}
	return ok ? PARSE_OK : PARSE_SYNTAX;
}

enum parse_result
parse_command(struct view line, struct pop3_request *ret)
{
	struct view word, arg;
	bool any = split(line, &word, &arg);

	*ret = (struct pop3_request){0};
	/* A tab is a blank at the end of a line and nowhere else. */
	if (!any)
		word = ascii_trim_end(word);
	if (!find_command(word, &ret->command))
		return PARSE_UNKNOWN;
	return parse_arguments(arg, any, ret);
}
