/* The options that a front obeys, as the monitor sends them; counted. */
#include "front/front.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the monitor said last; auth's offer is put over it. */
struct options_told {
	struct msg_front_options m;
	uint8_t hostname[255];
	enum pop3_language language;
};

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

static struct pop3_server_options
wire_options(const struct front *f)
{
	const struct msg_front_options *m = &f->told->m;
	const struct offer *o = &f->offer;

	return (struct pop3_server_options){
		.implementation = {(const uint8_t *)f->implementation,
			strlen(f->implementation)},
		.expire_days = o->is_there ? o->expire_days : m->expire_days,
		.login_delay_s = o->is_there ? o->login_delay_s : m->login_delay_s,
		.expire_differs = o->expire_differs,
		.login_delay_differs = o->login_delay_differs,
		.last = m->last,
		.utf8 = m->utf8,
		.language = f->told->language,
		.max_bad_commands = m->max_bad_commands,
	};
}

/* A new version: sessions that stand keep theirs. */
static int
renew(struct front *f)
{
	const struct msg_front_options *m = &f->told->m;
	struct front_options *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->refs = 1;
	o->mark_seen = m->mark_seen;
	o->connections_per_address = m->connections_per_address;
	o->session = (struct session_options){.scratch = f->scratch,
		.idle_timeout_s = m->idle_timeout_s,
		.login_timeout_s = m->login_timeout_s,
		.max_login_failures = m->max_login_failures,
		.wire = wire_options(f)};
	if (m->hostname.n > 0)
		memcpy(o->hostname, m->hostname.p, m->hostname.n);
	o->session.wire.hostname = (struct view){o->hostname, m->hostname.n};
	front_options_unref(&f->options);
	f->options = o;
	accept_update(f);
	return 0;
}

bool
options_take(struct front *f, struct view payload, struct received *r)
{
	struct msg_front_options m;

	(void)r;
	if (!msg_front_options_get(&m, payload))
		return false;
	if (!f->told)
		f->told = calloc(1, sizeof(*f->told));
	if (!f->told)
		return false;
	/* A language that this program has no texts in is no reason not to serve. */
	if (!pop3_language_find(m.language, &f->told->language))
		f->told->language = POP3_ENGLISH;
	f->told->m = m;
	/* These lay in the message. */
	f->told->m.language = (struct view){NULL, 0};
	if (m.hostname.n > 0)
		memcpy(f->told->hostname, m.hostname.p, m.hostname.n);
	f->told->m.hostname.p = f->told->hostname;
	return renew(f) == 0;
}

int
options_offer(struct front *f)
{
	if (f->told)
		return renew(f);
	accept_update(f);
	return 0;
}
