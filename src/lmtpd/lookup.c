/* Whose maildrop is it: LOOKUP to auth, its noes back. A yes comes from the monitor. */
#include "base/check.h"
#include "ipc/permit.h"
#include "lmtpd/mta.h"
#include "os/fd.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>

static_assert(LMTPD_ASKS_MAX < 1U << SESSION_COUNT_BIT);

/* Meanwhile nobody takes mail. */
#define ALONE_DRAIN_MS 30000U

/* ---- numbers ------------------------------------------------------------ */

uint64_t
ask_new(struct lmtpd *l, struct mta *m, struct target *t)
{
	if (l->vacant_n == 0)
		return 0;
	uint32_t place = l->vacant[--l->vacant_n];
	uint64_t number = ++l->asks_begun << SESSION_COUNT_BIT | place;
	CHECK(l->asks[place].number == 0);
	l->asks[place] = (struct ask){.number = number, .mta = m, .target = t};
	return number;
}

struct ask *
ask_find(const struct lmtpd *l, uint64_t number)
{
	uint64_t place = number & ((1U << SESSION_COUNT_BIT) - 1);

	if (number == 0 || place >= l->asks_max || l->asks[place].number != number)
		return NULL;
	return &l->asks[place];
}

void
ask_free(struct lmtpd *l, uint64_t number)
{
	if (number == 0)
		return;
	struct ask *a = ask_find(l, number);
	CHECK(a);
	l->vacant[l->vacant_n++] = (uint32_t)(a - l->asks);
	*a = (struct ask){0};
}

/* ---- the question ------------------------------------------------------- */

static int
send_lookup(struct lmtpd *l, uint64_t number, struct view name)
{
	struct buf out = buf_over(l->msg, sizeof(l->msg));
	struct msg_lookup m = {.session = number, .name = name};

	msg_lookup_put(&m, &out);
	CHECK(!out.full);
	return channel_send(l->auth.fd, buf_view(&out), NULL, 0);
}

int
lookup_ask(struct lmtpd *l, struct target *t)
{
	if (l->auth.fd < 0)
		return -EPIPE;
	uint64_t number = ask_new(l, t->mta, t);
	if (number == 0)
		return -EBUSY;
	int r = send_lookup(l, number, t->r.name);
	if (r == 0) {
		t->number = number;
		return 0;
	}
	ask_free(l, number);
	if (r != -EAGAIN)
		return r; /* the end of the channel is seen on it */
	l->auth_is_full = true;
	return loop_change(l->loop, &l->auth, EPOLLIN | EPOLLOUT) < 0 ? -EPIPE : r;
}

static void
room_in_auth(struct lmtpd *l)
{
	struct mta *next;

	l->auth_is_full = false;
	for (struct mta *m = l->mtas; m; m = next) {
		next = m->next;
		mta_auth_has_room(m);
	}
	if (!l->auth_is_full && l->auth.fd >= 0)
		(void)loop_change(l->loop, &l->auth, EPOLLIN);
}

/* ---- the answer --------------------------------------------------------- */

/* What was begun needs auth no more; MTAs that come wait for the next lmtpd. */
static void
alone_too_long(struct timer *t, uint64_t now_ms)
{
	struct lmtpd *l = CONTAINER_OF(t, struct lmtpd, alone);

	(void)now_ms;
	if (l->is_draining)
		return;
	report_error("auth_lost", "no other channel came: this lmtpd ends", 0);
	lmtpd_drain(l, ALONE_DRAIN_MS);
}

static void
auth_lost(struct lmtpd *l)
{
	loop_remove(l->loop, &l->auth);
	fd_close(&l->auth.fd);
	l->alone.fire = alone_too_long;
	if (loop_timer_set(l->loop, &l->alone, loop_now_ms(l->loop) + CHANNEL_ALONE_MS) <
		0)
		lmtpd_end(l, 71);
	/* A grant that is on its way finds no question of that number. */
	for (uint32_t i = 0; i < l->asks_max; i++) {
		const struct ask *a = &l->asks[i];
		if (a->number == 0 || !a->target)
			continue;
		struct target *t = a->target;
		struct mta *m = a->mta;
		if (!core_refuse(&m->tr, &t->r, LMTP_RECIPIENT_TEMPORARY))
			continue;
		target_close(t);
		mta_wake(m);
	}
	l->auth_is_full = false;
	for (struct mta *m = l->mtas; m; m = m->next)
		if (m->is_unasked)
			mta_wake(m);
}

static bool
lookup_failed(struct lmtpd *l, struct view message)
{
	struct msg_lookup_failed m;
	struct view payload;

	if (message_number(message, &payload) != MSG_LOOKUP_FAILED ||
		!msg_lookup_failed_get(&m, payload))
		return false;
	const struct ask *a = ask_find(l, m.session);
	if (!a) /* it has gone meanwhile */
		return true;
	struct target *t = a->target;
	if (!t || !core_refuse(&a->mta->tr, &t->r, core_of_refusal(m.code)))
		return false;
	mta_wake(t->mta);
	target_close(t);
	return true;
}

static void
auth_ready(struct source *s, uint32_t events)
{
	struct lmtpd *l = CONTAINER_OF(s, struct lmtpd, auth);

	if (events & EPOLLOUT)
		room_in_auth(l);
	if (!(events & ~(uint32_t)EPOLLOUT) || s->fd < 0)
		return;
	int r = channel_recv(s->fd, &l->rx, 0);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		auth_lost(l);
		return;
	}
	if (!l->rx.truncated && lookup_failed(l, l->rx.message))
		return;
	struct view payload;
	report_fault("auth", message_number(l->rx.message, &payload),
		"malformed or not allowed now");
	auth_lost(l);
}

void
lookup_start(struct lmtpd *l, int take_fd)
{
	if (l->auth.fd >= 0)
		auth_lost(l);
	loop_timer_clear(l->loop, &l->alone);
	l->auth = (struct source){.fd = take_fd, .ready = auth_ready};
	int r = loop_add(l->loop, &l->auth, EPOLLIN);
	if (r < 0) {
		/* Without it no recipient is ever known; the next lmtpd is brought
		 * another. */
		report_error("auth_lost", "its channel cannot be watched", r);
		auth_lost(l);
		lmtpd_end(l, 71);
	}
	l->has_auth = true;
	lmtpd_accept_update(l);
}
