/*
 * item_sort.h: many things in the order of a number. Pure.
 */
#ifndef STORE_ITEM_SORT_H
#define STORE_ITEM_SORT_H

#include <stddef.h>
#include <stdint.h>

struct sort_item {
	uint64_t key;
	uint32_t idx; /* of what it stands for */
};

/* By key; what has the same keeps its order. scratch has room for n too. */
void item_sort(struct sort_item *list, struct sort_item *scratch, size_t n);

#endif
