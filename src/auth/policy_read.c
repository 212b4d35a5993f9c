#include "auth/encoding.h"
#include "auth/policy.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"

#include <arpa/inet.h>
#include <string.h>

#define EXPIRE_DAYS_MAX	    36500
#define LOGIN_DELAY_MAX	    86400
#define CONNECTIONS_MAX	    65535
#define LOGINS_A_MINUTE_MAX 100000
#define SHA256_OCTETS	    32

static bool
is_yes_or_no(struct view v, bool *ret)
{
	static const struct {
		struct view word;
		bool yes;
	} words[] = {{VIEW("yes"), true}, {VIEW("y"), true}, {VIEW("no"), false},
		{VIEW("n"), false}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (view_equal(v, words[i].word)) {
			*ret = words[i].yes;
			return true;
		}
	return false;
}

static enum policy_read
put_nologin(struct user_policy *p, struct view v)
{
	return is_yes_or_no(v, &p->nologin) ? POLICY_READ : POLICY_BAD_YES_NO;
}

static enum policy_read
put_pop3(struct user_policy *p, struct view v)
{
	bool yes;

	if (!is_yes_or_no(v, &yes))
		return POLICY_BAD_YES_NO;
	p->no_pop3 = !yes;
	return POLICY_READ;
}

static enum policy_read
put_tls(struct user_policy *p, struct view v)
{
	return is_yes_or_no(v, &p->needs_tls) ? POLICY_READ : POLICY_BAD_YES_NO;
}

static enum policy_read
put_apop(struct user_policy *p, struct view v)
{
	return is_yes_or_no(v, &p->apop) ? POLICY_READ : POLICY_BAD_YES_NO;
}

/* What is before the next comma. False: nothing is left. */
static bool
next_of_list(struct view *rest, struct view *ret)
{
	if (!rest->p)
		return false;
	const uint8_t *comma = rest->n > 0 ? memchr(rest->p, ',', rest->n) : NULL;
	size_t n = comma ? (size_t)(comma - rest->p) : rest->n;
	*ret = (struct view){rest->p, n};
	*rest = comma ? (struct view){comma + 1, rest->n - n - 1}
		      : (struct view){NULL, 0};
	return true;
}

/* 10.0.0.0/8, 2001:db8::/32, or one address. */
static bool
read_network(struct view text, uint8_t ret[NETWORK_OCTETS])
{
	static const uint8_t v4_mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	char address[INET6_ADDRSTRLEN];
	const uint8_t *slash = text.n > 0 ? memchr(text.p, '/', text.n) : NULL;
	size_t n = slash ? (size_t)(slash - text.p) : text.n;
	uint64_t bits;

	if (n == 0 || n >= sizeof(address) || memchr(text.p, 0, n))
		return false;
	memcpy(address, text.p, n);
	address[n] = 0;
	memset(ret, 0, NETWORK_OCTETS);
	bool v4 = inet_pton(AF_INET, address, ret + 12) == 1;
	if (v4)
		memcpy(ret, v4_mapped, sizeof(v4_mapped));
	else if (inet_pton(AF_INET6, address, ret) != 1)
		return false;
	bits = v4 ? 32 : 128;
	if (slash && !num_decimal((struct view){slash + 1, text.n - n - 1}, bits, &bits))
		return false;
	ret[16] = (uint8_t)(v4 ? bits + 96 : bits);
	return true;
}

static enum policy_read
put_networks(struct user_policy *p, struct view v)
{
	struct view one;

	p->networks_n = 0;
	while (next_of_list(&v, &one)) {
		if (p->networks_n == POLICY_NETWORKS_MAX ||
			!read_network(one, p->networks[p->networks_n]))
			return POLICY_BAD_NETWORKS;
		p->networks_n++;
	}
	return POLICY_READ;
}

static enum policy_read
put_mechanisms(struct user_policy *p, struct view v)
{
	struct view one;

	p->mechanisms = 0;
	while (next_of_list(&v, &one)) {
		unsigned mechanism = policy_mechanism_of(one);
		if (mechanism == 0)
			return POLICY_BAD_MECHANISMS;
		p->mechanisms |= 1U << mechanism;
	}
	return POLICY_READ;
}

static enum policy_read
put_certificate(struct user_policy *p, struct view v)
{
	struct buf b;

	if (p->certificates_n == POLICY_CERTIFICATES_MAX)
		return POLICY_BAD_CERTIFICATE;
	uint8_t *place = p->certificates[p->certificates_n];
	b = buf_over(place, SHA256_OCTETS);
	if (!hex_decode(v, &b) || b.n != SHA256_OCTETS)
		return POLICY_BAD_CERTIFICATE;
	p->certificates_n++;
	return POLICY_READ;
}

static enum policy_read
put_expire(struct user_policy *p, struct view v)
{
	uint64_t days = POLICY_NEVER;

	if (!view_equal(v, VIEW("never")) && !num_decimal(v, EXPIRE_DAYS_MAX, &days))
		return POLICY_BAD_EXPIRE;
	p->expire_days = (uint32_t)days;
	p->has_expire = true;
	return POLICY_READ;
}

static enum policy_read
put_number(struct view v, uint64_t min, uint64_t max, uint32_t *ret, bool *ret_has)
{
	uint64_t n;

	if (!num_decimal(v, max, &n) || n < min)
		return POLICY_BAD_NUMBER;
	*ret = (uint32_t)n;
	*ret_has = true;
	return POLICY_READ;
}

static enum policy_read
put_login_delay(struct user_policy *p, struct view v)
{
	return put_number(v, 0, LOGIN_DELAY_MAX, &p->login_delay_s, &p->has_login_delay);
}

static enum policy_read
put_connections(struct user_policy *p, struct view v)
{
	return put_number(v, 1, CONNECTIONS_MAX, &p->connections, &p->has_connections);
}

static enum policy_read
put_logins_per_minute(struct user_policy *p, struct view v)
{
	return put_number(v, 0, LOGINS_A_MINUTE_MAX, &p->logins_per_minute,
		&p->has_logins_per_minute);
}

static const struct {
	struct view key;
	enum policy_read (*put)(struct user_policy *p, struct view value);
	bool alone; /* the key without a value means yes */
} fields[] = {
	{VIEW("nologin"), put_nologin, true},
	{VIEW("pop3"), put_pop3, false},
	{VIEW("tls"), put_tls, false},
	{VIEW("allow_nets"), put_networks, false},
	{VIEW("mechanisms"), put_mechanisms, false},
	{VIEW("apop"), put_apop, false},
	{VIEW("certificate"), put_certificate, false},
	{VIEW("expire"), put_expire, false},
	{VIEW("login_delay"), put_login_delay, false},
	{VIEW("connections"), put_connections, false},
	{VIEW("logins_per_minute"), put_logins_per_minute, false},
};

enum policy_read
policy_put(struct user_policy *p, struct view key, bool has_value, struct view value)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!view_equal(key, fields[i].key))
			continue;
		if (!has_value && !fields[i].alone)
			return POLICY_UNKNOWN_KEY;
		return fields[i].put(p, has_value ? value : VIEW("yes"));
	}
	return POLICY_UNKNOWN_KEY;
}
