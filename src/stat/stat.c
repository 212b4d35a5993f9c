#include "stat/stat.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

const struct stat_row stat_rows[STAT_COUNT] = {
#define COUNTER(NAME, name, kind, help) {#name, kind, help},
#include "stat/counters.def"
#undef COUNTER
};

/* The one page of this process; until stat_open, a place where counts go nowhere. */
static uint64_t nowhere[STAT_COUNT];
static uint64_t *page = nowhere;

int
stat_open(int fd)
{
	size_t n = sizeof(uint64_t) * STAT_COUNT;
	void *map = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	page = map;
	return 0;
}

void
stat_add(enum stat_id id, uint64_t n)
{
	__atomic_fetch_add(&page[id], n, __ATOMIC_RELAXED);
}

void
stat_set(enum stat_id id, uint64_t value)
{
	__atomic_store_n(&page[id], value, __ATOMIC_RELAXED);
}
