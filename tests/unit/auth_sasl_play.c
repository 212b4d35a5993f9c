#include "unit.h"

#include "auth_sasl_play.h"
#include "base/ascii.h"

#include <gsasl.h>
#include <stdlib.h>
#include <string.h>

#define OCTETS_MAX 16384

struct sasl *
play_sasl(void)
{
	static const uint8_t key[32] = {7, 1, 3};
	struct sasl *s = sasl_new(VIEW("pop.example.org"), VIEW(""), key);

	assert_non_null(s);
	return s;
}

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

void
play_stored(const char *text, struct user *ret)
{
	struct view name;

	memset(ret, 0, sizeof(*ret));
	ret->has_stored = true;
	assert_int_equal(scheme_read(view_of(text), &ret->stored, &name), SCHEME_OK);
}

void
play_settle(struct sasl_talk *t, const struct play_user *u, struct sasl_result *r)
{
	struct user user;
	struct scheme_work *w = scheme_work_new();

	assert_non_null(w);
	while (r->act == SASL_CHECK || r->act == SASL_USER || r->act == SASL_DERIVE) {
		bool known = r->name.n > 0 && view_equal(r->name, view_of(u->name));
		play_stored(known || !u->dummy ? u->stored : u->dummy, &user);
		user.policy.apop = u->apop;
		if (known && u->certificate) {
			user.policy.certificates_n = 2;
			memcpy(user.policy.certificates[1], u->certificate, 32);
		}
		if (r->act == SASL_USER) {
			sasl_user(t, known, &user, r);
		} else if (r->act == SASL_DERIVE) {
			sasl_derive(t);
			sasl_derived(t, r);
		} else {
			enum scheme_answer a = scheme_verify(&user.stored, r->secret, w);
			sasl_checked(t, known ? a : SCHEME_NO, r);
		}
	}
	scheme_work_free(&w);
}

static Gsasl_session *
begin_client(Gsasl *library, const struct play_client *c)
{
	Gsasl_session *session;

	assert_int_equal(gsasl_client_start(library, c->gsasl_name, &session), GSASL_OK);
	gsasl_property_set(session, GSASL_AUTHID, c->name);
	if (c->authzid)
		gsasl_property_set(session, GSASL_AUTHZID, c->authzid);
	if (c->password)
		gsasl_property_set(session, GSASL_PASSWORD, c->password);
	if (c->exporter)
		gsasl_property_set(session, GSASL_CB_TLS_EXPORTER, c->exporter);
	if (c->unique)
		gsasl_property_set(session, GSASL_CB_TLS_UNIQUE, c->unique);
	return session;
}

/* What the client says to it; false where it gives up. */
static bool
client_says(Gsasl_session *session, struct view challenge, uint8_t *octets, size_t *n,
	bool *content)
{
	char *out = NULL;
	char text[2048];

	assert_true(challenge.n < sizeof(text));
	if (challenge.n > 0)
		memcpy(text, challenge.p, challenge.n);
	text[challenge.n] = 0;
	*n = 0;
	/* After its last word nothing is left but to agree. */
	int code = *content ? GSASL_OK : gsasl_step(session, text, challenge.n, &out, n);
	if (code != GSASL_OK && code != GSASL_NEEDS_MORE)
		return false;
	assert_true(*n <= OCTETS_MAX);
	if (*n > 0)
		memcpy(octets, out, *n);
	gsasl_free(out);
	*content = code == GSASL_OK;
	return true;
}

static void
note(const struct sasl_result *r, struct play_seen *ret)
{
	assert_true(ret->steps < PLAY_STEPS_MAX);
	assert_true(r->out.n < sizeof(ret->said[0]));
	ret->said_n[ret->steps] = r->out.n;
	if (r->out.n > 0)
		memcpy(ret->said[ret->steps], r->out.p, r->out.n);
	ret->steps++;
}

void
play(struct sasl *s, struct sasl_facts facts, const struct play_client *c,
	const struct play_user *u, struct play_seen *ret)
{
	Gsasl *library;
	uint8_t octets[OCTETS_MAX];
	size_t n;
	unsigned step = 0;
	struct sasl_result r;

	memset(ret, 0, sizeof(*ret));
	assert_int_equal(gsasl_init(&library), GSASL_OK);
	Gsasl_session *client = begin_client(library, c);
	facts.mechanism = c->mechanism;
	struct sasl_talk *t = sasl_begin(s, &facts);
	assert_non_null(t);
	bool server_first =
		c->mechanism == MECHANISM_CRAM_MD5 || c->mechanism == MECHANISM_LOGIN;
	if (server_first) {
		sasl_start(t, false, VIEW(""), &r);
	} else {
		assert_true(client_says(
			client, VIEW(""), octets, &n, &ret->client_is_content));
		if (c->alter)
			c->alter(step, octets, &n, OCTETS_MAX);
		step++;
		sasl_start(t, true, (struct view){octets, n}, &r);
	}
	for (;;) {
		if (r.act == SASL_USER || r.act == SASL_CHECK)
			memcpy(ret->asked, r.name.p, r.name.n);
		play_settle(t, u, &r);
		if (r.act != SASL_SAY)
			break;
		note(&r, ret);
		if (!client_says(client, r.out, octets, &n, &ret->client_is_content))
			break;
		if (c->alter)
			c->alter(step, octets, &n, OCTETS_MAX);
		step++;
		sasl_heard(t, (struct view){octets, n}, &r);
	}
	ret->end = r.act;
	ret->reason = r.reason;
	if (r.act == SASL_YES)
		memcpy(ret->name, r.name.p, r.name.n);
	sasl_end(&t);
	assert_null(t);
	gsasl_finish(client);
	gsasl_done(library);
}
