/* An mbox of anybody's making: the same messages at every split, and none twice. */
#include "store/mbox_scan.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
scan(const uint8_t *p, size_t n, size_t piece, XXH3_state_t *hash)
{
	struct mbox_found f = {.start = 0};
	size_t at = 0, seen = piece < n ? piece : n, taken = 0;
	uint64_t sum = 0, end = 0, from;
	struct mbox_scan s;
	for (mbox_scan_begin(&s, hash, 3, 0);; at += taken, taken = 0) {
		struct view w = {p + at, seen - at};
		switch (mbox_scan_step(&s, w, seen == n, &taken, &f)) {
		case MBOX_MORE: seen = n - seen < piece ? n : seen + piece; break;
		case MBOX_LOOK:
			from = s.look_at <= n ? s.look_at - 1 : n;
			mbox_scan_looked(&s, (struct view){p + from, n - from});
			break;
		case MBOX_MESSAGE:
			if (f.start < end || f.at < f.start + 5 || f.length > n - f.at)
				abort();
			end = f.at + f.length;
			sum = sum * 5 + f.at + 3 * f.length + 7 * f.wire + 11 * f.quoted;
			sum ^= XXH3_64bits(f.digest, sizeof(f.digest));
			break;
		case MBOX_END:
		case MBOX_BAD: return sum;
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	XXH3_state_t *hash = XXH3_createState();
	uint64_t whole = scan(data, size, size + 1, hash);
	if (scan(data, size, 1 + size / 3, hash) != whole ||
		scan(data, size, 7, hash) != whole)
		abort();
	(void)XXH3_freeState(hash);
	return 0;
}
