/*
 * restante-auth-oauth: whose an OAuth token is. It knows no users: it says a name, and
 * auth asks the databases for it.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"
#include "helper/helper.h"
#include "helper/helper_file.h"
#include "helper/oauth.h"

#include <stdlib.h>
#include <string.h>

struct oauth {
	struct oauth_rules rules;
	struct oauth_http *http;
	struct oauth_jwks jwks;
	struct oauth_introspection introspection;
	bool introspects;
};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/* ---- settings ------------------------------------------------------------------------
 */

/* As an option of type DURATION is written. */
static uint64_t
duration_ms(const char *text)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = strspn(text, "0123456789");
	uint64_t n = 0;

	if (!num_decimal((struct view){(const uint8_t *)text, digits}, 86400000, &n))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(text + digits, units[i].unit) == 0)
			return n * units[i].ms;
	return n;
}

static const char *
read_rules(struct helper *h, struct oauth_rules *r)
{
	r->issuer = view_of(helper_setting(h, "oauth_issuer"));
	if (!oauth_words_read(helper_setting(h, "oauth_audience"), &r->audiences) ||
		!oauth_words_read(helper_setting(h, "oauth_scope"), &r->scopes) ||
		!oauth_words_read(helper_setting(h, "oauth_user_claim"), &r->user_claims))
		return "oauth_audience, oauth_scope or oauth_user_claim has more than 16 "
		       "words";
	if (r->user_claims.n == 0)
		return "oauth_user_claim is empty: name the claim that holds the user's "
		       "name";
	return NULL;
}

/* Whoever signs tokens for others too must not open our doors with theirs. */
static const char *
check_rules(const struct oauth *o)
{
	const struct oauth_rules *r = &o->rules;

	if (o->introspects && r->audiences.n == 0 && r->scopes.n == 0)
		return "oauth_introspection needs oauth_audience or oauth_scope: without "
		       "them "
		       "any program's token would do";
	if (!o->introspects && (r->issuer.n == 0 || r->audiences.n == 0))
		return "oauth_jwks needs oauth_issuer and oauth_audience";
	return NULL;
}

/* One that others can read is none; the rule is helper_file.c's. */
static const char *
read_secret(struct helper *h, char **ret)
{
	char *secret = calloc(1, HELPER_PASSWORD_MAX + 1);

	if (!secret)
		return "there is no memory";
	*ret = secret;
	return helper_password(h, "oauth_secret_file", secret);
}

static const char *
set_introspection(struct helper *h, struct oauth *o, const char *url)
{
	o->introspects = true;
	o->introspection = (struct oauth_introspection){.http = o->http,
		.url = url,
		.client = helper_setting(h, "oauth_client_id")};
	if (!oauth_http_may(url))
		return "oauth_introspection must be an https URL (http for loopback "
		       "addresses "
		       "alone), without user and fragment";
	return read_secret(h, &o->introspection.secret);
}

static const char *
set_jwks(struct helper *h, struct oauth *o, const char *where)
{
	o->jwks = (struct oauth_jwks){.helper = h,
		.where = where,
		.http = o->http,
		.lifetime_ms = duration_ms(helper_setting(h, "oauth_jwks_cache"))};
	if (where[0] != '/' && !oauth_http_may(where))
		return "oauth_jwks must be an absolute path or an https URL (http for "
		       "loopback "
		       "addresses alone), without user and fragment";
	return o->jwks.lifetime_ms > 0 ? NULL : "oauth_jwks_cache must not be 0";
}

static const char *
prepare(struct helper *h)
{
	const char *where = helper_setting(h, "oauth_jwks");
	const char *url = helper_setting(h, "oauth_introspection");
	/* A request leaves time for the answer to reach auth. */
	uint64_t timeout_ms = (uint64_t)helper_timeout_ms(h) * 8 / 10;
	struct oauth *o = calloc(1, sizeof(*o));

	if (!o)
		return "there is no memory";
	helper_keep(h, o);
	json_object_seed(0);
	const char *why = read_rules(h, &o->rules);
	if (!why && (*where == '\0') == (*url == '\0'))
		why = "set either oauth_jwks or oauth_introspection";
	if (!why)
		why = oauth_http_start(h, helper_setting(h, "oauth_ca"),
			timeout_ms ? timeout_ms : 1, &o->http);
	if (!why)
		why = *url ? set_introspection(h, o, url) : set_jwks(h, o, where);
	return why ? why : check_rules(o);
}

/* ---- questions -----------------------------------------------------------------------
 */

static void
token(struct oauth *o, const struct helper_ask *a, struct helper_answer *ret)
{
	enum oauth_end end = o->introspects
		? oauth_introspect(&o->introspection, a->secret, &o->rules, &ret->name,
			  &ret->valid_s, &ret->reason)
		: oauth_jwks_check(&o->jwks, a->secret, &o->rules, &ret->name,
			  &ret->valid_s, &ret->reason);

	switch (end) {
	case OAUTH_NO_ANSWER: ret->outcome = ANSWER_TEMPORARY; break;
	case OAUTH_REFUSED: ret->outcome = ANSWER_WRONG; break;
	case OAUTH_GOOD:
		ret->outcome = ANSWER_NAME;
		ret->reason = NULL;
		/* RFC 7628 s.3.1: who a client says it is must be who the token says. */
		if (a->name.n > 0 && !view_equal(a->name, buf_view(&ret->name))) {
			ret->outcome = ANSWER_WRONG;
			ret->reason = "the token is another user's than the client says";
		}
		break;
	}
	if (ret->outcome != ANSWER_NAME) {
		ret->name.n = 0;
		ret->valid_s = 0;
	}
}

static void
ask(struct helper *h, const struct helper_ask *a, struct helper_answer *ret)
{
	if (a->kind == ASK_TOKEN) {
		token(helper_state(h), a, ret);
		return;
	}
	ret->outcome = ANSWER_NO_USER;
	ret->reason = "restante-auth-oauth answers for tokens alone";
}

static void
idle(struct helper *h)
{
	struct oauth *o = helper_state(h);

	if (!o->introspects)
		oauth_jwks_idle(&o->jwks);
}

int
main(void)
{
	static const struct helper_ops ops = {.backend = BACKEND_OAUTH,
		.name = "oauth",
		.prepare = prepare,
		.ask = ask,
		.idle = idle};

	return helper_main(&ops);
}
