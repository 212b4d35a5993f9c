#include "os/clock.h"

#include "base/check.h"

#include <time.h>

static uint64_t
read_ns(clockid_t which)
{
	struct timespec t;

	CHECK(clock_gettime(which, &t) == 0);
	/* Before 1970 there is no mail. */
	if (t.tv_sec < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t
clock_ms(void)
{
	return read_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t
clock_unix_s(void)
{
	return read_ns(CLOCK_REALTIME) / 1000000000;
}

uint64_t
clock_unix_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}
