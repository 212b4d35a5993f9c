#include "front/body.h"

#include "base/check.h"

#include <string.h>

void
body_retr(struct body *b, uint64_t length, uint64_t wire)
{
	*b = (struct body){.length = length, .wire_left = wire};
}

void
body_top(struct body *b, uint64_t length, uint64_t lines)
{
	*b = (struct body){.length = length, .is_top = true};
	dot_top_init(&b->top, lines);
}

size_t
body_wants(const struct body *b, size_t max)
{
	uint64_t left = b->length - b->offset;

	return left < max ? (size_t)left : max;
}

/* False where more octets come than were announced. */
static bool
account(struct body *b, uint64_t octets)
{
	if (b->is_top)
		return true;
	if (octets > b->wire_left)
		return false;
	b->wire_left -= octets;
	return true;
}

static void
finish(struct body *b, struct buf *out)
{
	uint8_t end[DOT_FINISH_MAX];

	if (b->is_top && dot_top_lacks_blank(&b->top)) {
		/* A message that is headers only still gets its blank line (RFC 1939
		 * s.7). */
		buf_put(out, end, dot_finish(&b->encoded, false, end));
		buf_put_view(out, VIEW("\r\n"));
		b->encoded.at = DOT_LINE_START;
	}
	buf_put(out, end, dot_finish(&b->encoded, true, end));
	CHECK(!out->full);
	b->ended = true;
}

/* n octets more have gone into the output. */
static enum body_result
go_on(struct body *b, size_t n, struct buf *out)
{
	b->offset += n;
	if (b->offset < b->length && !(b->is_top && b->top.done))
		return BODY_MORE;
	if (!account(b, b->is_top ? 0 : dot_finish_count(&b->encoded)) ||
		b->wire_left > 0)
		return BODY_CHANGED;
	finish(b, out);
	return BODY_DONE;
}

static void
check_feed(const struct body *b, size_t n, const struct buf *out)
{
	CHECK(!b->ended);
	CHECK(n <= b->length - b->offset);
	CHECK(n > 0 || b->length == 0);
	CHECK(buf_room(out) >= BODY_ROOM(n));
}

enum body_result
body_feed(struct body *b, const struct dot_kernel *k, struct view in, struct buf *out)
{
	size_t taken = in.n;
	uint64_t dots = 0;

	check_feed(b, in.n, out);
	if (b->is_top)
		taken = dot_top_take(&b->top, in.p, in.n);
	size_t n = k->encode_counted(&b->encoded, in.p, taken, out->p + out->n, &dots);
	if (!account(b, n - dots))
		return BODY_CHANGED;
	out->n += n;
	return go_on(b, in.n, out);
}

enum body_result
body_feed_in_place(struct body *b, const struct dot_kernel *k, size_t n, uint8_t *spare,
	struct buf *out)
{
	uint8_t *in = out->p + out->n;
	struct dot_state after = b->encoded;
	bool broken = false;

	check_feed(b, n, out);
	CHECK(!b->is_top);
	if (!account(b, k->survey(&after, in, n, &broken)))
		return BODY_CHANGED;
	if (broken) {
		memcpy(spare, in, n);
		out->n += k->encode(&b->encoded, spare, n, in);
	} else {
		/* Encoding would have left it there too. */
		b->encoded = after;
		out->n += n;
	}
	return go_on(b, n, out);
}
