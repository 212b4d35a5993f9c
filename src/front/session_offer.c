#include "base/check.h"
#include "front/session_state.h"

static const uint8_t mechanisms[] = {
	[POP3_MECHANISM_SCRAM_SHA_256_PLUS] = MECHANISM_SCRAM_SHA_256_PLUS,
	[POP3_MECHANISM_SCRAM_SHA_1_PLUS] = MECHANISM_SCRAM_SHA_1_PLUS,
	[POP3_MECHANISM_SCRAM_SHA_256] = MECHANISM_SCRAM_SHA_256,
	[POP3_MECHANISM_SCRAM_SHA_1] = MECHANISM_SCRAM_SHA_1,
	[POP3_MECHANISM_EXTERNAL] = MECHANISM_EXTERNAL,
	[POP3_MECHANISM_GSSAPI] = MECHANISM_GSSAPI,
	[POP3_MECHANISM_OAUTHBEARER] = MECHANISM_OAUTHBEARER,
	[POP3_MECHANISM_XOAUTH2] = MECHANISM_XOAUTH2,
	[POP3_MECHANISM_CRAM_MD5] = MECHANISM_CRAM_MD5,
	[POP3_MECHANISM_PLAIN] = MECHANISM_PLAIN,
	[POP3_MECHANISM_LOGIN] = MECHANISM_LOGIN,
};
static_assert(ARRAY_SIZE(mechanisms) == POP3_MECHANISMS);

uint8_t
session_mechanism(enum pop3_mechanism m)
{
	CHECK(m < POP3_MECHANISMS);
	return mechanisms[m];
}

static bool
may(const struct session *s, uint8_t mechanism)
{
	return s->peer.mechanisms >> mechanism & 1;
}

struct pop3_link
session_link(const struct session *s)
{
	const struct session_peer *p = &s->peer;
	struct pop3_link l = {.tls = p->tls,
		.tls_available = p->tls_available,
		.plaintext = p->plaintext,
		.user = may(s, MECHANISM_PASS),
		.apop = s->stamped && may(s, MECHANISM_APOP),
		.xclient = p->xclient,
		.binding = s->wire.link.binding,
		.certificate = s->wire.link.certificate};

	/* The ticket came before the greeting: USER and PASS show no secret, and nothing
	 * that came with it may be said anew. */
	if (p->kpop)
		return (struct pop3_link){.plaintext = true, .user = true, .tls = p->tls};
	for (int m = 0; m < POP3_MECHANISMS; m++)
		if (may(s, mechanisms[m]))
			l.mechanisms |= UINT32_C(1) << m;
	return l;
}
