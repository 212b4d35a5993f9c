/* A client's octets in pieces of any size: the same events, messages and replies as all
 * at once, and at the end a way out. The caller (wire_lmtp_play.h) checks the contract on
 * the way: one end for each transaction, an answer for each recipient, replies that are
 * whole, short and printable. The first octets choose the pieces and the limits.
 */
#include "../unit/wire_lmtp_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct play whole, parts;

	if (size < 3 || size > 20000)
		return 0;
	struct lmtp_limits limits = {
		data[0], 1 + data[0] % 4, "fuzz.example", data[0] % 2 == 0};
	struct view all = {data + 3, size - 3};
	play(&whole, &limits, all, all.n, 1);
	play(&parts, &limits, all, data[1], 1U + data[2]);
	CHECK(whole.over == parts.over);
	CHECK(whole.events.n == parts.events.n);
	CHECK(memcmp(whole.events.p, parts.events.p, whole.events.n) == 0);
	CHECK(whole.replies.n == parts.replies.n);
	CHECK(memcmp(whole.replies.p, parts.replies.p, whole.replies.n) == 0);
	CHECK(lmtp_server_shutdown(&parts.s, &parts.out));
	CHECK(!lmtp_server_in_transaction(&parts.s));
	return 0;
}
