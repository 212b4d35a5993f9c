/* The mechanisms, a row each, and the way into them. */
#include "auth/sasl_rows.h"
#include "auth/scheme_row.h"
#include "base/ascii.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static const struct sasl_row rows[MECHANISMS_END] = {
	[MECHANISM_PASS] = {.begins = BEGINS_COMMAND, .heard = words_pass},
	[MECHANISM_PLAIN] = {.prompt = "", .heard = words_plain},
	[MECHANISM_LOGIN] = {.prompt = "Username:", .heard = words_login},
	[MECHANISM_CRAM_MD5] = {.name = "CRAM-MD5",
		.begins = BEGINS_SERVER,
		.begin = cram_begin,
		.heard = cram_heard,
		.user = cram_user},
	[MECHANISM_SCRAM_SHA_1] = {.name = "SCRAM-SHA-1",
		.prompt = "",
		.heard = scram_heard,
		.user = scram_user},
	[MECHANISM_SCRAM_SHA_1_PLUS] = {.name = "SCRAM-SHA-1-PLUS",
		.prompt = "",
		.heard = scram_heard,
		.user = scram_user},
	[MECHANISM_SCRAM_SHA_256] = {.name = "SCRAM-SHA-256",
		.prompt = "",
		.heard = scram_heard,
		.user = scram_user},
	[MECHANISM_SCRAM_SHA_256_PLUS] = {.name = "SCRAM-SHA-256-PLUS",
		.prompt = "",
		.heard = scram_heard,
		.user = scram_user},
	[MECHANISM_EXTERNAL] = {.prompt = "",
		.heard = words_external,
		.user = words_external_user},
	[MECHANISM_GSSAPI] = {.prompt = "", .heard = ticket_heard, .ticket = ticket_said},
	[MECHANISM_OAUTHBEARER] = {.prompt = "",
		.heard = token_heard,
		.named = token_named},
	[MECHANISM_XOAUTH2] = {.prompt = "", .heard = token_heard, .named = token_named},
	[MECHANISM_APOP] = {.begins = BEGINS_COMMAND,
		.heard = words_apop,
		.user = words_apop_user},
	[MECHANISM_KPOP] = {.begins = BEGINS_COMMAND,
		.heard = kpop_heard,
		.ticket = kpop_said},
};

/*
 * Names are to be the same for every mechanism, and in SCRAM the library refuses code
 * points that Unicode 3.2 does not know. Which of its ways that is differs between its
 * versions, so it is asked. -1: neither.
 */
static int
strict_way(void)
{
	static const int ways[] = {0, GSASL_ALLOW_UNASSIGNED};
	static const char unassigned[] = "\xF0\x9F\x98\x80";

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		char *good = NULL;
		char *bad = NULL;
		int right = gsasl_saslprep(
			"\xC3\xBC", (Gsasl_saslprep_flags)ways[i], &good, NULL);
		int wrong = gsasl_saslprep(
			unassigned, (Gsasl_saslprep_flags)ways[i], &bad, NULL);
		gsasl_free(good);
		if (wrong == GSASL_OK)
			gsasl_free(bad);
		if (right == GSASL_OK && wrong != GSASL_OK)
			return ways[i];
	}
	return -1;
}

/* Each mechanism of the library once to its first answer: all that it loads late. */
static bool
library_works(Gsasl *library)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		Gsasl_session *session;
		char *out = NULL;
		size_t n = 0;
		if (!rows[i].name)
			continue;
		if (!gsasl_server_support_p(library, rows[i].name) ||
			gsasl_server_start(library, rows[i].name, &session) != GSASL_OK)
			return false;
		int code = gsasl_step(session, "", 0, &out, &n);
		gsasl_free(out);
		gsasl_finish(session);
		if (code != GSASL_NEEDS_MORE)
			return false;
	}
	return true;
}

struct sasl *
sasl_new(struct view hostname, struct view realm, const uint8_t key[32])
{
	struct sasl *s = calloc(1, sizeof(*s));

	(void)realm; /* no mechanism so far has one */
	if (!s)
		return NULL;
	size_t n =
		hostname.n < sizeof(s->hostname) ? hostname.n : sizeof(s->hostname) - 1;
	if (n > 0)
		memcpy(s->hostname, hostname.p, n);
	memcpy(s->key, key, sizeof(s->key));
	s->strict = strict_way();
	bool ready = gsasl_init(&s->library) == GSASL_OK;
	if (ready && s->strict >= 0 && library_works(s->library))
		return s;
	if (ready)
		gsasl_done(s->library);
	explicit_bzero(s, sizeof(*s));
	free(s);
	return NULL;
}

void
sasl_free(struct sasl **s)
{
	struct sasl *old = *s;

	*s = NULL;
	if (!old)
		return;
	gsasl_done(old->library);
	explicit_bzero(old, sizeof(*old));
	free(old);
}

/* What is longer than it may be is none. */
static size_t
copy_fact(struct view v, uint8_t *p, size_t max)
{
	if (v.n == 0 || v.n > max)
		return 0;
	memcpy(p, v.p, v.n);
	return v.n;
}

struct sasl_talk *
sasl_begin(struct sasl *s, const struct sasl_facts *facts)
{
	CHECK(facts->mechanism > 0 && facts->mechanism < MECHANISMS_END);
	struct sasl_talk *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->sasl = s;
	t->mechanism = facts->mechanism;
	t->row = &rows[facts->mechanism];
	t->binding_kind = facts->binding_kind;
	t->binding_n = copy_fact(facts->binding, t->binding, sizeof(t->binding));
	t->certificate_n =
		copy_fact(facts->certificate, t->certificate, sizeof(t->certificate));
	t->stamp_n = copy_fact(facts->stamp, t->stamp, sizeof(t->stamp));
	t->plus_offered = facts->plus_offered && t->binding_n > 0 &&
		facts->binding_kind != BINDING_NONE;
	talk_name(t, facts->name);
	return t;
}

/* The library frees its copies as they are. */
static void
finish_session(Gsasl_session *session)
{
	static const Gsasl_property secrets[] = {
		GSASL_PASSWORD, GSASL_SCRAM_STOREDKEY, GSASL_SCRAM_SERVERKEY};

	if (!session)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		const char *text = gsasl_property_fast(session, secrets[i]);
		if (text)
			explicit_bzero((void *)(uintptr_t)text, strlen(text));
	}
	gsasl_finish(session);
}

void
sasl_end(struct sasl_talk **t)
{
	struct sasl_talk *old = *t;

	*t = NULL;
	if (!old)
		return;
	finish_session(old->session);
	talk_forget(&old->in);
	talk_forget(&old->out);
	talk_forget(&old->secret);
	explicit_bzero(old, sizeof(*old));
	free(old);
}

static void
take_turn(struct sasl_talk *t, enum talk_wait wait, struct sasl_result *ret)
{
	CHECK(t->wait == wait);
	t->wait = WAIT_NOTHING;
	*ret = (struct sasl_result){.act = SASL_LATER};
}

static void
hear(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	if (response.n > SASL_OCTETS_MAX)
		talk_bad(t, "the response is longer than 12288 octets", ret);
	else
		t->row->heard(t, response, ret);
}

void
sasl_start(struct sasl_talk *t, bool has_response, struct view response,
	struct sasl_result *ret)
{
	const char *prompt = t->row->prompt;

	take_turn(t, WAIT_START, ret);
	if (t->row->begins == BEGINS_SERVER) {
		/* RFC 5034 s.4: no initial response where the server begins. */
		if (has_response)
			talk_bad(t, "an initial response to a server-first mechanism",
				ret);
		else
			t->row->begin(t, ret);
		return;
	}
	if (t->row->begins == BEGINS_CLIENT && !has_response)
		talk_say(t, (struct view){(const uint8_t *)prompt, strlen(prompt)}, ret);
	else
		hear(t, response, ret);
}

void
sasl_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	take_turn(t, WAIT_RESPONSE, ret);
	hear(t, response, ret);
}

void
sasl_checked(struct sasl_talk *t, enum scheme_answer answer, struct sasl_result *ret)
{
	take_turn(t, WAIT_CHECKED, ret);
	switch (answer) {
	case SCHEME_YES: talk_yes(t, ret); return;
	case SCHEME_NO: talk_no(t, "password", ret); return;
	case SCHEME_FAILED: talk_later(t, "no memory to check the password", ret); return;
	}
	UNREACHABLE();
}

void
sasl_user(
	struct sasl_talk *t, bool known, const struct user *user, struct sasl_result *ret)
{
	take_turn(t, WAIT_USER, ret);
	/* Nobody has a name that cannot be prepared, whatever a database says. */
	t->known = known && t->name_n > 0 && user;
	t->row->user(t, user, ret);
}

void
sasl_derive(struct sasl_talk *t)
{
	CHECK(t->wait == WAIT_DERIVED);
	t->derived = scram_derive(talk_view(&t->secret), &t->keys);
}

void
sasl_derived(struct sasl_talk *t, struct sasl_result *ret)
{
	take_turn(t, WAIT_DERIVED, ret);
	scram_derived(t, ret);
}

void
sasl_named(struct sasl_talk *t, bool yes, struct view name, struct sasl_result *ret)
{
	take_turn(t, WAIT_NAMED, ret);
	t->row->named(t, yes, name, ret);
}

void
sasl_ticket(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
	struct view name, struct sasl_result *ret)
{
	take_turn(t, WAIT_TICKET, ret);
	/* Up to 12 KiB, for as long as the client likes to take for its next word. */
	talk_forget(&t->in);
	switch (outcome) {
	case ANSWER_CHALLENGE:
	case ANSWER_NAME:
		if (octets.n > SASL_OCTETS_MAX)
			talk_later(t, "the helper's answer is too long", ret);
		else
			t->row->ticket(t, outcome, octets, name, ret);
		return;
	case ANSWER_WRONG:
	case ANSWER_NO_USER: talk_no(t, "the ticket is not good", ret); return;
	case ANSWER_FOUND:
	case ANSWER_TEMPORARY:
		talk_later(t, "the Kerberos helper does not answer", ret);
		return;
	}
	UNREACHABLE();
}

static uint32_t
bit(enum mechanism m)
{
	return UINT32_C(1) << m;
}

uint32_t
sasl_mechanisms_of(const struct stored *stored)
{
	uint32_t words =
		bit(MECHANISM_PASS) | bit(MECHANISM_PLAIN) | bit(MECHANISM_LOGIN);
	uint32_t sha1 = bit(MECHANISM_SCRAM_SHA_1) | bit(MECHANISM_SCRAM_SHA_1_PLUS);
	uint32_t sha256 =
		bit(MECHANISM_SCRAM_SHA_256) | bit(MECHANISM_SCRAM_SHA_256_PLUS);

	if (stored->scheme->verify == plain_verify)
		return words | sha1 | sha256 | bit(MECHANISM_CRAM_MD5) |
			bit(MECHANISM_APOP);
	if (stored->scheme->verify != scheme_scram_verify)
		return words;
	return words |
		(stored->scheme->digest_n == scram_key_n(SCRAM_SHA_1) ? sha1 : sha256);
}
