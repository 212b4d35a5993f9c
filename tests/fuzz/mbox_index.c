/* The cache file of an mbox as a hostile owner writes it, its checksum made good. */
#include "store/mbox.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbox_table *t = NULL, *again = NULL;
	uint8_t *octets = malloc(size + 1), *out = NULL;
	size_t n = 0;

	if (!octets)
		return 0;
	memcpy(octets, data, size);
	if (size > 8) {
		uint64_t sum = XXH3_64bits(octets + 8, size - 8);
		memcpy(octets, &sum, sizeof(sum));
	}
	/* What is taken can be written and taken again, and shows the same. */
	if (mbox_index_decode((struct view){octets, size}, &t) == 0) {
		if (mbox_index_encode(t, &out, &n) < 0 ||
			mbox_index_decode((struct view){out, n}, &again) < 0 ||
			!mbox_table_same(t, again))
			abort();
	}
	mbox_table_unref(&t);
	mbox_table_unref(&again);
	free(out);
	free(octets);
	return 0;
}
