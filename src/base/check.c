#include "base/check.h"

void
check_failed(const char *file, int line, const char *cond)
{
	/* Kept where a debugger finds them although the function never returns. */
	volatile const char *where = file, *what = cond;
	volatile int at = line;

	(void)where, (void)what, (void)at;
	__builtin_trap();
}
