/* One session after its login: what its front asks, step by step, never waiting for it.
 */
#include "base/check.h"
#include "ipc/log.h"
#include "keeper/keeper.h"
#include "os/clock.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define STEPS_MAX 64 /* then others of the same thread's events have their turn */

bool
keeper_hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) == 1 &&
		(p.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL));
}

void
keeper_session_leave(struct session *s)
{
	struct drop *d = s->drop;

	s->state = KEEPER_ENDED;
	if (s->ask_until_ms > 0) {
		s->ask_until_ms = 0;
		d->waiters--;
	}
	if (d->current == s) {
		d->ops->unlock(d->store);
		d->current = NULL;
	}
	if (s->table)
		d->ops->release(&s->table);
	for (uint32_t i = 0; s->files && i < KEEPER_FILES_OPEN; i++)
		fd_close(&s->files[i].at.fd);
	free(s->files);
	s->files = NULL;
	free(s->marks.octets);
	s->marks.octets = NULL;
	keeper_handed_drop(s);
	if (s->out)
		s->out->wants.at = s->out->wants.n;
}

static void
fault(const struct session *s, const char *what, uint16_t number)
{
	struct log_record r;

	stat_add(STAT_PROTOCOL_FAULTS, 1);
	log_begin(&r, LOG_LEVEL_ERROR, "front_fault");
	log_str(&r, "user", s->user);
	log_number(&r, "session", s->id);
	log_str(&r, "message", message_name(number));
	log_str(&r, "what", what);
	log_send(&r);
	stat_set(STAT_LOG_DROPPED, log_dropped());
}

/* STEP_READ: it is gone, or there was none. */
static enum step
flush_out(struct session *s)
{
	struct outgoing *o = s->out;
	uint64_t now;

	if (o->n == 0)
		return STEP_READ;
	int e = channel_send(s->fd, (struct view){o->octets, o->n}, o->fds, o->nfds);
	if (e == 0) {
		keeper_out_drop(s);
		return STEP_READ;
	}
	if (e != -EAGAIN && e != -ETOOMANYREFS)
		return STEP_END;
	now = clock_ms();
	if (o->since_ms == 0)
		o->since_ms = now;
	/* A front that does not read holds descriptors of ours. */
	if (now >= o->since_ms + KEEPER_SEND_MS)
		return STEP_END;
	s->wait_until_ms =
		e == -EAGAIN ? o->since_ms + KEEPER_SEND_MS : now + KEEPER_AGAIN_MS;
	return e == -EAGAIN ? STEP_WRITE : STEP_WAIT;
}

static void
answer_verdict(struct session *s, uint8_t outcome, const struct store_removed *got)
{
	struct msg_done m = {
		.outcome = outcome, .removed = got->removed, .remain = got->remain};

	/* Before the answer: a client that logs in again at once finds the maildrop free.
	 */
	keeper_session_leave(s);
	struct buf b = keeper_out_begin(s);
	msg_done_put(&m, &b);
	keeper_out_end(s, &b);
}

/* RFC 1939 s.6, the UPDATE state. */
static void
judge(struct session *s)
{
	struct drop *d = s->drop;
	struct store_removed got = {.removed = 0};
	struct view marks = {s->marks.octets, (s->marks.count + 7) / 8};
	uint8_t outcome = VERDICT_DONE;

	if (s->marks.marked > 0 && !(s->rights & RIGHT_DELETE)) {
		outcome = VERDICT_DENIED;
	} else if (s->marks.marked > 0 && !d->ops->lock_is_held(d->store)) {
		keeper_log_store(s, "its lock was lost, nothing was deleted", 0);
		outcome = VERDICT_LOST_LOCK;
	} else if (s->marks.marked > 0) {
		int e = d->ops->remove(d->store, s->table, marks, &got);
		keeper_log_notices(s);
		if (e < 0)
			keeper_log_store(s, "delete", e);
		else if (got.remain > 0)
			keeper_log_store(s, "not all marked messages were deleted", 0);
		outcome = keeper_outcome_of(e, got.remain);
		stat_add(STAT_DELETED, got.removed);
	}
	answer_verdict(s, outcome, &got);
}

static const char *
take_verdict(struct session *s, struct view payload)
{
	struct msg_verdict m;

	if (!msg_verdict_get(&m, payload))
		return "malformed";
	if (!s->marks.octets)
		s->marks.octets = calloc((size_t)s->marks.count / 8 + 1, 1);
	if (!s->marks.octets)
		return "no memory";
	s->state = KEEPER_JUDGING;
	if (!keeper_marks_take(&s->marks, &m))
		return "marks that cannot be";
	if (m.last)
		judge(s);
	return NULL;
}

static const char *
take_seen(struct keeper *k, struct session *s, struct view payload)
{
	struct msg_seen m;

	if (!msg_seen_get(&m, payload))
		return "malformed";
	if (m.msgno < 1 || m.msgno > s->table->count)
		return "no such message";
	/* A flag that cannot be set is no reason to disturb anybody. */
	if (k->o.mark_seen)
		(void)s->drop->ops->seen(s->drop->store, s->table, m.msgno - 1);
	return NULL;
}

/* NULL, or what is wrong with it. */
static const char *
take_message(struct keeper *k, struct session *s, uint16_t number, struct view payload,
	struct received *r)
{
	struct msg_want want;
	struct msg_fetch fetch;

	if (!keeper_allows(s->state, number, s->rights))
		return "not allowed now";
	switch (number) {
	case MSG_WANT:
		if (!msg_want_get(&want, payload))
			return "malformed";
		if (!keeper_wants_take(&s->out->wants, want.msgnos, s->table->count))
			return "no such messages";
		if (!keeper_form_take(&s->form, want.utf8))
			return "another form than before";
		return NULL;
	case MSG_FETCH:
		if (!msg_fetch_get(&fetch, payload))
			return "malformed";
		if (!keeper_fetch_is_sound(&fetch, s->table->count))
			return "no such piece";
		if (!keeper_form_take(&s->form, fetch.utf8))
			return "another form than before";
		keeper_fetch(s, &fetch);
		return NULL;
	case MSG_SEEN: return take_seen(k, s, payload);
	case MSG_DEPOSIT: return keeper_take_deposit(s, payload, r);
	default: CHECK(number == MSG_VERDICT); return take_verdict(s, payload);
	}
}

static enum step
read_one(struct keeper *k, struct session *s, struct received *r)
{
	struct view payload = {NULL, 0};
	/* Who brought mail has been told that it is not stored, and has gone. */
	if (s->state == KEEPER_ACCEPTING && keeper_hung_up(s->fd))
		return STEP_END;
	int e = channel_recv(s->fd, r, s->state == KEEPER_ACCEPTING);

	if (e < 0)
		return e == -EAGAIN ? STEP_READ : STEP_END;
	uint16_t number = message_number(r->message, &payload);
	const char *wrong =
		r->truncated ? "too long" : take_message(k, s, number, payload, r);
	received_done(r);
	if (!wrong)
		return STEP_READ;
	fault(s, wrong, number);
	return STEP_END;
}

enum step
keeper_step(struct keeper *k, struct session *s, struct received *r)
{
	bool heard = false;

	s->wait_until_ms = 0;
	if (!keeper_out_there(s)) {
		keeper_log_store(s, "session", -ENOMEM);
		return STEP_END;
	}
	if (s->state == KEEPER_ATTACHING) {
		bool on;
		enum step step = keeper_attach_step(k, s, r, &on);
		if (!on)
			return step;
		heard = true;
	}
	for (int i = 0; i < STEPS_MAX; i++) {
		/* Who hears that it is over may come again before it is freed. */
		if (s->state == KEEPER_ENDED)
			keeper_uncount(k, s);
		enum step step = flush_out(s);
		if (step != STEP_READ)
			return step;
		if (s->state == KEEPER_ENDED)
			return STEP_END;
		if (s->state == KEEPER_STORING)
			return STEP_HOLD;
		if (s->out->wants.at < s->out->wants.n) {
			keeper_slices_build(s);
			continue;
		}
		/* One message an event; the set tells at once if there is more. */
		if (heard)
			return STEP_READ;
		step = read_one(k, s, r);
		if (step != STEP_READ)
			return step;
		heard = true;
	}
	return STEP_WRITE;
}
