#include "auth/unseen.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	uint8_t mac[MAC_OCTETS];
	uint64_t until_ms; /* 0: free */
	uint8_t *text;
	size_t text_n;
};

struct unseen {
	uint64_t life_ms;
	struct entry entries[UNSEEN_SETS * UNSEEN_WAYS];
};

struct unseen *
unseen_new(uint64_t life_ms)
{
	struct unseen *u = calloc(1, sizeof(*u));

	if (u)
		u->life_ms = life_ms;
	return u;
}

static size_t
set_of(const uint8_t mac[MAC_OCTETS])
{
	return ((size_t)mac[0] | (size_t)mac[1] << 8) % UNSEEN_SETS * UNSEEN_WAYS;
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
unseen_has(const struct unseen *u, const uint8_t mac[MAC_OCTETS], uint64_t now_ms,
	struct view *ret_text)
{
	const struct entry *set = &u->entries[set_of(mac)];
	bool found = false;

	for (size_t i = 0; i < UNSEEN_WAYS; i++) {
		if (set[i].until_ms <= now_ms || !same(set[i].mac, mac))
			continue;
		*ret_text = (struct view){set[i].text, set[i].text_n};
		found = true;
	}
	return found;
}

static void
drop(struct entry *e)
{
	if (e->text)
		explicit_bzero(e->text, e->text_n);
	free(e->text);
	*e = (struct entry){0};
}

void
unseen_put(struct unseen *u, const uint8_t mac[MAC_OCTETS], struct view text,
	uint32_t valid_s, uint64_t now_ms)
{
	struct entry *set = &u->entries[set_of(mac)];
	struct entry *place = &set[0];
	uint64_t life_ms = (uint64_t)valid_s * 1000;

	if (life_ms > u->life_ms)
		life_ms = u->life_ms;
	if (life_ms == 0)
		return;
	for (size_t i = 0; i < UNSEEN_WAYS; i++) {
		if (set[i].until_ms > 0 && same(set[i].mac, mac)) {
			place = &set[i];
			break;
		}
		if (set[i].until_ms < place->until_ms)
			place = &set[i];
	}
	uint8_t *copy = malloc(text.n + 1);
	drop(place);
	if (!copy)
		return;
	memcpy(copy, text.p, text.n);
	memcpy(place->mac, mac, MAC_OCTETS);
	place->until_ms = now_ms + life_ms;
	place->text = copy;
	place->text_n = text.n;
}

void
unseen_clear(struct unseen *u)
{
	for (size_t i = 0; i < UNSEEN_SETS * UNSEEN_WAYS; i++)
		drop(&u->entries[i]);
}
