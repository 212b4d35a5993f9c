/* One recipient: its way to its keeper, and the deposit on it. */
#include "base/check.h"
#include "lmtpd/mta.h"
#include "os/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

struct target *
target_new(struct mta *m, struct view name)
{
	struct target *t = calloc(1, sizeof(*t) + name.n);

	if (!t)
		return NULL;
	if (name.n > 0)
		memcpy(t->name, name.p, name.n);
	t->r.name = (struct view){t->name, name.n};
	t->mta = m;
	t->keeper.fd = -1;
	return t;
}

struct target *
target_of(struct recipient *r)
{
	return CONTAINER_OF(r, struct target, r);
}

void
target_close(struct target *t)
{
	struct lmtpd *l = t->mta->lmtpd;

	ask_free(l, t->number);
	t->number = 0;
	/* The monitor may hold the other name of this description for a moment yet, so
	 * that closing it would not take it out of the loop. */
	loop_remove(l->loop, &t->keeper);
	fd_close(&t->keeper.fd);
}

void
target_free(struct target *t)
{
	target_close(t);
	loop_defer_free(t->mta->lmtpd->loop, t);
}

void
target_attach(struct target *t, int take_fd)
{
	CHECK(t->keeper.fd < 0);
	t->keeper.fd = take_fd;
	if (!core_accept(&t->mta->tr, &t->r))
		target_close(t);
	mta_wake(t->mta);
}

/* ---- the deposit -------------------------------------------------------- */

static void
end(struct target *t, enum lmtp_outcome outcome)
{
	target_close(t);
	if (core_end(&t->mta->tr, &t->r, outcome))
		report_outcome(t->mta, &t->r);
	mta_wake(t->mta);
}

/* False: it is none of what a keeper may say. */
static bool
take_answer(struct target *t, const struct received *r)
{
	struct msg_deposited done;
	struct msg_refused no;
	struct view payload;
	uint16_t number = message_number(r->message, &payload);

	if (r->truncated)
		return false;
	if (number == MSG_DEPOSITED && msg_deposited_get(&done, payload))
		end(t, core_of_deposit(done.outcome));
	else if (number == MSG_REFUSED && msg_refused_get(&no, payload))
		end(t, core_of_keeper_refusal(no.code));
	else
		return false;
	return true;
}

static void
keeper_ready(struct source *s, uint32_t events)
{
	struct target *t = CONTAINER_OF(s, struct target, keeper);
	struct received *r = &t->mta->lmtpd->rx;
	struct view payload;
	int e = channel_recv(s->fd, r, 0);

	(void)events;
	if (e == -EAGAIN)
		return;
	if (e == 0 && take_answer(t, r))
		return;
	if (e == 0)
		report_fault("keeper", message_number(r->message, &payload),
			"malformed or not allowed now");
	/* Whether it is stored is not known, so it is not said. */
	end(t, LMTP_OUTCOME_TEMPORARY);
}

static int
give(struct target *t, int fd, uint64_t length)
{
	struct mta *m = t->mta;
	struct lmtpd *l = m->lmtpd;
	struct buf out = buf_over(l->msg, sizeof(l->msg));
	struct msg_deposit d = {.length = length,
		.sender = {m->sender, m->sender_n},
		.recipient = t->r.name};

	msg_deposit_put(&d, &out);
	CHECK(!out.full);
	t->keeper.ready = keeper_ready;
	int err = loop_add(l->loop, &t->keeper, EPOLLIN);
	return err < 0 ? err : channel_send(t->keeper.fd, buf_view(&out), &fd, 1);
}

bool
target_give(struct target *t, int fd, uint64_t length)
{
	int err = give(t, fd, length);

	if (err == 0) {
		core_given(&t->r);
		return true;
	}
	/* EPIPE: its keeper has gone since RCPT, which the monitor tells. */
	if (err != -EPIPE && err != -ECONNRESET)
		report_error("deposit_failed", "message DEPOSIT", err);
	return false;
}
