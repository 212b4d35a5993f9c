#include "auth/gs2.h"
#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* The parts of what SCRAM's client says first lie in their order and make up the whole.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct gs2_first first;
	uint8_t octets[256];
	struct buf name = buf_over(octets, sizeof(octets));

	if (gs2_first_read((struct view){p, n}, &first))
		return 0;
	CHECK(first.before.p == p && first.before.p + first.before.n == first.name.p);
	CHECK(first.name.p + first.name.n == first.after.p);
	CHECK(first.before.n + first.name.n + first.after.n == n);
	CHECK(first.after.n >= 4 && memcmp(first.after.p, ",r=", 3) == 0);
	CHECK(first.header.flag == p[0]);
	CHECK((first.header.flag == 'p') == (first.header.binding.n > 0));
	bool good = gs2_name(first.name, &name);
	CHECK(good);
	CHECK(name.full || name.n <= first.name.n);
	good = gs2_name(first.header.authzid, &name);
	CHECK(good);
	return 0;
}
