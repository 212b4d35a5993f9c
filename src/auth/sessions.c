#include "auth/sessions.h"
#include "ipc/permit.h"

#include <string.h>

static uint64_t
bit_of(uint64_t count, uint64_t *ret_word)
{
	uint64_t place = count % SESSIONS_WINDOW;

	*ret_word = place / 64;
	return (uint64_t)1 << (place % 64);
}

/* The window moves up: what falls out of it is forgotten. */
static void
raise_top(struct sessions *s, uint64_t top)
{
	if (top - s->top >= SESSIONS_WINDOW) {
		memset(s->asking, 0, sizeof(s->asking));
		memset(s->granted, 0, sizeof(s->granted));
		s->top = top;
		return;
	}
	for (; s->top < top; s->top++) {
		uint64_t word;
		uint64_t bit = bit_of(s->top, &word);
		s->asking[word] &= ~bit;
		s->granted[word] &= ~bit;
	}
}

static bool
in_window(const struct sessions *s, uint64_t count)
{
	return count < s->top && s->top - count <= SESSIONS_WINDOW;
}

bool
sessions_begin(struct sessions *s, uint64_t session)
{
	uint64_t count = session >> SESSION_COUNT_BIT, word;
	uint64_t bit = bit_of(count, &word);

	if (count >= s->top)
		raise_top(s, count + 1);
	if (!in_window(s, count) || ((s->asking[word] | s->granted[word]) & bit))
		return false;
	s->asking[word] |= bit;
	return true;
}

void
sessions_end(struct sessions *s, uint64_t session, bool granted)
{
	uint64_t count = session >> SESSION_COUNT_BIT, word;
	uint64_t bit = bit_of(count, &word);

	if (!in_window(s, count))
		return;
	s->asking[word] &= ~bit;
	if (granted)
		s->granted[word] |= bit;
}
