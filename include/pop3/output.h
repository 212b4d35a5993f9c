/*
 * output.h: where octets are written: storage of the caller's.
 *
 * A write either fits whole or sets `full` and writes nothing more: check `full` once at
 * the end, not after each call.
 *
 *     char storage[4096];
 *     struct buf out = buf_over(storage, sizeof(storage));
 *     pop3_put_greeting(&server, stamp, &out);
 *     if (!out.full)
 *             write(fd, out.p, out.n);
 */
#ifndef POP3_OUTPUT_H
#define POP3_OUTPUT_H

#include "pop3/view.h"

#include <stdbool.h>

POP3_C_BEGIN
struct buf {
	uint8_t *p;
	size_t n;   /* octets written */
	size_t cap; /* octets there */
	bool full;  /* a write did not fit */
};

static inline struct buf
buf_over(void *storage, size_t cap)
{
	struct buf b = {(uint8_t *)storage, 0, cap, false};

	return b;
}

static inline size_t
buf_room(const struct buf *b)
{
	return b->cap - b->n;
}

static inline struct view
buf_view(const struct buf *b)
{
	struct view v = {b->p, b->n};

	return v;
}
POP3_C_END
#endif
