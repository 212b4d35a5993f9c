#include "auth/auth_parts.h"
#include "base/check.h"

#include <string.h>

static bool
same(const struct msg_auth_offer *a, const struct msg_auth_offer *b)
{
	return a->mechanisms == b->mechanisms && a->expire_days == b->expire_days &&
		a->expire_differs == b->expire_differs &&
		a->login_delay_s == b->login_delay_s &&
		a->login_delay_differs == b->login_delay_differs;
}

void
offer_tell(struct auth_front *f)
{
	struct auth *a = f->auth;
	struct msg_auth_offer m = a->offer;
	uint8_t octets[64];
	struct buf b = buf_over(octets, sizeof(octets));

	m.mechanisms = core_offer_for(m.mechanisms, f->asserts);
	/* None yet: the users file is being read. An offer is never empty. */
	if (f->delivers || a->offer.mechanisms == 0 || same(&m, &f->offered))
		return;
	f->offered = m;
	msg_auth_offer_put(&m, &b);
	CHECK(!b.full);
	front_send(f, buf_view(&b));
}

void
offer_renew(struct auth *a)
{
	struct auth_front *next;
	uint32_t helpers = 0;

	if (!a->users_settled && chain_has(&a->core.chain, BACKEND_FILE))
		return;
	for (const struct helper_link *l = a->helpers; l; l = l->next)
		helpers |= 1U << l->backend;
	a->offer = core_offer(&a->core, helpers, a->seen_mechanisms);
	for (struct auth_front *f = a->fronts; f; f = next) {
		next = f->next;
		offer_tell(f);
	}
}
