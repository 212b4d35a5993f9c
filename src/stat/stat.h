/*
 * stat.h: counters. One row of counters.def each; every process has a page of its own
 * (descriptor FD_STAT, a memfd of fixed size that the monitor made) and alone writes it.
 * restante-control reads them all.
 */
#ifndef STAT_STAT_H
#define STAT_STAT_H

#include <stdint.h>

enum stat_kind { STAT_COUNTER, STAT_GAUGE };

enum stat_id {
#define COUNTER(NAME, name, kind, help) STAT_##NAME,
#include "stat/counters.def"
#undef COUNTER
	STAT_COUNT
};

struct stat_row {
	const char *name; /* restante_<name> in Prometheus text */
	enum stat_kind kind;
	const char *help;
};
extern const struct stat_row stat_rows[STAT_COUNT];

/* Maps FD_STAT; without one (tests), a page of the process's own. 0 or -errno. */
[[nodiscard]] int stat_open(int fd);
void stat_add(enum stat_id id, uint64_t n);
void stat_set(enum stat_id id, uint64_t value);
static inline void
stat_sub(enum stat_id id, uint64_t n)
{
	stat_add(id, (uint64_t)0 - n);
}

#endif
