/* Lines out of any octets, in pieces of any size: the same as from all of them at once.
 */
#include "base/check.h"
#include "wire/line.h"

#include <string.h>

/* Mixes what came of the octets into one number. */
static uint64_t
read_lines(const uint8_t *p, size_t n, size_t piece, size_t max)
{
	struct line_state s = {0};
	struct view line;
	uint64_t sum = 0;
	size_t start = 0;

	for (size_t end = 0; end < n;) {
		end = n - end < piece ? n : end + piece;
		struct view in = {p + start, end - start};
		enum line_result r;
		while ((r = line_next(&s, &in, max, &line)) != LINE_CUT) {
			CHECK(r != LINE_WHOLE || line.n < max);
			CHECK(r != LINE_WHOLE || line.n == 0 ||
				!memchr(line.p, '\n', line.n));
			sum = sum * 31 + r + (r == LINE_WHOLE ? line.n * 7 : 0);
		}
		CHECK(in.n < max);
		start = (size_t)(in.p - p);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t max = 2 + data[0] % 32, piece = 1 + data[1] % 64;
	CHECK(read_lines(data + 2, size - 2, piece, max) ==
		read_lines(data + 2, size - 2, size, max));
	return 0;
}
