#include "auth/mac.h"
#include "base/buf.h"

#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

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

uint64_t
mac_number(const uint8_t key[32], struct view text)
{
	uint8_t mac[MAC_OCTETS];
	uint64_t number;

	if (!mac_of(key, &text, 1, mac))
		return 0;
	memcpy(&number, mac, sizeof(number));
	return number;
}
