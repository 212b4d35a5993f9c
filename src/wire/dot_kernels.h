/*
 * dot_kernels.h: the kernels by name; dot.c picks among them. One that this architecture
 * does not have is not defined there.
 */
#ifndef WIRE_DOT_KERNELS_H
#define WIRE_DOT_KERNELS_H

#include "pop3/dot.h"

extern const struct dot_kernel dot_kernel_byte;
extern const struct dot_kernel dot_kernel_memchr;
#ifdef __x86_64__
extern const struct dot_kernel dot_kernel_avx2;
extern const struct dot_kernel dot_kernel_avx512;
extern const struct dot_kernel dot_kernel_vbmi2;
#endif
#ifdef __aarch64__
extern const struct dot_kernel dot_kernel_neon;
#endif

/* Bit i: octet i of 64 gets one before it. */
struct dot_events {
	uint64_t bare_lf, lead_dot;
};

/* Where a last octet leaves us: the transition that every kernel ends with. */
static inline uint8_t
dot_at_after(uint8_t octet)
{
	switch (octet) {
	case '\n': return DOT_LINE_START;
	case '\r': return DOT_AFTER_CR;
	default: return DOT_IN_LINE;
	}
}

#endif
