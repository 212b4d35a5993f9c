/* A server's octets in pieces of any size: the same replies as all at once, their words
 * within the limit. The first octets choose what is asked and how large the pieces are.
 */
#include "smtp_answers.h"

static uint64_t
read_all(const uint8_t *p, size_t n, size_t piece, uint8_t pick)
{
	static struct smtp_client c;
	struct smtp_reply r;
	uint64_t sum = 0;

	smtp_client_init(&c, pick & 1);
	for (size_t at = 0; at < n; at += piece) {
		struct view in = {p + at, n - at < piece ? n - at : piece};
		enum smtp_client_event e;

		while ((e = smtp_client_next(&c, &in, &r)) != SMTP_CLIENT_NEED_INPUT) {
			sum = sum * 31 + e * 1000 + r.code;
			if (e == SMTP_CLIENT_BROKEN)
				return sum;
			CHECK(strlen(r.words) <= SMTP_WORDS_MAX);
			sum += strlen(r.words) + r.challenge.n +
				(uint64_t)smtp_reply_meaning(&r);
			answers_ask(&c, e, &r, pick);
		}
		CHECK(in.n == 0);
	}
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 2)
		CHECK(read_all(data + 2, size - 2, 1U + data[1], data[0]) ==
			read_all(data + 2, size - 2, size, data[0]));
	return 0;
}
