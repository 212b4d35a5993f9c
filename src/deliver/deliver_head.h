/*
 * deliver_head.h: what an MTA put before a message that it pipes. Pure.
 */
#ifndef DELIVER_DELIVER_HEAD_H
#define DELIVER_DELIVER_HEAD_H

#include "pop3/view.h"

#include <stdbool.h>

struct deliver_head {
	size_t from_line; /* octets of the mbox line "From " at the start; 0: none */
	/* Fields above the first Received (RFC 5321 s.4.4), so of this delivery. */
	bool has_return_path;
	bool has_recipient; /* Delivered-To with this recipient */
};

/* start: the first octets of the message; a line that is cut there counts as none. */
void deliver_head_read(
	struct view start, struct view recipient, struct deliver_head *ret);

#endif
