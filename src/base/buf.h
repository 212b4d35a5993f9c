/*
 * buf.h: what is written into a struct buf (pop3/output.h). Every write either fits whole
 * or sets `full`.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "pop3/output.h"

void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_view(struct buf *b, struct view v);
void buf_put_str(struct buf *b, const char *s); /* a C string, without its NUL */
void buf_put_dec(struct buf *b, uint64_t n);	/* decimal, no padding */
/* Little-endian integers, for messages between processes and for files. */
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);

#endif
