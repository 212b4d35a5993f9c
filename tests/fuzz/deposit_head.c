/* Any envelope gives header lines that are lines, and any message's start is read. */
#include "base/check.h"
#include "deliver/deliver_head.h"
#include "store/deposit_write.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[DEPOSIT_HEAD_MAX];
	struct buf b = buf_over(out, sizeof(out));
	struct deliver_head head;

	if (size < 2)
		return 0;
	size_t at = 1 + data[0] * (size - 1) / 256;
	struct view sender = {data + 1, at - 1}, recipient = {data + at, size - at};
	struct store_deposit d = {.sender = sender, .recipient = recipient};
	deposit_head(&d, &b);
	CHECK(!b.full);
	size_t lines = 0;
	for (size_t i = 0; i < b.n; i++) {
		CHECK(out[i] == '\n' || (out[i] >= 0x20 && out[i] != 0x7F));
		lines += out[i] == '\n';
	}
	CHECK(lines == 1 + (size_t)(recipient.n > 0));
	/* What was written is found again, where nothing had to be replaced. */
	deliver_head_read(buf_view(&b), recipient, &head);
	CHECK(head.has_return_path);
	CHECK(head.from_line == 0);
	deliver_head_read((struct view){data, size}, recipient, &head);
	CHECK(head.from_line <= size);
	return 0;
}
