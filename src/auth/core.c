#include "auth/core.h"
#include "auth/plain.h"
#include "base/check.h"

#include <string.h>

/* Where credentials come from; part of the cache's key, for the day there are others. */
#define BACKEND VIEW("users")

bool
core_login_is_valid(const struct msg_login *m)
{
	if (m->address.n != sizeof(((struct attempt *)NULL)->address))
		return false;
	return m->mechanism == MECHANISM_PASS || m->mechanism == MECHANISM_PLAIN;
}

size_t
core_attempt_octets(const struct msg_login *m)
{
	/* One more, so that no view of it has a null pointer or is empty at its end. */
	return m->name.n + m->response.n + 1;
}

void
core_attempt_init(struct attempt *a, struct auth_front *front, const struct msg_login *m)
{
	struct buf b = buf_over(a->octets, a->octets_n);

	buf_put_view(&b, m->name);
	buf_put_view(&b, m->response);
	CHECK(!b.full);
	CHECK(m->address.n == sizeof(a->address));
	a->front = front;
	a->session = m->session;
	a->mechanism = m->mechanism;
	a->tls = m->tls;
	a->port = m->port;
	memcpy(a->address, m->address.p, sizeof(a->address));
	a->name = (struct view){a->octets, m->name.n};
	a->response = (struct view){a->octets + m->name.n, m->response.n};
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
	a->delivers = true;
	a->name = a->response = (struct view){a->octets, m->name.n};
}

enum core_step
core_refuse(struct attempt *a, enum refusal code, const char *reason)
{
	a->code = code;
	a->reason = reason;
	return CORE_REFUSE;
}

/* USER and PASS count octet for octet; PLAIN carries both in its response. */
static bool
read_credentials(struct attempt *a)
{
	if (a->mechanism == MECHANISM_PLAIN)
		return plain_read(a->response, &a->name, &a->password);
	a->password = a->response;
	return true;
}

static bool
make_mac(const struct core *c, struct attempt *a)
{
	const struct view parts[] = {
		a->name,
		a->password,
		{&a->mechanism, 1},
		BACKEND,
		{a->user.stored.octets, a->user.stored.n},
	};

	return mac_of(c->cache_key, parts, ARRAY_SIZE(parts), a->mac);
}

/* The user and the hash to check against: his own, or the dummy of that name. */
static void
look_up(const struct core *c, struct attempt *a)
{
	const struct stored *dummy = users_dummy(c->users, a->name);
	enum users_fault fault = USERS_OK;

	a->known = users_find(c->users, a->name, &a->user, &fault);
	a->may_succeed = a->known && fault == USERS_OK;
	if (!a->may_succeed)
		a->user.stored = *dummy;
	a->reason = !a->known	 ? "unknown_user"
		: a->may_succeed ? "password"
				 : "cannot_log_in";
}

enum core_step
core_start(struct core *c, struct attempt *a, uint64_t now_ms)
{
	if (!read_credentials(a))
		return core_refuse(a, REFUSAL_CREDENTIALS, "malformed");
	if (!c->users)
		return core_refuse(a, REFUSAL_TEMPORARY, "no_users_file");
	look_up(c, a);
	if (!scheme_is_slow(&a->user.stored))
		return CORE_CHECK;
	if (!make_mac(c, a))
		return core_refuse(a, REFUSAL_TEMPORARY, "no_memory");
	if (cache_has(c->cache, a->mac, now_ms) && a->may_succeed)
		return CORE_GRANT;
	return CORE_QUEUE;
}

enum core_step
core_settle(struct core *c, struct attempt *a, uint64_t now_ms)
{
	switch (a->answer) {
	case SCHEME_YES: break;
	case SCHEME_NO: return core_refuse(a, REFUSAL_CREDENTIALS, a->reason);
	case SCHEME_FAILED: return core_refuse(a, REFUSAL_TEMPORARY, "no_memory");
	}
	if (!a->may_succeed)
		return core_refuse(a, REFUSAL_CREDENTIALS, a->reason);
	if (scheme_is_slow(&a->user.stored))
		cache_put(c->cache, a->mac, now_ms);
	return CORE_GRANT;
}

enum core_step
core_lookup(const struct core *c, struct attempt *a)
{
	enum users_fault fault = USERS_OK;

	if (!c->users)
		return core_refuse(a, REFUSAL_TEMPORARY, "no_users_file");
	a->known =
		users_find_recipient(c->users, a->name, c->delimiter, &a->user, &fault);
	if (!a->known)
		return core_refuse(a, REFUSAL_NO_USER, "unknown_user");
	/* An operator will mend the line: mail waits for that. */
	if (!a->user.has_maildrop)
		return core_refuse(a, REFUSAL_TEMPORARY, "no_maildrop");
	a->may_succeed = true;
	/* From here on the user counts, not how the recipient was written. */
	a->name = a->user.name;
	return CORE_GRANT;
}

static uint8_t
rights_of(const struct attempt *a)
{
	if (a->delivers)
		return RIGHT_DELIVER;
	return a->user.read_only ? RIGHT_READ : RIGHT_READ | RIGHT_DELETE;
}

struct msg_grant
core_grant(const struct attempt *a, uint64_t incarnation)
{
	CHECK(a->may_succeed);
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
	};
}
