/*
 * buf.h: bytes being written into storage of the caller's.
 *
 * Every write either fits whole or sets `full` and writes nothing more: check
 * `full` once at the end (a sticky error), not after each call.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "pop3/view.h"

#include <stdbool.h>

struct buf {
	uint8_t *p;
	size_t n;   /* octets written */
	size_t cap; /* octets there */
	bool full;  /* a write did not fit */
};

static inline struct buf
buf_over(void *storage, size_t cap)
{
	return (struct buf){.p = storage, .cap = cap};
}

static inline size_t
buf_room(const struct buf *b)
{
	return b->cap - b->n;
}

static inline struct view
buf_view(const struct buf *b)
{
	return (struct view){b->p, b->n};
}

void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_view(struct buf *b, struct view v);
void buf_put_str(struct buf *b, const char *s); /* a C string, without its NUL */
void buf_put_dec(struct buf *b, uint64_t n);    /* decimal, no padding */
/* Little-endian integers, for messages between processes and for files. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);

#endif
