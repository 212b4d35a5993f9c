#include "auth/core.h"
#include "base/check.h"

#define BIT(mechanism) (1U << MECHANISM_##mechanism)

/* What a helper that is no database brings with it. */
static const struct {
	enum backend backend;
	uint32_t mechanisms;
} brings[] = {
	{BACKEND_OAUTH, BIT(OAUTHBEARER) | BIT(XOAUTH2)},
	{BACKEND_KRB5, BIT(GSSAPI) | BIT(KPOP)},
};

struct range {
	uint32_t min, max;
	bool any;
};

static void
widen(struct range *r, uint32_t value)
{
	if (!r->any || value < r->min)
		r->min = value;
	if (!r->any || value > r->max)
		r->max = value;
	r->any = true;
}

static void
add_users(const struct core *c, struct range *expire, struct range *delay)
{
	const struct users_offer *o = users_offer(c->users);

	if (o->with_expire > 0) {
		widen(expire, o->expire_min);
		widen(expire, o->expire_max);
	}
	if (o->with_expire < o->users)
		widen(expire, c->expire_days);
	if (o->with_delay > 0) {
		widen(delay, o->delay_min);
		widen(delay, o->delay_max);
	}
	if (o->with_delay < o->users)
		widen(delay, c->login_delay_s);
}

struct msg_auth_offer
core_offer(const struct core *c, uint32_t helpers, uint32_t seen)
{
	struct range expire = {0}, delay = {0};
	uint32_t m = seen;

	for (size_t i = 0; i < c->chain.n; i++) {
		uint8_t backend = c->chain.backends[i];
		/* In a file it stands what can work; but none yet is not none ever. */
		if (backend == BACKEND_FILE && c->users &&
			users_offer(c->users)->users > 0) {
			m |= users_offer(c->users)->mechanisms;
			add_users(c, &expire, &delay);
			continue;
		}
		m |= chain_mechanisms((enum backend)backend) |
			chain_stored_mechanisms(c->stores[backend]);
		widen(&expire, c->expire_days);
		widen(&delay, c->login_delay_s);
	}
	for (size_t i = 0; i < ARRAY_SIZE(brings); i++)
		if (helpers >> brings[i].backend & 1)
			m |= brings[i].mechanisms;
	/* Of the days that mail is kept the fewest, of the delays the longest. */
	return (struct msg_auth_offer){
		.mechanisms = m,
		.expire_days = expire.min,
		.expire_differs = expire.min != expire.max,
		.login_delay_s = delay.max,
		.login_delay_differs = delay.min != delay.max,
	};
}

uint32_t
core_offer_for(uint32_t mechanisms, uint8_t asserts)
{
	return asserts & ASSERT_CERTIFICATE ? mechanisms : mechanisms & ~BIT(EXTERNAL);
}
