/* 64 octets as four NEON registers, which every arm64 processor has. */
#ifdef __aarch64__

#include <arm_neon.h>
#include <stdint.h>

#define DOT_KERNEL	dot_kernel_neon
#define DOT_KERNEL_NAME "neon"
#define DOT_TARGET

#define dot_block uint8x16x4_t

static inline dot_block
block_load(const uint8_t *p)
{
	return (dot_block){
		{vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)}};
}

static inline void
block_store(uint8_t *p, dot_block b)
{
	for (int i = 0; i < 4; i++)
		vst1q_u8(p + 16 * i, b.val[i]);
}

/*
 * NEON has no move-mask: each octet that compares equal keeps the bit of its place among
 * eight, and adding neighbours three times puts eight octets' bits into one.
 */
static inline uint64_t
block_is(dot_block b, char octet)
{
	static const uint8_t places[16] = {
		1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
	uint8x16_t place = vld1q_u8(places), all = vdupq_n_u8((uint8_t)octet);
	uint8x16_t bits[4];

	for (int i = 0; i < 4; i++)
		bits[i] = vandq_u8(vceqq_u8(b.val[i], all), place);

	uint8x16_t low = vpaddq_u8(bits[0], bits[1]), high = vpaddq_u8(bits[2], bits[3]);
	uint8x16_t sum = vpaddq_u8(low, high);

	return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(sum, sum)), 0);
}

#include "wire/dot_blocks.h"

#endif
