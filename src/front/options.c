/* The options that a front obeys, as the monitor sends them; counted. */
#include "front/front.h"

#include "base/check.h"

#include <stdlib.h>
#include <string.h>

struct front_options *
front_options_ref(struct front_options *o)
{
	CHECK(o->refs > 0);
	o->refs++;
	return o;
}

void
front_options_unref(struct front_options **o)
{
	if (*o && --(*o)->refs == 0)
		free(*o);
	*o = NULL;
}

bool
options_take(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_options m;
	struct front_options *o;

	(void)r;
	if (!msg_front_options_get(&m, payload))
		return false;
	o = calloc(1, sizeof(*o));
	if (!o)
		return false;
	o->refs = 1;
	o->mark_seen = m.mark_seen;
	o->connections_per_address = m.connections_per_address;
	o->session = (struct session_options){.scratch = f->scratch,
		.idle_timeout_s = m.idle_timeout_s,
		.login_timeout_s = m.login_timeout_s,
		.max_login_failures = m.max_login_failures,
		.login_failure_delay_ms = m.login_failure_delay_ms,
		.growing_penalty = m.growing_penalty,
		.wire = {
			.hostname = {(const uint8_t *)f->hostname, strlen(f->hostname)},
			.implementation = {(const uint8_t *)f->implementation,
				strlen(f->implementation)},
			.expire_days = m.expire_days,
			.login_delay_s = m.login_delay_s,
			.last = m.last,
			.max_bad_commands = m.max_bad_commands,
		}};
	front_options_unref(&f->options);
	f->options = o;
	accept_update(f);
	return true;
}
