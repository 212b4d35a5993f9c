/*
 * import_run.h: the whole of an import into one maildrop.
 */
#ifndef MOVE_IMPORT_RUN_H
#define MOVE_IMPORT_RUN_H

#include "move/compare_users.h"
#include "move/import_drop.h"
#include "move/import_open.h"

struct import_run {
	struct drop_work work; /* first */
	const struct import_wishes *w;
	const struct compare_users *users; /* passwords by name, or NULL */
	bool many; /* several maildrops: one without a list is nothing special */
	bool names, marks;
	struct import_opened opened[IMPORT_SOURCES_MAX]; /* as w->sources */
	FILE *bad;
	char *bad_text;
	size_t bad_n;
	struct import im;
	char why[IMPORT_WHY_MAX];
};

void import_run_init(struct import_run *r);

/* Said on standard error; returns the status. */
int import_fail(const struct import_drop *d, int code, const char *what, const char *why);
int import_fail_errno(const struct import_drop *d, const char *what, int err);
/* By what its rows are found. */
void import_note_kind(struct import_run *r, enum import_kind kind);

#endif
