#include "auth/auth.h"
#include "base/check.h"
#include "os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_LOG_MS 1000

static void run(struct attempt *a);

static void
attempt_free(struct attempt *a)
{
	struct auth_front *f = a->front;

	explicit_bzero(a, sizeof(*a) + a->octets_n);
	free(a);
	front_release(f);
}

/* For fail2ban among others: lines about logins come from here only. */
static void
log_failed(const struct attempt *a)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, "login_failed");
	/* People type passwords where the name belongs. */
	if (a->known || a->front->auth->log_unknown_names)
		log_text(&r, "user", a->name);
	log_address(&r, "address", (struct view){a->address, sizeof(a->address)});
	log_number(&r, "port", a->port);
	log_number(&r, "tls", a->tls);
	log_str(&r, "reason", a->reason);
	auth_log(&r);
}

/* At most one line a second: whoever fills the queue must not fill the log. */
static void
log_not_now(const struct attempt *a, uint64_t now_ms)
{
	struct auth *auth = a->front->auth;
	struct log_record r;

	if (auth->busy_logged_ms != 0 && now_ms - auth->busy_logged_ms < BUSY_LOG_MS)
		return;
	auth->busy_logged_ms = now_ms;
	log_begin(&r, LOG_LEVEL_ERROR,
		a->delivers ? "lookup_not_possible" : "login_not_possible");
	if (a->delivers && a->known)
		log_text(&r, "user", a->user.name);
	log_number(&r, "front", a->front->incarnation);
	log_str(&r, "reason", a->reason);
	auth_log(&r);
}

static void
refuse(struct attempt *a)
{
	if (a->front->source.fd >= 0) {
		sessions_end(&a->front->sessions, a->session, false);
		/* Who is unknown is in the mail server's log; here it would be noise. */
		if (a->code == REFUSAL_CREDENTIALS)
			log_failed(a);
		else if (a->code != REFUSAL_NO_USER)
			log_not_now(a, loop_now_ms(a->front->auth->loop));
		front_fail(a->front, a->session, a->code);
	}
	attempt_free(a);
}

static void
busy(struct attempt *a, const char *reason)
{
	stat_add(STAT_QUEUE_FULL, 1);
	(void)core_refuse(a, a->delivers ? REFUSAL_TEMPORARY : REFUSAL_BUSY, reason);
	refuse(a);
}

/* The yes goes to the monitor, never to the front. */
static void
grant(struct attempt *a)
{
	uint8_t octets[2560];
	struct buf b = buf_over(octets, sizeof(octets));

	if (a->front->source.fd < 0) {
		attempt_free(a);
		return;
	}
	struct msg_grant m = core_grant(a, a->front->incarnation);
	msg_grant_put(&m, &b);
	CHECK(!b.full);
	int r = monitor_send(a->front->auth, a->front, buf_view(&b));
	if (r == -EBUSY) {
		busy(a, "grants_of_front_unsent");
		return;
	}
	if (r < 0) {
		(void)core_refuse(a, REFUSAL_TEMPORARY, "monitor_is_behind");
		refuse(a);
		return;
	}
	sessions_end(&a->front->sessions, a->session, true);
	attempt_free(a);
}

static const char *
queue_reason(enum queue_put put)
{
	return put == QUEUE_LANE_FULL ? "queue_of_front_full" : "queue_full";
}

static void
perform(struct attempt *a, enum core_step step)
{
	struct auth *auth = a->front->auth;

	if (step == CORE_CHECK) {
		a->answer = scheme_verify(&a->user.stored, a->password, NULL);
		step = core_settle(&auth->core, a, loop_now_ms(auth->loop));
	}
	switch (step) {
	case CORE_GRANT: grant(a); return;
	case CORE_REFUSE: refuse(a); return;
	case CORE_QUEUE: break;
	case CORE_CHECK: UNREACHABLE();
	}
	enum queue_put put = pool_put(auth->pool, &a->front->lane, a);
	if (put != QUEUE_TAKEN)
		busy(a, queue_reason(put));
}

static void
hold(struct attempt *a)
{
	a->rounds++;
	enum queue_put put =
		queue_put(&a->front->auth->held, &a->front->held_lane, &a->item);
	if (put != QUEUE_TAKEN)
		busy(a, queue_reason(put));
}

/* Begins with the users file: what is decided here is decided with the one on disk. */
static void
run(struct attempt *a)
{
	struct auth *auth = a->front->auth;

	switch (users_fresh(auth, a->rounds)) {
	case WATCH_GO: break;
	case WATCH_ASK:
	case WATCH_HOLD: hold(a); return;
	case WATCH_REFUSE:
		(void)core_refuse(a, REFUSAL_TEMPORARY, "no_users_file");
		refuse(a);
		return;
	}
	if (a->delivers) {
		perform(a, core_lookup(&auth->core, a));
		return;
	}
	enum core_step step = core_start(&auth->core, a, loop_now_ms(auth->loop));
	if (step == CORE_GRANT)
		stat_add(STAT_CACHE_HITS, 1);
	perform(a, step);
}

/* NULL: there is no memory, which the front was told. */
static struct attempt *
attempt_new(struct auth_front *f, uint64_t session, size_t n)
{
	struct attempt *a = calloc(1, sizeof(*a) + n);

	if (!a) {
		sessions_end(&f->sessions, session, false);
		front_fail(f, session, REFUSAL_TEMPORARY);
		return NULL;
	}
	a->octets_n = n;
	f->attempts++;
	return a;
}

void
login_received(struct auth_front *f, const struct msg_login *m)
{
	struct attempt *a = attempt_new(f, m->session, core_attempt_octets(m));

	if (!a)
		return;
	core_attempt_init(a, f, m);
	run(a);
}

void
lookup_received(struct auth_front *f, const struct msg_lookup *m)
{
	struct attempt *a = attempt_new(f, m->session, m->name.n + 1);

	if (!a)
		return;
	core_attempt_lookup(a, f, m);
	run(a);
}

void
login_again(struct auth *auth)
{
	/* Those that are held again by `run` wait for the next time. */
	size_t n = auth->held.n;

	while (n-- > 0) {
		struct queue_item *item = queue_take(&auth->held);
		if (!item)
			return;
		run((struct attempt *)item);
	}
}

void
login_refuse_held(struct auth *auth, const char *reason)
{
	struct queue_item *item;

	while ((item = queue_take(&auth->held))) {
		struct attempt *a = (struct attempt *)item;
		(void)core_refuse(a, REFUSAL_TEMPORARY, reason);
		refuse(a);
	}
}

static void
free_all(struct queue_item *items)
{
	while (items) {
		struct queue_item *next = items->next;
		attempt_free((struct attempt *)items);
		items = next;
	}
}

void
login_drop_front(struct auth_front *f)
{
	free_all(queue_take_lane(&f->auth->held, &f->held_lane));
	free_all(pool_take_lane(f->auth->pool, &f->lane));
}

void
login_hashed(struct source *s, uint32_t events)
{
	struct auth *auth =
		(struct auth *)(void *)((char *)s - offsetof(struct auth, hashed));
	struct queue_item *item = pool_take_done(auth->pool);

	(void)events;
	while (item) {
		struct attempt *a = (struct attempt *)item;
		item = item->next;
		stat_add(STAT_HASHES, 1);
		perform(a, core_settle(&auth->core, a, clock_ms()));
	}
}
