/* A path: what is taken lies in it, ends at its >, and is a path again when it is written
 * without its source route; undoing quotes adds nothing.
 */
#include "base/check.h"
#include "wire/lmtp_parse.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[LMTP_PATH_MAX + 2] = {'<'}, plain[LMTP_PATH_MAX];
	struct view in = {data, size}, second;
	struct lmtp_request r;
	struct lmtp_path p, q;
	size_t n;

	(void)lmtp_parse(in, &r);
	if (!lmtp_path_take(&in, &p)) {
		CHECK(in.p == data && in.n == size);
		return 0;
	}
	CHECK(in.p > data + 1 && in.p[-1] == '>' && in.p + in.n == data + size);
	CHECK(p.mailbox.n <= LMTP_PATH_MAX);
	if (p.mailbox.n > 0)
		memcpy(again + 1, p.mailbox.p, p.mailbox.n);
	again[p.mailbox.n + 1] = '>';
	second = (struct view){again, p.mailbox.n + 2};
	CHECK(lmtp_path_take(&second, &q) && second.n == 0);
	CHECK(q.mailbox.n == p.mailbox.n && q.domain.n == p.domain.n);
	n = lmtp_path_unquote(&p, plain);
	CHECK(n <= p.mailbox.n && (n == p.mailbox.n || p.quoted));
	for (size_t i = 0; i < n; i++)
		CHECK(plain[i] >= 0x20 && plain[i] != 0x7F);
	return 0;
}
