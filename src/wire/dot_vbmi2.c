/*
 * AVX-512 with VBMI2, whose expansion leaves gaps in 32 octets where others belong: so
 * encoding needs no branch for an event, which no processor could predict.
 */
#ifdef __x86_64__

#include "wire/dot_kernels.h"

#include <immintrin.h>
#include <stdint.h>

#define DOT_KERNEL	dot_kernel_vbmi2
#define DOT_KERNEL_NAME "vbmi2"
#define DOT_TARGET                                                                       \
	__attribute__((target("avx512f,avx512bw,avx512vbmi2,avx2,bmi,bmi2,popcnt")))
#define DOT_PLACES

struct vbmi2_block {
	__m512i all;
};
#define dot_block struct vbmi2_block

DOT_TARGET static inline dot_block
block_load(const uint8_t *p)
{
	return (dot_block){_mm512_loadu_si512(p)};
}

DOT_TARGET static inline uint64_t
block_is(dot_block b, char octet)
{
	return _mm512_cmpeq_epi8_mask(b.all, _mm512_set1_epi8(octet));
}

#define EVEN UINT64_C(0x5555555555555555)
#define ODD  UINT64_C(0xAAAAAAAAAAAAAAAA)

/*
 * Each octet has two places, an even one for what is added before it and an odd one for
 * itself. Those in use, moved together, are the output.
 */
DOT_TARGET static inline uint64_t
places_used(uint32_t events)
{
	return ODD | _pdep_u64(events, EVEN);
}

DOT_TARGET static inline size_t
half_spread(const uint8_t *in, uint32_t events, __m512i added, uint8_t *out)
{
	__mmask64 octets = _pext_u64(ODD, places_used(events));
	__m512i half = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)in));

	_mm512_storeu_si512(out, _mm512_mask_expand_epi8(added, octets, half));
	return 32 + (size_t)__builtin_popcount(events);
}

DOT_TARGET static inline size_t
half_with_dots(const uint8_t *in, uint32_t bare_lf, uint32_t lead_dot, uint8_t *out)
{
	uint64_t used = places_used(bare_lf | lead_dot);
	__mmask64 dots = _pext_u64(_pdep_u64(lead_dot, EVEN), used);
	__m512i added = _mm512_mask_blend_epi8(
		dots, _mm512_set1_epi8('\r'), _mm512_set1_epi8('.'));

	return half_spread(in, bare_lf | lead_dot, added, out);
}

/* Few lines begin with a dot, so that one branch a block is guessed well. */
DOT_TARGET static inline size_t
block_put(const uint8_t *in, struct dot_events e, uint8_t *out)
{
	uint32_t lf[2] = {(uint32_t)e.bare_lf, (uint32_t)(e.bare_lf >> 32)};
	uint32_t dot[2] = {(uint32_t)e.lead_dot, (uint32_t)(e.lead_dot >> 32)};
	__m512i cr = _mm512_set1_epi8('\r');
	size_t n;

	if (__builtin_expect(e.lead_dot != 0, 0)) {
		n = half_with_dots(in, lf[0], dot[0], out);
		return n + half_with_dots(in + 32, lf[1], dot[1], out + n);
	}
	n = half_spread(in, lf[0], cr, out);
	return n + half_spread(in + 32, lf[1], cr, out + n);
}

#include "wire/dot_blocks.h"

#endif
