/* PLAIN, the plain and salted digests, and PBKDF2, on libcrypto. */
#include "auth/encoding.h"
#include "auth/scheme_row.h"
#include "base/check.h"
#include "base/num.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#define PBKDF2_KEY_N 20 /* HMAC-SHA1, as doveadm pw makes it */

enum scheme_fault
plain_check(struct stored *s)
{
	(void)s;
	return SCHEME_OK;
}

/* By digests of both: the time says nothing about length or common start. */
enum scheme_answer
plain_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	uint8_t want[32];
	uint8_t got[32];

	(void)w;
	bool ok = EVP_Digest(s->octets, s->n, want, NULL, EVP_sha256(), NULL) == 1 &&
		EVP_Digest(password.p, password.n, got, NULL, EVP_sha256(), NULL) == 1;
	bool equal = ok && CRYPTO_memcmp(want, got, sizeof(want)) == 0;
	explicit_bzero(want, sizeof(want));
	explicit_bzero(got, sizeof(got));
	if (!ok)
		return SCHEME_FAILED;
	return equal ? SCHEME_YES : SCHEME_NO;
}

enum scheme_fault
digest_check(struct stored *s)
{
	size_t n = s->scheme->digest_n;

	return s->scheme->salted ? (s->n >= n ? SCHEME_OK : SCHEME_BAD)
				 : (s->n == n ? SCHEME_OK : SCHEME_BAD);
}

enum scheme_answer
digest_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	uint8_t got[EVP_MAX_MD_SIZE];
	size_t n = s->scheme->digest_n;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	(void)w;
	bool ok = ctx && EVP_DigestInit_ex(ctx, s->scheme->digest(), NULL) == 1 &&
		EVP_DigestUpdate(ctx, password.p, password.n) == 1 &&
		EVP_DigestUpdate(ctx, s->octets + n, s->n - n) == 1 &&
		EVP_DigestFinal_ex(ctx, got, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	bool equal = ok && CRYPTO_memcmp(got, s->octets, n) == 0;
	explicit_bzero(got, sizeof(got));
	if (!ok)
		return SCHEME_FAILED;
	return equal ? SCHEME_YES : SCHEME_NO;
}

/* "$1$salt$rounds$hex": the salt is the text itself. */
enum scheme_fault
pbkdf2_check(struct stored *s)
{
	uint8_t key[PBKDF2_KEY_N];
	struct buf out = buf_over(key, sizeof(key));
	struct view version = scheme_field(s, 1);
	struct view rounds = scheme_field(s, 3);
	uint64_t n;

	if (s->octets[0] != '$' || version.n != 1 || version.p[0] != '1')
		return SCHEME_BAD;
	if (scheme_behind_dollar(s, 5) != 0 || scheme_field(s, 2).n == 0)
		return SCHEME_BAD;
	if (!hex_decode(scheme_field(s, 4), &out) || out.n != PBKDF2_KEY_N)
		return SCHEME_BAD;
	if (!num_decimal(rounds, UINT64_MAX, &n) || n == 0)
		return SCHEME_BAD;
	s->cost_at = (size_t)(rounds.p - s->octets);
	s->cost_n = rounds.n;
	return n <= SCHEME_ROUNDS_MAX ? SCHEME_OK : SCHEME_COSTLY;
}

enum scheme_answer
pbkdf2_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	uint8_t want[PBKDF2_KEY_N];
	uint8_t got[PBKDF2_KEY_N];
	struct buf out = buf_over(want, sizeof(want));
	struct view salt = scheme_field(s, 2);
	uint64_t rounds = 0;

	(void)w;
	bool read = hex_decode(scheme_field(s, 4), &out) &&
		num_decimal(scheme_field(s, 3), SCHEME_ROUNDS_MAX, &rounds);
	CHECK(read); /* pbkdf2_check said so */
	bool ok = PKCS5_PBKDF2_HMAC((const char *)password.p, (int)password.n, salt.p,
			  (int)salt.n, (int)rounds, EVP_sha1(), sizeof(got), got) == 1;
	bool equal = ok && CRYPTO_memcmp(want, got, sizeof(want)) == 0;
	explicit_bzero(got, sizeof(got));
	explicit_bzero(want, sizeof(want));
	if (!ok)
		return SCHEME_FAILED;
	return equal ? SCHEME_YES : SCHEME_NO;
}
