/* oauth_claims.c: what a token must say. Its octets were believed before; these are
 * rules. */
#include "base/ascii.h"
#include "base/check.h"
#include "helper/oauth.h"

#include <math.h>
#include <string.h>

#define NAME_MAX_OCTETS 255

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

static bool
is_between(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

bool
oauth_words_read(const char *text, struct oauth_words *ret)
{
	*ret = (struct oauth_words){.n = 0};
	for (;;) {
		while (is_between(*text))
			text++;
		if (*text == '\0')
			return true;
		if (ret->n == OAUTH_WORDS_MAX)
			return false;
		size_t n = 0;
		while (text[n] != '\0' && !is_between(text[n]))
			n++;
		ret->of[ret->n++] = (struct view){(const uint8_t *)text, n};
		text += n;
	}
}

static bool
is_one_of(const struct oauth_words *words, const json_t *value)
{
	const char *text = json_string_value(value);

	for (size_t i = 0; text && i < words->n; i++)
		if (view_equal(words->of[i], view_of(text)))
			return true;
	return false;
}

/* RFC 7519 s.4.1.3: one text, or several. */
static bool
audience_is_ours(const json_t *aud, const struct oauth_words *ours)
{
	const json_t *one;
	size_t i;

	if (!json_is_array(aud))
		return is_one_of(ours, aud);
	json_array_foreach(aud, i, one) if (is_one_of(ours, one)) return true;
	return false;
}

/* RFC 6749 s.3.3: words with one space between them; some providers write a list. */
static bool
has_scope(const json_t *scope, struct view wanted)
{
	const json_t *one;
	size_t i;

	if (json_is_array(scope)) {
		json_array_foreach(scope, i, one) if (json_is_string(one) &&
			view_equal(view_of(json_string_value(one)), wanted)) return true;
		return false;
	}
	const char *text = json_string_value(scope);
	while (text && *text != '\0') {
		size_t n = strcspn(text, " ");
		if (view_equal((struct view){(const uint8_t *)text, n}, wanted))
			return true;
		text += n + (text[n] == ' ');
	}
	return false;
}

static const char *
check_scopes(const json_t *claims, const struct oauth_rules *rules)
{
	const json_t *scope = json_object_get(claims, "scope");

	if (!scope)
		scope = json_object_get(claims, "scp");
	for (size_t i = 0; i < rules->scopes.n; i++)
		if (!has_scope(scope, rules->scopes.of[i]))
			return "the token lacks a scope of oauth_scope";
	return NULL;
}

/* RFC 7519 s.2, NumericDate: seconds, maybe with a fraction. */
static bool
read_time(const json_t *claims, const char *name, bool *ret_there, uint64_t *ret)
{
	const json_t *value = json_object_get(claims, name);
	double seconds = json_number_value(value);

	*ret_there = value != NULL;
	*ret = 0;
	if (!value)
		return true;
	if (!json_is_number(value) ||
		!(seconds >= 0 && seconds <= (double)OAUTH_SECONDS_MAX))
		return false;
	*ret = (uint64_t)seconds;
	return true;
}

static const char *
check_times(const json_t *claims, bool must_expire, uint64_t now_s, uint32_t *ret_valid_s)
{
	uint64_t exp, nbf, iat;
	bool has_exp, has_nbf, has_iat;

	if (!read_time(claims, "exp", &has_exp, &exp) ||
		!read_time(claims, "nbf", &has_nbf, &nbf) ||
		!read_time(claims, "iat", &has_iat, &iat))
		return "a time of the token is no number of seconds";
	if (!has_exp && must_expire)
		return "the token never runs out (it has no exp)";
	if (has_exp && now_s >= exp + OAUTH_LEEWAY_S)
		return "the token has run out";
	if (has_nbf && nbf > now_s + OAUTH_LEEWAY_S)
		return "the token is not valid yet";
	if (has_iat && iat > now_s + OAUTH_LEEWAY_S)
		return "the token was issued in the future: look at the clocks";
	uint64_t left = has_exp && exp > now_s ? exp - now_s : 0;
	*ret_valid_s = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
	return NULL;
}

/* True where the provider says anything but yes; some say it as a text. */
static bool
is_unverified(const json_t *claims)
{
	const json_t *verified = json_object_get(claims, "email_verified");
	const char *text = json_string_value(verified);

	return verified && !json_is_true(verified) &&
		!(text && strcmp(text, "true") == 0);
}

static const char *
put_name(const json_t *claims, struct view claim, struct buf *ret)
{
	const char *text = json_string_value(
		json_object_getn(claims, (const char *)claim.p, claim.n));
	size_t n = text ? strlen(text) : 0;

	if (n == 0 || n > NAME_MAX_OCTETS)
		return "the claim with the user's name is no text of 1 to 255 octets";
	for (size_t i = 0; i < n; i++)
		if ((uint8_t)text[i] <= 0x20 || text[i] == 0x7F || text[i] == ':')
			return "the user's name in the token holds blanks, colons or "
			       "control "
			       "characters";
	/* An address that anybody may have typed in names nobody. */
	if (view_equal(claim, VIEW("email")) && is_unverified(claims))
		return "the identity provider did not verify the token's email address";
	buf_put(ret, text, n);
	return ret->full ? "the user's name in the token is too long" : NULL;
}

static const char *
check_name(const json_t *claims, const struct oauth_rules *rules, struct buf *ret)
{
	for (size_t i = 0; i < rules->user_claims.n; i++) {
		struct view claim = rules->user_claims.of[i];
		if (json_object_getn(claims, (const char *)claim.p, claim.n))
			return put_name(claims, claim, ret);
	}
	return "the token has no claim of oauth_user_claim";
}

const char *
oauth_claims_check(const json_t *claims, const struct oauth_rules *rules,
	bool must_expire, uint64_t now_s, struct buf *ret_name, uint32_t *ret_valid_s)
{
	const char *iss = json_string_value(json_object_get(claims, "iss"));
	const char *wrong = NULL;

	CHECK(rules->user_claims.n > 0);
	if (rules->issuer.n > 0 && (!iss || !view_equal(rules->issuer, view_of(iss))))
		return "the token is of another issuer than oauth_issuer";
	if (rules->audiences.n > 0 &&
		!audience_is_ours(json_object_get(claims, "aud"), &rules->audiences))
		return "the token is for another audience than oauth_audience";
	wrong = check_times(claims, must_expire, now_s, ret_valid_s);
	if (!wrong)
		wrong = check_scopes(claims, rules);
	return wrong ? wrong : check_name(claims, rules, ret_name);
}
