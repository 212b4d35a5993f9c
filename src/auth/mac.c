#include "auth/mac.h"
#include "auth/sip.h"
#include "base/buf.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#define BLOCK 64 /* of SHA-256; RFC 2104 s.2 */
/* Names, passwords and hashes as they mostly are; what is longer goes piece by piece. */
#define GATHER 448

/* RFC 2104 s.4: what both digests begin with is computed once, and copied. */
struct mac {
	EVP_MD *digest;
	EVP_MD_CTX *inner, *outer, *work;
};

static bool
update(EVP_MAC_CTX *ctx, struct view part)
{
	uint8_t octets[8];
	struct buf length = buf_over(octets, sizeof(octets));

	buf_put_u64(&length, part.n);
	return EVP_MAC_update(ctx, octets, sizeof(octets)) == 1 &&
		EVP_MAC_update(ctx, part.p, part.n) == 1;
}

bool
mac_of(const uint8_t key[32], const struct view *parts, size_t parts_n,
	uint8_t ret[MAC_OCTETS])
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string("digest", digest, 0),
		OSSL_PARAM_construct_end(),
	};
	/* Looked up once: that takes longer than the digest. Only one thread comes here.
	 */
	static EVP_MAC *hmac;
	if (!hmac)
		hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
	bool ok = ctx && EVP_MAC_init(ctx, key, 32, params) == 1;
	size_t n = 0;

	for (size_t i = 0; ok && i < parts_n; i++)
		ok = update(ctx, parts[i]);
	ok = ok && EVP_MAC_final(ctx, ret, &n, MAC_OCTETS) == 1 && n == MAC_OCTETS;
	EVP_MAC_CTX_free(ctx);
	return ok;
}

/* ---- under a key that is kept ---------------------------------------------------------
 */

static bool
begin(const struct mac *m, EVP_MD_CTX *ctx, const uint8_t key[32], uint8_t pad)
{
	uint8_t block[BLOCK];

	memset(block, pad, sizeof(block));
	for (size_t i = 0; i < 32; i++)
		block[i] ^= key[i];
	bool ok = EVP_DigestInit_ex2(ctx, m->digest, NULL) == 1 &&
		EVP_DigestUpdate(ctx, block, sizeof(block)) == 1;
	explicit_bzero(block, sizeof(block));
	return ok;
}

struct mac *
mac_new(const uint8_t key[32])
{
	struct mac *m = OPENSSL_zalloc(sizeof(*m));

	if (!m)
		return NULL;
	m->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
	m->inner = EVP_MD_CTX_new();
	m->outer = EVP_MD_CTX_new();
	m->work = EVP_MD_CTX_new();
	if (!m->digest || !m->inner || !m->outer || !m->work ||
		!begin(m, m->inner, key, 0x36) || !begin(m, m->outer, key, 0x5C))
		mac_free(&m);
	return m;
}

void
mac_free(struct mac **m)
{
	struct mac *old = *m;

	*m = NULL;
	if (!old)
		return;
	EVP_MD_CTX_free(old->inner); /* which cleanses what it held */
	EVP_MD_CTX_free(old->outer);
	EVP_MD_CTX_free(old->work);
	EVP_MD_free(old->digest);
	OPENSSL_free(old);
}

static bool
flush(EVP_MD_CTX *ctx, struct buf *gathered)
{
	bool ok =
		gathered->n == 0 || EVP_DigestUpdate(ctx, gathered->p, gathered->n) == 1;

	gathered->n = 0;
	return ok;
}

static bool
add(EVP_MD_CTX *ctx, struct buf *gathered, struct view part)
{
	bool ok = true;

	if (buf_room(gathered) < 8 + part.n)
		ok = flush(ctx, gathered);
	buf_put_u64(gathered, part.n);
	if (part.n <= buf_room(gathered)) {
		buf_put_view(gathered, part);
		return ok;
	}
	return ok && flush(ctx, gathered) && EVP_DigestUpdate(ctx, part.p, part.n) == 1;
}

bool
mac_make(struct mac *m, const struct view *parts, size_t parts_n, uint8_t ret[MAC_OCTETS])
{
	uint8_t octets[GATHER];
	struct buf gathered = buf_over(octets, sizeof(octets));
	bool ok = EVP_MD_CTX_copy_ex(m->work, m->inner) == 1;
	size_t most = 0;

	for (size_t i = 0; ok && i < parts_n; i++) {
		ok = add(m->work, &gathered, parts[i]);
		most = gathered.n > most ? gathered.n : most;
	}
	ok = ok && flush(m->work, &gathered) &&
		EVP_DigestFinal_ex(m->work, ret, NULL) == 1 &&
		EVP_MD_CTX_copy_ex(m->work, m->outer) == 1 &&
		EVP_DigestUpdate(m->work, ret, MAC_OCTETS) == 1 &&
		EVP_DigestFinal_ex(m->work, ret, NULL) == 1;
	explicit_bzero(octets, most); /* a password was there */
	return ok;
}

/* ---- numbers --------------------------------------------------------------------------
 */

uint64_t
mac_number(const uint8_t key[32], struct view text)
{
	uint64_t words[2];

	memcpy(words, key, sizeof(words));
	struct sip s = sip_begin(words);
	sip_octets(&s, text);
	return sip_end(&s);
}
