/*
 * sip.h: SipHash-2-4: numbers that nobody can foresee who does not have the key, so that
 * nobody can choose what meets in one place of a table. Pure.
 */
#ifndef AUTH_SIP_H
#define AUTH_SIP_H

#include "pop3/view.h"

#include <stdint.h>
#include <string.h>

struct sip {
	uint64_t v[4];
};

static inline struct sip
sip_begin(const uint64_t key[2])
{
	return (struct sip){{key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
		key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U}};
}

static inline uint64_t
sip_turn(uint64_t x, unsigned by)
{
	return x << by | x >> (64 - by);
}

static inline void
sip_round(struct sip *s)
{
	uint64_t *v = s->v;

	v[0] += v[1];
	v[2] += v[3];
	v[1] = sip_turn(v[1], 13) ^ v[0];
	v[3] = sip_turn(v[3], 16) ^ v[2];
	v[0] = sip_turn(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = sip_turn(v[1], 17) ^ v[2];
	v[3] = sip_turn(v[3], 21) ^ v[0];
	v[2] = sip_turn(v[2], 32);
}

static inline void
sip_word(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_round(s);
	sip_round(s);
	s->v[0] ^= word;
}

/* The length first: "a", "bc" is not "ab", "c". */
static inline void
sip_octets(struct sip *s, struct view v)
{
	sip_word(s, v.n);
	while (v.n > 0) {
		uint64_t word = 0;
		size_t n = v.n < 8 ? v.n : 8;
		memcpy(&word, v.p, n);
		sip_word(s, word);
		v.p += n;
		v.n -= n;
	}
}

static inline uint64_t
sip_end(struct sip *s)
{
	s->v[2] ^= 0xFF;
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

#endif
