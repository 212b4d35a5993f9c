/*
 * core_drops.h: which keeper has a maildrop at work. Sessions and deliveries of one
 * maildrop share a keeper as long as one of them lives, wherever other maildrops of the
 * same owner go meanwhile. Pure.
 */
#ifndef MONITOR_CORE_DROPS_H
#define MONITOR_CORE_DROPS_H

#include <stdbool.h>
#include <stdint.h>

#define CORE_DROPS	  (1U << 19) /* maildrops at work */
#define CORE_DROP_BUCKETS (1U << 16)

/* A place is the number of a row and 1; 0: none. */
struct core_drop {
	uint64_t key;	 /* a hash of the owner, the root and the path */
	uint32_t keeper; /* slot */
	uint32_t live;	 /* sessions and deliveries; 0: the row is free */
	uint32_t next;	 /* place: of its bucket, or of the free ones */
};

/* Large, zeroed; rows that were never used cost no memory. */
struct core_drops {
	uint32_t top, vacant;
	uint32_t buckets[CORE_DROP_BUCKETS];
	struct core_drop at[CORE_DROPS];
};

/* The first place with this key, the next one; a keeper that is to end leaves its own. */
uint32_t core_drops_first(const struct core_drops *d, uint64_t key);
uint32_t core_drops_next(const struct core_drops *d, uint32_t place);
static inline uint32_t
core_drops_keeper(const struct core_drops *d, uint32_t place)
{
	return d->at[place - 1].keeper;
}

/* Whether another maildrop finds a row. */
static inline bool
core_drops_room(const struct core_drops *d)
{
	return d->vacant != 0 || d->top < CORE_DROPS;
}
/* One session more of this maildrop in this keeper: its place, 0: there is no room. */
uint32_t core_drops_take(struct core_drops *d, uint64_t key, uint32_t keeper);
/* One has ended. False: this keeper has none there. */
[[nodiscard]] bool core_drops_leave(
	struct core_drops *d, uint32_t place, uint32_t keeper);
/* All of this keeper have. */
void core_drops_forget(struct core_drops *d, uint32_t keeper);

#endif
