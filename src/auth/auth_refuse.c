#include "auth/auth_parts.h"
#include "base/check.h"
#include "base/ticket.h"
#include "ipc/mechanism.h"
#include "os/clock.h"

#include <string.h>

#define BUSY_LOG_MS 1000

static const char *const names[] = {
	[REFUSAL_CREDENTIALS] = "credentials",
	[REFUSAL_TEMPORARY] = "temporary",
	[REFUSAL_PERMANENT] = "permanent",
	[REFUSAL_IN_USE] = "in_use",
	[REFUSAL_CONNECTIONS] = "connections",
	[REFUSAL_BUSY] = "busy",
	[REFUSAL_LOGIN_DELAY] = "login_delay",
	[REFUSAL_NO_USER] = "no_user",
	[REFUSAL_POLICY] = "policy",
	[REFUSAL_TOO_MANY] = "too_many",
};

const char *
refusal_name(unsigned code)
{
	return code < ARRAY_SIZE(names) && names[code] ? names[code] : "none";
}

static void
log_id(struct log_record *r, uint32_t id)
{
	uint8_t digits[TICKET_OCTETS];

	ticket_put(id, digits);
	log_text(r, "id", (struct view){digits, sizeof(digits)});
}

/* People type passwords where the name belongs. */
static bool
may_be_named(const struct attempt *a)
{
	return (a->known || a->auth->log_unknown_names) && a->name.n > 0;
}

/* What fail2ban's stock filter reads: restante-log makes the whole line of it. */
static void
log_fail2ban(const struct attempt *a)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, "fail2ban");
	log_text(&r, "user", may_be_named(a) ? a->name : VIEW(""));
	log_str(&r, "method", mechanism_name(a->mechanism));
	log_address(&r, "address", (struct view){a->address, sizeof(a->address)});
	auth_log(&r);
}

/* Lines about logins come from here only: no other process can forge one. */
static void
log_refused(const struct attempt *a, const char *event, uint32_t delay_ms)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, event);
	if (may_be_named(a))
		log_text(&r, "user", a->name);
	log_address(&r, "address", (struct view){a->address, sizeof(a->address)});
	log_number(&r, "port", a->port);
	log_number(&r, "tls", a->tls);
	log_str(&r, "mechanism", mechanism_name(a->mechanism));
	log_str(&r, "reason", a->reason);
	log_id(&r, a->id);
	if (a->backend != 0)
		log_str(&r, "database", chain_name(a->backend));
	if (delay_ms > 0)
		log_number(&r, "delay_ms", delay_ms);
	auth_log(&r);
}

/* At most one line a second: whoever fills the queue must not fill the log. */
static void
log_not_now(const struct attempt *a, uint64_t now_ms)
{
	struct auth *auth = a->auth;
	struct log_record r;

	if (auth->busy_logged_ms != 0 && now_ms - auth->busy_logged_ms < BUSY_LOG_MS)
		return;
	auth->busy_logged_ms = now_ms;
	bool delivers = a->want == WANT_DELIVERY;
	log_begin(&r, LOG_LEVEL_ERROR,
		delivers ? "lookup_not_possible" : "login_not_possible");
	if (delivers && a->known && a->backend == BACKEND_FILE)
		log_text(&r, "user", a->user.name);
	log_number(&r, "front", a->front->incarnation);
	log_str(&r, "reason", a->reason);
	if (!delivers)
		log_id(&r, a->id);
	auth_log(&r);
}

static void
remember(const struct attempt *a)
{
	struct refusal_record r = {
		.at_unix_s = clock_unix_s(),
		.front = a->front->incarnation,
		.id = a->id,
		.code = (uint8_t)a->code,
		.mechanism = a->mechanism,
		.reason = a->reason,
	};

	memcpy(r.address, a->address, sizeof(r.address));
	if (may_be_named(a)) {
		r.name_n = (uint8_t)(a->name.n < sizeof(r.name) ? a->name.n
								: sizeof(r.name));
		memcpy(r.name, a->name.p, r.name_n);
	}
	refusals_put(a->auth->refusals, &r);
}

/* How long the front waits with its answer. */
static uint32_t
tell_all(struct attempt *a)
{
	struct auth *auth = a->auth;
	uint64_t now_ms = loop_now_ms(auth->loop);
	uint32_t delay_ms = 0;

	switch (a->code) {
	case REFUSAL_CREDENTIALS:
		delay_ms =
			defence_failed(auth->core.defence, a->address, a->name, now_ms);
		log_refused(a, "login_failed", delay_ms);
		if (auth->fail2ban)
			log_fail2ban(a);
		break;
	case REFUSAL_POLICY:
	case REFUSAL_TOO_MANY: log_refused(a, "login_refused", 0); break;
	/* Who is unknown is in the mail server's log; here it would be noise. */
	case REFUSAL_NO_USER: break;
	case REFUSAL_TEMPORARY:
	case REFUSAL_PERMANENT:
	case REFUSAL_IN_USE:
	case REFUSAL_CONNECTIONS:
	case REFUSAL_NOT_NOW:
	case REFUSAL_LOGIN_DELAY: log_not_now(a, now_ms); break;
	case REFUSAL_BUSY:
		delay_ms = defence_unchecked(
			auth->core.defence, a->address, a->name, now_ms);
		log_not_now(a, now_ms);
		break;
	}
	if (a->want != WANT_DELIVERY)
		remember(a);
	return delay_ms;
}

void
refuse(struct attempt *a)
{
	struct auth_front *f = a->front;

	if (a->want == WANT_WHY) {
		why_refused(a);
		return;
	}
	if (f->source.fd >= 0) {
		uint32_t delay_ms = tell_all(a);
		sessions_end(&f->sessions, a->session, false);
		front_fail(f, a->session, a->code, delay_ms);
	}
	attempt_free(a);
}

void
refuse_busy(struct attempt *a, const char *reason)
{
	stat_add(STAT_QUEUE_FULL, 1);
	(void)core_refuse(
		a, a->want == WANT_DELIVERY ? REFUSAL_TEMPORARY : REFUSAL_BUSY, reason);
	refuse(a);
}

/* It was granted here, and refused behind: `why` finds that, too. */
void
refusal_lost(struct auth_front *f, const struct msg_login_lost *m)
{
	struct refusal_record r = {
		.at_unix_s = clock_unix_s(),
		.front = f->incarnation,
		.id = m->id,
		.code = m->code,
		.reason = "the password was right; the maildrop could not be opened",
	};

	refusals_put(f->auth->refusals, &r);
}
