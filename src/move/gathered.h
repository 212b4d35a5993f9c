/*
 * gathered.h: the list of a maildrop in memory, wherever it came from.
 */
#ifndef MOVE_GATHERED_H
#define MOVE_GATHERED_H

#include "move/compare_lists.h"
#include "move/live.h"

struct gathered {
	struct compare_side side; /* its arrays are ours */
	uint8_t *uidls;
	uint64_t digests; /* headers that were read */
};

/* Room for n messages, zeroed, and for so many octets of UIDLs. 0 or -ENOMEM. */
[[nodiscard]] int gathered_new(uint32_t n, size_t uidl_octets, struct gathered *ret);
void gathered_free(struct gathered *g);

/* LIST and UIDL of a live server. */
[[nodiscard]] int gathered_list(struct live *l, struct gathered *ret);
/*
 * Headers of the rows with `want` that have none yet, by TOP; with bytes the whole
 * messages, by RETR. What the server refuses is marked so. 0 or -errno (live_why).
 */
[[nodiscard]] int gathered_digests(struct live *l, struct gathered *g, bool bytes);

#endif
