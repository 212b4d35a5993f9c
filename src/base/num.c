#include "base/num.h"

bool
num_decimal(struct view v, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (v.n == 0)
		return false;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return false;
		if (!num_mul(n, 10, &n) || !num_add(n, (uint64_t)(v.p[i] - '0'), &n))
			return false;
		if (n > max)
			return false;
	}
	*ret = n;
	return true;
}
