/* What the connections of a listener obey: message FRONT_LISTENER, counted. */
#include "front/front.h"

#include "base/check.h"
#include "base/network.h"

#include <stdlib.h>
#include <string.h>

static bool
take_networks(struct view v, struct networks *ret)
{
	if (!network_list_is_sound(v) || v.n > sizeof(ret->rows))
		return false;
	ret->n = (uint16_t)v.n;
	if (v.n > 0)
		memcpy(ret->rows, v.p, v.n);
	return true;
}

bool
networks_have(const struct networks *n, const uint8_t address[FRONT_ADDRESS_OCTETS])
{
	return network_list_has((struct view){n->rows, n->n}, address);
}

static bool
is_sound(const struct msg_front_listener *m)
{
	return m->plaintext <= 2 && m->implicit_tls <= 1 && m->kpop <= 1 &&
		m->apop <= 1 && m->client_certificates <= 2 &&
		m->tls_profile <= TLS_PROFILE_OLD && m->name.n <= 64;
}

struct rules *
rules_new(const struct msg_front_listener *m)
{
	struct rules *r = is_sound(m) ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return NULL;
	*r = (struct rules){.refs = 1,
		.listener = m->listener,
		.mechanisms = m->mechanisms,
		.implicit_tls = m->implicit_tls,
		.kpop = m->kpop,
		.apop = m->apop,
		.plaintext = m->plaintext,
		.asserts = m->asserts,
		.client_certificates = m->client_certificates,
		.tls_profile = m->tls_profile,
		.name_n = (uint8_t)m->name.n};
	if (m->name.n > 0)
		memcpy(r->name, m->name.p, m->name.n);
	/* A header, or XCLIENT, whose address must not be told on, is good for nothing.
	 */
	bool vouched = (m->proxy_networks.n == 0 && m->xclient_networks.n == 0) ||
		(m->asserts & ASSERT_ADDRESS);
	if (vouched && take_networks(m->proxy_networks, &r->proxies) &&
		take_networks(m->xclient_networks, &r->xclients) &&
		take_networks(m->old_tls_networks, &r->old_tls))
		return r;
	free(r);
	return NULL;
}

struct rules *
rules_ref(struct rules *r)
{
	CHECK(r->refs > 0);
	r->refs++;
	return r;
}

void
rules_unref(struct rules **r)
{
	if (*r && --(*r)->refs == 0)
		free(*r);
	*r = NULL;
}
