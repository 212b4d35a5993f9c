/* The mechanisms without any arithmetic: PASS, PLAIN, LOGIN, EXTERNAL; and APOP. */
#include "auth/apop.h"
#include "auth/plain.h"
#include "auth/sasl_rows.h"

#include <openssl/crypto.h>

void
words_pass(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	talk_check(t, response, ret);
}

void
words_plain(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	struct view name;
	struct view password;

	if (!plain_read(response, &name, &password)) {
		talk_bad(t, "not a message of PLAIN, or it asks to act for another", ret);
		return;
	}
	talk_name(t, name);
	talk_check(t, password, ret);
}

/* Names as in every client that there is; no document stands behind it. */
void
words_login(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	if (t->phase == 0) {
		t->phase = 1;
		talk_name(t, response);
		talk_say(t, VIEW("Password:"), ret);
		return;
	}
	talk_check(t, response, ret);
}

/*
 * RFC 4422 A. A fingerprint names nobody, so the client must (an empty response would
 * leave it to us).
 */
void
words_external(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	talk_name(t, response);
	if (t->certificate_n != SASL_CERTIFICATE_N)
		talk_no(t, "EXTERNAL without a client certificate", ret);
	else if (response.n == 0)
		talk_no(t, "EXTERNAL without a user name", ret);
	else
		talk_user(t, ret);
}

void
words_external_user(struct sasl_talk *t, const struct user *user, struct sasl_result *ret)
{
	bool found = false;

	for (size_t i = 0; t->known && i < user->policy.certificates_n; i++)
		if (CRYPTO_memcmp(user->policy.certificates[i], t->certificate,
			    SASL_CERTIFICATE_N) == 0)
			found = true;
	if (found)
		talk_yes(t, ret);
	else
		talk_no(t, "the certificate is not in the user's record", ret);
}

void
words_apop(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	if (t->stamp_n == 0)
		talk_no(t, "APOP without a stamp in the greeting, or a second time", ret);
	else if (!talk_keep(&t->in, response))
		talk_later(t, "no memory", ret);
	else
		talk_user(t, ret);
}

void
words_apop_user(struct sasl_talk *t, const struct user *user, struct sasl_result *ret)
{
	char never[SASL_NEVER_N + 1];
	struct view password = {(const uint8_t *)never, SASL_NEVER_N};

	if (!talk_never(t, never)) {
		talk_later(t, "no memory", ret);
		return;
	}
	bool usable = talk_password(t, user, &password) && user->policy.apop;
	enum apop_digest digest = apop_check(
		(struct view){t->stamp, t->stamp_n}, password, talk_view(&t->in));
	if (digest == APOP_FAILED)
		talk_later(t, "no memory", ret);
	else if (usable && digest == APOP_RIGHT)
		talk_yes(t, ret);
	else
		talk_no(t, "password", ret);
}
