/*
 * deny_list.h: the file of networks that are not served: one address or network a line,
 * `#` and what follows it are a comment.
 */
#ifndef MONITOR_DENY_LIST_H
#define MONITOR_DENY_LIST_H

#include "pop3/view.h"

#include <stddef.h>
#include <stdint.h>

#define DENY_ROW	17 /* an address, IPv4 as ::ffff:a.b.c.d, and how many bits count */
#define DENY_OCTETS_MAX (16 * 1024 * 1024)

struct deny_sink {
	/* This line (from 1) is none; text borrows from the file. */
	void (*bad)(struct deny_sink *s, uint32_t line, struct view text);
};

/* How many rows the text can have at most. */
size_t deny_list_rows(struct view text);
/*
 * Writes the rows, in order of their octets, without those that lie within another one:
 * so at most one of them holds an address, and it is the last that is not above it. Their
 * number. Lines that are none are told to the sink and left out.
 */
size_t deny_list_read(struct view text, struct deny_sink *sink, uint8_t *rows);

#endif
