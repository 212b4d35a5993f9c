/* dot_blocks_count.h: the half of dot_blocks.h that writes nothing; included by it alone.
 */
#include "base/check.h"
#include "wire/dot_kernels.h"

#include <string.h>

struct dot_figures {
	uint64_t bare_lfs;
	uint64_t events; /* not 0 if there was any */
};

DOT_INLINE struct dot_figures
blocks_figures(struct dot_state *s, const uint8_t *in, size_t n)
{
	struct dot_carry c = carry_of(s);
	struct dot_figures f = {0};
	struct dot_events e;
	size_t i = 0;

	if (n == 0)
		return f;
	for (; n - i >= DOT_BLOCK; i += DOT_BLOCK) {
		e = block_events(block_load(in + i), &c);
		f.bare_lfs += (uint64_t)__builtin_popcountll(e.bare_lf);
		f.events |= e.bare_lf | e.lead_dot;
	}

	uint8_t tail[DOT_BLOCK] = {0};
	memcpy(tail, in + i, n - i);
	e = block_events(block_load(tail), &c);
	f.bare_lfs += (uint64_t)__builtin_popcountll(e.bare_lf);
	f.events |= e.bare_lf | e.lead_dot;
	s->at = dot_at_after(in[n - 1]);
	return f;
}

DOT_TARGET static uint64_t
blocks_count(struct dot_state *s, const uint8_t *in, size_t n)
{
	return n + blocks_figures(s, in, n).bare_lfs;
}

DOT_TARGET static uint64_t
blocks_survey(struct dot_state *s, const uint8_t *in, size_t n, bool *ret_as_is_broken)
{
	struct dot_figures f = blocks_figures(s, in, n);

	if (f.events != 0)
		*ret_as_is_broken = true;
	return n + f.bare_lfs;
}
