/* The kinds of stores; a new one is a row. */
#include "store/store.h"

#include "base/check.h"
#include "ipc/permit.h"

static const struct kind {
	uint8_t kind; /* enum store_kind */
	const struct store_ops *ops;
} kinds[] = {
	{STORE_MAILDIR, &store_maildir},
	{STORE_MBOX, &store_mbox},
};

const struct store_ops *
store_ops_of(uint8_t kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].kind == kind)
			return kinds[i].ops;
	return NULL;
}
