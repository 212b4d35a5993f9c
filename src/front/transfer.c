#include "front/transfer.h"

#include "base/check.h"
#include "os/fd.h"
#include "os/sealed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- asking ------------------------------------------------------------- */

static bool
is_asking(const struct transfer *t)
{
	return t->asked_at < t->asked_n;
}

int
transfer_send_want(struct conn *c)
{
	struct front *f = c->front;
	struct transfer *t = c->transfer;
	uint8_t numbers[4 * SLICES_BATCH_MAX];
	struct buf list = buf_over(numbers, sizeof(numbers));
	struct buf out = buf_over(f->msg, sizeof(f->msg));

	CHECK(t);
	for (size_t i = 0; i < t->asked_n; i++)
		buf_put_u32(&list, t->asked[i]);
	msg_want_put(&(struct msg_want){.msgnos = buf_view(&list),
			     .utf8 = session_utf8(&c->session)},
		&out);
	CHECK(!out.full);
	int r = channel_send(c->keeper.fd, buf_view(&out), NULL, 0);
	if (r == 0)
		c->want_unsent = false;
	return r;
}

/* The budget has them already. */
static int
ask(struct conn *c, uint32_t first, uint32_t n)
{
	struct transfer *t = c->transfer;

	CHECK(!is_asking(t));
	CHECK(n >= 1);
	CHECK(n + t->held_n <= SLICES_BATCH_MAX);
	for (uint32_t i = 0; i < n; i++)
		t->asked[i] = first + i;
	t->asked_n = (uint8_t)n;
	t->asked_at = 0;
	c->want_unsent = true;
	return keeper_push(c);
}

/* Of n messages from `first` on: as many as may lie in memory beside those held. */
static uint32_t
within_memory(const struct conn *c, uint32_t first, uint32_t n)
{
	const struct transfer *t = c->transfer;
	uint64_t octets = 0;

	/* A file takes none; what the next ones are is known once some have come. */
	if (c->has_files && !c->has_sealed)
		return n;
	for (uint32_t i = 0; i < t->held_n; i++)
		if (t->held[i].slice.kind == SLICE_SEALED)
			octets += t->held[i].slice.length;
	for (uint32_t i = 0; i < n; i++) {
		octets += session_size(&c->session, first + i);
		if (octets > TRANSFER_AHEAD_OCTETS)
			return i;
	}
	return n;
}

/* How many messages to ask for from `first` on; 0: no more than are held. */
static uint32_t
window(const struct conn *c, uint32_t first)
{
	uint32_t left = c->check.snapshot.count - first + 1;
	uint32_t n = 1U + c->transfer->behind_it;
	uint32_t room = SLICES_BATCH_MAX - c->transfer->held_n;

	if (c->in_sequence >= TRANSFER_SEQUENCE && n < TRANSFER_AHEAD)
		n = TRANSFER_AHEAD;
	n = n < c->window ? n : c->window;
	n = n < left ? n : left;
	return within_memory(c, first, n < room ? n : room);
}

/* The next ones, before the client asks for them. */
static void
ask_ahead(struct conn *c)
{
	struct transfer *t = c->transfer;
	uint32_t last = t->now.slice.msgno;

	if (c->in_sequence < TRANSFER_SEQUENCE || is_asking(t) ||
		t->held_n > c->window / 4)
		return;
	if (t->held_n > 0)
		last = t->held[t->held_n - 1].slice.msgno;
	if (last >= c->check.snapshot.count)
		return;
	uint32_t n = budget_spare(c->front, BUDGET_SLICE, window(c, last + 1));
	if (n > 0)
		(void)ask(c, last + 1, n); /* an end shows on the channel */
}

/* ---- using -------------------------------------------------------------- */

static void
use(struct conn *c, size_t idx)
{
	struct transfer *t = c->transfer;

	CHECK(!t->has_now);
	t->now = t->held[idx];
	/* What lies before it was skipped by the client and is not waited for again. */
	for (size_t i = 0; i < idx; i++) {
		if (t->held[i].fd >= 0)
			budget_back(c->front, 1);
		fd_close(&t->held[i].fd);
	}
	t->held_n = (uint8_t)(t->held_n - idx - 1);
	for (size_t i = 0; i < t->held_n; i++)
		t->held[i] = t->held[i + idx + 1];
	if (t->held_n > 0)
		budget_list(t);
	else
		budget_unlist(t);
	t->has_now = t->now.slice.kind <= SLICE_PIECES;
	if (t->has_now)
		session_slice(&c->session, t->now.slice.wire);
	else
		session_no_slice(&c->session, t->now.slice.kind == SLICE_GONE);
	c->at = CONN_RUN;
	ask_ahead(c);
}

/* Out of the budget; for more than some, others need not give up what they hold. */
static uint32_t
take(struct conn *c, uint32_t wanted)
{
	uint32_t some = wanted < TRANSFER_AHEAD ? wanted : TRANSFER_AHEAD;
	uint32_t n = budget_take(c->transfer, BUDGET_SLICE, some);

	if (n == some && wanted > some)
		n += budget_spare(c->front, BUDGET_SLICE, wanted - some);
	return n;
}

enum step
transfer_look(struct conn *c)
{
	struct transfer *t = c->transfer;
	uint32_t msgno = session_msgno(&c->session);

	for (size_t i = 0; i < t->held_n; i++) {
		if (t->held[i].slice.msgno != msgno)
			continue;
		use(c, i);
		return STEP_GO;
	}
	if (is_asking(t))
		return STEP_WAIT;
	if (!t->is_repeat || t->held_n == SLICES_BATCH_MAX)
		transfer_drop_held(t);
	uint32_t n = t->is_repeat ? 1 : window(c, msgno);
	n = take(c, n > 0 ? n : 1);
	if (n == 0 || ask(c, msgno, n) == 0)
		return STEP_WAIT;
	keeper_lost(c);
	c->at = CONN_RUN;
	return STEP_GO;
}

/* So many lines wait behind this request, at most `most`. */
static uint8_t
lines_waiting(struct view in, uint8_t most)
{
	uint8_t lines = 0;

	for (const uint8_t *lf; lines < most && in.n > 0; lines++) {
		lf = memchr(in.p, '\n', in.n);
		if (!lf)
			break;
		in.n -= (size_t)(lf + 1 - in.p);
		in.p = lf + 1;
	}
	return lines;
}

/* Whoever asks without waiting for answers mostly asks for the next ones. */
static uint8_t
requests_behind(const struct conn *c, struct view in)
{
	uint8_t most = c->window - 1;

	if (c->in_sequence < TRANSFER_SEQUENCE)
		return lines_waiting(in, most);
	return in.n > 0 ? most : 0;
}

enum step
transfer_want(struct conn *c, struct view in)
{
	uint32_t msgno = session_msgno(&c->session);
	bool follows = c->last_msgno == 0 || msgno == c->last_msgno + 1;

	if (!c->transfer) {
		struct transfer *t = calloc(1, sizeof(*t));
		if (!t) {
			report_error(
				"message_refused", "no memory for its transfer", -ENOMEM);
			session_no_slice(&c->session, false);
			c->at = CONN_RUN;
			return STEP_GO;
		}
		t->conn = c;
		t->now.fd = t->piece.fd = t->piece_next.fd = -1;
		t->waits_for = BUDGET_NOTHING;
		c->transfer = t;
	}
	/* As by clients that look at each head before they take the message. */
	c->transfer->is_repeat = msgno == c->last_msgno;
	if (msgno != c->last_msgno + 1 && !c->transfer->is_repeat)
		c->in_sequence = 0;
	else if (!c->transfer->is_repeat && c->in_sequence < TRANSFER_SEQUENCE)
		c->in_sequence++;
	c->transfer->behind_it = follows ? requests_behind(c, in) : 0;
	c->last_msgno = msgno;
	c->transfer->tries = 0;
	return transfer_look(c);
}

/* ---- arriving ----------------------------------------------------------- */

static bool
is_plausible(const struct slice *s)
{
	/* An octet travels as one or two; a missing line end adds two. */
	if (s->length > INT64_MAX / 4 || s->offset > INT64_MAX / 4)
		return false;
	return s->wire >= s->length && s->wire <= 2 * s->length + 2;
}

static bool
is_sound(const struct slice *s, int fd)
{
	uint64_t size;

	if (!is_plausible(s))
		return false;
	/* Of the others it is checked with their first read, so that both cost one probe.
	 */
	if (s->kind == SLICE_FILE)
		return s->length > 0 || slice_file_check(fd, s->offset, 0) == 0;
	return sealed_check(fd, &size) == 0 && s->offset + s->length <= size;
}

/* One that is asked for again comes before those that are held. */
static void
hold(struct conn *c, const struct slice *s, int take_fd)
{
	struct transfer *t = c->transfer;
	size_t at = t->held_n > 0 && s->msgno < t->held[0].slice.msgno ? 0 : t->held_n;

	CHECK(t->held_n < SLICES_BATCH_MAX);
	for (size_t i = t->held_n++; i > at; i--)
		t->held[i] = t->held[i - 1];
	t->held[at] = (struct held){*s, take_fd};
	c->has_files |= s->kind == SLICE_FILE;
	c->has_sealed |= s->kind == SLICE_SEALED;
}

/* A row of the answer; descriptors come in the order of the rows that have one. */
static bool
take_row(struct conn *c, const struct slice *s, struct received *r, size_t *fd_idx)
{
	struct transfer *t = c->transfer;
	bool has_fd = s->kind == SLICE_FILE || s->kind == SLICE_SEALED;
	int fd = -1;

	if (!is_asking(t) || s->msgno != t->asked[t->asked_at])
		return false;
	if (s->kind == SLICE_PIECES && !is_plausible(s))
		return false;
	if (has_fd) {
		if (*fd_idx >= r->nfds || !is_sound(s, r->fds[*fd_idx]))
			return false;
		fd = received_take(r, (*fd_idx)++);
	} else {
		budget_back(c->front, 1);
	}
	t->asked_at++;
	hold(c, s, fd);
	return true;
}

bool
transfer_slices(struct conn *c, struct view payload, struct received *r)
{
	struct msg_slices m;
	struct slice s;
	size_t fd_idx = 0;

	if (!c->transfer || c->want_unsent || !msg_slices_get(&m, payload) ||
		m.rows.n == 0)
		return false;
	struct cursor rows = cursor_over(m.rows);
	while (slice_get(&s, &rows))
		if (!take_row(c, &s, r, &fd_idx))
			return false;
	if (rows.bad || fd_idx != r->nfds)
		return false;
	budget_list(c->transfer);
	if (c->at == CONN_SLICE)
		(void)transfer_look(c);
	return true;
}

bool
transfer_slices_lost(struct conn *c, struct view payload)
{
	struct transfer *t = c->transfer;
	struct msg_slices m;
	struct slice s;

	if (!t || c->want_unsent || !msg_slices_get(&m, payload) || m.rows.n == 0)
		return false;
	struct cursor rows = cursor_over(m.rows);
	while (slice_get(&s, &rows)) {
		if (!is_asking(t) || s.msgno != t->asked[t->asked_at])
			return false;
		t->asked_at++;
		budget_back(c->front, 1);
	}
	if (rows.bad)
		return false;
	c->window = c->window > 1 ? c->window / 2 : 1;
	transfer_drop_held(t);
	if (c->at != CONN_SLICE)
		return true;
	if (++t->tries <= TRANSFER_TRIES) {
		(void)transfer_look(c);
		return true;
	}
	session_no_slice(&c->session, false);
	c->at = CONN_RUN;
	return true;
}

/* ---- the end ------------------------------------------------------------ */

void
transfer_send_seen(struct conn *c)
{
	struct front *f = c->front;
	struct transfer *t = c->transfer;

	for (size_t i = 0; i < t->seen_n && c->keeper.fd >= 0; i++) {
		struct buf out = buf_over(f->msg, sizeof(f->msg));
		msg_seen_put(&(struct msg_seen){.msgno = t->seen[i]}, &out);
		/* A keeper that is so far behind loses a flag, nothing more. */
		(void)channel_send(c->keeper.fd, buf_view(&out), NULL, 0);
	}
	t->seen_n = 0;
}

void
transfer_now_done(struct conn *c)
{
	struct transfer *t = c->transfer;

	pump_end(c);
	if (t->now.fd >= 0)
		budget_back(c->front, 1);
	fd_close(&t->now.fd);
	t->has_now = false;
}

void
transfer_idle(struct conn *c)
{
	struct transfer *t = c->transfer;

	if (t->has_now || t->held_n > 0 || is_asking(t) || t->is_fetching ||
		t->seen_n > 0)
		return;
	transfer_free(c);
}

void
transfer_free(struct conn *c)
{
	struct transfer *t = c->transfer;

	if (!t)
		return;
	transfer_now_done(c);
	transfer_drop_held(t);
	budget_back(c->front, (uint32_t)(t->asked_n - t->asked_at) + t->is_fetching);
	budget_leave(t);
	c->want_unsent = c->fetch_unsent = false;
	free(t);
	c->transfer = NULL;
}
