/* The identity log of a hostile or broken disk; read by octets and, aimed, by records. */
#include "store/identity_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t octets[IDENTITY_HEADER + 4 * IDENTITY_RECORD_MAX];
	struct buf b = buf_over(octets, sizeof(octets));
	struct identity_row row = {.source = 1};
	size_t rows = 0, sound = 0, n = 0;
	uint64_t sum;

	if (identity_decode((struct view){data, size}, &rows, &sound) == 0 &&
		(sound > size || sound < IDENTITY_HEADER + rows * IDENTITY_RECORD_MIN))
		abort();
	(void)!identity_get_alone((struct view){data, size}, &row, &n);
	/* What is written is read again, whole or cut. */
	identity_put_header(&b);
	if (identity_get_header((struct view){octets, b.n}, &sum) != 0)
		abort();
	size_t key_n = size > 2 ? data[0] : 0, uidl_n = size > 2 ? data[1] : 0;
	if (size < 2 + key_n + uidl_n)
		return 0;
	row.key = (struct view){data + 2, key_n};
	row.uidl = (struct view){data + 2 + key_n, uidl_n};
	if (!identity_row_is_legal(&row))
		return 0;
	identity_put_record(&b, &row, &sum);
	for (n = IDENTITY_HEADER; n <= b.n; n++)
		if (identity_decode((struct view){octets, n}, &rows, &sound) != 0 ||
			rows != (n == b.n))
			abort();
	return 0;
}
