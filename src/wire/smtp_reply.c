/*
 * What a server says: lines, replies, the extensions of EHLO.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "wire/sasl_line.h"
#include "wire/smtp_client.h"

#include <string.h>

static enum smtp_client_event
broken(struct smtp_client *c, const char *why)
{
	c->broken = true;
	c->why = why;
	return SMTP_CLIENT_BROKEN;
}

/* ---- EHLO ------------------------------------------------------------------------- */

static const struct extension {
	uint32_t bit;
	const char *keyword;
} extensions[] = {
#define EXTENSION(name, keyword) {SMTP_##name, keyword},
#include "wire/smtp_extensions.def"
#undef EXTENSION
};

static struct view
take_word(struct view *v)
{
	struct view word;
	size_t n = 0;

	while (v->n > 0 && (*v->p == ' ' || *v->p == '\t')) {
		v->p++;
		v->n--;
	}
	while (n < v->n && v->p[n] != ' ' && v->p[n] != '\t')
		n++;
	word = (struct view){v->p, n};
	v->p += n;
	v->n -= n;
	return word;
}

/* RFC 4422 s.3.1: 1 to 20 of A-Z 0-9 - _; other words are no mechanism. */
static void
add_mechanism(struct smtp_client *c, struct view word)
{
	size_t n = c->mechanisms_n;

	if (word.n == 0 || word.n > 20 || n + word.n + 2 > sizeof(c->mechanisms))
		return;
	for (size_t i = 0; i < word.n; i++)
		if (!ascii_is_graph(word.p[i]))
			return;
	if (n > 0)
		c->mechanisms[n++] = ' ';
	for (size_t i = 0; i < word.n; i++) {
		uint8_t o = word.p[i];

		c->mechanisms[n++] = (char)(o >= 'a' && o <= 'z' ? o - 0x20 : o);
	}
	c->mechanisms[n] = '\0';
	c->mechanisms_n = (uint16_t)n;
}

static void
take_extension(struct smtp_client *c, struct view row)
{
	const struct view old_auth = VIEW("AUTH=");
	struct view word = take_word(&row);

	/* Servers that speak to old clients say AUTH=LOGIN too. */
	if (word.n >= old_auth.n &&
		ascii_equal_nocase((struct view){word.p, old_auth.n}, old_auth)) {
		c->has |= SMTP_AUTH;
		add_mechanism(c, (struct view){word.p + old_auth.n, word.n - old_auth.n});
		word.n = old_auth.n - 1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
		if (ascii_equal_nocase(word,
			    (struct view){(const uint8_t *)extensions[i].keyword,
				    strlen(extensions[i].keyword)}))
			c->has |= extensions[i].bit;
	if (ascii_equal_nocase(word, VIEW("AUTH")))
		while ((word = take_word(&row)).n > 0)
			add_mechanism(c, word);
	/* RFC 1870 s.4: absent or 0, no limit is known. */
	else if (ascii_equal_nocase(word, VIEW("SIZE")) &&
		!num_decimal(take_word(&row), UINT64_MAX, &c->size_limit))
		c->size_limit = 0;
}

/* ---- lines --------------------------------------------------------------------------
 */

static void
add_words(struct smtp_client *c, struct view text)
{
	if (c->words_n > 0 && c->words_n < SMTP_WORDS_MAX)
		c->words[c->words_n++] = ' ';
	for (size_t i = 0; i < text.n && c->words_n < SMTP_WORDS_MAX; i++)
		c->words[c->words_n++] =
			text.p[i] >= 0x20 && text.p[i] < 0x7F ? (char)text.p[i] : '?';
	c->words[c->words_n] = '\0';
}

/* Up to three digits and what ends them; false: there is no number. */
static bool
take_number(struct view *v, uint16_t *ret)
{
	size_t n = 0;
	uint64_t value;

	while (n < v->n && n < 4 && ascii_is_digit(v->p[n]))
		n++;
	if (n > 3 || !num_decimal((struct view){v->p, n}, 999, &value))
		return false;
	*ret = (uint16_t)value;
	v->p += n;
	v->n -= n;
	return true;
}

static bool
take_dot(struct view *v)
{
	if (v->n == 0 || *v->p != '.')
		return false;
	v->p++;
	v->n--;
	return true;
}

/* RFC 3463 s.2: class.subject.detail, where the class is the reply's. */
static void
take_enhanced(struct smtp_client *c, struct view *text)
{
	struct view v = *text;
	uint16_t class, subject, detail;

	if (!take_number(&v, &class) || class != c->code / 100 || !take_dot(&v) ||
		!take_number(&v, &subject) || subject > 255 || !take_dot(&v) ||
		!take_number(&v, &detail) || (v.n > 0 && *v.p != ' '))
		return;
	if (c->lines > 0) {
		/* The first line has it. */
		*text = (struct view){v.p + (v.n > 0), v.n - (v.n > 0)};
		return;
	}
	c->enhanced[0] = (uint8_t) class;
	c->enhanced[1] = (uint8_t)subject;
	c->detail = detail;
}

/* RFC 5321 s.4.2: three digits, then a hyphen where more lines follow. */
static bool
take_code(const struct smtp_client *c, uint16_t *ret, bool *ret_more)
{
	const uint8_t *p = c->line;

	if (c->line_n < 3 || p[0] < '2' || p[0] > '5' || p[1] < '0' || p[1] > '9' ||
		p[2] < '0' || p[2] > '9')
		return false;
	if (c->line_n > 3 && p[3] != ' ' && p[3] != '-')
		return false;
	*ret = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	*ret_more = c->line_n > 3 && p[3] == '-';
	return true;
}

static enum smtp_command
asked(const struct smtp_client *c)
{
	return c->count > 0 ? (enum smtp_command)c->flight[c->first] : SMTP_UNASKED;
}

/* A line is in c->line. NEED_INPUT: more of this reply must come. */
static enum smtp_client_event
take_line(struct smtp_client *c)
{
	uint16_t code = 0;
	bool more = false;

	if (!take_code(c, &code, &more))
		return broken(c, "the server sends what is no reply");
	if (c->lines == 0) {
		c->code = code;
		c->words_n = 0;
		c->enhanced[0] = c->enhanced[1] = 0;
		c->detail = 0;
		add_words(c, (struct view){c->line, 3});
	} else if (code != c->code) {
		return broken(c, "the server changes the code within a reply");
	}
	if (++c->lines > SMTP_REPLY_LINES)
		return broken(c, "the server's reply does not end");
	struct view text = {c->line + 4, c->line_n > 4 ? c->line_n - 4U : 0};
	if (asked(c) == SMTP_EHLO && code == 250 && c->extended && c->lines > 1)
		take_extension(c, text);
	c->lines--;
	take_enhanced(c, &text);
	c->lines++;
	text = ascii_trim_end(text);
	if (text.n > 0)
		add_words(c, text);
	return more ? SMTP_CLIENT_NEED_INPUT : SMTP_CLIENT_REPLY;
}

static enum smtp_client_event
challenge(struct smtp_client *c, struct smtp_reply *ret)
{
	struct view text = {c->line + 4, c->line_n > 4 ? c->line_n - 4U : 0};
	struct buf out = buf_over(c->challenge, sizeof(c->challenge));

	/* RFC 4954 s.4: one line. */
	if (c->lines > 1)
		return broken(c, "the server's challenge has more than one line");
	ret->bad64 = !base64_decode(text, &out) || out.full;
	ret->challenge = ret->bad64 ? (struct view){c->challenge, 0} : buf_view(&out);
	return SMTP_CLIENT_CHALLENGE;
}

/* The reply is whole; it leaves the flight. */
static enum smtp_client_event
finish(struct smtp_client *c, struct smtp_reply *ret)
{
	enum smtp_command command = asked(c);
	enum smtp_client_event e = SMTP_CLIENT_REPLY;

	if (command == SMTP_UNASKED && c->code != 421)
		return broken(c, "the server answers what was not asked");
	*ret = (struct smtp_reply){.command = command,
		.code = c->code,
		.enhanced = {c->enhanced[0], c->enhanced[1]},
		.detail = c->detail,
		.words = c->words};
	if (c->code >= 300 && c->code < 400) {
		if (command == SMTP_LOGIN && c->code == 334)
			e = challenge(c, ret);
		else if (command != SMTP_DATA || c->code != 354)
			return broken(c, "the server asks for what was not offered");
	} else if (command == SMTP_DATA && c->code < 400) {
		return broken(
			c, "the server answers DATA with neither 354 nor a refusal");
	}
	if (command != SMTP_UNASKED) {
		c->first = (uint8_t)((c->first + 1) % SMTP_FLIGHT_MAX);
		c->count--;
	}
	c->closed_group = c->closed_group && c->count > 0;
	c->lines = 0;
	if (command == SMTP_LOGIN && e == SMTP_CLIENT_REPLY)
		c->in_login = false;
	c->securing = command == SMTP_TLS && c->code == 220;
	return e;
}

enum smtp_client_event
smtp_client_next(struct smtp_client *c, struct view *in, struct smtp_reply *ret)
{
	while (!c->broken && in->n > 0) {
		/* RFC 3207 s.6: somebody on the way may have put it there. */
		if (c->securing) {
			(void)broken(c, "the server sends plain text behind STARTTLS");
			break;
		}
		uint8_t o = *in->p++;
		in->n--;
		if (o != '\n') {
			if (c->line_n == SMTP_LINE_MAX)
				(void)broken(c, "the server's line does not end");
			else
				c->line[c->line_n++] = o;
			continue;
		}
		if (c->line_n == 0 || c->line[c->line_n - 1] != '\r') {
			(void)broken(c, "the server ends a line without CR");
			break;
		}
		c->line_n--;
		enum smtp_client_event e = take_line(c);
		if (e == SMTP_CLIENT_REPLY)
			e = finish(c, ret);
		c->line_n = 0;
		if (e == SMTP_CLIENT_REPLY || e == SMTP_CLIENT_CHALLENGE)
			return e;
	}
	if (!c->broken)
		return SMTP_CLIENT_NEED_INPUT;
	*ret = (struct smtp_reply){.command = asked(c), .words = "", .why = c->why};
	return SMTP_CLIENT_BROKEN;
}

/* ---- what it means ------------------------------------------------------------------
 */

static bool
is_enhanced(const struct smtp_reply *r, uint8_t subject, uint16_t detail)
{
	return r->enhanced[0] == 5 && r->enhanced[1] == subject && r->detail == detail;
}

/*
 * A mailbox or a system that is full has room some day (RFC 3463 s.3.3, s.3.4), whatever
 * class the server puts it in. 552 says that of itself (RFC 5321 s.4.2.3), unless its
 * enhanced code is about something else: the message's length, or what is in it.
 */
static bool
is_full(const struct smtp_reply *r)
{
	return is_enhanced(r, 2, 2) || is_enhanced(r, 3, 1) ||
		(r->code == 552 &&
			(r->enhanced[1] == 0 ||
				(r->enhanced[1] == 2 && !is_enhanced(r, 2, 3))));
}

enum smtp_meaning
smtp_reply_meaning(const struct smtp_reply *r)
{
	if (r->code < 400)
		return SMTP_YES;
	if (r->code < 500)
		return SMTP_LATER;
	switch (r->command) {
	case SMTP_MAIL:
		/* The sender is always the same: only its size can be this message's
		 * own fault (RFC 1870 s.6.1, RFC 3463 s.3.4). */
		return r->code == 552 || is_enhanced(r, 3, 4) || is_enhanced(r, 2, 3)
			? SMTP_NEVER
			: SMTP_CONFIGURED;
	case SMTP_RCPT:
	case SMTP_DATA:
	case SMTP_BODY:
		if (is_full(r))
			return SMTP_LATER;
		/* 500 to 504: syntax and sequence; 521, 530, 534, 535, 538: hosts and
		 * logins; 555: parameters (RFC 5321 s.4.2.3, RFC 4954 s.6). */
		return r->code < 550 || r->code == 555 ? SMTP_CONFIGURED : SMTP_NEVER;
	case SMTP_GREETING:
	case SMTP_EHLO:
	case SMTP_TLS:
	case SMTP_LOGIN:
	case SMTP_RSET:
	case SMTP_NOOP:
	case SMTP_QUIT:
	case SMTP_UNASKED: break;
	}
	return SMTP_CONFIGURED;
}
