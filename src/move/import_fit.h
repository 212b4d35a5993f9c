/*
 * import_fit.h: which of many messages that are alike in their headers have a size that
 * fits a row, without a look at all the others.
 */
#ifndef MOVE_IMPORT_FIT_H
#define MOVE_IMPORT_FIT_H

#include "move/import.h"

/* By one size: sorted, then by the message. */
struct fit_list {
	struct fit_entry {
		uint64_t size;
		uint32_t message;
		uint32_t next; /* where to go on if this one is paired */
	} * entries;
	uint32_t n;
};

/* Zeroed but for im, before it is used. */
struct import_fit {
	const struct import *im;
	struct fit_list whole,
		body; /* sizes of messages, and of what is behind headers */
	uint32_t cap; /* messages for which there is room */
};

void import_fit_done(struct import_fit *f);
/* From now on it is about so many messages, which are added, and no others. Numbers
 * ascend; they have marks. 0 or -ENOMEM. */
[[nodiscard]] int import_fit_begin(struct import_fit *f, uint32_t n);
void import_fit_add(struct import_fit *f, uint32_t message);
void import_fit_added(struct import_fit *f);
/* The first so many messages without a row that fit this one, which has marks; in order.
 */
[[nodiscard]] uint32_t import_fit_find(
	struct import_fit *f, const struct import_row *r, uint32_t *ret, uint32_t max);

#endif
