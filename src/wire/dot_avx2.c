/* 64 octets as two AVX2 registers. The build stays baseline x86-64: attributes say more.
 */
#ifdef __x86_64__

#include <immintrin.h>
#include <stdint.h>

#define DOT_KERNEL	dot_kernel_avx2
#define DOT_KERNEL_NAME "avx2"
#define DOT_TARGET	__attribute__((target("avx2,bmi,popcnt")))

struct avx2_block {
	__m256i low, high;
};
#define dot_block struct avx2_block

DOT_TARGET static inline dot_block
block_load(const uint8_t *p)
{
	const __m256i *v = (const void *)p;

	return (dot_block){_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)};
}

DOT_TARGET static inline void
block_store(uint8_t *p, dot_block b)
{
	__m256i *v = (void *)p;

	_mm256_storeu_si256(v, b.low);
	_mm256_storeu_si256(v + 1, b.high);
}

DOT_TARGET static inline uint64_t
block_is(dot_block b, char octet)
{
	__m256i all = _mm256_set1_epi8(octet);
	uint32_t low = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b.low, all));
	uint32_t high = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b.high, all));

	return (uint64_t)high << 32 | low;
}

#include "wire/dot_blocks.h"

#endif
