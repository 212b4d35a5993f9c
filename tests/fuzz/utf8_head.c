/* A header of anybody's making comes out as ASCII, fits its room, and lines stay lines.
 */
#include "keeper/utf8_head.h"
#include "keeper/encoded_word.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = {data, size};
	struct view head = {data, utf8_head_octets(in)};
	size_t room = UTF8_HEAD_ROOM(head.n);
	uint8_t *octets = malloc(room);

	if (!octets || head.n > size)
		abort();
	struct buf out = buf_over(octets, room);
	utf8_head_put(head, &out);
	if (out.full || encoded_word_is_raw(buf_view(&out)))
		abort();
	/* Its blank line stays the first one, and the last. */
	if (utf8_head_octets(buf_view(&out)) != out.n)
		abort();
	if (!encoded_word_is_raw(head) && out.n != head.n)
		abort();
	free(octets);
	return 0;
}
