/* oauth_introspect.c: the identity provider is asked about each token (RFC 7662). */
#include "base/ascii.h"
#include "base/check.h"
#include "helper/helper.h"
#include "helper/oauth.h"
#include "helper/oauth_jws.h"
#include "os/clock.h"
#include "os/fd.h"

#include <string.h>

#define FORM_MAX 40960 /* a token of HELPER_OCTETS_MAX, all of it escaped */
#define WORD_MAX 1024

/* application/x-www-form-urlencoded, on the safe side: only what never needs it stays. */
static void
put_escaped(struct buf *b, struct view text)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i], low = ascii_lower(c);
		if ((low >= 'a' && low <= 'z') || ascii_is_digit(c) || c == '-' ||
			c == '.' || c == '_' || c == '~') {
			buf_put_u8(b, c);
			continue;
		}
		buf_put_u8(b, '%');
		buf_put_u8(b, (uint8_t)digits[c >> 4]);
		buf_put_u8(b, (uint8_t)digits[c & 15]);
	}
}

/* RFC 6749 s.2.3.1: both are escaped before they become a user and a password. */
static bool
escape_word(const char *text, char *ret)
{
	struct buf b = buf_over((uint8_t *)ret, WORD_MAX - 1);

	put_escaped(&b, (struct view){(const uint8_t *)text, strlen(text)});
	ret[b.n] = '\0';
	return !b.full;
}

static const char *
ask(struct oauth_introspection *i, struct view token, json_t **ret)
{
	char client[WORD_MAX], secret[WORD_MAX];
	uint8_t form[FORM_MAX];
	struct buf b = buf_over(form, sizeof(form));
	AUTO_FREE uint8_t *body = NULL;
	size_t n = 0;

	buf_put_str(&b, "token_type_hint=access_token&token=");
	put_escaped(&b, token);
	if (b.full || !escape_word(i->client, client) || !escape_word(i->secret, secret))
		return "oauth_client_id, its secret or the token is too long";
	struct oauth_request r = {.url = i->url, .form = buf_view(&b)};
	if (*client) {
		r.user = client;
		r.password = secret;
	}
	const char *why = oauth_http_ask(i->http, &r, &body, &n);
	explicit_bzero(form, sizeof(form));
	explicit_bzero(secret, sizeof(secret));
	if (why)
		return why;
	*ret = oauth_json_object((struct view){body, n});
	return *ret ? NULL : "its answer is no JSON object";
}

/* Visible characters: anything else is no token, and is not sent about. */
static bool
is_token(struct view token)
{
	for (size_t i = 0; i < token.n; i++)
		if (!ascii_is_graph(token.p[i]))
			return false;
	return token.n > 0;
}

enum oauth_end
oauth_introspect(struct oauth_introspection *i, struct view token,
	const struct oauth_rules *rules, struct buf *ret_name, uint32_t *ret_valid_s,
	const char **ret_reason)
{
	json_t *claims = NULL;

	*ret_reason = "the token is empty or holds blanks or control characters";
	if (!is_token(token))
		return OAUTH_REFUSED;
	const char *why = ask(i, token, &claims);
	if (why) {
		if (!i->is_down)
			helper_log("oauth_introspection",
				"the identity provider does not answer as it should",
				why);
		i->is_down = true;
		*ret_reason = "the identity provider does not answer as it should";
		return OAUTH_NO_ANSWER;
	}
	i->is_down = false;
	/* RFC 7662 s.2.2: nothing else says that it is good. */
	if (!json_is_true(json_object_get(claims, "active")))
		*ret_reason = "the identity provider says that the token is not active";
	else
		*ret_reason = oauth_claims_check(
			claims, rules, false, clock_unix_s(), ret_name, ret_valid_s);
	json_decref(claims);
	return *ret_reason ? OAUTH_REFUSED : OAUTH_GOOD;
}
