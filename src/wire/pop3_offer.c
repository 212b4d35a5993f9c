/* What is offered on a connection: one rule for CAPA, AUTH alone and every refusal. */
#include "base/check.h"
#include "pop3/server.h"
#include "wire/pop3_parse.h"

/* threats: no password, and no token, without TLS unless the operator permits it. */
bool
pop3_server_may_login(const struct pop3_server *s)
{
	return s->link.tls || s->link.plaintext;
}

bool
pop3_server_offers_user(const struct pop3_server *s)
{
	return s->link.user && pop3_server_may_login(s);
}

bool
pop3_server_offers(const struct pop3_server *s, enum pop3_mechanism m)
{
	const struct mechanism_row *row = mechanism_row(m);

	if (!(s->link.mechanisms >> m & 1))
		return false;
	if (row->shows == SHOWS && !pop3_server_may_login(s))
		return false;
	switch ((enum mechanism_needs)row->needs) {
	case NEEDS_NOTHING: return true;
	case NEEDS_BINDING: return s->link.tls && s->link.binding;
	case NEEDS_CERTIFICATE: return s->link.tls && s->link.certificate;
	}
	UNREACHABLE();
}

bool
pop3_mechanism_begins(enum pop3_mechanism m)
{
	return mechanism_row(m)->first == CLIENT;
}
