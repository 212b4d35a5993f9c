/* Octets of a connection, in and out, and what the loop is asked for. */
#include "base/check.h"
#include "lmtpd/mta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define READS_A_TURN 8 /* then the others have theirs */

static void
drop_left(struct mta *m)
{
	free(m->left);
	m->left = NULL;
	m->left_at = m->left_n = 0;
}

void
mta_in_begin(struct mta *m, struct mta_turn *t)
{
	t->in = (struct view){m->left ? m->left + m->left_at : NULL, m->left_n};
}

enum mta_step
mta_in_more(struct mta *m, struct mta_turn *t)
{
	struct lmtpd *l = m->lmtpd;

	CHECK(t->in.n == 0);
	drop_left(m);
	if (!m->has_octets || t->reads == READS_A_TURN)
		return MTA_WAIT;
	t->reads++;
	ssize_t n = recv(m->source.fd, l->in, sizeof(l->in), MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		m->has_octets = false;
		return MTA_WAIT;
	}
	if (n < 0 || (n == 0 && m->at == MTA_LINGER))
		return MTA_DEAD;
	if (n == 0) {
		/* It may still read what it asked for before. */
		m->at = MTA_CLOSING;
		m->lingers = false;
		m->close_by_ms = m->active_ms + l->timeout_ms;
		return MTA_GO;
	}
	/* More than a buffer may be there; less means that this was all. */
	m->has_octets = (size_t)n == sizeof(l->in);
	m->active_ms = loop_now_ms(l->loop);
	t->in = (struct view){l->in, (size_t)n};
	return MTA_GO;
}

int
mta_in_end(struct mta *m, const struct mta_turn *t)
{
	if (t->in.n == 0) {
		drop_left(m);
		return 0;
	}
	if (m->left) {
		m->left_at = (uint32_t)(t->in.p - m->left);
		m->left_n = (uint32_t)t->in.n;
		return 0;
	}
	/* The rest lies in lmtpd->in, which others will use. */
	m->left = malloc(t->in.n);
	if (!m->left)
		return -ENOMEM;
	memcpy(m->left, t->in.p, t->in.n);
	m->left_at = 0;
	m->left_n = (uint32_t)t->in.n;
	return 0;
}

/* ---- out ---------------------------------------------------------------- */

/* -1: the socket is of no more use. */
static ssize_t
send_some(struct mta *m, const uint8_t *p, size_t n)
{
	ssize_t sent = send(m->source.fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (sent > 0)
		m->active_ms = loop_now_ms(m->lmtpd->loop);
	return sent;
}

static enum mta_step
flush_unsent(struct mta *m)
{
	if (!m->unsent)
		return MTA_GO;
	ssize_t n = send_some(m, m->unsent + m->unsent_at, m->unsent_n);
	if (n < 0)
		return MTA_DEAD;
	m->unsent_at += (uint32_t)n;
	m->unsent_n -= (uint32_t)n;
	if (m->unsent_n > 0)
		return MTA_WAIT;
	free(m->unsent);
	m->unsent = NULL;
	return MTA_GO;
}

/* Behind what is unsent already, which is little: no turn goes on before it has left. */
static enum mta_step
keep_unsent(struct mta *m, struct view rest)
{
	uint8_t *p = malloc(m->unsent_n + rest.n);

	if (!p)
		return MTA_DEAD;
	if (m->unsent)
		memcpy(p, m->unsent + m->unsent_at, m->unsent_n);
	memcpy(p + m->unsent_n, rest.p, rest.n);
	free(m->unsent);
	m->unsent = p;
	m->unsent_at = 0;
	m->unsent_n += (uint32_t)rest.n;
	return MTA_WAIT;
}

enum mta_step
mta_flush(struct mta *m, struct mta_turn *t)
{
	struct view rest = buf_view(&t->out);
	enum mta_step step = m->is_gone ? MTA_GO : flush_unsent(m);

	t->out.n = 0;
	if (m->is_gone || rest.n == 0 || step == MTA_DEAD)
		return step;
	if (step == MTA_GO) {
		ssize_t n = send_some(m, rest.p, rest.n);
		if (n < 0)
			return MTA_DEAD;
		rest = (struct view){rest.p + n, rest.n - (size_t)n};
	}
	return rest.n == 0 ? MTA_GO : keep_unsent(m, rest);
}

void
mta_out_begin(struct mta *m, struct mta_turn *t)
{
	t->out = buf_over(m->lmtpd->out, sizeof(m->lmtpd->out));
	buf_put(&t->out, m->later, m->later_n);
	m->later_n = 0;
}

/*
 * Who sent MAIL and RCPT in one go waits for both answers: so they leave in one go, too,
 * which saves a call, a packet and a start of the other side.
 */
enum mta_step
mta_out_end(struct mta *m, struct mta_turn *t)
{
	if (t->out.n == 0)
		return MTA_GO;
	if (m->at != MTA_RCPT || m->unsent || t->out.n > sizeof(m->later))
		return mta_flush(m, t);
	memcpy(m->later, t->out.p, t->out.n);
	m->later_n = (uint16_t)t->out.n;
	return MTA_GO;
}

/* ---- what the loop is asked for ----------------------------------------- */

/*
 * EPOLLIN stays registered while an answer is awaited, which saves two calls a message;
 * it goes when octets come that cannot be taken.
 */
int
mta_arm(struct mta *m)
{
	uint32_t events = m->source.events & EPOLLIN;
	bool takes = m->at == MTA_INPUT || m->at == MTA_LINGER;

	if (m->is_gone)
		return 0;
	if (m->unsent)
		events = EPOLLOUT;
	else if (takes)
		events = EPOLLIN;
	else if (m->has_octets)
		events = 0;
	if (m->source.on)
		return loop_change(m->lmtpd->loop, &m->source, events);
	return loop_add(m->lmtpd->loop, &m->source, events);
}
