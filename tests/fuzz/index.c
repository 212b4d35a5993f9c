/* The cache file of a Maildir as a hostile owner writes it, its checksum made good. */
#include "store/maildir_index.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct view folders = {(const uint8_t *)"Junk", 5};
	struct maildir_table *t = NULL, *again = NULL;
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
	if (maildir_index_decode((struct view){octets, size}, folders, &t) == 0) {
		if (maildir_index_encode(t, folders, &out, &n) < 0 ||
			maildir_index_decode((struct view){out, n}, folders, &again) <
				0 ||
			!maildir_table_same(t, again))
			abort();
	}
	maildir_table_unref(&t);
	maildir_table_unref(&again);
	free(out);
	free(octets);
	return 0;
}
