/* Any server's octets, in pieces of any size: the same events as from all at once. */
#include "client_answers.h"

static uint64_t
events(struct view all, uint8_t pick, size_t piece)
{
	static uint8_t scratch[POP3_SCRATCH_MIN];
	enum pop3_client_event e = POP3_CLIENT_NEED_INPUT;
	struct pop3_client c;
	struct pop3_answer a;
	uint64_t sum = 0;
	size_t start = 0, end = 0;

	answers_expect(&c, pick);
	while (end < all.n && e != POP3_CLIENT_BROKEN) {
		end = all.n - end < piece ? all.n : end + piece;
		struct view in = {all.p + start, end - start};
		do {
			size_t before = in.n;
			e = pop3_client_next(&c, &in, scratch, sizeof(scratch), &a);
			CHECK(in.n < before || e != POP3_CLIENT_ROW);
			sum = answers_mix(sum, e, &a);
		} while (e != POP3_CLIENT_NEED_INPUT && e != POP3_CLIENT_BROKEN);
		start = end - in.n;
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct view all = {data + 2, size - 2};
	CHECK(events(all, data[0], 1 + data[1] % 64) == events(all, data[0], all.n));
	return 0;
}
