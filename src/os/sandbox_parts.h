/*
 * sandbox_parts.h: the steps of the cage that have a file of their own; for sandbox.c and
 * its tests alone.
 */
#ifndef OS_SANDBOX_PARTS_H
#define OS_SANDBOX_PARTS_H

#include "os/sandbox.h"

/* 0, -EOPNOTSUPP where this kernel cannot do it, or another -errno. Needs no_new_privs.
 */
[[nodiscard]] int sandbox_landlock(const struct sandbox_plan *plan);
/* Last of all steps: the filter of the profile, in kill mode. */
[[nodiscard]] int sandbox_seccomp(enum sandbox_profile profile);

#endif
