/* OAUTHBEARER (RFC 7628), XOAUTH2, and the tickets of Kerberos: GSSAPI and KPOP. */
#include "auth/gs2.h"
#include "auth/oauth_line.h"
#include "auth/sasl_rows.h"
#include "base/check.h"

enum { TOKEN, REFUSED };
enum { TICKET, CONFIRMED, NAMED, NAME };

/* RFC 7628 s.3.2.2; Google's clients of XOAUTH2 read a number. */
static void
refuse_token(struct sasl_talk *t, struct sasl_result *ret)
{
	t->phase = REFUSED;
	t->name_n = 0;
	if (t->mechanism == MECHANISM_XOAUTH2)
		talk_say(t,
			VIEW("{\"status\":\"401\",\"schemes\":\"bearer\",\"scope\":"
			     "\"\"}"),
			ret);
	else
		talk_say(t, VIEW("{\"status\":\"invalid_token\",\"schemes\":\"bearer\"}"),
			ret);
}

/* False: a name was claimed that is nobody's. */
static bool
take_claim(struct sasl_talk *t, struct view written)
{
	uint8_t octets[4 * SASL_NAME_MAX];
	struct buf name = buf_over(octets, sizeof(octets));

	t->name_n = 0;
	if (written.n == 0)
		return true;
	if (t->mechanism == MECHANISM_XOAUTH2) {
		talk_name(t, written);
	} else {
		bool read = gs2_name(written, &name);
		CHECK(read); /* gs2_header_read said so */
		talk_name(t, name.full ? VIEW("") : buf_view(&name));
	}
	return t->name_n > 0;
}

bool
sasl_is_refused(const struct sasl_talk *t)
{
	return (t->mechanism == MECHANISM_OAUTHBEARER ||
		       t->mechanism == MECHANISM_XOAUTH2) &&
		t->phase == REFUSED;
}

void
token_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	struct oauth_line line;

	/* RFC 7628 s.3.2.3: a ^A, or whatever it is that they send. */
	if (t->phase == REFUSED) {
		talk_no(t, "the token is not good, or not for this user", ret);
		return;
	}
	const char *wrong = t->mechanism == MECHANISM_XOAUTH2
		? oauth_xoauth2_read(response, &line)
		: oauth_bearer_read(response, &line);
	if (wrong)
		talk_bad(t, wrong, ret);
	else if (!take_claim(t, line.name))
		refuse_token(t, ret);
	else
		talk_ask(t, SASL_TOKEN, WAIT_NAMED, line.token, ret);
}

void
token_named(struct sasl_talk *t, bool yes, struct view name, struct sasl_result *ret)
{
	bool claimed = t->name_n > 0;

	talk_forget(&t->in);
	if (!yes || (claimed && !talk_is_given_name(t, name))) {
		refuse_token(t, ret);
		return;
	}
	talk_given_name(t, name);
	if (t->name_n > 0)
		talk_yes(t, ret);
	else
		refuse_token(t, ret);
}

void
ticket_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	if (t->phase == TICKET)
		talk_ask(t, SASL_TICKET, WAIT_TICKET, response, ret);
	else if (response.n == 0)
		talk_yes(t, ret);
	else
		talk_bad(t, "something follows the end", ret);
}

void
ticket_said(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
	struct view name, struct sasl_result *ret)
{
	if (outcome == ANSWER_CHALLENGE) {
		talk_say(t, octets, ret);
		return;
	}
	talk_given_name(t, name);
	t->phase = CONFIRMED;
	/* A last word of the server's is a challenge, which the client answers by
	 * nothing. */
	if (t->name_n > 0 && octets.n > 0)
		talk_say(t, octets, ret);
	else
		talk_yes(t, ret);
}

/*
 * The ticket came before the greeting, USER after it. A name that the helper gave with
 * the ticket is compared here; else it is the helper's to compare.
 */
void
kpop_heard(struct sasl_talk *t, struct view response, struct sasl_result *ret)
{
	switch (t->phase) {
	case TICKET: talk_ask(t, SASL_TICKET, WAIT_TICKET, response, ret); return;
	case NAMED:
		if (talk_is_name(t, response))
			talk_yes(t, ret);
		else
			talk_no(t, "the ticket is another user's", ret);
		return;
	case NAME:
		talk_name(t, response);
		if (t->name_n > 0)
			talk_ask(t, SASL_TICKET, WAIT_TICKET, response, ret);
		else
			talk_no(t, "the ticket is another user's", ret);
		return;
	default: UNREACHABLE();
	}
}

void
kpop_said(struct sasl_talk *t, enum ask_outcome outcome, struct view octets,
	struct view name, struct sasl_result *ret)
{
	if (t->phase == TICKET && outcome == ANSWER_NAME)
		talk_given_name(t, name);
	if (t->phase == TICKET) {
		t->phase = outcome == ANSWER_NAME ? NAMED : NAME;
		talk_say(t, octets, ret);
	} else if (outcome == ANSWER_NAME && talk_is_given_name(t, name)) {
		talk_yes(t, ret);
	} else {
		talk_no(t, "the ticket is another user's", ret);
	}
}
