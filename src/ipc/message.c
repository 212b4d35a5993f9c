#include "ipc/message.h"
#include "base/cursor.h"

uint16_t
message_number(struct view message, struct view *payload)
{
	struct cursor c = cursor_over(message);
	uint16_t number = cursor_u16(&c);

	*payload = (struct view){c.p, c.n};
	return c.bad ? 0 : number;
}

/* A length within its limit, then the octets. */
static struct view
take_bytes(struct cursor *c, size_t max)
{
	uint16_t n = cursor_u16(c);

	if (n > max)
		c->bad = true;
	return cursor_take(c, n);
}

static void
put_bytes(struct buf *b, struct view v, size_t max)
{
	if (v.n > max)
		b->full = true;
	buf_put_u16(b, (uint16_t)v.n);
	buf_put_view(b, v);
}

#define PUT_U8(name)	     buf_put_u8(out, m->name);
#define PUT_U16(name)	     buf_put_u16(out, m->name);
#define PUT_U32(name)	     buf_put_u32(out, m->name);
#define PUT_U64(name)	     buf_put_u64(out, m->name);
#define PUT_BYTES(name, max) put_bytes(out, m->name, max);
#define GET_U8(name)	     got.name = cursor_u8(&c);
#define GET_U16(name)	     got.name = cursor_u16(&c);
#define GET_U32(name)	     got.name = cursor_u32(&c);
#define GET_U64(name)	     got.name = cursor_u64(&c);
#define GET_BYTES(name, max) got.name = take_bytes(&c, max);

#define MESSAGE(NAME, name, number, fds, FIELDS)                                         \
	void msg_##name##_put(const struct msg_##name *m, struct buf *out)               \
	{                                                                                \
		(void)m;                                                                 \
		buf_put_u16(out, number);                                                \
		FIELDS(PUT_U8, PUT_U16, PUT_U32, PUT_U64, PUT_BYTES)                     \
	}                                                                                \
	bool msg_##name##_get(struct msg_##name *m, struct view payload)                 \
	{                                                                                \
		struct cursor c = cursor_over(payload);                                  \
		struct msg_##name got = {0};                                             \
		FIELDS(GET_U8, GET_U16, GET_U32, GET_U64, GET_BYTES)                     \
		if (!cursor_at_end(&c))                                                  \
			return false;                                                    \
		*m = got;                                                                \
		return true;                                                             \
	}
#include "ipc/messages.def"
#undef MESSAGE

const char *
message_name(uint16_t number)
{
	switch (number) {
#define MESSAGE(NAME, name, number, fds, FIELDS)                                         \
	case number:                                                                     \
		return #NAME;
#include "ipc/messages.def"
#undef MESSAGE
	default: return "?";
	}
}

size_t
message_fds_max(uint16_t number)
{
	switch (number) {
#define MESSAGE(NAME, name, number, fds, FIELDS)                                         \
	case number:                                                                     \
		return fds;
#include "ipc/messages.def"
#undef MESSAGE
	default: return 0;
	}
}
