#include "base/ascii.h"
#include "base/check.h"
#include "conf/conf.h"
#include "ipc/permit.h"
#include "monitor/core_parts.h"

#include <string.h>

/* ---- a session is granted once ---- */

void
core_seen_clear(struct core *c, uint32_t front)
{
	CHECK(core_has_sessions(front));
	c->seen[front - CORE_LMTPD] = (struct core_seen){0};
}

/*
 * Marks the session as granted; false if it was. A number is forgotten when another takes
 * its place, not when a high one comes: an auth that makes numbers up must not shut out
 * those that follow. A front that gets a forgotten one again knows that it did not ask.
 */
static bool
seen_mark(struct core_seen *w, uint64_t session)
{
	uint64_t *at = &w->sessions[session * UINT64_C(0x9e3779b97f4a7c15) >> 48];

	_Static_assert(CORE_SEEN == 1U << 16, "the hash has as many bits");
	if (session == 0 || *at == session)
		return false;
	*at = session;
	return true;
}

/* ---- who and where ---- */

static bool
in_service_block(const struct core_limits *l, uint32_t id)
{
	return l->service_uids > 0 && id >= l->service_uids &&
		id - l->service_uids < CORE_SERVICE_UIDS;
}

static const char *
owner_fault(const struct core_limits *l, uint32_t uid, uint32_t gid)
{
	if (uid == 0 || gid == 0)
		return "the owner of mail may not be root";
	if (!l->privileged)
		return uid == l->caller_uid
			? NULL
			: "without root only mail of the caller is served";
	if (uid < l->uid_min || uid > l->uid_max)
		return "uid is not within mail_uid_min and mail_uid_max";
	if (gid < l->uid_min || gid > l->uid_max)
		return "gid is not within mail_uid_min and mail_uid_max";
	if (in_service_block(l, uid) || in_service_block(l, gid))
		return "the owner is one of service_uids";
	return NULL;
}

/* The longest root above the path, and what follows it; CORE_ROOTS if there is none. */
static uint32_t
root_of(const struct core_limits *l, struct view path, struct view *ret_below)
{
	uint32_t best = CORE_ROOTS;
	size_t best_n = 0;

	for (uint32_t i = 0; i < l->roots_n; i++) {
		size_t n = strlen(l->roots[i].path);
		if (!l->roots[i].there || n <= best_n || path.n < n ||
			memcmp(path.p, l->roots[i].path, n) != 0)
			continue;
		if (path.n > n && path.p[n] != '/')
			continue;
		best = i;
		best_n = n;
		*ret_below = path.n == n ? VIEW(".")
					 : (struct view){path.p + n + 1, path.n - n - 1};
	}
	return best;
}

/* Numbers of the user's own; auth takes them from a line that it has read. */
static bool
numbers_fit(const struct msg_grant *g)
{
	return g->connections <= 65535 && g->login_delay_s <= 86400 &&
		(g->expire_days <= 36500 || g->expire_days == UINT32_MAX);
}

/* Whoever asked: who delivers may do nothing else, and others may not deliver. */
static bool
rights_fit(uint32_t front, uint8_t rights)
{
	if (front == CORE_LMTPD)
		return rights == RIGHT_DELIVER;
	return rights != 0 && (rights & ~(RIGHT_READ | RIGHT_DELETE)) == 0;
}

static const char *
grant_fault(const struct core *c, const struct msg_grant *g, uint32_t front,
	uint32_t *ret_root, struct view *ret_below)
{
	const char *fault = owner_fault(&c->limits, g->uid, g->gid);

	if (fault)
		return fault;
	if (g->store != STORE_MAILDIR && g->store != STORE_MBOX)
		return "there is no such store";
	if (!rights_fit(front, g->rights))
		return "the permit has rights that this process never gets";
	if (g->tls > 1 || g->address.n != 16 || g->user.n == 0 || !numbers_fit(g))
		return "the permit is malformed";
	if (!conf_path_is_normal(g->maildrop) || memchr(g->maildrop.p, 0, g->maildrop.n))
		return "the maildrop is not an absolute path in normal form";
	*ret_root = root_of(&c->limits, g->maildrop, ret_below);
	if (*ret_root == CORE_ROOTS)
		return "the maildrop is below none of mail_roots";
	/* Its lock and its index lie beside it, which is below the root too. */
	if (g->store == STORE_MBOX && view_equal(*ret_below, VIEW(".")))
		return "the mbox is itself one of mail_roots";
	return NULL;
}

/* ---- which keeper ---- */

static uint64_t
hash_octets(struct view v)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < v.n; i++)
		h = (h ^ v.p[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t
hash_owner(const struct core_process *key)
{
	uint64_t h = ((uint64_t)key->uid << 32 | key->gid) * UINT64_C(0x9e3779b97f4a7c15);

	return h ^ key->root * UINT64_C(0xc2b2ae3d27d4eb4f);
}

/* All keepers of one owner are in one bucket. */
static uint32_t *
bucket_of(struct core *c, const struct core_process *key)
{
	return &c->buckets[(hash_owner(key) >> 40) % CORE_BUCKETS];
}

static bool
serves(const struct core_process *p, const struct core_process *key)
{
	return p->state != CORE_ENDING && !p->one_session && p->uid == key->uid &&
		p->gid == key->gid && p->root == key->root &&
		p->generation == key->generation;
}

void
core_bucket_fill(struct core_bucket *b, uint64_t most, uint64_t now)
{
	*b = (struct core_bucket){most * 1000, now};
}

bool
core_bucket_take(
	struct core_bucket *b, uint64_t most, uint64_t per_s, uint64_t keep, uint64_t now)
{
	uint64_t more = (now - b->at_ms) * per_s;

	most *= 1000;
	b->at_ms = now;
	b->left = more >= most - b->left ? most : b->left + more;
	if (b->left < (keep + 1) * 1000)
		return false;
	b->left -= 1000;
	return true;
}

static uint32_t
new_keeper(struct core *c, const struct core_process *key, uint64_t now)
{
	uint32_t slot = c->keeper_free;

	CHECK(c->keepers < CORE_KEEPERS);
	if (slot > 0)
		c->keeper_free = c->at[slot].next;
	else
		slot = CORE_KEEPER + c->keeper_top++;
	CHECK(slot < CORE_SLOTS);
	uint32_t *bucket = bucket_of(c, key);
	c->at[slot] = *key;
	c->at[slot].incarnation = ++c->incarnations;
	c->at[slot].replaces = CORE_NONE;
	c->at[slot].state = CORE_STARTING;
	c->at[slot].due_ms = now + CORE_READY_MS;
	c->at[slot].next = *bucket;
	*bucket = slot;
	c->keepers++;
	c->keepers_due++;
	return slot;
}

void
core_keeper_free(struct core *c, uint32_t slot)
{
	uint32_t *at = bucket_of(c, &c->at[slot]);

	CHECK(c->keepers > 0);
	if (c->at[slot].live > 0)
		core_drops_forget(&c->drops, slot);
	while (*at != slot) {
		CHECK(*at != 0);
		at = &c->at[*at].next;
	}
	*at = c->at[slot].next;
	c->at[slot].next = c->keeper_free;
	c->keeper_free = slot;
	c->keepers--;
}

static void
refuse(struct core_decision *d, enum refusal code, const char *why)
{
	d->verdict = CORE_GRANT_REFUSE;
	d->code = (uint8_t)code;
	d->why = why;
}

/*
 * How many a keeper may have, and one more come. The last eighth is for maildrops that it
 * has at work already, and a quarter for those who read, however much mail comes in.
 */
static bool
has_room(const struct core *c, const struct core_process *p, bool known, bool delivers)
{
	uint32_t places = c->limits.keeper_places;

	if (places == 0)
		return true;
	uint32_t most = places - (known ? 0 : places / 8) - (delivers ? places / 4 : 0);
	return p->live < most;
}

/* The keeper that has this maildrop at work, or CORE_NONE. */
static uint32_t
at_work(const struct core *c, const struct core_process *key, uint64_t drop)
{
	for (uint32_t place = core_drops_first(&c->drops, drop); place != 0;
		place = core_drops_next(&c->drops, place)) {
		uint32_t s = core_drops_keeper(&c->drops, place);
		if (serves(&c->at[s], key))
			return s;
	}
	return CORE_NONE;
}

/*
 * That of its share of the maildrops; where that is full, the emptiest one of the owner.
 * CORE_NONE: another one is to be started.
 */
static uint32_t
with_room(struct core *c, const struct core_process *key, bool delivers)
{
	uint32_t best = CORE_NONE;
	bool there = false;

	for (uint32_t s = *bucket_of(c, key); s != 0; s = c->at[s].next) {
		const struct core_process *p = &c->at[s];
		if (!serves(p, key))
			continue;
		there |= p->shard == key->shard;
		if (!has_room(c, p, false, delivers))
			continue;
		if (p->shard == key->shard)
			return s;
		if (best == CORE_NONE || p->live < c->at[best].live)
			best = s;
	}
	return there ? best : CORE_NONE;
}

static bool
start_keeper(struct core *c, const struct core_process *key, bool delivers, uint64_t now,
	struct core_decision *d)
{
	/* However much mail comes in, a quarter of both is for those who read: an MTA
	 * comes again. */
	uint32_t most = c->limits.keepers_max < CORE_KEEPERS ? c->limits.keepers_max
							     : CORE_KEEPERS;
	if (c->keepers >= most - (delivers ? most / 4 : 0)) {
		refuse(d, REFUSAL_BUSY,
			delivers ? "three quarters of keepers_max keepers are there "
				   "already, the others are for logins"
				 : "there are keepers_max keepers already");
		return false;
	}
	if (!core_bucket_take(&c->starts, CORE_STARTS_BURST, CORE_STARTS_PER_S,
		    delivers ? CORE_STARTS_BURST / 4 : 0, now)) {
		refuse(d, REFUSAL_BUSY, "too many keepers were started in a short time");
		return false;
	}
	d->keeper = new_keeper(c, key, now);
	d->start = true;
	return true;
}

static void
choose_keeper(struct core *c, const struct msg_grant *g, uint32_t root, uint64_t now,
	struct core_decision *d)
{
	uint64_t hash = hash_octets(g->maildrop);
	bool delivers = g->rights == RIGHT_DELIVER;
	struct core_process key = {.uid = g->uid,
		.gid = g->gid,
		.root = root,
		.shard = (uint32_t)(hash % c->limits.keepers_per_owner),
		.generation = c->generation,
		.one_session = c->limits.keeper_per_session};
	uint64_t drop = hash ^ hash_owner(&key);

	d->verdict = CORE_GRANT_ATTACH;
	if (key.one_session) {
		(void)start_keeper(c, &key, delivers, now, d);
		return;
	}
	d->keeper = at_work(c, &key, drop);
	if (d->keeper != CORE_NONE && !has_room(c, &c->at[d->keeper], true, delivers)) {
		refuse(d, REFUSAL_BUSY,
			"the keeper of this maildrop has no descriptors left "
			"(LimitNOFILE=, ulimit -n)");
		return;
	}
	if (d->keeper == CORE_NONE && !core_drops_room(&c->drops)) {
		refuse(d, REFUSAL_BUSY, "too many maildrops are at work");
		return;
	}
	if (d->keeper == CORE_NONE)
		d->keeper = with_room(c, &key, delivers);
	if (d->keeper == CORE_NONE && !start_keeper(c, &key, delivers, now, d))
		return;
	d->place = core_drops_take(&c->drops, drop, d->keeper);
	CHECK(d->place != 0);
	c->at[d->keeper].live++;
}

/*
 * One that is starting counts too: a front asks once it has said READY, but what auth
 * makes of that may be read here before the READY is.
 */
static bool
may_ask(const struct core_process *p)
{
	return p->state == CORE_READY || p->state == CORE_DRAINING ||
		(p->state == CORE_STARTING && !p->closing);
}

static uint32_t
front_of(const struct core *c, uint64_t incarnation)
{
	for (uint32_t s = CORE_LMTPD; s < CORE_KEEPER; s++)
		if (c->at[s].incarnation == incarnation && core_lives(c, s) &&
			may_ask(&c->at[s]))
			return s;
	return CORE_NONE;
}

struct core_decision
core_grant(struct core *c, const struct msg_grant *g, uint64_t now)
{
	struct core_decision d = {.keeper = CORE_NONE, .front = front_of(c, g->front)};
	uint32_t root = CORE_ROOTS;

	if (d.front == CORE_NONE || c->mode == CORE_MODE_END) {
		d.verdict = CORE_GRANT_DEAD;
		d.why = "the front has ended";
		return d;
	}
	if (!seen_mark(&c->seen[d.front - CORE_LMTPD], g->session)) {
		d.verdict = CORE_GRANT_TWICE;
		d.why = "the session was granted before";
		return d;
	}
	const char *fault = grant_fault(c, g, d.front, &root, &d.below);
	if (fault)
		refuse(&d, REFUSAL_PERMANENT, fault);
	else
		choose_keeper(c, g, root, now, &d);
	return d;
}

void
core_attached(struct core *c, uint32_t slot)
{
	CHECK(slot >= CORE_KEEPER);
	c->at[slot].attached++;
}

bool
core_left(struct core *c, uint32_t slot, uint32_t place)
{
	if (slot < CORE_KEEPER || !core_drops_leave(&c->drops, place, slot))
		return false;
	CHECK(c->at[slot].live > 0);
	c->at[slot].live--;
	return true;
}
