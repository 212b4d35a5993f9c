#include "wire/lmtp_server.h"
#include "base/check.h"
#include "wire/limits.h"
#include "wire/lmtp_body.h"
#include "wire/lmtp_reply.h"
#include "wire/lmtp_steps.h"

#include <string.h>

void
lmtp_server_init(struct lmtp_server *s, const struct lmtp_limits *limits)
{
	CHECK(limits->recipients > 0);
	CHECK(limits->recipients <= LMTP_RECIPIENTS_MAX);
	memset(s, 0, sizeof(*s));
	s->limits = *limits;
	s->state = BEFORE_LHLO;
	s->phase = PHASE_COMMAND;
}

static bool
has_room(const struct buf *out)
{
	return !out->full && buf_room(out) >= LMTP_REPLY_MAX;
}

static bool
closing(struct lmtp_server *s, enum lmtp_reply r, struct buf *out)
{
	if (!has_room(out))
		return false;
	if (s->phase != PHASE_CLOSED)
		lmtp_close(s, r, out);
	return true;
}

/* ---- lines ------------------------------------------------------------------------ */

static void
skip(struct view *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

/* The octets up to and with the LF; all, and false, if there is none. */
static bool
line_end(struct view in, size_t *ret_n)
{
	const uint8_t *lf = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;

	*ret_n = lf ? (size_t)(lf - in.p) + 1 : in.n;
	return lf;
}

/* The rest of an over-long line. True: an event. */
static bool
discard(struct lmtp_server *s, struct view *in, struct buf *out, struct lmtp_event *ret)
{
	size_t n;
	bool ends = line_end(*in, &n);

	skip(in, n);
	s->discarded += n;
	s->discarding = !ends;
	if (s->discarded > LINE_DISCARD_MAX)
		return lmtp_give_up(s, LMTP_REPLY_FLOOD, out, ret);
	ret->kind = LMTP_EVENT_NEED_INPUT;
	return !ends;
}

/* One line, or what there is of it. True: an event. */
static bool
next_line(struct lmtp_server *s, struct view *in, struct buf *out, struct lmtp_event *ret)
{
	size_t n;
	bool ends, whole = s->line_n == 0;
	struct view line;

	if (s->discarding)
		return discard(s, in, out, ret);
	ends = line_end(*in, &n);
	line = (struct view){in->p, n};
	if (s->line_n + n > LMTP_LINE_MAX || (!ends && s->line_n + n == LMTP_LINE_MAX)) {
		/* Told at once, not at its end, which may never come. Enough of its front
		 * is kept to see which command it would be. */
		n = n < LMTP_LINE_MAX - s->line_n ? n : LMTP_LINE_MAX - s->line_n;
		memcpy(s->line + s->line_n, in->p, n);
		line = (struct view){s->line, s->line_n + n};
		s->line_n = 0;
		s->discarding = true;
		s->discarded = 0;
		skip(in, n);
		return lmtp_bad_line(s, line, LMTP_REPLY_LINE_LONG, out, ret);
	}
	skip(in, n);
	if (!ends || !whole) {
		if (n > 0)
			memcpy(s->line + s->line_n, line.p, n);
		s->line_n += (uint32_t)n;
		line = (struct view){s->line, s->line_n};
	}
	if (!ends) {
		ret->kind = LMTP_EVENT_NEED_INPUT;
		return true;
	}
	s->line_n = 0;
	/* RFC 5321 s.2.3.8: only CRLF ends a line. */
	if (line.n < 2 || line.p[line.n - 2] != '\r')
		return lmtp_bad_line(s, line, LMTP_REPLY_LINE_END, out, ret);
	line.n -= 2;
	return lmtp_take_command(s, line, out, ret);
}

/* ---- the message ------------------------------------------------------------------ */

/* From now on it is thrown away: what the caller has of it he forgets. */
static bool
refuse_all(struct lmtp_server *s, enum lmtp_reply why, struct lmtp_event *ret)
{
	s->refused_all = true;
	s->refusal = (uint8_t)why;
	s->open = false;
	ret->kind = LMTP_EVENT_RESET;
	return true;
}

/* Octets of the message. True: an event. */
static bool
take_piece(struct lmtp_server *s, struct view piece, struct lmtp_event *ret)
{
	uint64_t max = s->limits.message_octets;
	uint64_t room = max > 0 ? max - s->message_n : UINT64_MAX;
	size_t n = piece.n < room ? piece.n : (size_t)room;

	if (piece.n == 0 || s->refused_all)
		return false;
	/* What comes first counts, however the octets were cut. */
	if (!s->limits.bare_ends && !line_ends_are_whole(&s->ends, piece.p, n))
		return refuse_all(s, LMTP_REPLY_BARE_ENDS, ret);
	if (piece.n > n)
		return refuse_all(s, LMTP_REPLY_TOO_LARGE, ret);
	s->message_n += piece.n;
	ret->kind = LMTP_EVENT_DATA;
	ret->octets = piece;
	return true;
}

/* It was read to its end: whose turn it is. True: an event. */
static bool
end_message(struct lmtp_server *s, struct lmtp_event *ret)
{
	CHECK(s->accepted > 0);
	s->owed = s->accepted;
	s->bad = 0;
	if (s->refused_all || s->ends.held) {
		s->phase = PHASE_REFUSALS;
		return !s->refused_all && refuse_all(s, LMTP_REPLY_BARE_ENDS, ret);
	}
	s->phase = PHASE_OUTCOMES;
	s->open = false;
	ret->kind = LMTP_EVENT_END;
	return true;
}

static bool
next_data(struct lmtp_server *s, struct view *in, struct lmtp_event *ret)
{
	struct view piece;

	if (in->n == 0) {
		ret->kind = LMTP_EVENT_NEED_INPUT;
		return true;
	}
	/* The end may come with the last piece: then it waits here. */
	if (lmtp_body_next(&s->dots, in, s->line, sizeof(s->line), &piece))
		s->phase = PHASE_ENDED;
	return take_piece(s, piece, ret);
}

static bool
end_chunk(struct lmtp_server *s, struct buf *out, struct lmtp_event *ret)
{
	enum lmtp_reply r = (enum lmtp_reply)s->chunk_reply;
	bool ours = r == LMTP_REPLY_CHUNK_OK || r == LMTP_REPLY_CHUNK_FAILED;

	s->phase = PHASE_COMMAND;
	if (ours && s->chunk_last)
		return end_message(s, ret);
	if (r == LMTP_REPLY_SAY_LHLO || r == LMTP_REPLY_SAY_MAIL)
		return lmtp_wrong_order(s, r, out, ret);
	if (r == LMTP_REPLY_CHUNK_OK && s->refused_all)
		r = (enum lmtp_reply)s->refusal;
	lmtp_put_reply(r, out);
	return false;
}

static bool
next_chunk(
	struct lmtp_server *s, struct view *in, struct buf *out, struct lmtp_event *ret)
{
	struct view piece = *in;

	if (s->chunk_left == 0)
		return end_chunk(s, out, ret);
	if (in->n == 0) {
		ret->kind = LMTP_EVENT_NEED_INPUT;
		return true;
	}
	if (piece.n > s->chunk_left)
		piece.n = (size_t)s->chunk_left;
	skip(in, piece.n);
	s->chunk_left -= piece.n;
	return s->chunk_reply == LMTP_REPLY_CHUNK_OK && take_piece(s, piece, ret);
}

static void
settled(struct lmtp_server *s)
{
	CHECK(s->owed > 0);
	if (--s->owed > 0)
		return;
	(void)lmtp_forget(s);
	s->phase = PHASE_COMMAND;
}

/* ---- the contract ----------------------------------------------------------------- */

/* One step. True: an event. */
static bool
step(struct lmtp_server *s, struct view *in, struct buf *out, struct lmtp_event *ret)
{
	switch ((enum lmtp_phase)s->phase) {
	case PHASE_COMMAND: return next_line(s, in, out, ret);
	case PHASE_DATA: return next_data(s, in, ret);
	case PHASE_ENDED: return end_message(s, ret);
	case PHASE_CHUNK: return next_chunk(s, in, out, ret);
	case PHASE_REFUSALS:
		lmtp_put_reply((enum lmtp_reply)s->refusal, out);
		settled(s);
		return false;
	case PHASE_CLOSED: ret->kind = LMTP_EVENT_CLOSE; return true;
	case PHASE_ASKED:
	case PHASE_OUTCOMES: break;
	}
	UNREACHABLE();
}

void
lmtp_server_next(
	struct lmtp_server *s, struct view *in, struct buf *out, struct lmtp_event *ret)
{
	CHECK(s->phase != PHASE_ASKED);
	CHECK(s->phase != PHASE_OUTCOMES);
	CHECK(out->cap >= LMTP_REPLY_MAX);
	do {
		*ret = (struct lmtp_event){.kind = LMTP_EVENT_NEED_ROOM};
		if (s->phase != PHASE_CLOSED && !has_room(out))
			return;
	} while (!step(s, in, out, ret));
}

bool
lmtp_server_greet(struct lmtp_server *s, struct buf *out)
{
	if (!has_room(out))
		return false;
	lmtp_put_greeting(&s->limits, out);
	return true;
}

bool
lmtp_server_recipient(
	struct lmtp_server *s, enum lmtp_recipient_answer answer, struct buf *out)
{
	if (s->phase == PHASE_CLOSED)
		return true;
	CHECK(s->phase == PHASE_ASKED);
	if (!has_room(out))
		return false;
	bool taken = lmtp_put_recipient(answer, out);
	s->accepted += taken;
	s->refused += !taken;
	s->phase = PHASE_COMMAND;
	return true;
}

bool
lmtp_server_outcome(struct lmtp_server *s, enum lmtp_outcome outcome,
	struct view recipient, struct buf *out)
{
	if (s->phase == PHASE_CLOSED)
		return true;
	CHECK(s->phase == PHASE_OUTCOMES);
	if (!has_room(out))
		return false;
	lmtp_put_outcome(outcome, recipient, out);
	settled(s);
	return true;
}

bool
lmtp_server_shutdown(struct lmtp_server *s, struct buf *out)
{
	return closing(s, LMTP_REPLY_SHUTDOWN, out);
}

bool
lmtp_server_timeout(struct lmtp_server *s, struct buf *out)
{
	return closing(s, LMTP_REPLY_IDLE, out);
}

uint32_t
lmtp_server_owed(const struct lmtp_server *s)
{
	return s->phase == PHASE_OUTCOMES ? s->owed : 0;
}

bool
lmtp_server_asks(const struct lmtp_server *s)
{
	return s->phase == PHASE_ASKED;
}

bool
lmtp_server_in_message(const struct lmtp_server *s)
{
	return s->phase == PHASE_DATA || s->phase == PHASE_ENDED ||
		s->phase == PHASE_CHUNK || s->state == IN_CHUNKS;
}

bool
lmtp_server_in_transaction(const struct lmtp_server *s)
{
	return s->state == IN_MAIL || s->state == IN_CHUNKS;
}
