/*
 * slice.h: contract 3, a message as (descriptor, offset, length); rows of SLICES.
 */
#ifndef IPC_SLICE_H
#define IPC_SLICE_H

#include "base/buf.h"
#include "base/cursor.h"

#include <stdbool.h>
#include <stdint.h>

#define SLICES_BATCH_MAX 64
#define SLICE_ROW_OCTETS 30

enum slice_kind {
	SLICE_FILE = 1,	      /* a regular file, read-only, that takes RWF_NOWAIT */
	SLICE_SEALED = 2,     /* a sealed memfd with the whole message */
	SLICE_PIECES = 3,     /* no descriptor: ask for each piece with FETCH */
	SLICE_GONE = 4,	      /* really removed: plain -ERR, the session lives on */
	SLICE_UNREADABLE = 5, /* it is there but cannot be opened: plain -ERR */
};

struct slice {
	uint32_t msgno;
	uint8_t kind;  /* enum slice_kind */
	uint8_t as_is; /* every line ends CRLF, none begins with a dot, the last is whole
			*/
	uint64_t offset;
	uint64_t length; /* octets in the file */
	uint64_t wire;	 /* octets as RETR sends them, without stuffing; counted, not
			    believed */
};

void slice_put(const struct slice *s, struct buf *out);
/* The next row; false at the end or (c->bad) if it is cut or its kind is none of these.
 */
[[nodiscard]] bool slice_get(struct slice *s, struct cursor *c);

#endif
