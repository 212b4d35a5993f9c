#include "store/item_sort.h"

#include <string.h>

#define DIGIT	 11
#define BUCKETS	 (1U << DIGIT)
#define FEW	 48 /* below, the buckets cost more than they bring */
#define KEY_BITS 64

static void
insert(struct sort_item *list, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct sort_item x = list[i];
		size_t at = i;
		for (; at > 0 && list[at - 1].key > x.key; at--)
			list[at] = list[at - 1];
		list[at] = x;
	}
}

static void
one_digit(const struct sort_item *from, struct sort_item *to, size_t n, uint64_t least,
	unsigned shift)
{
	uint32_t starts[BUCKETS] = {0};
	uint32_t at = 0;

	for (size_t i = 0; i < n; i++)
		starts[(from[i].key - least) >> shift & (BUCKETS - 1)]++;
	for (size_t i = 0; i < BUCKETS; i++) {
		uint32_t count = starts[i];
		starts[i] = at;
		at += count;
	}
	for (size_t i = 0; i < n; i++)
		to[starts[(from[i].key - least) >> shift & (BUCKETS - 1)]++] = from[i];
}

/* Digit by digit, the least first, and only as many as the keys differ in. */
void
item_sort(struct sort_item *list, struct sort_item *scratch, size_t n)
{
	struct sort_item *from = list, *to = scratch;
	uint64_t least = UINT64_MAX, most = 0;

	if (n < FEW) {
		insert(list, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		least = list[i].key < least ? list[i].key : least;
		most = list[i].key > most ? list[i].key : most;
	}
	for (unsigned shift = 0; shift < KEY_BITS && (most - least) >> shift > 0;
		shift += DIGIT) {
		one_digit(from, to, n, least, shift);
		struct sort_item *swap = from;
		from = to;
		to = swap;
	}
	if (from != list)
		memcpy(list, from, n * sizeof(*list));
}
