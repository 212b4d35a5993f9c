/*
 * census.h: which schemes and costs the stored passwords of a database have, and how many
 * users each: so that the check for an unknown name costs what one for a known one does.
 * Pure.
 */
#ifndef AUTH_CENSUS_H
#define AUTH_CENSUS_H

#include "auth/scheme.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CENSUS_CLASSES_MAX 64
/* Beyond it all counts are halved where the census follows answers, not a whole file. */
#define CENSUS_RECENT_MAX 4096

/* Users with one scheme at one cost; the sample is a hash of one of them. */
struct census_class {
	struct stored sample;
	uint64_t users;
};

struct census {
	struct census_class *classes; /* CENSUS_CLASSES_MAX of them */
	size_t classes_n;
	uint64_t users;	   /* of all classes */
	uint64_t without;  /* users whose password auth never sees */
	size_t last_class; /* neighbours in a file tend to be alike */
};

/* classes: CENSUS_CLASSES_MAX of the caller's, who wipes and frees them. */
void census_init(struct census *c, struct census_class *classes);
/* stored NULL: a user without one. More classes than there is room for are left out. */
void census_add(struct census *c, const struct stored *stored);
/* The same, and what was long ago counts for less and less. */
void census_add_recent(struct census *c, const struct stored *stored);
/* What restante passwd makes, where no user with a password is there. */
void census_default(struct census *c);

struct census_pick {
	bool none;		     /* no class at all: the caller knows what to do */
	const struct stored *stored; /* NULL: a user whose password auth never sees */
};

/*
 * For a name that cannot log in: always the same for the same number (a keyed hash of the
 * name, all 64 bits of it) as long as the shares of the classes do not change, whatever
 * the counts do; each class as often as it is in use in all n together.
 */
struct census_pick census_pick(
	const struct census *const *censuses, size_t n, uint64_t number);

#endif
