/*
 * collect_files.h: what the limit of open files allows a run: how many accounts side by
 * side, and how many letters each of them may have in files.
 */
#ifndef FETCH_COLLECT_FILES_H
#define FETCH_COLLECT_FILES_H

#include "fetch/account.h"

struct files_plan {
	uint32_t parallel; /* accounts side by side, at most what was configured */
	uint32_t letters;  /* files of each of them: coming, come and not committed, made
			      ahead, and of what is asked for */
	bool keep_open;	   /* targets stay open while their account does not run */
};

/*
 * still: accounts of an earlier reading of the configuration that run. False: not even
 * one account could be collected from; *ret_needed is the least limit.
 */
[[nodiscard]] bool files_plan(const struct fetch_settings *s, size_t still,
	uint64_t limit, struct files_plan *ret, uint64_t *ret_needed);

#endif
