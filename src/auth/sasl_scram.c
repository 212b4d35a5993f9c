/*
 * SCRAM (RFC 5802, RFC 7677). The library does the arithmetic. What the client says first
 * is read here before, since the library wants the keys as soon as it sees it.
 */
#include "auth/encoding.h"
#include "auth/gs2.h"
#include "auth/sasl_rows.h"
#include "auth/scheme_row.h"
#include "base/ascii.h"
#include "base/check.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a gs2 header with its name, and the data behind it; more is no client's. */
#define BINDING_TEXT_MAX 1024

enum { FIRST, FINAL, CONFIRMED };

static bool
is_plus(const struct sasl_talk *t)
{
	return t->mechanism == MECHANISM_SCRAM_SHA_1_PLUS ||
		t->mechanism == MECHANISM_SCRAM_SHA_256_PLUS;
}

static enum scram_hash
hash_of(const struct sasl_talk *t)
{
	return t->mechanism == MECHANISM_SCRAM_SHA_1 ||
			t->mechanism == MECHANISM_SCRAM_SHA_1_PLUS
		? SCRAM_SHA_1
		: SCRAM_SHA_256;
}

static struct view
binding_name(const struct sasl_talk *t)
{
	switch (t->binding_kind) {
	case BINDING_NONE: return VIEW("");
	case BINDING_TLS_EXPORTER: return VIEW("tls-exporter");
	case BINDING_TLS_UNIQUE: return VIEW("tls-unique");
	}
	return VIEW("");
}

/* RFC 5802 s.6. False: the conversation is over. */
static bool
binding_is_right(
	struct sasl_talk *t, const struct gs2_header *header, struct sasl_result *ret)
{
	if (!is_plus(t) && header->flag == 'p')
		talk_bad(t, "channel binding in a mechanism without -PLUS", ret);
	else if (!is_plus(t) && header->flag == 'y' && t->plus_offered)
		talk_no(t,
			"the client believes that -PLUS was not offered, but it was: "
			"somebody may be in between",
			ret);
	else if (!is_plus(t))
		return true;
	else if (!t->plus_offered)
		talk_bad(t, "-PLUS was not offered on this connection", ret);
	else if (header->flag != 'p')
		talk_bad(t, "-PLUS without channel binding", ret);
	else if (!view_equal(header->binding, binding_name(t)))
		talk_no(t, "another kind of channel binding than this connection has",
			ret);
	else
		return true;
	return false;
}

/* Nobody may act for another (RFC 5802 s.5.1, a=). */
static bool
acts_for_itself(const struct gs2_first *first)
{
	uint8_t octets[2][4 * SASL_NAME_MAX];
	struct buf authzid = buf_over(octets[0], sizeof(octets[0]));
	struct buf authcid = buf_over(octets[1], sizeof(octets[1]));

	if (first->header.authzid.n == 0)
		return true;
	bool read = gs2_name(first->header.authzid, &authzid) &&
		gs2_name(first->name, &authcid);
	CHECK(read); /* gs2_first_read said so */
	return !authzid.full && !authcid.full &&
		view_equal(buf_view(&authzid), buf_view(&authcid));
}

/* A name that is too long, or none that can be prepared, ends as an empty one. */
static void
take_name(struct sasl_talk *t, struct view written)
{
	uint8_t octets[4 * SASL_NAME_MAX];
	struct buf name = buf_over(octets, sizeof(octets));
	bool read = gs2_name(written, &name);

	CHECK(read);
	talk_name(t, name.full ? VIEW("") : buf_view(&name));
}

/*
 * The library refuses names that cannot be at once; everybody else's wrong password is
 * refused at the end. So it gets another name, whose keys match nothing.
 */
static bool
keep_first(struct sasl_talk *t, struct view message, const struct gs2_first *first)
{
	if (t->name_n > 0)
		return talk_keep(&t->in, message);
	size_t room = message.n + sizeof("n,,n=x");
	struct buf b = buf_over(malloc(room), room);
	if (!b.p)
		return false;
	buf_put_u8(&b, first->header.flag);
	if (first->header.flag == 'p')
		buf_put_u8(&b, '=');
	buf_put_view(&b, first->header.binding);
	buf_put_str(&b, ",,n=x");
	buf_put_view(&b, first->after);
	CHECK(!b.full);
	bool kept = talk_keep(&t->in, buf_view(&b));
	free(b.p);
	return kept;
}

static void
hear_first(struct sasl_talk *t, struct view message, struct sasl_result *ret)
{
	struct gs2_first first;
	const char *wrong = gs2_first_read(message, &first);

	if (wrong) {
		talk_bad(t, wrong, ret);
		return;
	}
	take_name(t, first.name);
	if (!binding_is_right(t, &first.header, ret))
		return;
	if (!acts_for_itself(&first))
		talk_no(t, "it asks to act for another", ret);
	else if (!keep_first(t, message, &first))
		talk_later(t, "no memory", ret);
	else
		talk_user(t, ret);
}

static bool
set_base64(Gsasl_session *session, Gsasl_property property, const uint8_t *p, size_t n)
{
	uint8_t text[(SCRAM_SALT_MAX + 2) / 3 * 4 + 1];

	CHECK(n <= SCRAM_SALT_MAX);
	(void)EVP_EncodeBlock(text, p, (int)n);
	gsasl_property_set(session, property, (const char *)text);
	explicit_bzero(text, sizeof(text));
	return gsasl_property_fast(session, property) != NULL;
}

static bool
set_properties(struct sasl_talk *t)
{
	char rounds[16];
	size_t n = scram_key_n(t->keys.hash);
	Gsasl_property binding = t->binding_kind == BINDING_TLS_UNIQUE
		? GSASL_CB_TLS_UNIQUE
		: GSASL_CB_TLS_EXPORTER;

	(void)snprintf(rounds, sizeof(rounds), "%u", t->keys.rounds);
	gsasl_property_set(t->session, GSASL_SCRAM_ITER, rounds);
	return gsasl_property_fast(t->session, GSASL_SCRAM_ITER) &&
		set_base64(t->session, GSASL_SCRAM_SALT, t->keys.salt, t->keys.salt_n) &&
		set_base64(t->session, GSASL_SCRAM_STOREDKEY, t->keys.stored, n) &&
		set_base64(t->session, GSASL_SCRAM_SERVERKEY, t->keys.server, n) &&
		(!is_plus(t) ||
			set_base64(t->session, binding, t->binding, t->binding_n));
}

/* The keys are there: what the client said first goes to the library. */
static void
answer_first(struct sasl_talk *t, struct sasl_result *ret)
{
	struct talk_octets first = t->in;
	int code = gsasl_server_start(t->sasl->library, t->row->name, &t->session);

	t->in = (struct talk_octets){NULL, 0};
	if (code == GSASL_OK)
		code = set_properties(t) ? talk_library(t, talk_view(&first))
					 : GSASL_MALLOC_ERROR;
	talk_forget(&first);
	explicit_bzero(&t->keys, sizeof(t->keys));
	if (code != GSASL_NEEDS_MORE) {
		talk_library_end(t, code, ret);
		return;
	}
	t->phase = FINAL;
	struct talk_octets out = t->out;
	t->out = (struct talk_octets){NULL, 0};
	talk_say(t, talk_view(&out), ret);
	talk_forget(&out);
}

/* Stored keys; those of nobody get a salt of the name's own, and match nothing. */
static void
take_stored_keys(struct sasl_talk *t, const struct user *user, struct sasl_result *ret)
{
	size_t n = scram_key_n(t->keys.hash);
	bool ok = scram_read((struct view){user->stored.octets, user->stored.n},
		t->keys.hash, &t->keys);

	CHECK(ok); /* scheme_scram_check said so */
	if (!t->known)
		ok = talk_stable(t, "salt", t->keys.salt, t->keys.salt_n) &&
			talk_stable(t, "stored", t->keys.stored, n) &&
			talk_stable(t, "server", t->keys.server, n);
	if (ok)
		answer_first(t, ret);
	else
		talk_later(t, "no memory", ret);
}

static bool
keep_secret(struct sasl_talk *t, const struct user *user)
{
	char never[SASL_NEVER_N + 1];
	struct view password = {(const uint8_t *)never, SASL_NEVER_N};

	t->keys.rounds = SASL_PLAIN_ROUNDS;
	t->keys.salt_n = SCRAM_SALT_N;
	if (!talk_never(t, never) ||
		!talk_stable(t, "salt", t->keys.salt, t->keys.salt_n))
		return false;
	t->known = talk_password(t, user, &password);
	return talk_keep(&t->secret, password);
}

void
scram_user(struct sasl_talk *t, const struct user *user, struct sasl_result *ret)
{
	t->keys.hash = hash_of(t);
	if (user && user->has_stored &&
		user->stored.scheme->verify == scheme_scram_verify &&
		user->stored.scheme->digest_n == scram_key_n(t->keys.hash)) {
		take_stored_keys(t, user, ret);
		return;
	}
	if (!keep_secret(t, user)) {
		talk_later(t, "no memory", ret);
		return;
	}
	*ret = (struct sasl_result){.act = SASL_DERIVE, .name = {t->name, t->name_n}};
	t->wait = WAIT_DERIVED;
}

void
scram_derived(struct sasl_talk *t, struct sasl_result *ret)
{
	talk_forget(&t->secret);
	if (t->derived)
		answer_first(t, ret);
	else
		talk_later(t, "no memory to derive the keys", ret);
}

/*
 * Whether c= of the last message ends with this connection's binding (RFC 5802 s.5.1).
 * The library finds that out too, but calls it a wrong password, and who reads the log
 * should know which it was. What is not of the form is left to the library.
 */
static bool
is_of_this_connection(const struct sasl_talk *t, struct view message)
{
	uint8_t octets[BINDING_TEXT_MAX];
	struct buf b = buf_over(octets, sizeof(octets));

	if (message.n < 2 || message.p[0] != 'c' || message.p[1] != '=')
		return true;
	const uint8_t *comma = memchr(message.p, ',', message.n);
	if (!comma)
		return true;
	struct view text = {message.p + 2, (size_t)(comma - message.p) - 2};
	if (!base64_decode(text, &b) || b.full)
		return true;
	return b.n >= t->binding_n &&
		memcmp(b.p + b.n - t->binding_n, t->binding, t->binding_n) == 0;
}

void
scram_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	if (t->phase == FIRST) {
		hear_first(t, response, ret);
		return;
	}
	/* RFC 5034 s.4: the server's last word was a challenge, this is the answer. */
	if (t->phase == CONFIRMED) {
		if (response.n == 0)
			talk_yes(t, ret);
		else
			talk_bad(t, "something follows the end", ret);
		return;
	}
	if (is_plus(t) && !is_of_this_connection(t, response)) {
		talk_no(t,
			"the channel binding is another connection's: somebody may be in "
			"between",
			ret);
		return;
	}
	int code = talk_library(t, response);
	if (code != GSASL_OK) {
		talk_library_end(t, code, ret);
		return;
	}
	if (!t->known) {
		talk_no(t, "password", ret);
		return;
	}
	t->phase = CONFIRMED;
	struct talk_octets out = t->out;
	t->out = (struct talk_octets){NULL, 0};
	talk_say(t, talk_view(&out), ret);
	talk_forget(&out);
}
