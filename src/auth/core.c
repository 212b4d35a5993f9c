#include "auth/core.h"
#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

bool
core_login_is_valid(const struct msg_login *m)
{
	if (m->address.n != sizeof(((struct attempt *)NULL)->address))
		return false;
	if (m->certificate.n != 0 && m->certificate.n != 32)
		return false;
	return m->mechanism >= MECHANISM_PASS && m->mechanism < MECHANISMS_END &&
		m->binding_kind <= BINDING_TLS_UNIQUE;
}

void
core_attempt_init(struct attempt *a, struct auth_front *front, const struct msg_login *m)
{
	CHECK(m->address.n == sizeof(a->address));
	a->front = front;
	a->session = m->session;
	a->connection = m->connection;
	a->id = m->id;
	a->mechanism = m->mechanism;
	a->tls = m->tls;
	a->port = m->port;
	memcpy(a->address, m->address.p, sizeof(a->address));
	a->name = a->secret = (struct view){a->name_octets, 0};
}

void
core_attempt_lookup(
	struct attempt *a, struct auth_front *front, const struct msg_lookup *m)
{
	struct buf b = buf_over(a->octets, a->octets_n);

	buf_put_view(&b, m->name);
	CHECK(!b.full);
	a->front = front;
	a->session = m->session;
	a->want = WANT_DELIVERY;
	a->name = (struct view){a->octets, m->name.n};
	a->secret = (struct view){a->octets, 0};
}

enum core_step
core_refuse(struct attempt *a, enum refusal code, const char *reason)
{
	a->code = code;
	a->reason = reason;
	return CORE_REFUSE;
}

static enum core_step
begin_walk(struct attempt *a, enum attempt_want want, const struct sasl_result *r)
{
	a->want = want;
	a->talk_has_asked = true;
	a->shown = false;
	a->answer = SCHEME_NO;
	a->name = r->name;
	a->secret = want == WANT_CHECK ? r->secret : (struct view){a->name_octets, 0};
	a->database = 0;
	a->variant = 0;
	a->rounds = 0;
	a->known = false;
	a->backend = 0;
	a->checked_elsewhere = false;
	a->found = FOUND_NOBODY;
	return CORE_WALK;
}

/* Whatever sasl.h made of it: what we ourselves found wrong is never right. */
static bool
was_refused(const struct attempt *a)
{
	switch (a->want) {
	case WANT_CHECK: return a->talk_has_asked && a->answer != SCHEME_YES;
	case WANT_STORED: return a->talk_has_asked && !a->shown;
	case WANT_PERMIT:
	case WANT_DELIVERY:
	case WANT_WHY: return a->found != FOUND_USER;
	}
	UNREACHABLE();
}

/* Sasl.h gives a name as prepared: the user at hand may be another's. */
static enum core_step
says_yes(struct attempt *a, const struct sasl_result *r)
{
	if (was_refused(a))
		return core_refuse(a, REFUSAL_CREDENTIALS, "wrong");
	bool same = a->found == FOUND_USER && view_equal(a->name, r->name);
	return same ? CORE_GRANT : begin_walk(a, WANT_PERMIT, r);
}

static enum core_step
says_no(struct attempt *a, const struct sasl_result *r)
{
	/* What was wrong with the proof of a user who is there, the conversation knows
	 * best. */
	bool theirs = !a->reason || (a->found == FOUND_USER && r->reason);
	const char *reason = theirs ? r->reason : a->reason;

	return core_refuse(a, REFUSAL_CREDENTIALS, reason ? reason : "wrong");
}

enum core_step
core_act(struct attempt *a, const struct sasl_result *r)
{
	switch (r->act) {
	case SASL_SAY: return CORE_SAY;
	case SASL_CHECK: return begin_walk(a, WANT_CHECK, r);
	case SASL_USER: return begin_walk(a, WANT_STORED, r);
	case SASL_TOKEN:
		a->name = r->name;
		a->secret = r->secret;
		return CORE_TOKEN;
	case SASL_DERIVE: return CORE_DERIVE;
	case SASL_TICKET: a->secret = r->secret; return CORE_TICKET;
	case SASL_YES: return says_yes(a, r);
	case SASL_NO: return says_no(a, r);
	case SASL_BAD:
		return core_refuse(
			a, REFUSAL_CREDENTIALS, r->reason ? r->reason : "malformed");
	case SASL_LATER:
		return core_refuse(
			a, REFUSAL_TEMPORARY, r->reason ? r->reason : "no_memory");
	}
	UNREACHABLE();
}

/* ---- the walk ------------------------------------------------------------------------
 */

bool
core_asked_name(const struct core *c, const struct attempt *a, struct buf *out)
{
	if (a->want == WANT_DELIVERY)
		return users_recipient(a->name, c->delimiter, a->variant, out);
	buf_put_view(out, a->name);
	return !out->full && a->variant == 0;
}

static enum core_file
file_has(struct attempt *a)
{
	a->known = true;
	a->backend = BACKEND_FILE;
	a->found = a->fault == USERS_OK ? FOUND_USER : FOUND_CANNOT;
	/* Without a password there is nothing to check it against. */
	if (a->want == WANT_CHECK && !a->user.has_stored)
		a->found = FOUND_CANNOT;
	return CORE_FILE_HAS;
}

enum core_file
core_ask_file(const struct core *c, struct attempt *a)
{
	bool has;

	a->fault = USERS_OK;
	if (a->want == WANT_DELIVERY)
		has = users_find_recipient(
			c->users, a->name, c->delimiter, &a->user, &a->fault);
	else if (a->want == WANT_CHECK)
		has = users_find(c->users, a->name, &a->user, &a->fault);
	else
		has = users_find_without(c->users, a->name, &a->user, &a->fault);
	return has ? file_has(a) : CORE_FILE_NOT;
}

bool
core_take_line(struct core *c, struct attempt *a, struct view line,
	const struct users_options *options)
{
	uint8_t octets[MAILDROP_NAME_MAX];
	struct buf asked = buf_over(octets, sizeof(octets));

	if (!core_asked_name(c, a, &asked))
		return false;
	enum chain_line read =
		chain_read(line, buf_view(&asked), options, &a->user, &a->fault);
	if (read == CHAIN_OTHER_NAME)
		return false;
	a->known = true;
	a->backend = c->chain.backends[a->database];
	a->found = read == CHAIN_USER ? FOUND_USER : FOUND_CANNOT;
	a->checked_elsewhere =
		a->want == WANT_CHECK && read == CHAIN_USER && !a->user.has_stored;
	if (read == CHAIN_USER)
		census_add_recent(&c->census[a->backend],
			a->user.has_stored ? &a->user.stored : NULL);
	return true;
}

/* What stands for the stored password of who cannot log in; NULL: auth checks none. */
static const struct stored *
dummy_of(const struct core *c, uint64_t number)
{
	const struct census *all[CHAIN_MAX];
	struct census_pick pick;
	size_t n = 0;
	bool hashes = false;

	for (size_t i = 0; i < c->chain.n; i++) {
		uint8_t backend = c->chain.backends[i];
		if (backend == BACKEND_FILE && !c->users)
			continue;
		all[n++] = backend == BACKEND_FILE ? users_census(c->users)
						   : &c->census[backend];
		hashes = hashes || chain_shows_hashes((enum backend)backend);
	}
	pick = census_pick(all, n, number);
	/* Nobody has logged in yet: as good as any is what restante passwd makes. */
	if (pick.none && hashes)
		return &c->census[BACKEND_FILE].classes[0].sample;
	return pick.stored;
}

static bool
make_mac(const struct core *c, struct attempt *a)
{
	const struct view parts[] = {
		a->name,
		a->secret,
		{&a->mechanism, 1},
		{&a->backend, 1},
		{a->user.stored.octets, a->user.stored.n},
	};

	return mac_make(c->cache_mac, parts, ARRAY_SIZE(parts), a->mac);
}

static enum core_step
answer(struct attempt *a, enum scheme_answer is)
{
	a->answer = is;
	return CORE_ANSWER;
}

static const char *
reason_of(const struct attempt *a)
{
	switch (a->found) {
	case FOUND_NOBODY: return "unknown_user";
	case FOUND_USER: return "password";
	case FOUND_CANNOT: return "cannot_log_in";
	case FOUND_WRONG: return "password";
	}
	UNREACHABLE();
}

static enum core_step
check(const struct core *c, struct attempt *a, uint64_t now_ms)
{
	if (a->checked_elsewhere)
		return answer(a, SCHEME_YES);
	if (a->found == FOUND_WRONG)
		return answer(a, SCHEME_NO);
	if (a->found != FOUND_USER) {
		if (!a->dummy)
			return answer(a, SCHEME_NO);
		a->user.stored = *a->dummy;
	}
	if (!scheme_is_slow(&a->user.stored))
		return CORE_CHECK;
	if (!make_mac(c, a))
		return core_refuse(a, REFUSAL_TEMPORARY, "no_memory");
	if (cache_has(c->cache, a->mac, now_ms) && a->found == FOUND_USER)
		return answer(a, SCHEME_YES);
	return CORE_QUEUE;
}

/* Sasl.h goes on as if he were there; that needs something that is stored. */
static enum core_step
show(const struct core *c, struct attempt *a)
{
	/* A certificate is no password: he need not have one. */
	a->shown = a->found == FOUND_USER &&
		(a->user.has_stored || a->mechanism == MECHANISM_EXTERNAL);
	if (a->shown)
		return CORE_USER;
	a->user.stored = a->dummy ? *a->dummy : c->census[BACKEND_FILE].classes[0].sample;
	a->user.has_stored = true;
	a->user.policy = (struct user_policy){0};
	return CORE_USER;
}

static enum core_step
deliver(struct attempt *a)
{
	if (!a->known)
		return core_refuse(a, REFUSAL_NO_USER, "unknown_user");
	/* An operator will mend the line: mail waits for that. */
	if (!a->user.has_maildrop || a->found == FOUND_WRONG)
		return core_refuse(a, REFUSAL_TEMPORARY, "no_maildrop");
	return CORE_GRANT;
}

enum core_step
core_found(struct core *c, struct attempt *a, uint64_t number, uint64_t now_ms)
{
	/* From here on the user counts, not how the recipient was written. */
	if (a->known && a->want == WANT_DELIVERY && a->found != FOUND_WRONG) {
		struct buf b = buf_over(a->name_octets, sizeof(a->name_octets));
		buf_put_view(&b, a->user.name);
		CHECK(!b.full);
		a->name = buf_view(&b);
	}
	a->reason = reason_of(a);
	a->dummy = dummy_of(c, number);
	switch (a->want) {
	case WANT_CHECK: return check(c, a, now_ms);
	case WANT_STORED: return show(c, a);
	case WANT_DELIVERY: return deliver(a);
	case WANT_PERMIT:
		if (a->found != FOUND_USER)
			return core_refuse(a, REFUSAL_CREDENTIALS, a->reason);
		return CORE_GRANT;
	case WANT_WHY: return CORE_GRANT;
	}
	UNREACHABLE();
}

void
core_settle(struct core *c, struct attempt *a, uint64_t now_ms)
{
	if (a->answer != SCHEME_YES)
		return;
	if (a->found != FOUND_USER)
		a->answer = SCHEME_NO;
	else if (scheme_is_slow(&a->user.stored))
		cache_put(c->cache, a->mac, now_ms);
}

bool
core_unseen_mac(const struct core *c, const struct attempt *a, uint8_t backend,
	uint8_t ret[MAC_OCTETS])
{
	const uint8_t kind = (uint8_t)a->ask;
	const struct view parts[] = {
		VIEW("unseen"),
		a->name,
		a->secret,
		{&a->mechanism, 1},
		{&backend, 1},
		{&kind, 1},
		{a->address, sizeof(a->address)},
	};

	return mac_make(c->cache_mac, parts, ARRAY_SIZE(parts), ret);
}

/* ---- the permit ----------------------------------------------------------------------
 */

enum core_step
core_permit(struct core *c, struct attempt *a, uint64_t now_ms)
{
	const struct user_policy *p = &a->user.policy;
	const struct policy_login l = {.mechanism = (enum mechanism)a->mechanism,
		.tls = a->tls != 0,
		.address = a->address};

	CHECK(a->found == FOUND_USER);
	const char *why = policy_check(p, &l);
	if (why)
		return core_refuse(a, REFUSAL_POLICY, why);
	uint32_t a_minute =
		p->has_logins_per_minute ? p->logins_per_minute : c->logins_per_minute;
	if (!defence_succeeded(c->defence, a->address, a->name, a_minute, now_ms))
		return core_refuse(a, REFUSAL_TOO_MANY, "logins_per_minute");
	return CORE_GRANT;
}

static uint8_t
rights_of(const struct attempt *a)
{
	if (a->want == WANT_DELIVERY)
		return RIGHT_DELIVER;
	return a->user.read_only ? RIGHT_READ : RIGHT_READ | RIGHT_DELETE;
}

struct msg_grant
core_grant(const struct core *c, const struct attempt *a, uint64_t incarnation)
{
	const struct user_policy *p = &a->user.policy;

	CHECK(a->known);
	CHECK(a->want == WANT_DELIVERY || a->found == FOUND_USER);
	return (struct msg_grant){
		.front = incarnation,
		.session = a->session,
		.uid = a->user.uid,
		.gid = a->user.gid,
		.rights = rights_of(a),
		.store = a->user.store,
		.tls = a->tls,
		.address = {a->address, sizeof(a->address)},
		.port = a->port,
		.user = a->name,
		.maildrop = {a->user.maildrop_octets, a->user.maildrop_n},
		.connections = p->has_connections ? p->connections : c->connections,
		.login_delay_s = p->has_login_delay ? p->login_delay_s : c->login_delay_s,
		.expire_days = p->has_expire ? p->expire_days : c->expire_days,
	};
}
