/*
 * cursor.h: reading a message or a file whose writer is not trusted.
 *
 * A read past the end gives zero (or an empty view) and sets `bad`; every later
 * read does the same. Check `bad` once, and cursor_at_end where nothing may
 * follow. Integers are little-endian.
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "pop3/view.h"

#include <stdbool.h>

struct cursor {
	const uint8_t *p;
	size_t n; /* octets left */
	bool bad;
};

static inline struct cursor
cursor_over(struct view v)
{
	return (struct cursor){v.p, v.n, false};
}

static inline bool
cursor_at_end(const struct cursor *c)
{
	return !c->bad && c->n == 0;
}

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
/* n octets, borrowed from what the cursor reads. */
struct view cursor_take(struct cursor *c, size_t n);

#endif
