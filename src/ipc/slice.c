#include "ipc/slice.h"

void
slice_put(const struct slice *s, struct buf *out)
{
	buf_put_u32(out, s->msgno);
	buf_put_u8(out, s->kind);
	buf_put_u8(out, s->as_is);
	buf_put_u64(out, s->offset);
	buf_put_u64(out, s->length);
	buf_put_u64(out, s->wire);
}

bool
slice_get(struct slice *s, struct cursor *c)
{
	if (c->bad || c->n == 0)
		return false;
	struct slice got = {
		.msgno = cursor_u32(c), .kind = cursor_u8(c), .as_is = cursor_u8(c)};
	got.offset = cursor_u64(c);
	got.length = cursor_u64(c);
	got.wire = cursor_u64(c);
	if (got.kind < SLICE_FILE || got.kind > SLICE_UNREADABLE || got.as_is > 1)
		c->bad = true;
	if (c->bad)
		return false;
	*s = got;
	return true;
}
