/*
 * krb5_gssapi.c: the mechanism GSSAPI (RFC 4752), by GNU SASL. No security layer is ever
 * agreed upon: TLS is one.
 */
#include "base/ascii.h"
#include "base/check.h"
#include "helper/krb5_parts.h"
#include "os/clock.h"

#include <stdlib.h>
#include <string.h>

/* ---- the library's questions ---------------------------------------------------------
 */

static bool
keep(char ret[KRB5_DISPLAY_MAX], const char *text)
{
	size_t n = strlen(text);

	if (n >= KRB5_DISPLAY_MAX)
		return false;
	memcpy(ret, text, n + 1);
	return true;
}

/* Only keeps who it is; whether that is a user is judged afterwards. */
static int
take_names(struct krb5_talk *t, Gsasl_session *s)
{
	const char *display = gsasl_property_fast(s, GSASL_GSSAPI_DISPLAY_NAME);
	const char *authzid = gsasl_property_fast(s, GSASL_AUTHZID);

	if (!t || !display || !keep(t->display, display) ||
		!keep(t->authzid, authzid ? authzid : ""))
		return GSASL_AUTHENTICATION_ERROR;
	t->is_named = true;
	return GSASL_OK;
}

static int
callback(Gsasl *gsasl, Gsasl_session *s, Gsasl_property property)
{
	const struct krb5_helper *k = gsasl_callback_hook_get(gsasl);
	const char *value = property == GSASL_SERVICE ? KRB5_SERVICE
		: property == GSASL_HOSTNAME	      ? k->hostname
						      : NULL;

	if (property == GSASL_VALIDATE_GSSAPI)
		return take_names(gsasl_session_hook_get(s), s);
	return value ? gsasl_property_set(s, property, value) : GSASL_NO_CALLBACK;
}

/* ---- start ---------------------------------------------------------------------------
 */

const char *
krb5_gssapi_start(struct helper *h, struct krb5_helper *k)
{
	Gsasl_session *s = NULL;
	int e = gsasl_init(&k->gsasl);

	if (e != GSASL_OK)
		return helper_why(h, "GNU SASL cannot be started: %s", gsasl_strerror(e));
	gsasl_callback_hook_set(k->gsasl, k);
	gsasl_callback_set(k->gsasl, callback);
	/* GSSAPI and Kerberos are loaded by their first use. */
	e = gsasl_server_start(k->gsasl, "GSSAPI", &s);
	gsasl_finish(s);
	if (e == GSASL_UNKNOWN_MECHANISM)
		return "GNU SASL has no GSSAPI here: install libgssapi-krb5-2";
	if (e != GSASL_OK)
		return helper_why(h, "GSSAPI cannot be started with krb5_keytab: %s",
			gsasl_strerror(e));
	return NULL;
}

/* ---- conversations -------------------------------------------------------------------
 */

static void
drop(struct krb5_talk *t)
{
	gsasl_finish(t->session);
	explicit_bzero(t, sizeof(*t));
}

static struct krb5_talk *
find(struct krb5_helper *k, uint64_t number)
{
	for (size_t i = 0; i < KRB5_TALKS_MAX; i++)
		if (k->talks[i].number == number)
			return &k->talks[i];
	return NULL;
}

void
krb5_gssapi_end(struct krb5_helper *k, uint64_t talk)
{
	struct krb5_talk *t = talk ? find(k, talk) : NULL;

	if (t)
		drop(t);
}

void
krb5_gssapi_sweep(struct krb5_helper *k, bool all)
{
	uint64_t now_ms = clock_ms();

	for (size_t i = 0; i < KRB5_TALKS_MAX; i++)
		if (k->talks[i].number && (all || now_ms >= k->talks[i].until_ms))
			drop(&k->talks[i]);
}

/* A free place; where there is none, that of the oldest, who had time enough. */
static struct krb5_talk *
place(struct krb5_helper *k)
{
	struct krb5_talk *oldest = &k->talks[0];

	for (size_t i = 0; i < KRB5_TALKS_MAX; i++) {
		if (k->talks[i].number == 0)
			return &k->talks[i];
		if (k->talks[i].until_ms < oldest->until_ms)
			oldest = &k->talks[i];
	}
	drop(oldest);
	return oldest;
}

static struct krb5_talk *
begin(struct krb5_helper *k, uint64_t number)
{
	struct krb5_talk *t = place(k);

	if (gsasl_server_start(k->gsasl, "GSSAPI", &t->session) != GSASL_OK)
		return NULL;
	t->number = number;
	t->until_ms = clock_ms() + KRB5_TALK_MS;
	gsasl_session_hook_set(t->session, t);
	return t;
}

/* ---- the end of one ------------------------------------------------------------------
 */

/* RFC 4752 s.3.1: who the client wants to be must be who it is. */
static const char *
check_authzid(const struct krb5_talk *t, struct view name)
{
	struct view authzid = {(const uint8_t *)t->authzid, strlen(t->authzid)};
	struct view display = {(const uint8_t *)t->display, strlen(t->display)};

	if (authzid.n == 0 || view_equal(authzid, name) || view_equal(authzid, display))
		return NULL;
	return "the client wants to be another user than the ticket's";
}

static const char *
name_of(const struct krb5_helper *k, const struct krb5_talk *t, struct buf *ret)
{
	krb5_principal principal = NULL;

	if (!t->is_named)
		return "GNU SASL did not say who the ticket is of";
	/* Without a realm in it, it would get our own: no name of Kerberos is like that.
	 */
	if (krb5_parse_name_flags(k->context, t->display,
		    KRB5_PRINCIPAL_PARSE_REQUIRE_REALM, &principal) != 0)
		return "the ticket's principal cannot be read";
	const char *wrong = krb5_user_of(k, principal, ret);
	krb5_free_principal(k->context, principal);
	return wrong ? wrong : check_authzid(t, buf_view(ret));
}

static void
finish(const struct krb5_helper *k, const struct krb5_talk *t, struct helper_answer *ret)
{
	ret->reason = name_of(k, t, &ret->name);
	ret->outcome = ret->reason ? ANSWER_WRONG : ANSWER_NAME;
	if (ret->reason)
		ret->name.n = 0;
}

void
krb5_gssapi_step(
	struct krb5_helper *k, const struct helper_ask *a, struct helper_answer *ret)
{
	struct krb5_talk *t = a->talk ? find(k, a->talk) : NULL;
	char *out = NULL;
	size_t out_n = 0;

	krb5_gssapi_sweep(k, false);
	if (t && t->number == 0)
		t = NULL;
	if (!t && a->talk)
		t = begin(k, a->talk);
	if (!t) {
		ret->reason =
			"no conversation of GSSAPI can be begun: look at krb5_keytab";
		return;
	}
	int e = gsasl_step(
		t->session, (const char *)a->secret.p, a->secret.n, &out, &out_n);
	if (out)
		buf_put(&ret->octets, out, out_n);
	gsasl_free(out);
	if (e == GSASL_NEEDS_MORE) {
		ret->outcome = ANSWER_CHALLENGE;
		return;
	}
	if (e == GSASL_OK) {
		finish(k, t, ret);
	} else {
		ret->outcome = ANSWER_WRONG;
		ret->reason = gsasl_strerror(e);
	}
	if (ret->outcome == ANSWER_WRONG)
		ret->octets.n = 0;
	drop(t);
}
