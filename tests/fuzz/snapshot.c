/* What is found sound can be read to its last row; in steps the answer is the same. */
#include "ipc/snapshot.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct view map = {data, n};
	struct snapshot s;
	struct snapshot_checking c;
	enum snapshot_step step = SNAPSHOT_BAD;
	uint64_t octets = 0;
	bool sound = snapshot_check(map, &s);

	if (snapshot_check_begin(map, &c))
		do
			step = snapshot_check_rows(&c, 1 + data[n - 1] % 7U);
		while (step == SNAPSHOT_MORE);
	if (sound != (step == SNAPSHOT_SOUND))
		abort();
	for (uint32_t i = 0; sound && i < s.count; i++) {
		struct view uidl = snapshot_uidl(&s, i);
		octets += snapshot_wire(&s, i);
		if (uidl.n < 1 || uidl.n > SNAPSHOT_UIDL_MAX || uidl.p < data ||
			uidl.p + uidl.n > data + n)
			abort();
		for (size_t k = 0; k < uidl.n; k++)
			if (uidl.p[k] < 0x21 || uidl.p[k] > 0x7E)
				abort();
	}
	if (sound && octets != s.octets)
		abort();
	return 0;
}
