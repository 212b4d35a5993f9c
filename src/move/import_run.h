/*
 * import_run.h: the whole of an import into one maildrop.
 */
#ifndef MOVE_IMPORT_RUN_H
#define MOVE_IMPORT_RUN_H

#include "move/compare_users.h"
#include "move/import_drop.h"

struct import_run {
	struct drop_work work; /* first */
	const struct import_wishes *w;
	const struct compare_users *users; /* passwords by name, or NULL */
	bool many; /* several maildrops: one without a list is nothing special */
	bool sources_read, names, marks;
	FILE *bad;
	char *bad_text;
	size_t bad_n;
	struct import im;
	char why[IMPORT_WHY_MAX];
};

void import_run_init(struct import_run *r);

#endif
