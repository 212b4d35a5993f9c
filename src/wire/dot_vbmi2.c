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
DOT_TARGET static inline size_t
half_put(const uint8_t *in, uint32_t bare_lf, uint32_t lead_dot, uint8_t *out)
{
	uint64_t used = ODD | _pdep_u64(bare_lf | lead_dot, EVEN);
	__mmask64 octets = _pext_u64(ODD, used);
	__m512i half = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)in));
	__m512i added = _mm512_set1_epi8('\r');

	if (lead_dot != 0)
		added = _mm512_mask_blend_epi8(_pext_u64(_pdep_u64(lead_dot, EVEN), used),
			added, _mm512_set1_epi8('.'));
	_mm512_storeu_si512(out, _mm512_mask_expand_epi8(added, octets, half));
	return 32 + (size_t)__builtin_popcount(bare_lf | lead_dot);
}

DOT_TARGET static inline size_t
block_put(const uint8_t *in, struct dot_events e, uint8_t *out)
{
	size_t n = half_put(in, (uint32_t)e.bare_lf, (uint32_t)e.lead_dot, out);

	return n +
		half_put(in + 32, (uint32_t)(e.bare_lf >> 32),
			(uint32_t)(e.lead_dot >> 32), out + n);
}

#include "wire/dot_blocks.h"

#endif
