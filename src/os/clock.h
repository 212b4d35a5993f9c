/*
 * clock.h: the only place that reads the time. Cores get it as an argument.
 */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>

uint64_t clock_ms(void);      /* monotonic, for deadlines */
uint64_t clock_unix_s(void);  /* wall clock, seconds */
uint64_t clock_unix_ns(void); /* wall clock, nanoseconds, for comparing with file times */

#endif
