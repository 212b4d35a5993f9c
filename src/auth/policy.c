#include "auth/policy.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/network.h"
#include "ipc/mechanism.h"

#include <string.h>

/* Those that bring the password as such; PLAIN and LOGIN are PASS in another dress. */
#define WITH_PASSWORD                                                                    \
	(1U << MECHANISM_PASS | 1U << MECHANISM_PLAIN | 1U << MECHANISM_LOGIN)

unsigned
policy_mechanism_of(struct view name)
{
	for (unsigned i = 1; i < MECHANISMS_END; i++) {
		const char *row = mechanism_name(i);
		if (ascii_equal_nocase(
			    name, (struct view){(const uint8_t *)row, strlen(row)}))
			return i;
	}
	return 0;
}

static bool
login_allowed(const struct user_policy *p, const struct policy_login *l)
{
	(void)l;
	return !p->nologin;
}

static bool
pop3_allowed(const struct user_policy *p, const struct policy_login *l)
{
	(void)l;
	return !p->no_pop3;
}

static bool
tls_allowed(const struct user_policy *p, const struct policy_login *l)
{
	return !p->needs_tls || l->tls;
}

static bool
network_allowed(const struct user_policy *p, const struct policy_login *l)
{
	for (size_t i = 0; i < p->networks_n; i++)
		if (network_has(p->networks[i], l->address))
			return true;
	return p->networks_n == 0;
}

static bool
mechanism_allowed(const struct user_policy *p, const struct policy_login *l)
{
	return p->mechanisms == 0 || (p->mechanisms >> l->mechanism & 1) != 0;
}

static bool
apop_allowed(const struct user_policy *p, const struct policy_login *l)
{
	uint32_t bit = 1U << l->mechanism;

	return (bit & (p->apop ? WITH_PASSWORD : 1U << MECHANISM_APOP)) == 0;
}

const struct policy_row policy_rows[] = {
	{"nologin", "nologin: the user may not log in", login_allowed},
	{"pop3", "pop3=no: the user may not use POP3", pop3_allowed},
	{"tls", "tls=yes: the user needs TLS", tls_allowed},
	{"allow_nets", "allow_nets: not from this network", network_allowed},
	{"mechanisms", "mechanisms: not with this mechanism", mechanism_allowed},
	{"apop", "apop: a user has either APOP or a password as such", apop_allowed},
};

const size_t policy_rows_n = ARRAY_SIZE(policy_rows);

const char *
policy_check(const struct user_policy *p, const struct policy_login *l)
{
	CHECK(l->mechanism < MECHANISMS_END);
	for (size_t i = 0; i < policy_rows_n; i++)
		if (!policy_rows[i].allows(p, l))
			return policy_rows[i].text;
	return NULL;
}

uint32_t
policy_mechanisms(const struct user_policy *p, uint32_t of_password)
{
	uint32_t m = of_password;

	if (p->nologin || p->no_pop3)
		return 0;
	m &= ~(p->apop ? WITH_PASSWORD : 1U << MECHANISM_APOP);
	if (p->certificates_n > 0)
		m |= 1U << MECHANISM_EXTERNAL;
	return p->mechanisms ? m & p->mechanisms : m;
}
