/*
 * compare_report.h: what is printed of one maildrop's differences, as text or JSON lines.
 */
#ifndef MOVE_COMPARE_REPORT_H
#define MOVE_COMPARE_REPORT_H

#include "move/compare_lists.h"
#include "move/live.h"

#include <stdio.h>

struct compare_report {
	struct compare_sink sink; /* first */
	FILE *out;
	const char *who;    /* the user, or the maildrop */
	bool json, quiet;   /* quiet: what is safe is only counted */
	const bool *ignore; /* of enum difference: told, but does not count */
	/* how many of each are printed; 0: all */
	uint32_t lines_max;
	uint64_t counts[DIFFERENCES];
	uint64_t serious, told;
};

void compare_report_init(struct compare_report *r, FILE *out, const char *who, bool json);
/* words: what it is about, where that is no message; or NULL. */
void compare_report_tell(struct compare_report *r, enum difference what,
	const struct compare_message *old, const struct compare_message *new,
	const char *words);
/* CAPA and greeting; stls: it may be compared, both were asked on a plain port. */
void compare_capabilities(struct compare_report *r, const struct live_facts *old,
	const struct live_facts *new, bool stls);
/* The summary line: "WHO: safe: ..." */
void compare_report_end(struct compare_report *r, const struct compare_pair *pair,
	uint64_t old_digests, uint64_t new_digests);
/* "WHO: could not be asked: why" */
void compare_report_failed(struct compare_report *r, const char *why);
/* "a,b" of words of differences.def; the wrong word is left in why. */
[[nodiscard]] bool compare_ignore_read(
	const char *text, bool ignore[DIFFERENCES], char *why, size_t why_n);

#endif
