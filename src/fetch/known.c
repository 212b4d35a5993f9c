#include "fetch/known.h"

#include <string.h>

/* As SQLite compares blobs: octets first, then length. */
static int
uid_compare(struct view a, struct view b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (r != 0)
		return r;
	return a.n < b.n ? -1 : a.n > b.n;
}

size_t
known_before(const struct known_table *t, struct view uid)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (uid_compare(t->rows[middle].uid, uid) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct known *
known_find(const struct known_table *t, struct view uid)
{
	size_t at = known_before(t, uid);

	if (at == t->n || uid_compare(t->rows[at].uid, uid) != 0)
		return NULL;
	return &t->rows[at];
}

void
known_retry_aside(struct known_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		struct known *k = &t->rows[i];

		if (k->stage != KNOWN_QUARANTINED || k->gone_s != 0)
			continue;
		k->stage = KNOWN_SEEN;
		k->tries = 0;
	}
}
