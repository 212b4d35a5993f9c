#include "base/cursor.h"

struct view
cursor_take(struct cursor *c, size_t n)
{
	if (c->bad || n > c->n) {
		c->bad = true;
		c->n = 0;
		return (struct view){c->p, 0};
	}
	struct view taken = {c->p, n};
	c->p += n;
	c->n -= n;
	return taken;
}

static uint64_t
take_le(struct cursor *c, size_t octets)
{
	struct view v = cursor_take(c, octets);
	uint64_t value = 0;

	for (size_t i = 0; i < v.n; i++)
		value |= (uint64_t)v.p[i] << (8 * i);
	return value;
}

uint8_t
cursor_u8(struct cursor *c)
{
	return (uint8_t)take_le(c, 1);
}

uint16_t
cursor_u16(struct cursor *c)
{
	return (uint16_t)take_le(c, 2);
}

uint32_t
cursor_u32(struct cursor *c)
{
	return (uint32_t)take_le(c, 4);
}

uint64_t
cursor_u64(struct cursor *c)
{
	return take_le(c, 8);
}
