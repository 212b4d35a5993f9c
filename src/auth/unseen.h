/*
 * unseen.h: what a helper alone could check, remembered for a short while: the line of a
 * user whose password it found right, or the name whose a token is. Only what was right
 * is put in, under a MAC over every input; a fixed number of entries, bounded each.
 */
#ifndef AUTH_UNSEEN_H
#define AUTH_UNSEEN_H

#include "auth/mac.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define UNSEEN_WAYS 4
#define UNSEEN_SETS 512

struct unseen;

/* life_ms: at most, whatever the helper says; 0: nothing is kept. NULL: no memory. */
struct unseen *unseen_new(uint64_t life_ms);
/* The text lives until the next unseen_put. */
bool unseen_has(const struct unseen *u, const uint8_t mac[MAC_OCTETS], uint64_t now_ms,
	struct view *ret_text);
/* valid_s: what the helper said. Where there is no memory nothing is kept. */
void unseen_put(struct unseen *u, const uint8_t mac[MAC_OCTETS], struct view text,
	uint32_t valid_s, uint64_t now_ms);
/* All that a helper said is void: it was replaced, or its settings were. */
void unseen_clear(struct unseen *u);

#endif
