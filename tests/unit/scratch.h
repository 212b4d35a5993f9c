/* Where tests put their directories: in memory where there is such a place, since
 * thousands of small files come and go and each of them is synced. */
#ifndef RESTANTE_TESTS_SCRATCH_H
#define RESTANTE_TESTS_SCRATCH_H

#include <unistd.h>

static inline const char *
scratch(void)
{
	return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

#endif
