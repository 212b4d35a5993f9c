/* CRAM-MD5 (RFC 2195). The library makes the challenge, and compares. */
#include "auth/sasl_rows.h"

#include <string.h>

#define DIGITS 32 /* of the digest */

void
cram_begin(struct sasl_talk *t, struct sasl_result *ret)
{
	int code = gsasl_server_start(t->sasl->library, t->row->name, &t->session);

	if (code == GSASL_OK) {
		gsasl_property_set(t->session, GSASL_HOSTNAME, t->sasl->hostname);
		gsasl_property_set(t->session, GSASL_SERVICE, "pop");
		code = talk_library(t, VIEW(""));
	}
	if (code != GSASL_NEEDS_MORE) {
		talk_library_end(t, code, ret);
		return;
	}
	struct talk_octets challenge = t->out;
	t->out = (struct talk_octets){NULL, 0};
	talk_say(t, talk_view(&challenge), ret);
	talk_forget(&challenge);
}

/* name SP digest: what is asked is whose it is. */
void
cram_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	if (response.n < DIGITS + 2 || response.p[response.n - DIGITS - 1] != ' ') {
		talk_bad(t, "the response is not NAME DIGEST", ret);
		return;
	}
	talk_name(t, (struct view){response.p, response.n - DIGITS - 1});
	struct view digest = {response.p + response.n - DIGITS, DIGITS};
	if (talk_keep(&t->in, digest))
		talk_user(t, ret);
	else
		talk_later(t, "no memory", ret);
}

/*
 * The digest does not cover the name, so that any will do for the library, which would
 * refuse some. It takes a password for a string, so one with a NUL serves nobody.
 */
void
cram_user(struct sasl_talk *t, const struct user *user, struct sasl_result *ret)
{
	char never[SASL_NEVER_N + 1];
	uint8_t response[2 + DIGITS] = {'u', ' '};
	struct view password;

	if (!talk_never(t, never)) {
		talk_later(t, "no memory", ret);
		return;
	}
	bool usable =
		talk_password(t, user, &password) && !memchr(password.p, 0, password.n);
	/* scheme.h: a stored password has a NUL behind it */
	gsasl_property_set(
		t->session, GSASL_PASSWORD, usable ? (const char *)password.p : never);
	memcpy(response + 2, t->in.p, DIGITS);
	int code = talk_library(t, (struct view){response, sizeof(response)});
	if (code != GSASL_OK)
		talk_library_end(t, code, ret);
	else if (usable)
		talk_yes(t, ret);
	else
		talk_no(t, "password", ret);
}
