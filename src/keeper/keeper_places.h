/*
 * keeper_places.h: how many sessions and deliveries a keeper has descriptors for. The
 * monitor spreads the maildrops of one owner over as many keepers as that takes.
 */
#ifndef KEEPER_KEEPER_PLACES_H
#define KEEPER_KEEPER_PLACES_H

#include <stdint.h>

#define KEEPER_SESSIONS_MAX	8192U
#define KEEPER_DESCRIPTORS_KEPT 128U /* for channels and what comes unasked */
/* Channel, maildrop, its new and cur, lock, snapshot. */
#define KEEPER_DESCRIPTORS_EACH 6U

/*
 * With a limit of so many open files, and so many folders that are shown with a Maildir.
 * One in eight is for messages under way.
 */
static inline uint32_t
keeper_places(uint64_t files, uint64_t folders)
{
	uint64_t each = KEEPER_DESCRIPTORS_EACH + 2 * folders;
	uint64_t n = files < KEEPER_DESCRIPTORS_KEPT
		? 0
		: (files - KEEPER_DESCRIPTORS_KEPT) / 8 * 7 / each;

	return n < 1 ? 1 : n > KEEPER_SESSIONS_MAX ? KEEPER_SESSIONS_MAX : (uint32_t)n;
}

#endif
