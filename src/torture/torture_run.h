/*
 * torture_run.h: the cases, after the survey.
 */
#ifndef TORTURE_RUN_H
#define TORTURE_RUN_H

#include "torture/torture.h"

/* Tries all that are wanted, or lists them; the exit status. */
[[nodiscard]] int torture_run(struct torture *all);
/* Ends the session that cases share. */
void torture_leave_shared(struct torture *all);

#endif
