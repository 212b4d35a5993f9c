/*
 * torture_report.h: the table that is printed, for people or as one JSON object a line.
 */
#ifndef TORTURE_REPORT_H
#define TORTURE_REPORT_H

#include "torture/torture_trial.h"

enum verdict {
	VERDICT_OK,
	VERDICT_FAIL,
	VERDICT_WARN, /* what a clause recommends is not so */
	VERDICT_SKIP,
	VERDICTS,
};

/* Rows of --list. */
void report_row(const struct torture *all, const struct torture_case *c);
void report_case(const struct torture *all, const struct torture_case *c, enum verdict v,
	const char *why, uint64_t ms);
void report_end(const struct torture *all, const uint32_t counts[VERDICTS], uint64_t ms);

#endif
