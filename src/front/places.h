/*
 * places.h: how many connections a front has descriptors for. Shared with the monitor,
 * which tells the operator where that is less than he asked for.
 */
#ifndef FRONT_PLACES_H
#define FRONT_PLACES_H

#include <stdint.h>

#define FRONT_DESCRIPTORS_KEPT 192U /* for channels, tables and what comes unasked */
#define FRONT_DESCRIPTORS_EACH 2U   /* socket, keeper */

/*
 * With a limit of so many open files. One in eight is for slices and pieces of messages:
 * who logs in reads.
 */
static inline uint64_t
front_places(uint64_t files)
{
	if (files < FRONT_DESCRIPTORS_KEPT)
		return 0;
	return (files - FRONT_DESCRIPTORS_KEPT) / 8 * 7 / FRONT_DESCRIPTORS_EACH;
}

/* The limit of open files that so many connections need. */
static inline uint64_t
front_files(uint64_t places)
{
	return FRONT_DESCRIPTORS_KEPT + (places * FRONT_DESCRIPTORS_EACH + 6) / 7 * 8;
}

#endif
