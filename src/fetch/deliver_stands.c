#include "fetch/deliver_parts.h"

bool
deliver_stands(const struct deliver *d)
{
	for (size_t t = 0; t < d->targets_n; t++) {
		const struct delivery_target *to = &d->targets[t];

		if (to->ops->stands && !to->ops->stands(to->target))
			return false;
	}
	return true;
}
