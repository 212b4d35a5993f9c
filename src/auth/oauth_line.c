#include "auth/oauth_line.h"
#include "auth/gs2.h"
#include "base/ascii.h"

#include <string.h>

#define SEPARATOR 1 /* ^A */

static bool
take_to_separator(struct view *rest, struct view *ret)
{
	const uint8_t *end = rest->n > 0 ? memchr(rest->p, SEPARATOR, rest->n) : NULL;

	if (!end)
		return false;
	size_t n = (size_t)(end - rest->p);
	*ret = (struct view){rest->p, n};
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

static bool
is_letter(uint8_t c)
{
	c = ascii_lower(c);
	return c >= 'a' && c <= 'z';
}

/* VCHAR / SP / HTAB / CR / LF, and UTF-8 as some send it */
static bool
is_value_octet(uint8_t c)
{
	return (c >= 0x20 && c != 0x7F) || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 6750 s.2.1, b64token: 1*(letters, digits, - . _ ~ + /) and = at its end. */
static bool
is_token(struct view v)
{
	size_t i = 0;

	while (i < v.n &&
		(is_letter(v.p[i]) || ascii_is_digit(v.p[i]) ||
			memchr("-._~+/", v.p[i], 6)))
		i++;
	if (i == 0)
		return false;
	while (i < v.n && v.p[i] == '=')
		i++;
	return i == v.n;
}

/* "Bearer" in any case, one blank or more, the token. */
static const char *
read_auth(struct view value, struct view *ret_token)
{
	static const char scheme[] = "Bearer ";
	size_t n = sizeof(scheme) - 1;

	if (value.n < n ||
		!ascii_equal_nocase((struct view){value.p, n},
			(struct view){(const uint8_t *)scheme, n}))
		return "auth= is not of the form Bearer TOKEN";
	while (n < value.n && value.p[n] == ' ')
		n++;
	*ret_token = (struct view){value.p + n, value.n - n};
	return is_token(*ret_token) ? NULL : "the token holds what no token holds";
}

static const char *
read_pair(struct view pair, struct view *ret_token)
{
	size_t n = 0;

	while (n < pair.n && is_letter(pair.p[n]))
		n++;
	if (n == 0 || n == pair.n || pair.p[n] != '=')
		return "a pair is no key=value";
	struct view key = {pair.p, n};
	struct view value = {pair.p + n + 1, pair.n - n - 1};
	for (size_t i = 0; i < value.n; i++)
		if (!is_value_octet(value.p[i]))
			return "a value holds a control character";
	/* Others (host, port, mthd, path) say nothing to us: RFC 7628 s.3.1. */
	if (!view_equal(key, VIEW("auth")))
		return NULL;
	if (ret_token->n > 0)
		return "auth= stands twice";
	return read_auth(value, ret_token);
}

/* *kvpair kvsep, and nothing behind it */
static const char *
read_pairs(struct view rest, struct view *ret_token)
{
	struct view pair;
	const char *wrong = NULL;

	*ret_token = (struct view){rest.p, 0};
	while (take_to_separator(&rest, &pair)) {
		if (pair.n == 0)
			return rest.n > 0	   ? "something follows the end"
				: ret_token->n > 0 ? NULL
						   : "there is no auth=";
		wrong = read_pair(pair, ret_token);
		if (wrong)
			return wrong;
	}
	return "the last ^A is missing";
}

const char *
oauth_bearer_read(struct view message, struct oauth_line *ret)
{
	struct gs2_header header;

	if (message.n > OAUTH_LINE_MAX)
		return "the message is longer than 12288 octets";
	const char *wrong = gs2_header_read(&message, &header);
	if (wrong)
		return wrong;
	/* RFC 7628 s.3.1 knows no channel binding. */
	if (header.flag == 'p')
		return "channel binding with OAUTHBEARER";
	if (message.n == 0 || message.p[0] != SEPARATOR)
		return "no ^A behind the header";
	ret->name = header.authzid;
	return read_pairs((struct view){message.p + 1, message.n - 1}, &ret->token);
}

const char *
oauth_xoauth2_read(struct view message, struct oauth_line *ret)
{
	static const char key[] = "user=";
	size_t n = sizeof(key) - 1;
	struct view first;

	if (message.n > OAUTH_LINE_MAX)
		return "the message is longer than 12288 octets";
	if (!take_to_separator(&message, &first) || first.n <= n ||
		memcmp(first.p, key, n) != 0)
		return "it does not begin with user=NAME";
	ret->name = (struct view){first.p + n, first.n - n};
	return read_pairs(message, &ret->token);
}
