#include "auth/cache.h"

#include <string.h>

static size_t
set_of(const uint8_t mac[MAC_OCTETS])
{
	return ((size_t)mac[0] | (size_t)mac[1] << 8) % CACHE_SETS * CACHE_WAYS;
}

/* Every octet is looked at, so that the time says nothing about how many agree. */
static bool
same(const uint8_t *a, const uint8_t *b)
{
	unsigned differ = 0;

	for (size_t i = 0; i < MAC_OCTETS; i++)
		differ |= (unsigned)(a[i] ^ b[i]);
	return differ == 0;
}

bool
cache_has(const struct cache *c, const uint8_t mac[MAC_OCTETS], uint64_t now_ms)
{
	const struct cache_entry *set = &c->entries[set_of(mac)];
	bool found = false;

	for (size_t i = 0; i < CACHE_WAYS; i++)
		if (set[i].until_ms > now_ms && same(set[i].mac, mac))
			found = true;
	return found;
}

void
cache_put(struct cache *c, const uint8_t mac[MAC_OCTETS], uint64_t now_ms)
{
	struct cache_entry *set = &c->entries[set_of(mac)];
	struct cache_entry *place = &set[0];

	if (c->life_ms == 0)
		return;
	for (size_t i = 0; i < CACHE_WAYS; i++) {
		if (set[i].until_ms > 0 && same(set[i].mac, mac)) {
			place = &set[i];
			break;
		}
		if (set[i].until_ms < place->until_ms)
			place = &set[i];
	}
	memcpy(place->mac, mac, MAC_OCTETS);
	place->until_ms = now_ms + c->life_ms;
}
