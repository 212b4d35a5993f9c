/* 64 octets as one AVX-512 register; its compares give the masks as they are wanted. */
#ifdef __x86_64__

#include <immintrin.h>
#include <stdint.h>

#define DOT_KERNEL	dot_kernel_avx512
#define DOT_KERNEL_NAME "avx512"
#define DOT_TARGET	__attribute__((target("avx512f,avx512bw,bmi,popcnt")))

struct avx512_block {
	__m512i all;
};
#define dot_block struct avx512_block

DOT_TARGET static inline dot_block
block_load(const uint8_t *p)
{
	return (dot_block){_mm512_loadu_si512(p)};
}

DOT_TARGET static inline void
block_store(uint8_t *p, dot_block b)
{
	_mm512_storeu_si512(p, b.all);
}

DOT_TARGET static inline uint64_t
block_is(dot_block b, char octet)
{
	return _mm512_cmpeq_epi8_mask(b.all, _mm512_set1_epi8(octet));
}

#include "wire/dot_blocks.h"

#endif
