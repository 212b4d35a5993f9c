/* What a connection does next, by what it waits for (enum mta_at). */
#include "base/check.h"
#include "lmtpd/mta.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LIST_FIRST    8U
#define FORETOLD_MAX  64U
#define CLOSING_MS    30000U
#define WRITE_AT_ONCE 32768U /* so much goes into the spool without being gathered */

/* ---- recipients --------------------------------------------------------- */

void
mta_forget(struct mta *m)
{
	struct transaction *tr = &m->tr;

	for (uint32_t i = 0; i < tr->n; i++)
		target_free(target_of(tr->list[i]));
	*tr = (struct transaction){.list = tr->list};
	ask_free(m->lmtpd, m->file_number);
	m->file_number = 0;
	m->is_unasked = false;
	m->sender_n = 0;
	spool_clear(m->lmtpd, &m->spool);
}

/* NULL: no memory. */
static struct target *
add_target(struct mta *m, struct view name, bool *ret_ask)
{
	struct transaction *tr = &m->tr;

	if (tr->n == m->list_cap) {
		uint32_t cap = m->list_cap ? 2 * m->list_cap : LIST_FIRST;
		struct recipient **grown =
			reallocarray(tr->list, cap, sizeof(struct recipient *));
		if (!grown)
			return NULL;
		tr->list = grown;
		m->list_cap = cap;
	}
	struct target *t = target_new(m, name);
	if (t)
		*ret_ask = core_add(tr, &t->r, t->r.name, loop_now_ms(m->lmtpd->loop));
	return t;
}

/* False: there is no room for the question now. */
static bool
ask(struct mta *m, struct target *t)
{
	int r = lookup_ask(m->lmtpd, t);
	bool refused = false;

	if (r == -EAGAIN)
		return false;
	if (r == -EBUSY)
		refused = core_refuse(&m->tr, &t->r, LMTP_RECIPIENT_BUSY);
	else if (r < 0)
		refused = core_refuse(&m->tr, &t->r, LMTP_RECIPIENT_TEMPORARY);
	CHECK(refused == (r < 0));
	return true;
}

static void
drop_foretold(struct mta *m)
{
	struct recipient *r;

	while ((r = core_drop(&m->tr)))
		target_free(target_of(r));
}

/*
 * RCPT commands that came with this one are asked about now, as all of their answers take
 * the same way and time. A copy of the server reads them and hears only yes; what it says
 * is thrown away.
 */
static void
foretell(struct mta *m, struct mta_turn *t)
{
	struct lmtpd *l = m->lmtpd;
	struct lmtp_server *ahead = &l->ahead;
	uint8_t unheard[2 * LMTP_REPLY_MAX];
	struct view in = t->in;
	struct lmtp_event e = {.kind = LMTP_EVENT_RCPT};

	if (in.n == 0 || (in.p[0] | 0x20) != 'r' || m->tr.claimed < m->tr.n)
		return;
	*ahead = m->server;
	for (uint32_t i = 0; i < FORETOLD_MAX; i++) {
		struct buf out = buf_over(unheard, sizeof(unheard));
		if (!lmtp_server_recipient(ahead, LMTP_RECIPIENT_ACCEPTED, &out))
			return;
		lmtp_server_next(ahead, &in, &out, &e);
		if (e.kind != LMTP_EVENT_RCPT)
			return;
		bool asks = false;
		struct target *r = add_target(m, e.path, &asks);
		if (!r)
			return;
		if (asks && !ask(m, r)) {
			struct recipient *last = core_drop(&m->tr);
			CHECK(last == &r->r);
			target_free(r);
			return;
		}
	}
}

static enum mta_step
on_rcpt(struct mta *m, struct mta_turn *t, struct view name)
{
	bool asks = false;

	if (!core_claim(&m->tr, name)) {
		drop_foretold(m);
		struct target *r = add_target(m, name, &asks);
		if (!r)
			return MTA_DEAD;
		bool claimed = core_claim(&m->tr, name);
		CHECK(claimed);
		m->is_unasked = asks && !ask(m, r);
	}
	if (!m->is_unasked)
		foretell(m, t);
	m->at = MTA_RCPT;
	return MTA_GO;
}

static enum mta_step
step_rcpt(struct mta *m, struct mta_turn *t)
{
	enum lmtp_recipient_answer answer;

	if (m->is_unasked) {
		CHECK(m->tr.n == m->tr.claimed);
		struct recipient *last = m->tr.list[m->tr.n - 1];
		if (last->state == RECIPIENT_ASKED && !ask(m, target_of(last)))
			return MTA_WAIT;
		m->is_unasked = false;
	}
	if (!core_next_rcpt(&m->tr, &answer))
		return MTA_WAIT;
	if (!lmtp_server_recipient(&m->server, answer, &t->out))
		return mta_flush(m, t);
	report_recipient(m, m->tr.list[m->tr.answered]);
	core_rcpt_told(&m->tr);
	m->at = MTA_INPUT;
	return MTA_GO;
}

/* ---- the message -------------------------------------------------------- */

static void
ask_for_file(struct mta *m)
{
	struct lmtpd *l = m->lmtpd;
	int err = -EBUSY;

	m->file_number = ask_new(l, m, NULL);
	if (m->file_number != 0)
		err = lmtpd_monitor_ask_file(l, m->file_number);
	if (err == 0) {
		m->file_asked_ms = loop_now_ms(l->loop);
		m->at = MTA_FILE;
		return;
	}
	report_error("spool_failed", "question for a file", err);
	ask_free(l, m->file_number);
	m->file_number = 0;
	spool_give_up(l, &m->spool, err);
}

static void
write_gathered(struct mta *m, struct mta_turn *t)
{
	if (t->gather.n > 0)
		spool_put(m->lmtpd, &m->spool, buf_view(&t->gather));
	t->gather.n = 0;
}

void
mta_spool(struct mta *m, struct mta_turn *t)
{
	write_gathered(m, t);
	if (m->at == MTA_INPUT && spool_wants_file(m->lmtpd, &m->spool))
		ask_for_file(m);
}

void
mta_file(struct mta *m, int take_write, int take_read, int err)
{
	CHECK(m->at == MTA_FILE);
	ask_free(m->lmtpd, m->file_number);
	m->file_number = 0;
	if (err < 0) {
		report_error("spool_failed", "no file from the monitor", err);
		spool_give_up(m->lmtpd, &m->spool, err);
	} else {
		spool_move(m->lmtpd, &m->spool, take_write, take_read);
	}
	m->at = MTA_INPUT;
	m->active_ms = loop_now_ms(m->lmtpd->loop); /* it was not the MTA who was slow */
	mta_wake(m);
}

static void
on_data(struct mta *m, struct mta_turn *t, struct view octets)
{
	if (octets.n > buf_room(&t->gather) || octets.n >= WRITE_AT_ONCE)
		mta_spool(m, t);
	if (octets.n >= WRITE_AT_ONCE) {
		spool_put(m->lmtpd, &m->spool, octets);
		if (m->at == MTA_INPUT)
			mta_spool(m, t);
	} else {
		buf_put_view(&t->gather, octets);
		CHECK(!t->gather.full);
	}
}

/* Every recipient that is held is given the message, or told why not. */
static void
hand_out(struct mta *m)
{
	struct transaction *tr = &m->tr;
	uint64_t octets = m->spool.octets;
	int fd = spool_seal(m->lmtpd, &m->spool);

	for (uint32_t i = 0; i < tr->n; i++) {
		struct recipient *r = tr->list[i];
		if (r->twin != r || r->state != RECIPIENT_HELD)
			continue;
		if (fd >= 0 && target_give(target_of(r), fd, octets))
			continue;
		enum lmtp_outcome why =
			fd < 0 ? core_of_error(fd) : LMTP_OUTCOME_TEMPORARY;
		target_close(target_of(r));
		if (core_end(tr, r, why))
			report_outcome(m, r);
	}
}

static void
on_end(struct mta *m, struct mta_turn *t)
{
	write_gathered(m, t);
	drop_foretold(m);
	core_whole(&m->tr, loop_now_ms(m->lmtpd->loop));
	m->messages++;
	stat_add(STAT_LMTP_MESSAGES, 1);
	stat_add(STAT_LMTP_OCTETS, m->spool.octets);
	hand_out(m);
	m->at = MTA_OUTCOMES;
}

static enum mta_step
step_outcomes(struct mta *m, struct mta_turn *t)
{
	enum lmtp_outcome outcome;
	struct view name;

	if (core_next_outcome(&m->tr, &outcome, &name)) {
		if (!m->is_gone &&
			!lmtp_server_outcome(&m->server, outcome, name, &t->out))
			return mta_flush(m, t);
		core_outcome_told(&m->tr);
		return MTA_GO;
	}
	if (!core_is_over(&m->tr))
		return MTA_WAIT;
	report_message(m);
	mta_forget(m);
	m->at = MTA_INPUT;
	m->active_ms = loop_now_ms(m->lmtpd->loop);
	return m->is_gone ? MTA_DEAD : MTA_GO;
}

/* ---- the conversation --------------------------------------------------- */

static void
close_soon(struct mta *m, bool lingers)
{
	m->at = MTA_CLOSING;
	m->lingers = lingers;
	m->close_by_ms = loop_now_ms(m->lmtpd->loop) + CLOSING_MS;
}

static void
on_mail(struct mta *m, const struct lmtp_event *e)
{
	mta_forget(m);
	CHECK(e->path.n <= sizeof(m->sender));
	if (e->path.n > 0)
		memcpy(m->sender, e->path.p, e->path.n);
	m->sender_n = e->path.n;
	m->utf8 = e->utf8;
	m->begun_ms = loop_now_ms(m->lmtpd->loop);
}

static enum mta_step
step_input(struct mta *m, struct mta_turn *t)
{
	struct lmtp_event e;

	if (m->is_gone)
		return MTA_DEAD;
	if (m->lmtpd->is_draining && !lmtp_server_in_transaction(&m->server)) {
		if (!lmtp_server_shutdown(&m->server, &t->out))
			return mta_flush(m, t);
		close_soon(m, true);
		return MTA_GO;
	}
	lmtp_server_next(&m->server, &t->in, &t->out, &e);
	switch (e.kind) {
	case LMTP_EVENT_NEED_INPUT: return mta_in_more(m, t);
	case LMTP_EVENT_NEED_ROOM: return mta_flush(m, t);
	case LMTP_EVENT_MAIL: on_mail(m, &e); break;
	case LMTP_EVENT_RCPT: return on_rcpt(m, t, e.path);
	case LMTP_EVENT_DATA: on_data(m, t, e.octets); break;
	case LMTP_EVENT_END: on_end(m, t); break;
	case LMTP_EVENT_RESET:
		t->gather.n = 0;
		mta_forget(m);
		break;
	case LMTP_EVENT_QUIT: close_soon(m, false); break;
	case LMTP_EVENT_CLOSE: close_soon(m, true); break;
	}
	return MTA_GO;
}

/* Closing with octets unread would take back what we said last (RFC 1122 s.4.2.2.13). */
static enum mta_step
step_closing(struct mta *m, struct mta_turn *t)
{
	enum mta_step step = mta_flush(m, t);

	if (step != MTA_GO)
		return step;
	if (!m->lingers && t->in.n == 0)
		return MTA_DEAD;
	if (shutdown(m->source.fd, SHUT_WR) < 0)
		return MTA_DEAD;
	m->at = MTA_LINGER;
	return MTA_GO;
}

static enum mta_step
step_linger(struct mta *m, struct mta_turn *t)
{
	t->in.n = 0;
	return mta_in_more(m, t);
}

enum mta_step
mta_step(struct mta *m, struct mta_turn *t)
{
	switch ((enum mta_at)m->at) {
	case MTA_INPUT: return step_input(m, t);
	case MTA_RCPT: return step_rcpt(m, t);
	case MTA_FILE: return MTA_WAIT;
	case MTA_OUTCOMES: return step_outcomes(m, t);
	case MTA_CLOSING: return step_closing(m, t);
	case MTA_LINGER: return step_linger(m, t);
	}
	UNREACHABLE();
}

/* ---- time --------------------------------------------------------------- */

void
mta_expire(struct mta *m, uint64_t now_ms)
{
	struct recipient *r;
	uint32_t at = 0;

	if (m->at == MTA_FILE) {
		mta_file(m, -1, -1, -ETIMEDOUT);
		return;
	}
	while ((r = core_expire(&m->tr, &at, now_ms))) {
		target_close(target_of(r));
		if (m->tr.is_whole)
			report_outcome(m, r);
	}
}
