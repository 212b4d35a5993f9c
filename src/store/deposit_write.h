/*
 * deposit_write.h: a message on its way into a store, as octets to be written: the header
 * lines of the delivery on top, and line ends as LF. What Maildir and mbox share.
 */
#ifndef STORE_DEPOSIT_WRITE_H
#define STORE_DEPOSIT_WRITE_H

#include "base/buf.h"
#include "store/store.h"
#include "wire/line_ends.h"

#define DEPOSIT_BLOCK	 131072 /* octets read from a source at once */
#define DEPOSIT_HEAD_MAX 2304	/* both lines of the longest envelope */
#define DEPOSIT_HOST_MAX 64	/* of a host's name in names, with its NUL */

/*
 * Return-Path and Delivered-To. What may not stand in a header (control characters, what
 * is no UTF-8) becomes '?'; octets of the envelope beyond 1024 are left out.
 */
void deposit_head(const struct store_deposit *d, struct buf *out);

/*
 * A source read to its end in pieces: the head first, then the message with CRLF as LF (a
 * bare LF or CR stays). One reader serves several messages, one after the other.
 */
struct deposit_reader {
	const struct store_deposit *d;
	uint64_t at; /* octets of the source that were read */
	struct line_ends ends;
	bool begun, ended;
	size_t block;
	uint8_t *in, *out; /* one piece of memory */
};
/* Memory for sources of up to this length; undone by deposit_reader_done. */
[[nodiscard]] int deposit_reader_init(struct deposit_reader *r, uint64_t length_max);
void deposit_reader_done(struct deposit_reader *r);
void deposit_reader_start(struct deposit_reader *r, const struct store_deposit *d);
/*
 * The next octets to be stored, borrowed until the next call; none at the end. -EIO: the
 * source is shorter than it was said to be.
 */
[[nodiscard]] int deposit_reader_next(struct deposit_reader *r, struct view *ret);

/* A host's name for the names of messages: letters, digits, dot, hyphen; never empty. */
void deposit_hostname(struct view name, char ret[DEPOSIT_HOST_MAX]);

#endif
