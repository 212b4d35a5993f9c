#include "lmtpd/mta.h"

#include "base/check.h"
#include "os/fd.h"
#include "stat/stat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define LINGER_MS 2000U

static void mta_ready(struct source *s, uint32_t events);
static void mta_fire(struct timer *timer, uint64_t now_ms);
static void mta_turn(struct mta *m);

/* ---- birth and death ---------------------------------------------------- */

bool
mta_new(struct lmtpd *l, int take_fd, const uint8_t *address, uint16_t port)
{
	struct mta *m = calloc(1, sizeof(*m));

	if (!m) {
		fd_close(&take_fd);
		return false;
	}
	m->source = (struct source){.fd = take_fd, .ready = mta_ready};
	m->timer.fire = mta_fire;
	m->lmtpd = l;
	m->is_local = !address;
	if (address)
		memcpy(m->address, address, sizeof(m->address));
	m->port = port;
	m->active_ms = loop_now_ms(l->loop);
	spool_init(&m->spool);
	lmtp_server_init(&m->server, &l->limits);
	m->next = l->mtas;
	if (l->mtas)
		l->mtas->prev = m;
	l->mtas = m;
	stat_set(STAT_LMTP_SESSIONS, ++l->mtas_n);
	struct mta_turn t = {.out = buf_over(l->out, sizeof(l->out))};
	bool ok = lmtp_server_greet(&m->server, &t.out);
	CHECK(ok);
	/* Into a fresh socket it fits. */
	m->is_gone = mta_flush(m, &t) == MTA_DEAD;
	mta_turn(m);
	return true;
}

static void
mta_free(struct mta *m)
{
	struct lmtpd *l = m->lmtpd;

	report_bye(m);
	mta_forget(m);
	loop_timer_clear(l->loop, &m->timer);
	loop_forget(l->loop, &m->source); /* the socket was never passed on */
	fd_close(&m->source.fd);
	free(m->left);
	free(m->unsent);
	free(m->tr.list);
	if (m->prev)
		m->prev->next = m->next;
	else
		l->mtas = m->next;
	if (m->next)
		m->next->prev = m->prev;
	stat_set(STAT_LMTP_SESSIONS, --l->mtas_n);
	loop_defer_free(l->loop, m);
	if (l->is_draining && l->mtas_n == 0)
		lmtpd_end(l, 0);
}

/*
 * The socket is of no more use. Keepers that have the message are waited for all the
 * same, so that the log says what became of it. False: the connection was freed.
 */
static bool
lose(struct mta *m)
{
	if (m->at != MTA_OUTCOMES || core_is_over(&m->tr)) {
		mta_free(m);
		return false;
	}
	m->is_gone = true;
	loop_remove(m->lmtpd->loop, &m->source);
	mta_wake(m);
	return true;
}

/* ---- turns -------------------------------------------------------------- */

static uint64_t
due_of(const struct mta *m)
{
	uint64_t silent = m->active_ms + m->lmtpd->timeout_ms;

	switch ((enum mta_at)m->at) {
	case MTA_INPUT: return silent;
	case MTA_RCPT: {
		uint64_t due = core_due(&m->tr);
		/* It waits for room in the channel to auth, and then for the answer. */
		return due == CORE_NEVER ? silent : due;
	}
	case MTA_FILE: return m->file_asked_ms + CORE_LOOKUP_MS;
	case MTA_OUTCOMES: {
		uint64_t due = core_due(&m->tr);
		return due == CORE_NEVER ? silent : due; /* it does not read */
	}
	case MTA_CLOSING:
	case MTA_LINGER: break;
	}
	return m->close_by_ms;
}

/* A timer that is set too early looks again when it fires: moments mostly move on. */
static int
set_timer(struct mta *m)
{
	uint64_t due = due_of(m);

	if (m->timer.slot && m->timer.at_ms <= due)
		return 0;
	return loop_timer_set(m->lmtpd->loop, &m->timer, due);
}

static void
mta_turn(struct mta *m)
{
	struct lmtpd *l = m->lmtpd;
	struct mta_turn t = {.gather = buf_over(l->gather, sizeof(l->gather))};
	enum mta_step step = MTA_GO;

	mta_in_begin(m, &t);
	mta_out_begin(m, &t);
	if (m->unsent)
		step = mta_flush(m, &t);
	while (step == MTA_GO)
		step = mta_step(m, &t);
	/* Answers of the whole turn leave together. */
	if (step != MTA_DEAD && mta_out_end(m, &t) == MTA_DEAD)
		step = MTA_DEAD;
	if (step == MTA_DEAD) {
		t.in.n = 0;
		if (!lose(m))
			return;
	}
	mta_spool(m, &t);
	int r = mta_in_end(m, &t);
	if (r == 0)
		r = mta_arm(m);
	if (r == 0)
		r = set_timer(m);
	if (r < 0)
		mta_free(m);
}

void
mta_wake(struct mta *m)
{
	uint64_t now = loop_now_ms(m->lmtpd->loop);

	m->is_woken = true;
	/* It has a place in the heap of timers from its first turn on. */
	if (loop_timer_set(m->lmtpd->loop, &m->timer, now) < 0)
		CHECK(m->timer.slot != 0);
}

void
mta_auth_has_room(struct mta *m)
{
	if (m->is_unasked)
		mta_wake(m);
}

static void
mta_ready(struct source *s, uint32_t events)
{
	struct mta *m = CONTAINER_OF(s, struct mta, source);

	if (events & EPOLLIN)
		m->has_octets = true;
	if (events & (EPOLLERR | EPOLLHUP)) {
		(void)lose(m);
		return;
	}
	mta_turn(m);
}

/* ---- time --------------------------------------------------------------- */

/* What is to be said at the end of it all, while nothing else is on its way. */
static bool
say_last(struct mta *m, bool (*say)(struct lmtp_server *s, struct buf *out))
{
	struct mta_turn t = {0};

	mta_out_begin(m, &t);
	if (m->unsent || m->is_gone || !say(&m->server, &t.out))
		return false;
	return mta_flush(m, &t) != MTA_DEAD;
}

static void
silent(struct mta *m, uint64_t now_ms)
{
	if (!say_last(m, lmtp_server_timeout)) {
		mta_free(m);
		return;
	}
	mta_forget(m);
	m->at = MTA_CLOSING;
	m->lingers = true;
	m->close_by_ms = now_ms + LINGER_MS;
	mta_turn(m);
}

static void
mta_fire(struct timer *timer, uint64_t now_ms)
{
	struct mta *m = CONTAINER_OF(timer, struct mta, timer);
	bool due = now_ms >= due_of(m);

	if (m->is_woken || !due) {
		m->is_woken = false;
		mta_turn(m);
		return;
	}
	switch ((enum mta_at)m->at) {
	case MTA_INPUT: silent(m, now_ms); return;
	case MTA_CLOSING:
	case MTA_LINGER: mta_free(m); return;
	case MTA_RCPT:
	case MTA_FILE:
	case MTA_OUTCOMES: break;
	}
	if (m->unsent && now_ms >= m->active_ms + m->lmtpd->timeout_ms && !lose(m))
		return;
	mta_expire(m, now_ms);
	mta_turn(m);
}

void
mta_drain(struct mta *m, bool now)
{
	if (now) {
		/* Deposits that were given go on; the MTA says it all again elsewhere. */
		(void)say_last(m, lmtp_server_shutdown);
		mta_free(m);
	} else if (m->at == MTA_INPUT && !lmtp_server_in_transaction(&m->server)) {
		mta_wake(m);
	}
}
