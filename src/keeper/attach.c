/* From ATTACH to SNAPSHOT or REFUSED. */
#include "base/check.h"
#include "ipc/log.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "os/mutex.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool
has_nul(struct view v)
{
	return v.n > 0 && memchr(v.p, '\0', v.n) != NULL;
}

static char *
text_of(struct view v)
{
	return strndup(v.n > 0 ? (const char *)v.p : "", v.n);
}

static struct session *
session_new(struct received *r, const struct msg_attach *m)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = received_take(r, 0);
	s->id = m->session;
	s->place = m->place;
	s->rights = m->rights;
	s->connections_max = m->connections;
	s->delay_s = m->login_delay_s;
	s->who.since = clock_unix_s();
	if (m->address.n == sizeof(s->who.address))
		memcpy(s->who.address, m->address.p, m->address.n);
	s->user = text_of(m->user);
	/* Who brings mail needs no session: no lock, no snapshot, no limit of the user's.
	 */
	s->counts = !(s->rights & RIGHT_DELIVER);
	s->state = s->counts ? KEEPER_ATTACHING : KEEPER_ACCEPTING;
	return s;
}

/* Said at once, before the session has a place. */
static void
refuse_at_once(int fd, uint8_t code)
{
	uint8_t storage[64];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_refused m = {.code = code};
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "session_refused");
	log_str(&r, "reason",
		code == REFUSAL_TEMPORARY ? "no memory" : "a permit that cannot be");
	log_send(&r);
	msg_refused_put(&m, &b);
	/* A fresh socket has room; if not, the front sees its end. */
	(void)!channel_send(fd, buf_view(&b), NULL, 0);
}

/* It had no session whose end would tell the monitor that the keeper is idle still. */
static void
turned_away(struct keeper *k, uint32_t place)
{
	keeper_left(k, place);
	keeper_idle_look(k);
}

/* No descriptor was free for its channel, which is closed: its front sees the end. */
static void
lost(struct keeper *k, uint32_t place)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "session_refused");
	log_str(&r, "reason", "no descriptor is free");
	log_send(&r);
	turned_away(k, place);
}

int
keeper_attach(
	struct keeper *k, struct received *r, struct view payload, struct session **ret)
{
	struct msg_attach m;

	*ret = NULL;
	if (!msg_attach_get(&m, payload))
		return -EINVAL;
	k->attached++;
	k->idle_told = false;
	if (k->sessions == 0)
		k->idle_since_ms = clock_ms();
	if (r->truncated) {
		lost(k, m.place);
		return 0;
	}
	if (has_nul(m.maildrop) || has_nul(m.user) || !store_ops_of(m.store) ||
		!keeper_rights_are_sound(m.rights)) {
		refuse_at_once(r->fds[0], REFUSAL_PERMANENT);
		turned_away(k, m.place);
		return 0;
	}
	AUTO_FREE char *path = text_of(m.maildrop);
	struct session *s = session_new(r, &m);
	if (!path || !s || !s->user || keeper_session_place(k, s) < 0) {
		int fd = s ? s->fd : r->fds[0];
		refuse_at_once(fd, REFUSAL_TEMPORARY);
		turned_away(k, m.place);
		if (s) {
			fd_close(&s->fd);
			free(s->user);
		}
		free(s);
		return 0;
	}
	s->drop = keeper_drop_get(k, path, m.store);
	if (!s->drop) {
		refuse_at_once(s->fd, REFUSAL_TEMPORARY);
		keeper_session_free(k, s);
		return 0;
	}
	s->drop->sessions++;
	keeper_queue(s->drop, s);
	*ret = s;
	return 0;
}

static void
refuse(struct session *s, uint8_t code, const struct lock_holder *holder)
{
	struct msg_refused m = {.code = code};
	struct buf b = keeper_out_begin(s);

	if (holder) {
		m.holder = (struct view){holder->address, sizeof(holder->address)};
		m.since = holder->since;
	}
	msg_refused_put(&m, &b);
	keeper_out_end(s, &b);
	s->state = KEEPER_ENDED;
}

void
keeper_log_store(const struct session *s, const char *what, int e)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, "maildrop_error");
	log_str(&r, "user", s->user);
	log_str(&r, "maildrop", s->drop->path);
	log_str(&r, "what", what);
	if (e < 0)
		log_error(&r, "error", e);
	log_send(&r);
	stat_set(STAT_LOG_DROPPED, log_dropped());
}

void
keeper_log_notices(const struct session *s)
{
	const struct drop *d = s->drop;
	struct log_record r;
	const char *text;

	while (d->ops->notice && (text = d->ops->notice(d->store))) {
		log_begin(&r, LOG_LEVEL_WARNING, "maildrop_notice");
		log_str(&r, "user", s->user);
		log_str(&r, "maildrop", d->path);
		log_str(&r, "what", text);
		log_send(&r);
	}
}

/*
 * A holder whose front is gone must not keep its user out until somebody notices: what it
 * still said is heard (a verdict is one), then it leaves. Its own event frees it.
 */
static void
reap_holder(struct keeper *k, struct drop *d, struct received *r)
{
	struct session *holder = d->current;

	if (!holder || !keeper_hung_up(holder->fd))
		return;
	for (int i = 0; i < 64 && holder->state != KEEPER_ENDED; i++)
		if (keeper_step(k, holder, r) == STEP_END)
			break;
	keeper_session_leave(holder);
	keeper_uncount(k, holder);
	CHECK(!d->current);
}

static void
ask_to_yield(struct keeper *k, struct session *s)
{
	struct session *holder = s->drop->current;
	uint8_t storage[16];
	struct buf b = buf_over(storage, sizeof(storage));
	struct msg_yield m = {.idle_s = k->o.takeover_s};

	msg_yield_put(&m, &b);
	/* A holder that has something to send is not idle. */
	if (!holder->out || holder->out->n == 0)
		(void)!channel_send(holder->fd, buf_view(&b), NULL, 0);
	s->ask_until_ms = clock_ms() + KEEPER_YIELD_MS;
	s->drop->waiters++;
}

static void
send_snapshot(struct session *s, uint64_t now_ms)
{
	struct drop *d = s->drop;
	struct buf b = keeper_out_begin(s);
	struct msg_snapshot m = {.rights = s->rights,
		.count = s->table->count,
		.octets = d->snapshot_octets};
	struct msg_snapshot_small small = {
		.rights = s->rights, .table = {d->small, d->small_n}};

	if (d->small)
		msg_snapshot_small_put(&small, &b);
	else
		msg_snapshot_put(&m, &b);
	keeper_out_end(s, &b);
	if (!d->small) {
		s->out->fds[0] = d->snapshot;
		s->out->nfds = 1;
		s->out->borrowed = true;
	}
	s->drop->last_login_ms = now_ms;
	s->marks = (struct keeper_marks){.count = s->table->count, .next = 1};
	s->state = KEEPER_SERVING;
}

/*
 * Another process holds the lock. With a keeper for each session it may be the one whose
 * client has just had its +OK for QUIT: a moment decides.
 */
static bool
waits_for_lock(struct session *s, uint64_t now_ms)
{
	if (s->busy_until_ms == 0)
		s->busy_until_ms = now_ms + KEEPER_BUSY_MS;
	s->wait_until_ms = now_ms + KEEPER_LOOK_MS;
	return now_ms < s->busy_until_ms;
}

/* The maildrop is free here: lock it, look at it, show it. False: look again later. */
static bool
admit(const struct keeper *k, struct session *s, uint64_t now_ms)
{
	struct drop *d = s->drop;
	struct lock_holder other = {.since = 0};
	const struct store_table *table;
	int e = d->ops->lock(d->store, &s->who, &other);

	keeper_log_notices(s);
	if (e == -EBUSY) {
		if (waits_for_lock(s, now_ms))
			return false;
		refuse(s, REFUSAL_IN_USE, &other);
		return true;
	}
	if (e < 0) {
		keeper_log_store(s, "lock", e);
		refuse(s, keeper_refusal_of(e), NULL);
		return true;
	}
	d->current = s;
	e = d->ops->refresh(d->store, &table);
	keeper_log_notices(s);
	if (e == 0 && k->o.utf8_downgrade)
		e = heads_learn(&d->heads, d->ops, d->store, table);
	if (e == 0)
		e = keeper_snapshot(d, table);
	if (e < 0) {
		keeper_log_store(s, "read", e);
		keeper_session_leave(s);
		refuse(s, keeper_refusal_of(e), NULL);
		return true;
	}
	s->wait_until_ms = 0;
	s->table = d->ops->retain(table);
	send_snapshot(s, now_ms);
	return true;
}

static struct keeper_question
question(struct keeper *k, const struct session *s, uint64_t now_ms)
{
	struct keeper_question q = {
		.held = s->drop->current != NULL,
		.asked = s->ask_until_ms > 0,
		.ask_until_ms = s->ask_until_ms,
		.takeover_s = k->o.takeover_s,
		.others_max = s->connections_max,
		.last_login_ms = s->drop->last_login_ms,
		.delay_s = s->delay_s,
		.now_ms = now_ms,
	};
	if (q.others_max > 0) {
		mutex_lock(&k->lock);
		q.others = keeper_session_others(k, s);
		mutex_unlock(&k->lock);
	}
	return q;
}

enum step
keeper_attach_step(struct keeper *k, struct session *s, struct received *r, bool *ret_on)
{
	struct drop *d = s->drop;
	uint64_t now_ms = clock_ms();
	uint8_t code = 0;

	*ret_on = false;
	reap_holder(k, d, r);
	if (s->ask_until_ms + s->busy_until_ms > 0 && keeper_hung_up(s->fd))
		return STEP_END;
	struct keeper_question q = question(k, s, now_ms);
	switch (keeper_admit(&q, &code)) {
	case KEEPER_YIELD:
		ask_to_yield(k, s);
		s->wait_until_ms = s->ask_until_ms;
		return STEP_WAIT;
	case KEEPER_WAIT: s->wait_until_ms = s->ask_until_ms; return STEP_WAIT;
	case KEEPER_REFUSE:
		refuse(s, code, code == REFUSAL_IN_USE ? &d->current->who : NULL);
		break;
	case KEEPER_ADMIT: admit(k, s, now_ms); break;
	}
	if (s->ask_until_ms > 0) {
		s->ask_until_ms = 0;
		d->waiters--;
	}
	*ret_on = true;
	return STEP_READ;
}
