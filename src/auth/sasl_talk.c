#include "auth/sasl_talk.h"
#include "auth/mac.h"
#include "auth/scheme_row.h"
#include "base/ascii.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

void
talk_forget(struct talk_octets *o)
{
	if (o->p)
		explicit_bzero(o->p, o->n);
	free(o->p);
	*o = (struct talk_octets){NULL, 0};
}

bool
talk_keep(struct talk_octets *o, struct view v)
{
	uint8_t *p = calloc(1, v.n + 1);

	if (!p)
		return false;
	if (v.n > 0)
		memcpy(p, v.p, v.n);
	talk_forget(o);
	*o = (struct talk_octets){p, v.n};
	return true;
}

struct view
talk_view(const struct talk_octets *o)
{
	return (struct view){o->p, o->n};
}

static void
end_with(struct sasl_talk *t, enum sasl_act act, const char *reason,
	struct sasl_result *ret)
{
	t->wait = WAIT_NOTHING;
	*ret = (struct sasl_result){
		.act = act, .name = {t->name, t->name_n}, .reason = reason};
}

void
talk_no(struct sasl_talk *t, const char *reason, struct sasl_result *ret)
{
	end_with(t, SASL_NO, reason, ret);
}

void
talk_bad(struct sasl_talk *t, const char *reason, struct sasl_result *ret)
{
	end_with(t, SASL_BAD, reason, ret);
}

void
talk_later(struct sasl_talk *t, const char *reason, struct sasl_result *ret)
{
	end_with(t, SASL_LATER, reason, ret);
}

void
talk_yes(struct sasl_talk *t, struct sasl_result *ret)
{
	if (t->name_n == 0)
		talk_no(t, "the name cannot be anybody's", ret);
	else
		end_with(t, SASL_YES, NULL, ret);
}

void
talk_say(struct sasl_talk *t, struct view octets, struct sasl_result *ret)
{
	if (!talk_keep(&t->out, octets)) {
		talk_later(t, "no memory", ret);
		return;
	}
	end_with(t, SASL_SAY, NULL, ret);
	ret->out = talk_view(&t->out);
	t->wait = WAIT_RESPONSE;
}

void
talk_ask(struct sasl_talk *t, enum sasl_act act, enum talk_wait wait, struct view secret,
	struct sasl_result *ret)
{
	if (!talk_keep(&t->in, secret)) {
		talk_later(t, "no memory", ret);
		return;
	}
	end_with(t, act, NULL, ret);
	ret->secret = talk_view(&t->in);
	t->wait = wait;
}

void
talk_check(struct sasl_talk *t, struct view secret, struct sasl_result *ret)
{
	talk_ask(t, SASL_CHECK, WAIT_CHECKED, secret, ret);
}

void
talk_user(struct sasl_talk *t, struct sasl_result *ret)
{
	end_with(t, SASL_USER, NULL, ret);
	t->wait = WAIT_USER;
}

/* What SASLprep leaves as it is (RFC 4013 s.2); control characters are prohibited. */
static bool
is_printable_ascii(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] > 0x7E)
			return false;
	return true;
}

/* The octets prepared; 0 where they cannot be, or not in so many. */
static size_t
prepare(const struct sasl *s, struct view name, uint8_t ret[SASL_NAME_MAX])
{
	/* Preparation may make it shorter, but nobody types so much. */
	char text[4 * SASL_NAME_MAX + 1];
	char *out = NULL;

	if (name.n == 0 || name.n >= sizeof(text) || memchr(name.p, 0, name.n))
		return 0;
	if (is_printable_ascii(name)) {
		if (name.n > SASL_NAME_MAX)
			return 0;
		memcpy(ret, name.p, name.n);
		return name.n;
	}
	memcpy(text, name.p, name.n);
	text[name.n] = 0;
	if (gsasl_saslprep(text, (Gsasl_saslprep_flags)s->strict, &out, NULL) != GSASL_OK)
		return 0;
	size_t n = strlen(out);
	if (n <= SASL_NAME_MAX)
		memcpy(ret, out, n);
	gsasl_free(out);
	return n <= SASL_NAME_MAX ? n : 0;
}

void
talk_name(struct sasl_talk *t, struct view name)
{
	t->name_n = prepare(t->sasl, name, t->name);
}

bool
talk_is_name(struct sasl_talk *t, struct view name)
{
	uint8_t other[SASL_NAME_MAX];
	size_t n = prepare(t->sasl, name, other);

	return n > 0 &&
		view_equal((struct view){other, n}, (struct view){t->name, t->name_n});
}

void
talk_given_name(struct sasl_talk *t, struct view name)
{
	talk_name(t, name);
	if (!talk_is_given_name(t, name))
		t->name_n = 0;
}

bool
talk_is_given_name(const struct sasl_talk *t, struct view name)
{
	return name.n > 0 && view_equal(name, (struct view){t->name, t->name_n});
}

bool
talk_password(const struct sasl_talk *t, const struct user *user, struct view *ret)
{
	if (!t->known || !user->has_stored || user->stored.scheme->verify != plain_verify)
		return false;
	*ret = (struct view){user->stored.octets, user->stored.n};
	return true;
}

bool
talk_stable(const struct sasl_talk *t, const char *what, uint8_t *p, size_t n)
{
	uint8_t mac[MAC_OCTETS];

	for (size_t at = 0; at < n; at += sizeof(mac)) {
		uint8_t number = (uint8_t)(at / sizeof(mac));
		const struct view parts[] = {
			{(const uint8_t *)what, strlen(what)},
			{t->name, t->name_n},
			{&number, 1},
		};
		if (!mac_of(t->sasl->key, parts, ARRAY_SIZE(parts), mac))
			return false;
		memcpy(p + at, mac, n - at < sizeof(mac) ? n - at : sizeof(mac));
	}
	explicit_bzero(mac, sizeof(mac));
	return true;
}

bool
talk_never(const struct sasl_talk *t, char ret[SASL_NEVER_N + 1])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t octets[SASL_NEVER_N / 2];

	if (!talk_stable(t, "never", octets, sizeof(octets)))
		return false;
	for (size_t i = 0; i < sizeof(octets); i++) {
		ret[2 * i] = digits[octets[i] >> 4];
		ret[2 * i + 1] = digits[octets[i] & 15];
	}
	ret[SASL_NEVER_N] = 0;
	explicit_bzero(octets, sizeof(octets));
	return true;
}

int
talk_library(struct sasl_talk *t, struct view response)
{
	char *out = NULL;
	size_t n = 0;

	/* The library takes what it is given for a string here and there. */
	if (!talk_keep(&t->in, response))
		return GSASL_MALLOC_ERROR;
	int code = gsasl_step(t->session, (const char *)t->in.p, t->in.n, &out, &n);
	talk_forget(&t->in);
	if (code == GSASL_OK || code == GSASL_NEEDS_MORE) {
		if (!talk_keep(&t->out, (struct view){(const uint8_t *)out, n}))
			code = GSASL_MALLOC_ERROR;
		if (out)
			explicit_bzero(out, n);
		gsasl_free(out);
	}
	return code;
}

void
talk_library_end(struct sasl_talk *t, int code, struct sasl_result *ret)
{
	if (code == GSASL_MALLOC_ERROR || code == GSASL_CRYPTO_ERROR)
		talk_later(t, "no memory", ret);
	else if (code == GSASL_AUTHENTICATION_ERROR || code == GSASL_SASLPREP_ERROR)
		talk_no(t, "password", ret);
	else
		talk_bad(t, "the response is not of the mechanism's form", ret);
}
