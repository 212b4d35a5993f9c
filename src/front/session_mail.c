#include "base/check.h"
#include "front/session_state.h"

#include <string.h>

static bool
is_marked(const struct session_drop *d, uint32_t msgno)
{
	return d->marks[(msgno - 1) / 8] >> ((msgno - 1) % 8) & 1;
}

static uint32_t
left(const struct session_drop *d)
{
	return d->snap->count - d->marked;
}

static uint64_t
left_octets(const struct session_drop *d)
{
	return d->octets - d->marked_octets;
}

uint64_t
session_size(const struct session *s, uint32_t msgno)
{
	const struct snapshot *snap = s->drop.snap;

	return s->wire.utf8 ? snapshot_wire_utf8(snap, msgno - 1)
			    : snapshot_wire(snap, msgno - 1);
}

void
session_count_octets(struct session *s)
{
	struct session_drop *d = &s->drop;

	CHECK(d->marked == 0);
	d->octets = d->snap->octets;
	if (!s->wire.utf8)
		return;
	d->octets = 0;
	for (uint32_t msgno = 1; msgno <= d->snap->count; msgno++)
		d->octets += session_size(s, msgno);
}

/* ", maildrop has 2 messages" behind what no message has: the client learns its range. */
static void
put_no_message(const struct session *s, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, POP3_ERR_NO_MESSAGE, session_language(s));
	pop3_line_text(&l, ",");
	pop3_line_word(&l, POP3_WORD_HAS);
	pop3_line_text(&l, " ");
	session_line_messages(&l, s->drop.snap->count);
	pop3_line_end(&l, out);
}

/* Every reference to a number goes through here (wire points 1 to 4); false: answered. */
static bool
take_msgno(struct session *s, const struct pop3_request *r, struct buf *out)
{
	struct session_drop *d = &s->drop;

	if (r->msgno < 1 || r->msgno > d->snap->count) {
		put_no_message(s, out);
		return false;
	}
	if (is_marked(d, (uint32_t)r->msgno)) {
		session_put_reply(s, POP3_ERR_DELETED, out);
		return false;
	}
	d->msgno = (uint32_t)r->msgno;
	return true;
}

static void
put_stat(const struct session *s, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK, session_language(s));
	pop3_line_text(&l, " ");
	pop3_line_number(&l, left(&s->drop));
	pop3_line_text(&l, " ");
	pop3_line_number(&l, left_octets(&s->drop));
	pop3_line_end(&l, out);
}

static void
put_total(const struct session *s, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK_LIST, session_language(s));
	pop3_line_text(&l, " ");
	session_line_messages(&l, left(&s->drop));
	session_line_octets(&l, left_octets(&s->drop));
	pop3_line_end(&l, out);
}

static void
put_row(const struct session *s, uint32_t msgno, bool uidl, struct buf *out)
{
	if (uidl)
		pop3_put_uidl_row(msgno, snapshot_uidl(s->drop.snap, msgno - 1), out);
	else
		pop3_put_size_row(msgno, session_size(s, msgno), out);
}

/* LIST and UIDL (RFC 1939 s.5, s.7). */
static enum session_want
answer_list(struct session *s, const struct pop3_request *r, struct buf *out)
{
	struct session_drop *d = &s->drop;
	bool uidl = r->command == POP3_UIDL;

	if (!pop3_answer_is_many(r)) {
		if (!take_msgno(s, r, out))
			return SESSION_WANT_INPUT;
		buf_put_str(out, "+OK ");
		put_row(s, d->msgno, uidl, out);
		return SESSION_WANT_INPUT;
	}
	if (uidl)
		session_put_reply(s, POP3_OK_UIDL, out);
	else
		put_total(s, out);
	d->uidl = uidl;
	d->next = 1;
	s->phase = PHASE_LISTING;
	return SESSION_WANT_INPUT;
}

enum session_want
session_go_on_listing(struct session *s, uint64_t now_ms, struct buf *out)
{
	struct session_drop *d = &s->drop;

	s->active_ms = now_ms;
	for (; d->next <= d->snap->count; d->next++) {
		if (buf_room(out) < SESSION_ROOM)
			return SESSION_WANT_OUTPUT;
		if (!is_marked(d, d->next))
			put_row(s, d->next, d->uidl, out);
	}
	pop3_put_end(out);
	s->phase = PHASE_READING;
	return SESSION_WANT_INPUT;
}

static void
answer_dele(struct session *s, const struct pop3_request *r, struct buf *out)
{
	struct session_drop *d = &s->drop;

	if (!take_msgno(s, r, out))
		return;
	if (!(d->rights & RIGHT_DELETE)) {
		session_put_reply(s, POP3_ERR_READ_ONLY, out);
		return;
	}
	d->marks[(d->msgno - 1) / 8] |= (uint8_t)(1 << ((d->msgno - 1) % 8));
	d->marked++;
	d->marked_octets += session_size(s, d->msgno);
	session_put_reply(s, POP3_OK_DELE, out);
}

/* Marks only; with LAST, the number of the start again (RFC 1460 s.5; wire point 40). */
static void
answer_rset(struct session *s, struct buf *out)
{
	struct session_drop *d = &s->drop;

	memset(d->marks, 0, ((size_t)d->snap->count + 7) / 8);
	d->marked = 0;
	d->marked_octets = 0;
	d->last = d->last_at_start;
	put_total(s, out);
}

static void
put_last(const struct session *s, struct buf *out)
{
	struct pop3_line l;

	pop3_line_start(&l, POP3_OK, session_language(s));
	pop3_line_text(&l, " ");
	pop3_line_number(&l, s->drop.last);
	pop3_line_end(&l, out);
}

/* RETR and TOP: the answer waits for the slice, never the other way round. */
static enum session_want
answer_retr(struct session *s, const struct pop3_request *r, struct buf *out)
{
	if (!take_msgno(s, r, out))
		return SESSION_WANT_INPUT;
	if (!(s->drop.rights & RIGHT_READ)) {
		session_put_reply(s, POP3_ERR_NO_READ, out);
		return SESSION_WANT_INPUT;
	}
	s->drop.top = r->command == POP3_TOP;
	s->drop.lines = r->lines;
	s->phase = PHASE_SLICE;
	return SESSION_WANT_SLICE;
}

enum session_want
session_answer_mail(struct session *s, const struct pop3_request *r, struct buf *out)
{
	struct session_drop *d = &s->drop;

	CHECK(d->snap);
	switch (r->command) {
	case POP3_STAT: put_stat(s, out); break;
	case POP3_LIST:
	case POP3_UIDL: return answer_list(s, r, out);
	case POP3_RETR:
	case POP3_TOP: return answer_retr(s, r, out);
	case POP3_DELE: answer_dele(s, r, out); break;
	case POP3_NOOP: session_put_reply(s, POP3_OK, out); break;
	case POP3_RSET: answer_rset(s, out); break;
	case POP3_LAST: put_last(s, out); break;
	case POP3_CAPA:
	case POP3_STLS:
	case POP3_USER:
	case POP3_PASS:
	case POP3_AUTH:
	case POP3_QUIT:
	case POP3_APOP:
	case POP3_UTF8:
	case POP3_LANG:
	case POP3_XCLIENT:
	case POP3_COMMANDS: UNREACHABLE();
	}
	return SESSION_WANT_INPUT;
}

/* ---- the keeper's answers --------------------------------------------------- */

uint32_t
session_msgno(const struct session *s)
{
	CHECK(s->phase == PHASE_SLICE || s->phase == PHASE_BODY_FIRST ||
		s->phase == PHASE_BODY);
	return s->drop.msgno;
}

void
session_slice(struct session *s, uint64_t wire)
{
	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_SLICE);
	s->drop.wire = wire;
	s->phase = PHASE_BODY_FIRST;
}

void
session_no_slice(struct session *s, bool gone)
{
	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_SLICE);
	s->reply = gone ? POP3_ERR_GONE : POP3_ERR_UNREADABLE;
	s->phase = PHASE_ANSWER;
}

/* The size is the one that was counted, so it is what is sent (wire points 6 and 50). */
void
session_put_body_first(struct session *s, struct buf *out)
{
	struct pop3_line l;

	s->phase = PHASE_BODY;
	if (s->drop.top) {
		session_put_reply(s, POP3_OK_TOP, out);
		return;
	}
	pop3_line_start(&l, POP3_OK_RETR, session_language(s));
	pop3_line_text(&l, " ");
	pop3_line_number(&l, s->drop.wire);
	pop3_line_word(&l, POP3_WORD_OCTETS);
	pop3_line_end(&l, out);
}

struct session_body
session_body(const struct session *s)
{
	const struct session_drop *d = &s->drop;

	CHECK(s->phase == PHASE_BODY);
	return (struct session_body){d->msgno, d->top, d->lines, d->wire};
}

void
session_body_sent(struct session *s, uint64_t now_ms)
{
	struct session_drop *d = &s->drop;

	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_BODY);
	s->phase = PHASE_READING;
	s->active_ms = now_ms;
	if (d->top) {
		s->counts.topped++;
		return;
	}
	s->counts.retrieved++;
	s->counts.octets += d->wire;
	if (d->msgno > d->last)
		d->last = d->msgno;
}

struct view
session_marks(const struct session *s, uint32_t *ret_count)
{
	const struct session_drop *d = &s->drop;

	CHECK(s->phase == PHASE_COMMIT);
	*ret_count = d->marked;
	return (struct view){d->marks, ((size_t)d->snap->count + 7) / 8};
}

static enum pop3_reply
reply_to_verdict(uint8_t outcome)
{
	switch (outcome) {
	case VERDICT_DONE: return POP3_OK_BYE_LEFT;
	case VERDICT_PARTIAL: return POP3_ERR_PARTIAL;
	case VERDICT_LOST_LOCK: return POP3_ERR_LOST_LOCK;
	case VERDICT_DENIED: return POP3_ERR_DENIED;
	case VERDICT_UNKNOWN:
	default: return POP3_ERR_UNCERTAIN; /* +OK only for what was said to be done */
	}
}

void
session_committed(struct session *s, uint8_t outcome, uint32_t removed, uint32_t remain)
{
	struct session_drop *d = &s->drop;

	if (session_is_over(s))
		return;
	CHECK(s->phase == PHASE_COMMIT);
	/* Numbers come from another process: they never exceed what was asked. */
	d->removed = removed < d->marked ? removed : d->marked;
	d->remain = remain < d->marked ? remain : d->marked;
	if (outcome == VERDICT_DONE)
		d->removed = d->marked;
	s->counts.deleted = d->removed;
	/* Nothing was asked for, so nothing failed. */
	s->reply =
		(uint8_t)(d->marked == 0 ? POP3_OK_BYE_LEFT : reply_to_verdict(outcome));
	s->reason = SESSION_QUIT;
	s->closes = true;
	s->phase = PHASE_ANSWER;
}
