#include "helper/krb5_replay.h"

#include <stdbool.h>

#define FNV_START 0xCBF29CE484222325U
#define FNV_PRIME 0x100000001B3U

static uint64_t
mix(uint64_t h, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * FNV_PRIME;
	return h;
}

static uint64_t
mix_number(uint64_t h, uint64_t n)
{
	for (unsigned i = 0; i < 8; i++)
		h = (h ^ (n >> (8 * i) & 0xFF)) * FNV_PRIME;
	return h;
}

uint64_t
krb5_replay_hash(
	struct view server, struct view client, uint64_t seconds, uint32_t microseconds)
{
	uint64_t h = mix_number(FNV_START, server.n);

	h = mix(h, server.p, server.n);
	h = mix_number(h, client.n);
	h = mix(h, client.p, client.n);
	return mix_number(mix_number(h, seconds), microseconds);
}

enum krb5_seen
krb5_replay_add(struct krb5_replays *r, uint64_t hash, uint64_t stamp_s, uint64_t now_s)
{
	size_t kept = 0;
	bool seen = false;

	for (size_t i = 0; i < r->n; i++) {
		if (r->of[i].until_s < now_s)
			continue;
		r->of[kept++] = r->of[i];
		seen = seen || r->of[kept - 1].hash == hash;
	}
	r->n = kept;
	if (seen)
		return KRB5_SEEN;
	if (r->n == KRB5_REPLAYS_MAX)
		return KRB5_NO_ROOM;
	/* Later than this it is too old by its own time. */
	r->of[r->n++] = (struct krb5_replay){hash, stamp_s + KRB5_SKEW_S + 1};
	return KRB5_NEW;
}
