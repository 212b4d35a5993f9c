/*
 * cache.h: credentials that were verified a short while ago. Pure.
 *
 * It holds nothing but MACs over user, password, mechanism, backend and the stored hash,
 * under a key made at start, and it spares nothing but the slow hash: the user is looked
 * up each time. Only what was right is put in. A fixed number of entries, eight to a set.
 */
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include "auth/mac.h"

#include <stdbool.h>
#include <stdint.h>

#define CACHE_WAYS    8
#define CACHE_SETS    2048
#define CACHE_ENTRIES (CACHE_WAYS * CACHE_SETS)

struct cache_entry {
	uint8_t mac[MAC_OCTETS];
	uint64_t until_ms; /* 0: free */
};

struct cache {
	uint64_t life_ms; /* 0: nothing is kept */
	struct cache_entry entries[CACHE_ENTRIES];
};

bool cache_has(const struct cache *c, const uint8_t mac[MAC_OCTETS], uint64_t now_ms);
/* In place of one that ended, else of the one of its set that ends first. */
void cache_put(struct cache *c, const uint8_t mac[MAC_OCTETS], uint64_t now_ms);

#endif
