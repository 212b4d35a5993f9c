/*
 * login_oauth.c: OAuth tokens over SASL: OAUTHBEARER (RFC 7628) and XOAUTH2, which came
 * before it, and the error document of both in plain words.
 */
#include "base/ascii.h"
#include "base/buf.h"
#include "fetch/login_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OAUTH_USER_MAX	1024
#define OAUTH_JSON_MAX	8192
#define OAUTH_DEPTH_MAX 32
#define OAUTH_VALUE_MAX 96

/* ---- what is sent ---- */

/* RFC 5801 s.4, saslname: , and = cannot stand for themselves. */
static void
put_saslname(struct buf *b, const char *user)
{
	for (size_t i = 0; user[i] != '\0'; i++) {
		if (user[i] == ',')
			buf_put_str(b, "=2C");
		else if (user[i] == '=')
			buf_put_str(b, "=3D");
		else
			buf_put(b, user + i, 1);
	}
}

/* Tokens in use go beyond the b64token of RFC 6750 s.2.1 (* and $), but are visible. */
static bool
is_token(const struct secret *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!ascii_is_graph(t->octets[i]))
			return false;
	return t->n > 0 && t->n <= SECRET_OCTETS_MAX;
}

static bool
is_user(const char *user)
{
	size_t n = strlen(user);

	for (size_t i = 0; i < n; i++)
		if ((uint8_t)user[i] < 0x20 || user[i] == 0x7F)
			return false;
	return n > 0 && n <= OAUTH_USER_MAX;
}

int
oauth_initial(enum login_id id, const struct login_party *p, const struct secret *token,
	uint8_t **ret, size_t *ret_n, char *why, size_t why_n)
{
	struct buf b = {NULL, 0, 0, false};

	if (!token || !is_token(token)) {
		(void)snprintf(why, why_n,
			"the access token is empty or holds blanks or "
			"control characters: look at token_command");
		return -EINVAL;
	}
	if (!is_user(p->user)) {
		(void)snprintf(why, why_n,
			"the user is empty, longer than %d octets or holds "
			"control characters: correct user",
			OAUTH_USER_MAX);
		return -EINVAL;
	}
	b.cap = 3 * strlen(p->user) + strlen(p->host) + token->n + 80;
	b.p = malloc(b.cap);
	if (!b.p)
		return -ENOMEM;
	if (id == LOGIN_ID_XOAUTH2) {
		buf_put_str(&b, "user=");
		buf_put_str(&b, p->user);
	} else {
		buf_put_str(&b, "n,a=");
		put_saslname(&b, p->user);
		buf_put_str(&b, ",\1host=");
		buf_put_str(&b, p->host);
		buf_put_str(&b, "\1port=");
		buf_put_dec(&b, p->port);
	}
	buf_put_str(&b, "\1auth=Bearer ");
	buf_put(&b, token->octets, token->n);
	buf_put_str(&b, "\1\1");
	*ret = b.p;
	*ret_n = b.n;
	return 0;
}

/* ---- the error document ---- */

/* A reader of one JSON object: only texts at its first level are kept; the rest is
 * passed over. */
struct json {
	struct view in;
	bool bad;
};

struct oauth_error {
	char status[OAUTH_VALUE_MAX], schemes[OAUTH_VALUE_MAX], scope[OAUTH_VALUE_MAX];
};

static uint8_t
json_peek(struct json *j)
{
	while (j->in.n > 0 &&
		(j->in.p[0] == ' ' || j->in.p[0] == '\t' || j->in.p[0] == '\r' ||
			j->in.p[0] == '\n')) {
		j->in.p++;
		j->in.n--;
	}
	return j->in.n > 0 ? j->in.p[0] : 0;
}

static uint8_t
json_take(struct json *j)
{
	uint8_t c = 0;

	if (j->in.n == 0) {
		j->bad = true;
		return 0;
	}
	c = j->in.p[0];
	j->in.p++;
	j->in.n--;
	return c;
}

static void
json_expect(struct json *j, uint8_t c)
{
	if (json_peek(j) != c)
		j->bad = true;
	else
		(void)json_take(j);
}

/* One character of a text after its backslash; what cannot be shown is a question mark.
 */
static uint8_t
json_escaped(struct json *j)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t c = json_take(j);
	unsigned code = 0;

	if (c == '"' || c == '\\' || c == '/')
		return c;
	if (c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't')
		return ' ';
	if (c != 'u') {
		j->bad = true;
		return 0;
	}
	for (int i = 0; i < 4; i++) {
		uint8_t digit = ascii_lower(json_take(j));
		const char *at = digit ? memchr(digits, digit, 16) : NULL;

		if (!at) {
			j->bad = true;
			return 0;
		}
		code = code * 16 + (unsigned)(at - digits);
	}
	return code >= 0x20 && code < 0x7F ? (uint8_t)code : '?';
}

/* A text into ret, cut at cap. */
static void
json_text(struct json *j, char *ret, size_t cap)
{
	size_t n = 0;

	json_expect(j, '"');
	while (!j->bad) {
		uint8_t c = json_take(j);

		if (c == '"')
			break;
		if (c < 0x20) {
			j->bad = true;
			break;
		}
		if (c == '\\')
			c = json_escaped(j);
		else if (c > 0x7E)
			c = '?';
		if (n + 1 < cap)
			ret[n++] = (char)c;
	}
	ret[n] = '\0';
}

/* Numbers, words, arrays, objects: only where they end matters. */
static void
json_pass(struct json *j)
{
	char text[4];
	unsigned depth = 0;

	while (!j->bad) {
		uint8_t c = json_peek(j);

		if (depth == 0 && (c == ',' || c == '}'))
			return;
		if (c == '"') {
			json_text(j, text, sizeof(text));
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth > 0)
			depth--;
		(void)json_take(j);
		if (depth > OAUTH_DEPTH_MAX)
			j->bad = true;
	}
}

static void
json_member(struct json *j, struct oauth_error *e)
{
	char name[16], other[4];
	char *into = other;
	size_t cap = sizeof(other);

	json_text(j, name, sizeof(name));
	json_expect(j, ':');
	if (j->bad)
		return;
	if (json_peek(j) != '"') {
		json_pass(j);
		return;
	}
	if (strcmp(name, "status") == 0)
		into = e->status;
	else if (strcmp(name, "schemes") == 0)
		into = e->schemes;
	else if (strcmp(name, "scope") == 0)
		into = e->scope;
	if (into != other)
		cap = OAUTH_VALUE_MAX;
	json_text(j, into, cap);
}

/* False where it is no object, or a torn one. */
static bool
json_read(struct view in, struct oauth_error *e)
{
	struct json j = {in, in.n > OAUTH_JSON_MAX};

	json_expect(&j, '{');
	if (json_peek(&j) == '}')
		return !j.bad;
	while (!j.bad) {
		json_member(&j, e);
		if (json_peek(&j) != ',')
			break;
		(void)json_take(&j);
	}
	json_expect(&j, '}');
	return !j.bad;
}

/* Codes of RFC 6750 s.3.1, and the numbers of HTTP that XOAUTH2 uses. */
static const struct {
	const char *status, *words;
} meanings[] = {
	{"invalid_token", "the access token is wrong, has run out or was revoked"},
	{"401", "the access token is wrong, has run out or was revoked"},
	{"insufficient_scope", "the access token does not allow this"},
	{"403", "the access token does not allow this"},
	{"invalid_request", "the server did not understand the token or the user's name"},
	{"400",
		"the server takes neither this token nor this user's name together with "
		"it"},
};

void
oauth_error_words(struct view json, char *ret, size_t cap)
{
	struct oauth_error e = {.status = "", .schemes = "", .scope = ""};
	const char *words = "the server refused the access token";

	if (!json_read(json, &e)) {
		(void)snprintf(ret, cap,
			"the server refused the access token; its reason "
			"cannot be read");
		return;
	}
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(meanings[i].status, e.status) == 0)
			words = meanings[i].words;
	(void)snprintf(ret, cap, "%s%s%s%s%s%s%s%s%s", words, e.status[0] ? " (" : "",
		e.status, e.status[0] ? ")" : "",
		e.scope[0] ? "; it must have the scope " : "", e.scope,
		e.schemes[0] ? "; the server takes the schemes " : "", e.schemes,
		"; get a new one or log in anew with token_command's tool");
}
