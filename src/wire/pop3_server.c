#include "base/ascii.h"
#include "base/check.h"
#include "pop3/server.h"
#include "wire/limits.h"
#include "wire/line.h"
#include "wire/pop3_parse.h"

#include <string.h>

/* Beyond the line and its counts: what a client has said (threats: STLS forgets). */
static void
begin(struct pop3_server *s)
{
	s->mechanism = 0;
	s->utf8 = false;
	s->language = (uint8_t)s->options->language;
}

void
pop3_server_init(struct pop3_server *s, const struct pop3_server_options *o,
	const struct pop3_link *l)
{
	CHECK(o->language < POP3_LANGUAGES);
	CHECK(l->mechanisms >> POP3_MECHANISMS == 0);
	*s = (struct pop3_server){.options = o,
		.link = *l,
		.state = POP3_AUTHORIZATION,
		.expire_days = o->expire_days,
		.login_delay_s = o->login_delay_s};
	begin(s);
}

bool
pop3_server_exhausted(const struct pop3_server *s)
{
	return s->options->max_bad_commands > 0 &&
		s->bad_in_row >= s->options->max_bad_commands;
}

static void
forget_user(struct pop3_server *s)
{
	explicit_bzero(s->name, s->name_n);
	s->name_n = 0;
	s->named = false;
}

static void
keep_user(struct pop3_server *s, struct view name)
{
	size_t n = name.n < POP3_NAME_MAX ? name.n : POP3_NAME_MAX;

	memcpy(s->name, name.p, n);
	/* A name that does not fit must not become the name of another user: none has
	 * NUL. */
	if (name.n > POP3_NAME_MAX)
		s->name[n - 1] = '\0';
	s->name_n = (uint16_t)n;
	s->named = true;
}

static enum pop3_event
bad(struct pop3_server *s, enum pop3_reply why, struct pop3_request *ret)
{
	s->bad_in_row++;
	ret->reply = why;
	return POP3_BAD;
}

static enum pop3_event
refused(enum pop3_reply why, struct pop3_request *ret)
{
	ret->reply = why;
	return POP3_REFUSED;
}

static bool
is_command_here(const struct pop3_server *s, enum pop3_command c)
{
	switch ((enum command_when)command_row(c)->when) {
	case ALWAYS: return true;
	case WITH_LAST: return s->options->last;
	case WITH_APOP: return s->link.apop;
	case WITH_UTF8: return s->options->utf8;
	case WITH_XCLIENT: return s->link.xclient;
	}
	UNREACHABLE();
}

static bool
is_legal_here(const struct pop3_server *s, enum pop3_command c)
{
	uint8_t here = s->state == POP3_TRANSACTION ? IN_TRANSACTION : IN_AUTHORIZATION;

	return command_row(c)->states & here;
}

/* USER and PASS (RFC 1939 s.7; wire points 24, 25, 46, 54). */
static enum pop3_event
user_or_pass(struct pop3_server *s, bool named, struct pop3_request *ret)
{
	/* Before a password is sent (threats: TLS is required and absent). */
	if (!pop3_server_may_login(s))
		return refused(POP3_ERR_TLS_NEEDED, ret);
	if (!pop3_server_offers_user(s))
		return refused(POP3_ERR_USER_NONE, ret);
	if (ret->command == POP3_USER) {
		keep_user(s, ret->text);
		return POP3_COMMAND;
	}
	if (!named)
		return bad(s, POP3_ERR_NO_USER, ret);
	ret->name = (struct view){s->name, s->name_n};
	s->named = false;
	return POP3_COMMAND;
}

static bool
offers_any(const struct pop3_server *s)
{
	for (int m = 0; m < POP3_MECHANISMS; m++)
		if (pop3_server_offers(s, (enum pop3_mechanism)m))
			return true;
	return false;
}

static enum pop3_event
auth(const struct pop3_server *s, struct pop3_request *ret)
{
	bool lists = !ret->has_mechanism;

	if (lists ? offers_any(s) : pop3_server_offers(s, ret->mechanism)) {
		const struct mechanism_row *row = mechanism_row(ret->mechanism);
		/* RFC 5034 s.4: an initial response where the server speaks first. */
		if (!lists && ret->has_text && row->first == SERVER)
			return refused(POP3_ERR_INITIAL, ret);
		return POP3_COMMAND;
	}
	bool with_tls = lists || mechanism_row(ret->mechanism)->shows == SHOWS;
	if (with_tls && !pop3_server_may_login(s))
		return refused(POP3_ERR_TLS_NEEDED, ret);
	return refused(POP3_ERR_MECHANISM, ret);
}

/* The name is kept as that of USER is, for as long as the question is open. */
static enum pop3_event
apop(struct pop3_server *s, struct pop3_request *ret)
{
	keep_user(s, ret->name);
	s->named = false;
	ret->name = (struct view){s->name, s->name_n};
	return POP3_COMMAND;
}

/* threats: before the first look at mail, so that sizes never change their meaning. */
static enum pop3_event
utf8(struct pop3_server *s, struct pop3_request *ret)
{
	if (s->touched)
		return refused(POP3_ERR_UTF8_LATE, ret);
	s->utf8 = true;
	return POP3_COMMAND;
}

static enum pop3_event
lang(struct pop3_server *s, struct pop3_request *ret)
{
	enum pop3_language l = s->options->language;

	if (!ret->has_text)
		return POP3_COMMAND;
	/* RFC 6856 s.3.2: "*" is what the operator prefers. */
	if (!view_equal(ret->text, VIEW("*")) && !pop3_language_find(ret->text, &l))
		return refused(POP3_ERR_LANG, ret);
	s->language = (uint8_t)l;
	ret->language = l;
	return POP3_COMMAND;
}

static enum pop3_event
stls(const struct pop3_server *s, struct pop3_request *ret)
{
	if (s->link.tls)
		return refused(POP3_ERR_TLS_ACTIVE, ret);
	if (!s->link.tls_available)
		return refused(POP3_ERR_TLS_NONE, ret);
	return POP3_COMMAND;
}

/* A command whose words are sound, against what went before. */
static enum pop3_event
step(struct pop3_server *s, bool named, struct pop3_request *ret)
{
	bool transaction = s->state == POP3_TRANSACTION;

	if (!is_legal_here(s, ret->command))
		return bad(s, transaction ? POP3_ERR_AFTER_LOGIN : POP3_ERR_BEFORE_LOGIN,
			ret);
	switch (ret->command) {
	case POP3_USER:
	case POP3_PASS: return user_or_pass(s, named, ret);
	case POP3_AUTH: return auth(s, ret);
	case POP3_STLS: return stls(s, ret);
	case POP3_APOP: return apop(s, ret);
	case POP3_UTF8: return utf8(s, ret);
	case POP3_LANG: return lang(s, ret);
	case POP3_QUIT: s->state = POP3_UPDATE; return POP3_COMMAND;
	case POP3_STAT:
	case POP3_LIST:
	case POP3_RETR:
	case POP3_DELE:
	case POP3_TOP:
	case POP3_UIDL: s->touched = true; return POP3_COMMAND;
	case POP3_CAPA:
	case POP3_NOOP:
	case POP3_RSET:
	case POP3_LAST:
	case POP3_XCLIENT: return POP3_COMMAND;
	case POP3_COMMANDS: break;
	}
	UNREACHABLE();
}

/* PASS with NUL is a wrong password and never a right one that was cut (wire point 46).
 */
static bool
nul_is_harmless(const struct pop3_server *s, enum parse_result parsed,
	const struct pop3_request *r)
{
	return parsed == PARSE_OK && r->command == POP3_PASS &&
		s->state == POP3_AUTHORIZATION;
}

static enum pop3_event
command(struct pop3_server *s, struct view line, struct pop3_request *ret)
{
	enum parse_result parsed = parse_command(line, ret);
	bool known = parsed != PARSE_UNKNOWN && is_command_here(s, ret->command);
	bool named = s->named;
	uint32_t bad_before = s->bad_in_row;
	enum pop3_event event;

	if (!known || command_row(ret->command)->user == FORGETS_USER)
		s->named = false;
	if (line.n > 0 && memchr(line.p, '\0', line.n) &&
		!nul_is_harmless(s, parsed, ret))
		event = bad(s, POP3_ERR_NUL, ret);
	else if (!known)
		event = bad(s, POP3_ERR_UNKNOWN, ret);
	else if (parsed == PARSE_SYNTAX)
		event = bad(s, POP3_ERR_SYNTAX, ret);
	else if (parsed == PARSE_MECHANISM && s->state == POP3_AUTHORIZATION)
		event = refused(POP3_ERR_MECHANISM, ret);
	else
		event = step(s, named, ret);
	/* The name is still needed for the answer to PASS and APOP; all else wipes it. */
	if (!s->named && (event != POP3_COMMAND || ret->name.n == 0))
		forget_user(s);
	if (s->bad_in_row == bad_before)
		s->bad_in_row = 0;
	return event;
}

static enum pop3_event
response(struct pop3_server *s, struct view line, struct pop3_request *ret)
{
	*ret = (struct pop3_request){.command = POP3_AUTH,
		.has_mechanism = true,
		.has_text = true,
		.is_response = true,
		.text = line};
	ret->mechanism = (enum pop3_mechanism)s->mechanism;
	s->state = POP3_AUTHORIZATION;
	/* RFC 5034 s.4: "*" cancels; an empty line is an empty response. */
	if (line.n == 1 && line.p[0] == '*')
		return refused(POP3_ERR_CANCELLED, ret);
	return POP3_RESPONSE;
}

/* AUTH may bring its first response along (wire point 20). */
static size_t
line_max(const struct pop3_server *s, struct view in)
{
	struct view word = VIEW("AUTH ");

	if (s->state == POP3_SASL)
		return POP3_LINE_SASL_MAX;
	if (s->state == POP3_AUTHORIZATION && in.n >= word.n &&
		ascii_equal_nocase((struct view){in.p, word.n}, word))
		return POP3_LINE_SASL_MAX;
	return POP3_LINE_MAX;
}

static enum pop3_event
too_long(struct pop3_server *s, struct pop3_request *ret)
{
	*ret = (struct pop3_request){0};
	forget_user(s);
	/* Within AUTH it is the end of that exchange. */
	if (s->state == POP3_SASL)
		s->state = POP3_AUTHORIZATION;
	return bad(s, POP3_ERR_LONG, ret);
}

enum pop3_event
pop3_server_next(struct pop3_server *s, struct view *in, struct pop3_request *ret)
{
	struct line_state lines = {s->discarded, s->discarding};
	struct view line;

	if (s->state == POP3_UPDATE)
		return POP3_NEED_INPUT;
	enum line_result got = line_next(&lines, in, line_max(s, *in), &line);
	s->discarded = lines.discarded;
	s->discarding = lines.discarding;
	switch (got) {
	case LINE_CUT: return POP3_NEED_INPUT;
	case LINE_FLOOD: return POP3_FLOOD;
	case LINE_TOO_LONG: return too_long(s, ret);
	case LINE_WHOLE: break;
	}
	return s->state == POP3_SASL ? response(s, line, ret) : command(s, line, ret);
}

void
pop3_server_challenged(struct pop3_server *s, enum pop3_mechanism m)
{
	CHECK(s->state == POP3_AUTHORIZATION);
	s->state = POP3_SASL;
	s->mechanism = (uint8_t)m;
}

void
pop3_server_logged_in(struct pop3_server *s)
{
	CHECK(s->state == POP3_AUTHORIZATION);
	forget_user(s);
	s->state = POP3_TRANSACTION;
}

void
pop3_server_login_failed(struct pop3_server *s)
{
	CHECK(s->state == POP3_AUTHORIZATION);
	forget_user(s);
}

void
pop3_server_identified(
	struct pop3_server *s, uint32_t expire_days, uint32_t login_delay_s)
{
	CHECK(s->state == POP3_AUTHORIZATION);
	s->expire_days = expire_days;
	s->login_delay_s = login_delay_s;
}

void
pop3_server_secured(struct pop3_server *s)
{
	CHECK(s->state == POP3_AUTHORIZATION);
	forget_user(s);
	begin(s);
	s->link.tls = true;
}

void
pop3_server_bound(struct pop3_server *s, bool binding, bool certificate)
{
	s->link.binding = binding;
	s->link.certificate = certificate;
}

void
pop3_server_peer_changed(struct pop3_server *s, const struct pop3_link *l)
{
	CHECK(s->state == POP3_AUTHORIZATION);
	CHECK(l->mechanisms >> POP3_MECHANISMS == 0);
	forget_user(s);
	begin(s);
	s->link = *l;
}
