/* {SCRAM-SHA-1} and {SCRAM-SHA-256}: stored keys, checked against a password as such. */
#include "auth/scheme_row.h"
#include "auth/scram.h"
#include "base/check.h"

#include <openssl/crypto.h>
#include <string.h>

static enum scram_hash
hash_of(const struct stored *s)
{
	return s->scheme->digest_n == scram_key_n(SCRAM_SHA_1) ? SCRAM_SHA_1
							       : SCRAM_SHA_256;
}

/* Kept in one form, whichever it came in; its rounds are what it costs. */
enum scheme_fault
scheme_scram_check(struct stored *s)
{
	struct scram_keys keys;
	struct buf out = buf_over(s->octets, SCHEME_OCTETS_MAX);

	if (!scram_read((struct view){s->octets, s->n}, hash_of(s), &keys))
		return SCHEME_BAD;
	if (keys.rounds > SCRAM_ROUNDS_MAX)
		return SCHEME_COSTLY;
	scram_write(&keys, &out);
	CHECK(!out.full);
	s->n = out.n;
	s->octets[s->n] = 0;
	const uint8_t *comma = memchr(s->octets, ',', s->n);
	CHECK(comma);
	s->cost_at = 0;
	s->cost_n = (size_t)(comma - s->octets);
	return SCHEME_OK;
}

enum scheme_answer
scheme_scram_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	struct scram_keys want;
	struct scram_keys got;

	(void)w;
	bool read = scram_read((struct view){s->octets, s->n}, hash_of(s), &want);
	CHECK(read); /* scheme_scram_check said so */
	got = want;
	bool ok = scram_derive(password, &got);
	size_t n = scram_key_n(want.hash);
	int differ = ok ? CRYPTO_memcmp(want.stored, got.stored, n) |
			CRYPTO_memcmp(want.server, got.server, n)
			: 1;
	explicit_bzero(&got, sizeof(got));
	explicit_bzero(&want, sizeof(want));
	if (!ok)
		return SCHEME_FAILED;
	return differ == 0 ? SCHEME_YES : SCHEME_NO;
}
