/*
 * dot_blocks.h: the kernels that look at 64 octets at once, written once.
 *
 * A kernel file defines, before it includes this,
 *     DOT_KERNEL   the name of its struct dot_kernel, and DOT_KERNEL_NAME as text
 *     DOT_TARGET   the attribute with the instructions that it uses
 *     dot_block    what is held of 64 octets
 *     block_load(p), block_store(p, b), block_is(b, octet): a mask, bit i for octet i
 *     DOT_PLACES   only where block_put(in, events, out) is defined too, which writes the
 *                  64 octets of in with what the events add, and gives how many that are
 *
 * An event is an octet that gets another one before it: an LF without its CR, a dot at
 * the start of a line. Encoding stores a block as it is; at each event it writes the
 * added octet and stores the 64 octets from the event on again, one place further. So
 * it reads up to 63 octets past a block and writes up to 64 past its output: blocks near
 * the end of the input are taken from a copy, and DOT_ENCODE_MAX has the room.
 */
#include "base/check.h"
#include "wire/dot_kernels.h"

#include <string.h>

#define DOT_BLOCK  64
#define DOT_INLINE DOT_TARGET static inline __attribute__((always_inline))

/* What the block before leaves for bit 0 of the next one. */
struct dot_carry {
	uint64_t cr, line_start; /* 0 or 1 */
};

/* The rule, for 64 octets: all three forms stand on this. */
DOT_INLINE struct dot_events
block_events(dot_block b, struct dot_carry *c)
{
	uint64_t lf = block_is(b, '\n');
	uint64_t cr = block_is(b, '\r');
	uint64_t dot = block_is(b, '.');
	struct dot_events e = {
		.bare_lf = lf & ~(cr << 1 | c->cr),
		.lead_dot = dot & (lf << 1 | c->line_start),
	};

	c->cr = cr >> 63;
	c->line_start = lf >> 63;
	return e;
}

#ifndef DOT_PLACES
DOT_INLINE size_t
block_put(const uint8_t *in, struct dot_events e, uint8_t *out)
{
	uint64_t left = e.bare_lf | e.lead_dot;
	size_t added = 0;

	block_store(out, block_load(in));
	for (; left != 0; left &= left - 1) {
		size_t i = (size_t)__builtin_ctzll(left);

		out[i + added] = in[i] == '.' ? '.' : '\r';
		added++;
		block_store(out + i + added, block_load(in + i));
	}
	return DOT_BLOCK + added;
}
#endif

/* n octets of the block count (64, or fewer in the last one); octets written. */
DOT_INLINE size_t
block_encode(
	const uint8_t *in, size_t n, struct dot_carry *c, uint8_t *out, uint64_t *dots)
{
	struct dot_events e = block_events(block_load(in), c);

	*dots += (uint64_t)__builtin_popcountll(e.lead_dot);
	return block_put(in, e, out) - (DOT_BLOCK - n);
}

DOT_INLINE struct dot_carry
carry_of(const struct dot_state *s)
{
	CHECK(s->at <= DOT_IN_LINE);
	return (struct dot_carry){s->at == DOT_AFTER_CR, s->at == DOT_LINE_START};
}

DOT_TARGET static size_t
blocks_encode_counted(
	struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out, uint64_t *dots)
{
	struct dot_carry c = carry_of(s);
	uint8_t *o = out;
	uint64_t stuffed = 0;
	size_t i = 0;

	if (n == 0)
		return 0;
	for (; n - i >= 2 * DOT_BLOCK; i += DOT_BLOCK)
		o += block_encode(in + i, DOT_BLOCK, &c, o, &stuffed);

	/* Up to two blocks; the zeros behind them are no events and are not taken. */
	uint8_t tail[3 * DOT_BLOCK] = {0};
	memcpy(tail, in + i, n - i);
	for (size_t t = 0; t < n - i; t += DOT_BLOCK) {
		size_t take = n - i - t < DOT_BLOCK ? n - i - t : DOT_BLOCK;
		o += block_encode(tail + t, take, &c, o, &stuffed);
	}
	s->at = dot_at_after(in[n - 1]);
	*dots += stuffed;
	return (size_t)(o - out);
}

DOT_TARGET static size_t
blocks_encode(struct dot_state *s, const uint8_t *in, size_t n, uint8_t *out)
{
	uint64_t dots = 0;

	return blocks_encode_counted(s, in, n, out, &dots);
}

#include "wire/dot_blocks_count.h"

const struct dot_kernel DOT_KERNEL = {.name = DOT_KERNEL_NAME,
	.encode = blocks_encode,
	.count = blocks_count,
	.survey = blocks_survey,
	.encode_counted = blocks_encode_counted};
