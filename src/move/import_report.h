/*
 * import_report.h: what an import says of one maildrop: a line for each row that got no
 * UIDL with the reason, and a summary; or all of it as one line of JSON.
 */
#ifndef MOVE_IMPORT_REPORT_H
#define MOVE_IMPORT_REPORT_H

#include "move/import.h"

#include <stdio.h>

struct import_report {
	const char *label; /* the user's name, or the maildrop as it was given */
	bool dry_run, json;
	const char *bad; /* lines that could not be read, one reason a line */
};

void import_report(
	const struct import *im, const struct import_report *r, FILE *out, FILE *reasons);

#endif
