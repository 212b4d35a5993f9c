/*
 * A message from its slice to the output, a block in each step. Nothing here waits for a
 * disk: what is not in memory comes from the keeper in sealed pieces.
 */
#include "front/transfer.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/sealed.h"
#include "stat/stat.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- pieces from the keeper --------------------------------------------- */

int
pump_send_fetch(struct conn *c)
{
	struct front *f = c->front;
	struct transfer *t = c->transfer;
	struct buf out = buf_over(f->msg, sizeof(f->msg));
	struct msg_fetch m = {.msgno = t->fetch_msgno,
		.offset = t->fetch_offset,
		.length = t->fetch_length,
		.utf8 = session_utf8(&c->session)};

	msg_fetch_put(&m, &out);
	int r = channel_send(c->keeper.fd, buf_view(&out), NULL, 0);
	if (r == 0)
		c->fetch_unsent = false;
	return r;
}

/* Asks for what begins at this octet of the message. The budget has its descriptor. */
static int
fetch(struct conn *c, uint64_t offset)
{
	struct transfer *t = c->transfer;
	uint64_t left = t->body.length - offset;
	uint32_t most = t->body.is_top ? TRANSFER_PIECE_TOP : TRANSFER_PIECE;

	CHECK(!t->is_fetching);
	t->is_fetching = true;
	t->is_fetch_stale = false;
	t->fetch_tries = 0;
	t->fetch_msgno = t->now.slice.msgno;
	t->fetch_offset = offset;
	t->fetch_length = left < most ? (uint32_t)left : most;
	c->fetch_unsent = true;
	stat_add(STAT_FETCHES, 1);
	return keeper_push(c);
}

static bool
covers(const struct piece *p, uint64_t offset)
{
	return p->fd >= 0 && offset >= p->offset && offset - p->offset < p->length;
}

static void
cut(struct conn *c)
{
	session_end(&c->session, SESSION_FILE_CHANGED);
	c->at = CONN_RUN;
}

static void
end_fetch(struct conn *c)
{
	c->transfer->is_fetching = false;
	budget_back(c->front, 1);
}

bool
pump_fetched(struct conn *c, struct view payload, struct received *r)
{
	struct transfer *t = c->transfer;
	struct msg_fetched m;
	uint64_t size;

	if (!t || !t->is_fetching || c->fetch_unsent || !msg_fetched_get(&m, payload))
		return false;
	if (m.msgno != t->fetch_msgno || m.offset != t->fetch_offset ||
		m.length != t->fetch_length)
		return false;
	end_fetch(c);
	if (t->is_fetch_stale || c->at != CONN_BODY)
		return true;
	if (m.error) {
		cut(c);
		return r->nfds == 0;
	}
	if (r->nfds != 1 || sealed_check(r->fds[0], &size) < 0 || size != m.length)
		return false;
	transfer_drop_piece(t, &t->piece_next);
	c->front->ahead_n++; /* which end_fetch gave back just now */
	t->piece_next = (struct piece){received_take(r, 0), m.offset, m.length};
	return true;
}

/* Also without its descriptor the message says which question it answers. */
bool
pump_fetched_lost(struct conn *c)
{
	struct transfer *t = c->transfer;

	if (!t || !t->is_fetching || c->fetch_unsent)
		return false;
	if (t->is_fetch_stale) {
		end_fetch(c);
		return true;
	}
	if (++t->fetch_tries > TRANSFER_TRIES) {
		cut(c);
		return true;
	}
	c->fetch_unsent = true;
	return keeper_push(c) == 0;
}

void
pump_end(struct conn *c)
{
	struct transfer *t = c->transfer;

	transfer_drop_piece(t, &t->piece);
	transfer_drop_piece(t, &t->piece_next);
	if (t->is_fetching && c->fetch_unsent) {
		c->fetch_unsent = false;
		end_fetch(c);
	}
	t->is_fetch_stale = t->is_fetching;
}

/* ---- reading ------------------------------------------------------------ */

static ssize_t
read_at(int fd, uint8_t *p, size_t n, uint64_t offset, int flags)
{
	struct iovec iov = {p, n};

	for (;;) {
		ssize_t got = preadv2(fd, &iov, 1, (off_t)offset, flags);
		if (got >= 0)
			return got;
		if (errno != EINTR)
			return -errno;
	}
}

static ssize_t
read_piece(struct conn *c, uint8_t *to, size_t n)
{
	struct transfer *t = c->transfer;
	const struct piece *p = &t->piece;
	uint64_t within = t->body.offset - p->offset, end = p->offset + p->length;
	bool ahead = t->now.slice.kind == SLICE_PIECES && !t->body.is_top &&
		t->piece_next.fd < 0 && end < t->body.length && !t->is_fetching;

	if (ahead && budget_spare(c->front, BUDGET_PIECE, 1) > 0 && fetch(c, end) < 0)
		return -EPIPE;
	if (n > p->length - within)
		n = (size_t)(p->length - within);
	return read_at(p->fd, to, n, within, 0);
}

/*
 * -EPROTO: this is no descriptor that a keeper may hand over. One that is too short may
 * have become so since.
 */
static ssize_t
read_file(struct transfer *t, uint8_t *to, size_t n)
{
	const struct slice *s = &t->now.slice;

	if (t->is_checked)
		return read_at(t->now.fd, to, n, s->offset + t->body.offset, RWF_NOWAIT);
	CHECK(t->body.offset == 0);
	ssize_t got = slice_file_begin(t->now.fd, s->offset, s->length, to, n);
	t->is_checked = true;
	return got == -EINVAL ? -EPROTO : got;
}

/*
 * Octets from body.offset on: how many; 0 where the file ends too early. -EAGAIN: the
 * keeper was asked. -EPIPE: it is gone. -EPROTO: it broke the rules.
 */
static ssize_t
read_block(struct conn *c, uint8_t *to, size_t n)
{
	struct transfer *t = c->transfer;
	const struct slice *s = &t->now.slice;
	uint64_t at = t->body.offset;

	if (!covers(&t->piece, at) && covers(&t->piece_next, at)) {
		transfer_drop_piece(t, &t->piece);
		t->piece = t->piece_next;
		t->piece_next.fd = -1;
	}
	if (covers(&t->piece, at))
		return read_piece(c, to, n);
	if (s->kind == SLICE_SEALED)
		return read_at(t->now.fd, to, n, s->offset + at, 0);
	if (s->kind == SLICE_FILE && !t->no_nowait) {
		ssize_t got = read_file(t, to, n);
		if (got != -EAGAIN && got != -EOPNOTSUPP)
			return got;
		t->no_nowait = got == -EOPNOTSUPP;
	}
	/* One question at a time; and who may have to wait for a piece holds none. */
	transfer_drop_piece(t, &t->piece);
	if (t->is_fetching || budget_take(t, BUDGET_PIECE, 1) == 0)
		return -EAGAIN;
	return fetch(c, at) < 0 ? -EPIPE : -EAGAIN;
}

/* ---- sending ------------------------------------------------------------ */

enum step
pump_begin(struct conn *c)
{
	struct transfer *t = c->transfer;
	struct session_body b = session_body(&c->session);

	CHECK(t);
	CHECK(t->has_now);
	CHECK(t->now.slice.msgno == b.msgno);
	if (b.top)
		body_top(&t->body, t->now.slice.length, b.lines);
	else
		body_retr(&t->body, t->now.slice.length, b.wire);
	t->is_checked = t->no_nowait = false;
	return STEP_GO;
}

static void
note_seen(struct conn *c)
{
	struct transfer *t = c->transfer;

	if (!c->options->mark_seen || t->body.is_top)
		return;
	if (t->seen_n == TRANSFER_SEEN_MAX)
		transfer_send_seen(c);
	t->seen[t->seen_n++] = t->now.slice.msgno;
}

enum step
pump_step(struct conn *c, struct turn *t)
{
	struct front *f = c->front;
	struct body *b = &c->transfer->body;
	size_t n = body_wants(b, FRONT_BLOCK_OCTETS);
	/* What travels as it is stored is read to where it is sent from. */
	bool in_place = c->transfer->now.slice.as_is && !b->is_top;
	CHECK(buf_room(&t->out) >= BODY_ROOM(n));
	ssize_t got =
		n > 0 ? read_block(c, in_place ? t->out.p + t->out.n : f->block, n) : 0;

	if (got == -EAGAIN)
		return STEP_WAIT;
	if (got == -EPROTO) {
		keeper_fault(c, MSG_SLICES);
		return STEP_GO;
	}
	if (got == -EPIPE) {
		keeper_lost(c);
		c->at = CONN_RUN;
		return STEP_GO;
	}
	if (got < 0 || (got == 0 && n > 0)) {
		cut(c);
		return STEP_GO;
	}
	enum body_result fed = in_place
		? body_feed_in_place(b, f->dot, (size_t)got, f->block, &t->out)
		: body_feed(b, f->dot, (struct view){f->block, (size_t)got}, &t->out);
	switch (fed) {
	case BODY_MORE: return STEP_GO;
	case BODY_CHANGED: cut(c); return STEP_GO;
	case BODY_DONE: break;
	}
	note_seen(c);
	transfer_now_done(c);
	session_body_sent(&c->session, loop_now_ms(f->loop));
	c->at = CONN_RUN;
	return STEP_GO;
}
