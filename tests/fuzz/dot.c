/* Every dot kernel against the byte loop in two parts, and decode(encode(x)). */
#include "pop3/dot.h"
#include "base/check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static uint8_t want[DOT_ENCODE_MAX(4096)], got[DOT_ENCODE_MAX(4096) + DOT_SLACK],
		back[9000];
	size_t kernels_n, taken, cut = n > 0 ? data[0] * n / 256 : 0;
	const struct dot_kernel *const *k = dot_kernels(&kernels_n);
	bool broken = false, end;
	struct dot_state s = {0};

	if (n > 4096)
		return 0;
	size_t want_n = k[kernels_n - 1]->encode(&s, data, n, want);
	uint64_t size =
		k[kernels_n - 1]->survey(&(struct dot_state){0}, data, n, &broken);

	for (size_t i = 0; i < kernels_n; i++) {
		struct dot_state e = {0}, c = {0};
		bool b = false;
		uint64_t dots = 0;
		size_t o = k[i]->encode_counted(&e, data, cut, got, &dots);

		o += k[i]->encode_counted(&e, data + cut, n - cut, got + o, &dots);
		CHECK(o == want_n && memcmp(got, want, o) == 0 && e.at == s.at);
		CHECK(o - dots == size);
		CHECK(k[i]->count(&c, data, cut) + k[i]->count(&c, data + cut, n - cut) ==
			size);
		CHECK(k[i]->survey(&(struct dot_state){0}, data, n, &b) == size &&
			b == broken);
	}
	size += dot_finish_count(&s);
	want_n += dot_finish(&s, true, want + want_n);
	size_t decoded = dot_decode(
		&(struct dot_decode_state){0}, want, want_n, back, &taken, &end);
	CHECK(end && taken == want_n && decoded == size);
	return 0;
}
