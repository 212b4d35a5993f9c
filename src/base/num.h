/*
 * num.h: numbers from outside.
 */
#ifndef BASE_NUM_H
#define BASE_NUM_H

#include "pop3/view.h"

#include <stdbool.h>

/*
 * The whole view as a decimal number: one or more digits and nothing else, no
 * sign, no blank, at most `max`. False (and *ret untouched) for anything else.
 */
[[nodiscard]] bool num_decimal(struct view v, uint64_t max, uint64_t *ret);

/* False where the result does not fit; *ret is then untouched. */
[[nodiscard]] static inline bool
num_add(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret = sum;
	return true;
}

[[nodiscard]] static inline bool
num_mul(uint64_t a, uint64_t b, uint64_t *ret)
{
	uint64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*ret = product;
	return true;
}

#endif
