#include "base/ascii.h"
#include "base/buf.h"
#include "base/check.h"
#include "wire/pop3_flight.h"
#include "wire/sasl_line.h"

#include <string.h>

static void
skip(struct view *in, size_t n)
{
	in->p += n;
	in->n -= n;
}

static size_t
find_lf(struct view in)
{
	const uint8_t *lf = in.n > 0 ? memchr(in.p, '\n', in.n) : NULL;

	return lf ? (size_t)(lf - in.p) : in.n;
}

static struct pop3_expected *
awaited(struct pop3_client *c)
{
	CHECK(c->count > 0);
	CHECK(c->first < POP3_FLIGHT_MAX);
	return &c->flight[c->first];
}

static void
arrived(struct pop3_client *c)
{
	CHECK(c->count > 0);
	c->first = (uint16_t)((c->first + 1) % POP3_FLIGHT_MAX);
	c->count--;
	c->at = CLIENT_AT_STATUS;
}

static enum pop3_client_event
broken(struct pop3_client *c, const char *why, struct pop3_answer *ret)
{
	c->at = CLIENT_AT_BROKEN;
	c->why = why;
	ret->why = why;
	return POP3_CLIENT_BROKEN;
}

/*
 * Moves octets of `in` up to an LF into c->status; what does not fit is counted and
 * thrown away. True at the LF.
 */
static bool
take_status_line(struct pop3_client *c, struct view *in)
{
	size_t n = find_lf(*in), keep = POP3_STATUS_MAX - c->status_n;
	bool end = n < in->n;

	if (keep > n)
		keep = n;
	if (keep > 0)
		memcpy(c->status + c->status_n, in->p, keep);
	c->status_n = (uint16_t)(c->status_n + keep);
	n -= keep;
	if (n > POP3_STATUS_FLOOD - c->line_n)
		n = POP3_STATUS_FLOOD - c->line_n;
	c->line_n += (uint32_t)n;
	n = find_lf(*in);
	if (n > 0)
		c->after_cr = in->p[n - 1] == '\r';
	skip(in, end ? n + 1 : n);
	return end;
}

/* The line that was collected, without its end; *ret_cut where not all of it was kept. */
static struct view
collected(struct pop3_client *c, bool *ret_cut)
{
	struct view line = {c->status, c->status_n};
	bool all = c->line_n == 0;

	if (all && c->after_cr)
		line.n--;
	*ret_cut = !all && !(c->line_n == 1 && c->after_cr);
	/* How this line ends is the evidence for how the lines behind it may. */
	c->lf_lines = !c->after_cr;
	c->status_n = 0;
	c->line_n = 0;
	c->after_cr = false;
	return line;
}

/*
 * "+ base64" or "+" alone (RFC 5034 s.4). Where commands were sent behind AUTH, the
 * server takes the first of them for the response, and it gets no answer.
 */
static enum pop3_client_event
read_challenge(struct pop3_client *c, struct view line, bool cut, uint8_t *scratch,
	size_t scratch_n, struct pop3_answer *ret)
{
	struct pop3_expected *auth = awaited(c);
	struct buf out = buf_over(scratch, scratch_n);

	skip(&line, line.n > 1 ? 2 : 1);
	ret->text = ascii_trim_end(line);
	ret->bad64 = cut || !base64_decode(ret->text, &out);
	if (!ret->bad64)
		ret->data = buf_view(&out);
	if (auth->msgno > 0) {
		auth->msgno--; /* answered ahead */
	} else if (c->count > 1) {
		struct pop3_expected kept = *auth;
		arrived(c);
		*awaited(c) = kept;
		ret->more = true;
	} else {
		c->in_sasl = true;
	}
	return POP3_CLIENT_CHALLENGE;
}

static bool
is_challenge(const struct pop3_answer *a, bool many, struct view line)
{
	return a->command == POP3_AUTH && !many && line.n > 0 && line.p[0] == '+' &&
		(line.n == 1 || line.p[1] == ' ');
}

/*
 * The answer to a response that was sent ahead and that AUTH did not want: the server has
 * read it as a command. The caller has not asked for that.
 */
static bool
was_stray(struct pop3_client *c)
{
	if (c->count == 0 || awaited(c)->command != POP3_STRAY)
		return false;
	if (--awaited(c)->msgno == 0)
		arrived(c);
	return true;
}

/* What follows a status line; the answer is complete, or its body comes. */
static void
move_on(struct pop3_client *c, const struct pop3_answer *a)
{
	const struct pop3_expected e = *awaited(c);

	c->in_sasl = false;
	if (a->command == POP3_AUTH && !e.many && e.msgno > 0) {
		awaited(c)->command = POP3_STRAY;
		return;
	}
	if (!a->more) {
		arrived(c);
		if (a->ok && a->command == POP3_STLS)
			c->at = CLIENT_AT_STLS;
		return;
	}
	c->at = CLIENT_AT_ROWS;
	c->octets = 0;
	c->decode = (struct dot_decode_state){
		.unstuffed = e.stuffing == POP3_RAW,
		.lf_ends = c->lenient || c->lf_lines,
	};
	if (a->command == POP3_RETR || a->command == POP3_TOP)
		c->at = CLIENT_AT_MESSAGE;
}

static enum pop3_client_event
next_status(struct pop3_client *c, struct view *in, uint8_t *scratch, size_t scratch_n,
	struct pop3_answer *ret)
{
	struct view line;
	bool cut, end;

	do {
		end = take_status_line(c, in);
		if (c->line_n + c->status_n >= POP3_STATUS_FLOOD)
			return broken(c, "a status line without end", ret);
		if (!end)
			return POP3_CLIENT_NEED_INPUT;
		line = collected(c, &cut);
	} while (was_stray(c));
	if (c->count == 0) {
		ret->command = POP3_GREETING;
		ret->text = line;
		(void)answer_read_status(line, ret);
		return broken(c, "the server said something that was not asked", ret);
	}
	const struct pop3_expected e = *awaited(c);
	ret->command = (enum pop3_command)e.command;
	ret->msgno = e.command == POP3_AUTH ? 0 : e.msgno;
	if (is_challenge(ret, e.many, line))
		return read_challenge(c, line, cut, scratch, scratch_n, ret);
	ret->text = line;
	/* Exchange at times answers DELE with an empty line. */
	if (line.n == 0 && ret->command == POP3_DELE)
		ret->ok = true;
	else if (!answer_read_status(line, ret))
		return broken(c, "neither +OK nor -ERR where an answer begins", ret);
	ret->more = ret->ok && e.many;
	if (!ret->more)
		answer_read_text(ret);
	if (e.command == POP3_GREETING && ret->ok)
		ret->stamp = answer_find_stamp(ret->text);
	move_on(c, ret);
	return e.command == POP3_GREETING ? POP3_CLIENT_GREETING : POP3_CLIENT_STATUS;
}

static enum pop3_client_event
finish(struct pop3_client *c, struct pop3_answer *ret)
{
	const struct pop3_expected *e = awaited(c);

	ret->command = (enum pop3_command)e->command;
	ret->msgno = e->msgno;
	ret->ok = true;
	ret->octets = c->octets;
	ret->dots = c->decode.dots;
	ret->lone_dots = c->decode.lone_dots;
	ret->bare_lf = c->decode.bare_lf;
	arrived(c);
	return POP3_CLIENT_END;
}

/* A row lies whole in `in`; no row has an LF in it, so a bare one is a line end here. */
static enum pop3_client_event
next_row(struct pop3_client *c, struct view *in, struct pop3_answer *ret)
{
	size_t n = find_lf(*in);
	struct view row = {in->p, n};

	ret->command = (enum pop3_command)awaited(c)->command;
	if (n >= POP3_ROW_MAX)
		return broken(c, "a row of a list is too long", ret);
	if (n == in->n)
		return POP3_CLIENT_NEED_INPUT;
	skip(in, n + 1);
	if (row.n > 0 && row.p[row.n - 1] == '\r')
		row.n--;
	if (row.n == 1 && row.p[0] == '.')
		return finish(c, ret);
	if (row.n > 0 && row.p[0] == '.')
		skip(&row, 1);
	ret->ok = true;
	ret->text = row;
	answer_read_row(ret);
	return POP3_CLIENT_ROW;
}

static enum pop3_client_event
next_octets(struct pop3_client *c, struct view *in, uint8_t *scratch, size_t scratch_n,
	struct pop3_answer *ret)
{
	bool end = false;
	size_t taken, out = 0;

	/* Held-back octets alone are no event: go on until there is one, or no input. */
	while (in->n > 0 && out == 0 && !end) {
		size_t n = scratch_n - DOT_DECODE_HELD;
		out = dot_decode(
			&c->decode, in->p, in->n < n ? in->n : n, scratch, &taken, &end);
		skip(in, taken);
	}
	c->octets += out;
	if (end)
		c->at = CLIENT_AT_END;
	if (out > 0) {
		const struct pop3_expected *e = awaited(c);
		ret->command = (enum pop3_command)e->command;
		ret->msgno = e->msgno;
		ret->ok = true;
		ret->data = (struct view){scratch, out};
		return POP3_CLIENT_DATA;
	}
	return end ? finish(c, ret) : POP3_CLIENT_NEED_INPUT;
}

enum pop3_client_event
pop3_client_next(struct pop3_client *c, struct view *in, uint8_t *scratch,
	size_t scratch_n, struct pop3_answer *ret)
{
	CHECK(scratch_n >= POP3_SCRATCH_MIN);
	CHECK(c->at <= CLIENT_AT_BROKEN);
	*ret = (struct pop3_answer){.command = POP3_GREETING};
	if (c->at == CLIENT_AT_END)
		return finish(c, ret);
	if (c->at == CLIENT_AT_BROKEN)
		return broken(c, c->why, ret);
	if (in->n == 0)
		return POP3_CLIENT_NEED_INPUT;
	switch ((enum client_at)c->at) {
	case CLIENT_AT_STATUS: return next_status(c, in, scratch, scratch_n, ret);
	case CLIENT_AT_ROWS: return next_row(c, in, ret);
	case CLIENT_AT_MESSAGE: return next_octets(c, in, scratch, scratch_n, ret);
	case CLIENT_AT_STLS:
		/* RFC 2595 s.4; whoever is in the middle wrote them (CVE-2021-38371). */
		return broken(c, "octets behind the +OK of STLS, before TLS", ret);
	case CLIENT_AT_END:
	case CLIENT_AT_BROKEN: break;
	}
	UNREACHABLE();
}
