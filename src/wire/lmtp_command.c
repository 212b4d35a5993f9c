#include "base/ascii.h"
#include "base/check.h"
#include "wire/lmtp_parse.h"
#include "wire/lmtp_reply.h"
#include "wire/lmtp_steps.h"

/* True if the caller knew of the transaction and must hear that it is over. */
bool
lmtp_forget(struct lmtp_server *s)
{
	bool open = s->open;

	s->open = s->refused_all = s->utf8 = false;
	s->ends = (struct line_ends){.held = false};
	s->accepted = s->refused = s->owed = 0;
	s->message_n = s->chunk_left = 0;
	if (s->state != BEFORE_LHLO)
		s->state = READY;
	return open;
}

void
lmtp_close(struct lmtp_server *s, enum lmtp_reply r, struct buf *out)
{
	lmtp_put_reply(r, out);
	(void)lmtp_forget(s);
	s->phase = PHASE_CLOSED;
}

/* A command that is wrong. True: an event. */
bool
lmtp_bad(
	struct lmtp_server *s, enum lmtp_reply r, struct buf *out, struct lmtp_event *ret)
{
	if (++s->bad < LMTP_BAD_MAX) {
		lmtp_put_reply(r, out);
		return false;
	}
	lmtp_close(s, LMTP_REPLY_TOO_MANY_BAD, out);
	ret->kind = LMTP_EVENT_CLOSE;
	return true;
}

/* What is pipelined behind a MAIL that was refused is nobody's fault and is not counted.
 */
bool
lmtp_wrong_order(
	struct lmtp_server *s, enum lmtp_reply r, struct buf *out, struct lmtp_event *ret)
{
	if (r != LMTP_REPLY_SAY_MAIL)
		return lmtp_bad(s, r, out, ret);
	lmtp_put_reply(r, out);
	return false;
}

bool
lmtp_give_up(
	struct lmtp_server *s, enum lmtp_reply r, struct buf *out, struct lmtp_event *ret)
{
	lmtp_close(s, r, out);
	ret->kind = LMTP_EVENT_CLOSE;
	return true;
}

/* ---- commands --------------------------------------------------------------------- */

static bool
answer_reset(struct lmtp_server *s, struct lmtp_event *ret)
{
	ret->kind = LMTP_EVENT_RESET;
	return lmtp_forget(s);
}

static bool
answer_lhlo(struct lmtp_server *s, struct buf *out, struct lmtp_event *ret)
{
	lmtp_put_lhlo(&s->limits, out);
	/* RFC 5321 s.4.1.4: as RSET does. */
	s->state = READY;
	return answer_reset(s, ret);
}

static bool
answer_mail(struct lmtp_server *s, const struct lmtp_request *r, struct buf *out,
	struct lmtp_event *ret)
{
	/* RFC 1870 s.6.1 */
	if (s->limits.message_octets > 0 && r->size > s->limits.message_octets) {
		lmtp_put_reply(LMTP_REPLY_TOO_LARGE, out);
		return false;
	}
	lmtp_put_reply(LMTP_REPLY_MAIL_OK, out);
	s->state = IN_MAIL;
	s->open = true;
	s->utf8 = r->utf8;
	ret->kind = LMTP_EVENT_MAIL;
	ret->path = r->path.mailbox;
	ret->declared = r->size;
	ret->utf8 = r->utf8;
	return true;
}

static bool
answer_rcpt(struct lmtp_server *s, const struct lmtp_request *r, struct buf *out,
	struct lmtp_event *ret)
{
	/* RFC 6531 s.3.5 */
	if (r->eight_bit && !s->utf8) {
		lmtp_put_reply(LMTP_REPLY_NEEDS_UTF8, out);
		return false;
	}
	/* RFC 5321 s.4.5.3.1.10. The caller may keep those that it refused as well. */
	if (s->accepted >= s->limits.recipients || s->refused >= LMTP_REFUSED_MAX) {
		lmtp_put_reply(LMTP_REPLY_TOO_MANY_RCPT, out);
		return false;
	}
	s->phase = PHASE_ASKED;
	ret->kind = LMTP_EVENT_RCPT;
	ret->path = (struct view){s->path, lmtp_path_unquote(&r->path, s->path)};
	return true;
}

/* RFC 2033 s.4.2: without a recipient DATA itself fails. */
static bool
answer_data(struct lmtp_server *s, struct buf *out)
{
	if (s->accepted == 0) {
		lmtp_put_reply(LMTP_REPLY_NO_RECIPIENT, out);
		return false;
	}
	lmtp_put_reply(LMTP_REPLY_GO_AHEAD, out);
	s->dots = (struct dot_decode_state){0};
	s->phase = PHASE_DATA;
	return false;
}

/* What is wrong with a command in this state. */
static enum lmtp_reply
wrong_order(const struct lmtp_server *s)
{
	switch ((enum lmtp_state)s->state) {
	case BEFORE_LHLO: return LMTP_REPLY_SAY_LHLO;
	case READY: return LMTP_REPLY_SAY_MAIL;
	case IN_MAIL: return LMTP_REPLY_MAIL_TWICE;
	case IN_CHUNKS: return LMTP_REPLY_IN_CHUNKS;
	case NOWHERE:
	case EVERYWHERE: break;
	}
	UNREACHABLE();
}

/* RFC 3030 s.2: the octets are taken, whatever will be said behind them. */
static void
answer_bdat(struct lmtp_server *s, const struct lmtp_request *r)
{
	s->chunk_left = r->chunk;
	s->chunk_last = r->chunk_last;
	s->phase = PHASE_CHUNK;
	if (s->state == BEFORE_LHLO || s->state == READY) {
		s->chunk_reply = (uint8_t)wrong_order(s);
	} else if (s->accepted == 0) {
		s->chunk_reply = LMTP_REPLY_NO_RECIPIENT;
	} else {
		s->state = IN_CHUNKS;
		s->chunk_reply =
			s->refused_all ? LMTP_REPLY_CHUNK_FAILED : LMTP_REPLY_CHUNK_OK;
	}
}

static bool
answer_quit(struct lmtp_server *s, struct buf *out, struct lmtp_event *ret)
{
	lmtp_close(s, LMTP_REPLY_BYE, out);
	ret->kind = LMTP_EVENT_QUIT;
	return true;
}

static bool
answer_command(struct lmtp_server *s, const struct lmtp_request *r, struct buf *out,
	struct lmtp_event *ret)
{
	uint8_t states = lmtp_command_row(r->command)->states;

	if (!(states & s->state))
		return states == NOWHERE ? lmtp_bad(s, LMTP_REPLY_NOT_SMTP, out, ret)
					 : lmtp_wrong_order(s, wrong_order(s), out, ret);
	switch (r->command) {
	case LMTP_LHLO: return answer_lhlo(s, out, ret);
	case LMTP_MAIL: return answer_mail(s, r, out, ret);
	case LMTP_RCPT: return answer_rcpt(s, r, out, ret);
	case LMTP_DATA: return answer_data(s, out);
	case LMTP_BDAT: answer_bdat(s, r); return false;
	case LMTP_RSET:
		lmtp_put_reply(LMTP_REPLY_RESET, out);
		return answer_reset(s, ret);
	case LMTP_NOOP: lmtp_put_reply(LMTP_REPLY_OK, out); return false;
	case LMTP_VRFY: lmtp_put_reply(LMTP_REPLY_VRFY, out); return false;
	case LMTP_QUIT: return answer_quit(s, out, ret);
	case LMTP_HELP: lmtp_put_help(out); return false;
	case LMTP_HELO:
	case LMTP_EHLO:
	case LMTP_COMMANDS: break;
	}
	UNREACHABLE();
}

/* A line of which only the front is sure: the octets behind a BDAT that cannot be read
 * would be taken for commands. */
bool
lmtp_bad_line(struct lmtp_server *s, struct view line, enum lmtp_reply r, struct buf *out,
	struct lmtp_event *ret)
{
	struct view bdat = VIEW("BDAT");

	if (line.n >= bdat.n && ascii_equal_nocase((struct view){line.p, bdat.n}, bdat))
		return lmtp_give_up(s, LMTP_REPLY_CHUNK_UNREADABLE, out, ret);
	return lmtp_bad(s, r, out, ret);
}

bool
lmtp_take_command(
	struct lmtp_server *s, struct view line, struct buf *out, struct lmtp_event *ret)
{
	struct lmtp_request r;
	enum lmtp_reply parsed = lmtp_parse(line, &r);

	if (parsed == LMTP_REPLY_OK)
		return answer_command(s, &r, out, ret);
	/* What is wrong with the order is told first. */
	if (r.known && !(lmtp_command_row(r.command)->states & s->state) &&
		parsed != LMTP_REPLY_LINE_OCTETS)
		return answer_command(s, &r, out, ret);
	return lmtp_bad_line(s, line, parsed, out, ret);
}
