#include "wire/lmtp_parse.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "base/utf8.h"

#include <assert.h>
#include <string.h>

#define SIZE_DIGITS_MAX 20  /* RFC 1870 s.3 */
#define ENVID_MAX	100 /* RFC 3461 s.4.4 */
#define ORCPT_MAX	500 /* RFC 3461 s.4.2 */

static const struct lmtp_command_row commands[] = {
#define COMMAND(NAME, states, argument, usage)                                           \
	[LMTP_##NAME] = {#NAME, usage, states, argument},
#include "wire/lmtp_commands.def"
#undef COMMAND
};
static_assert(ARRAY_SIZE(commands) == LMTP_COMMANDS);

enum value {
	VALUE_NONE,
	VALUE_SIZE,
	VALUE_BODY,
	VALUE_RET,
	VALUE_ENVID,
	VALUE_NOTIFY,
	VALUE_ORCPT,
};

static const struct {
	const char *name;
	uint8_t command, value;
} parameters[] = {
#define PARAMETER(NAME, command, value) {#NAME, LMTP_##command, value},
#include "wire/lmtp_parameters.def"
#undef PARAMETER
};
static_assert(ARRAY_SIZE(parameters) <= 32);

const struct lmtp_command_row *
lmtp_command_row(enum lmtp_command c)
{
	CHECK(c < LMTP_COMMANDS);
	return &commands[c];
}

static bool
is_word(struct view v, const char *word)
{
	return ascii_equal_nocase(v, (struct view){(const uint8_t *)word, strlen(word)});
}

/* Up to the first `at`; *ret_rest is what follows it. False: there is none. */
static bool
split(struct view v, uint8_t at, struct view *ret_word, struct view *ret_rest)
{
	const uint8_t *found = v.n > 0 ? memchr(v.p, at, v.n) : NULL;
	size_t n = found ? (size_t)(found - v.p) : v.n;

	*ret_word = (struct view){v.p, n};
	*ret_rest = found ? (struct view){found + 1, v.n - n - 1}
			  : (struct view){v.p + v.n, 0};
	return found;
}

/* ---- values of parameters --------------------------------------------------------- */

static bool
is_xdigit(uint8_t c)
{
	return ascii_is_digit(c) || (c >= 'A' && c <= 'F');
}

/* RFC 3461 s.4; with `utf8` what RFC 6533 s.3 adds for addresses. */
static bool
is_xtext(struct view v, bool utf8)
{
	for (size_t i = 0; i < v.n; i++) {
		uint8_t c = v.p[i];

		if (c == '=' || (!ascii_is_graph(c) && !(utf8 && c >= 0x80)))
			return false;
		if (c != '+')
			continue;
		if (v.n - i < 3 || !is_xdigit(v.p[i + 1]) || !is_xdigit(v.p[i + 2]))
			return false;
	}
	return true;
}

static bool
is_notify(struct view v)
{
	struct view word;
	bool more;

	if (is_word(v, "NEVER"))
		return true;
	do {
		more = split(v, ',', &word, &v);
		if (!is_word(word, "SUCCESS") && !is_word(word, "FAILURE") &&
			!is_word(word, "DELAY"))
			return false;
	} while (more);
	return true;
}

static bool
is_orcpt(struct view v)
{
	struct view type, address;

	if (v.n > ORCPT_MAX || !split(v, ';', &type, &address))
		return false;
	if (type.n == 0 || address.n == 0)
		return false;
	return is_xtext(type, false) && is_xtext(address, is_word(type, "utf-8"));
}

static bool
take_size(struct view v, struct lmtp_request *ret)
{
	if (v.n == 0 || v.n > SIZE_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (!ascii_is_digit(v.p[i]))
			return false;
	if (!num_decimal(v, UINT64_MAX, &ret->size))
		ret->size = UINT64_MAX;
	return true;
}

static bool
take_value(enum value kind, bool any, struct view v, struct lmtp_request *ret)
{
	if (any != (kind != VALUE_NONE))
		return false;
	switch (kind) {
	case VALUE_NONE: ret->utf8 = true; return true;
	case VALUE_SIZE: return take_size(v, ret);
	/* BINARYMIME (RFC 3030 s.3) is not announced. */
	case VALUE_BODY: return is_word(v, "7BIT") || is_word(v, "8BITMIME");
	case VALUE_RET: return is_word(v, "FULL") || is_word(v, "HDRS");
	case VALUE_ENVID: return v.n > 0 && v.n <= ENVID_MAX && is_xtext(v, false);
	case VALUE_NOTIFY: return is_notify(v);
	case VALUE_ORCPT: return is_orcpt(v);
	}
	UNREACHABLE();
}

/* One parameter; bits of *seen are rows of the table. */
static enum lmtp_reply
parse_parameter(struct view word, uint32_t *seen, struct lmtp_request *ret)
{
	struct view name, value;
	bool any = split(word, '=', &name, &value);

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		if (parameters[i].command != ret->command ||
			!is_word(name, parameters[i].name))
			continue;
		if (*seen & UINT32_C(1) << i)
			return LMTP_REPLY_PARAMETER_TWICE;
		*seen |= UINT32_C(1) << i;
		return take_value((enum value)parameters[i].value, any, value, ret)
			? LMTP_REPLY_OK
			: LMTP_REPLY_PARAMETER_VALUE;
	}
	return LMTP_REPLY_PARAMETER;
}

static enum lmtp_reply
parse_parameters(struct view v, struct lmtp_request *ret)
{
	uint32_t seen = 0;

	while (v.n > 0) {
		struct view word;
		enum lmtp_reply reply;

		(void)split(v, ' ', &word, &v);
		if (word.n == 0)
			continue;
		reply = parse_parameter(word, &seen, ret);
		if (reply != LMTP_REPLY_OK)
			return reply;
	}
	return LMTP_REPLY_OK;
}

/* ---- commands --------------------------------------------------------------------- */

static enum lmtp_reply
parse_path(struct view v, const char *keyword, struct lmtp_request *ret)
{
	bool mail = ret->command == LMTP_MAIL;
	enum lmtp_reply bad =
		mail ? LMTP_REPLY_SENDER_SYNTAX : LMTP_REPLY_RECIPIENT_SYNTAX;
	size_t n = strlen(keyword);
	enum lmtp_reply reply;

	/* RFC 5321 s.3.3: no blank on either side of the colon. */
	if (v.n < n || !is_word((struct view){v.p, n}, keyword))
		return LMTP_REPLY_ARGUMENT;
	v = (struct view){v.p + n, v.n - n};
	if (!lmtp_path_take(&v, &ret->path) || (v.n > 0 && v.p[0] != ' '))
		return bad;
	/* Only a sender may be nobody (RFC 5321 s.4.5.5). */
	if (!mail && ret->path.mailbox.n == 0)
		return bad;
	reply = parse_parameters(v, ret);
	if (reply != LMTP_REPLY_OK)
		return reply;
	return mail && ret->eight_bit && !ret->utf8 ? LMTP_REPLY_NEEDS_UTF8
						    : LMTP_REPLY_OK;
}

/* RFC 3030 s.2: chunk-size [SP "LAST"] */
static bool
parse_chunk(struct view v, struct lmtp_request *ret)
{
	struct view octets, last;

	ret->chunk_last = split(v, ' ', &octets, &last);
	if (ret->chunk_last && !is_word(last, "LAST"))
		return false;
	return octets.n <= SIZE_DIGITS_MAX &&
		num_decimal(octets, UINT64_MAX, &ret->chunk);
}

/* RFC 6531 s.3.7.4.2: VRFY with UTF-8 says so. */
static bool
text_is_good(struct view v, bool eight_bit)
{
	struct view mark = VIEW(" SMTPUTF8");

	if (!eight_bit)
		return v.n > 0;
	return v.n > mark.n &&
		ascii_equal_nocase((struct view){v.p + v.n - mark.n, mark.n}, mark);
}

static enum lmtp_reply
parse_argument(struct view v, struct lmtp_request *ret)
{
	bool good = true;

	switch ((enum lmtp_argument)lmtp_command_row(ret->command)->argument) {
	case ARGUMENT_FROM: return parse_path(v, "FROM:", ret);
	case ARGUMENT_TO: return parse_path(v, "TO:", ret);
	case ARGUMENT_NONE: good = v.n == 0; break;
	case ARGUMENT_ANY: break;
	case ARGUMENT_WORD: good = v.n > 0 && !memchr(v.p, ' ', v.n); break;
	case ARGUMENT_CHUNK: good = parse_chunk(v, ret); break;
	case ARGUMENT_TEXT: good = text_is_good(v, ret->eight_bit); break;
	}
	return good ? LMTP_REPLY_OK : LMTP_REPLY_ARGUMENT;
}

/* False: octets that no command may have. */
static bool
octets_are_good(struct view line, bool *ret_eight_bit)
{
	bool eight_bit = false;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] < 0x20 || line.p[i] == 0x7F)
			return false;
		eight_bit = eight_bit || line.p[i] >= 0x80;
	}
	*ret_eight_bit = eight_bit;
	return !eight_bit || utf8_is_sound(line);
}

static bool
may_be_utf8(const struct lmtp_request *r)
{
	return r->known &&
		(r->command == LMTP_MAIL || r->command == LMTP_RCPT ||
			r->command == LMTP_VRFY);
}

enum lmtp_reply
lmtp_parse(struct view line, struct lmtp_request *ret)
{
	struct view word, argument;

	*ret = (struct lmtp_request){0};
	line = ascii_trim_end(line);
	(void)split(line, ' ', &word, &argument);
	for (int c = 0; c < LMTP_COMMANDS && !ret->known; c++) {
		ret->known = is_word(word, commands[c].name);
		ret->command = ret->known ? (enum lmtp_command)c : ret->command;
	}
	if (!octets_are_good(line, &ret->eight_bit))
		return LMTP_REPLY_LINE_OCTETS;
	if (ret->eight_bit && !may_be_utf8(ret))
		return LMTP_REPLY_LINE_OCTETS;
	if (!ret->known)
		return LMTP_REPLY_UNKNOWN;
	return parse_argument(argument, ret);
}
