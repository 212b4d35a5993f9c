#include "store/mbox_quote.h"

#include "base/check.h"
#include "store/mbox_from.h"

#include <string.h>

#define FROM   "From "
#define FROM_N 5

enum mbox_quote_at {
	QUOTE_START, /* held: the line's beginning, not yet told what it is */
	QUOTE_REST,  /* of a line */
};

static void
put_held(struct mbox_quote *q, struct buf *out)
{
	buf_put(out, q->held, q->held_n);
	q->held_n = 0;
}

/* A line of the body: how many of the held octets are "From " so far. */
static bool
body_is_open(struct mbox_quote *q, struct buf *out)
{
	while (q->held_n > 0 && q->held[0] == '>') {
		buf_put_u8(out, '>');
		q->held_n--;
		memmove(q->held, q->held + 1, q->held_n);
	}
	return q->held_n < FROM_N && memcmp(q->held, FROM, q->held_n) == 0;
}

static void
body_start(struct mbox_quote *q, uint8_t c, struct buf *out)
{
	q->held[q->held_n++] = c;
	if (body_is_open(q, out))
		return;
	if (q->held_n == FROM_N && memcmp(q->held, FROM, FROM_N) == 0)
		buf_put_u8(out, '>');
	put_held(q, out);
	q->at = c == '\n' ? QUOTE_START : QUOTE_REST;
}

static void
header_start(struct mbox_quote *q, uint8_t c, struct buf *out)
{
	struct view value;

	q->held[q->held_n++] = c;
	if (q->held_n == 1 && c == '\n') {
		q->in_body = true;
		put_held(q, out);
		return;
	}
	bool more = q->held_n == 1 && (c == ' ' || c == '\t');
	if (!more && c != ':' && c != '\n' && q->held_n < MBOX_QUOTE_HELD)
		return;
	struct view line = {q->held, q->held_n};
	if (!more)
		q->skips = mbox_field_is_note(mbox_field_of(line, &value));
	if (!q->skips && line.n >= FROM_N && memcmp(line.p, FROM, FROM_N) == 0)
		buf_put_u8(out, '>');
	if (q->skips)
		q->held_n = 0;
	put_held(q, out);
	q->at = c == '\n' ? QUOTE_START : QUOTE_REST;
}

void
mbox_quote_add(struct mbox_quote *q, struct view in, struct buf *out)
{
	size_t at = 0;

	CHECK(buf_room(out) >= MBOX_QUOTE_ROOM(in.n));
	while (at < in.n) {
		if (q->at == QUOTE_START) {
			if (q->in_body)
				body_start(q, in.p[at++], out);
			else
				header_start(q, in.p[at++], out);
			continue;
		}
		const uint8_t *lf = memchr(in.p + at, '\n', in.n - at);
		size_t end = lf ? (size_t)(lf - in.p) + 1 : in.n;
		if (q->in_body || !q->skips)
			buf_put(out, in.p + at, end - at);
		at = end;
		if (lf)
			q->at = QUOTE_START;
	}
	if (in.n > 0)
		q->open = in.p[in.n - 1] != '\n';
}

void
mbox_quote_end(struct mbox_quote *q, struct buf *out)
{
	bool left_out = !q->in_body && q->skips && q->held_n == 0;

	put_held(q, out);
	if (q->open && !left_out)
		buf_put_u8(out, '\n');
	if (!q->in_body)
		buf_put_u8(out, '\n');
	buf_put_u8(out, '\n');
}
