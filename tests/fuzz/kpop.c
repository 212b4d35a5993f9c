/* Whatever comes to the port of KPOP: the same at once and octet by octet. */
#include "wire/kpop.h"

#include "base/buf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t storage[2][KPOP_PUT_MAX];
	struct buf out[2] = {buf_over(storage[0], sizeof(storage[0])),
		buf_over(storage[1], sizeof(storage[1]))};
	struct view in[2] = {{data, n}, {data, 0}}, request[2] = {{data, 0}, {data, 0}};
	struct kpop k[2] = {{0}, {0}};
	enum kpop_outcome o[2] = {KPOP_MORE, KPOP_MORE};

	o[0] = kpop_read(&k[0], &in[0], &out[0], &request[0]);
	if (o[0] == KPOP_MORE && in[0].n > KPOP_INPUT_MAX)
		abort();
	for (size_t i = 0; i < n && o[1] == KPOP_MORE; i++) {
		in[1].n++;
		o[1] = kpop_read(&k[1], &in[1], &out[1], &request[1]);
	}
	if (o[0] != o[1] || out[0].n != out[1].n || out[0].n > 1)
		abort();
	if (request[0].p != request[1].p || request[0].n != request[1].n)
		abort();
	return 0;
}
