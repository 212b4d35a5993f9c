#include "auth/scram.h"
#include "auth/encoding.h"
#include "base/check.h"
#include "base/num.h"

#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

static const EVP_MD *
digest_of(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1 ? EVP_sha1() : EVP_sha256();
}

size_t
scram_key_n(enum scram_hash hash)
{
	return hash == SCRAM_SHA_1 ? 20 : 32;
}

/*
 * The library's two ways differ only in what they refuse. NULL where neither takes it: a
 * password with a NUL, or one that is not UTF-8.
 */
static char *
prepare(struct view password)
{
	char *text = calloc(1, password.n + 1);
	char *out = NULL;

	if (!text)
		return NULL;
	if (password.n > 0)
		memcpy(text, password.p, password.n);
	if (strlen(text) == password.n &&
		gsasl_saslprep(text, 0, &out, NULL) != GSASL_OK &&
		gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &out, NULL) != GSASL_OK)
		out = NULL;
	explicit_bzero(text, password.n);
	free(text);
	return out;
}

static bool
keys_of_salted(const uint8_t *salted, struct scram_keys *k)
{
	static const char client_text[] = "Client Key";
	static const char server_text[] = "Server Key";
	const EVP_MD *md = digest_of(k->hash);
	int n = (int)scram_key_n(k->hash);
	uint8_t client[SCRAM_KEY_MAX];
	unsigned made = 0;

	bool ok = HMAC(md, salted, n, (const uint8_t *)client_text,
			  sizeof(client_text) - 1, client, &made) &&
		EVP_Digest(client, (size_t)n, k->stored, NULL, md, NULL) == 1 &&
		HMAC(md, salted, n, (const uint8_t *)server_text, sizeof(server_text) - 1,
			k->server, &made);
	explicit_bzero(client, sizeof(client));
	return ok;
}

bool
scram_derive(struct view password, struct scram_keys *k)
{
	char *prepared = prepare(password);
	const char *text = prepared ? prepared : (const char *)password.p;
	size_t n = prepared ? strlen(prepared) : password.n;
	uint8_t salted[SCRAM_KEY_MAX];

	CHECK(k->salt_n <= sizeof(k->salt));
	CHECK(k->rounds > 0 && k->rounds <= SCRAM_ROUNDS_MAX);
	bool ok = PKCS5_PBKDF2_HMAC(text, (int)n, k->salt, (int)k->salt_n, (int)k->rounds,
			  digest_of(k->hash), (int)scram_key_n(k->hash), salted) == 1 &&
		keys_of_salted(salted, k);
	explicit_bzero(salted, sizeof(salted));
	if (prepared)
		explicit_bzero(prepared, strlen(prepared));
	gsasl_free(prepared);
	return ok;
}

/* What is before the mark; without one there, all, if it is the last. */
static bool
take_field(struct view *rest, char mark, struct view *ret)
{
	const uint8_t *end = rest->n > 0 ? memchr(rest->p, mark, rest->n) : NULL;

	if (!end)
		return false;
	size_t n = (size_t)(end - rest->p);
	*ret = (struct view){rest->p, n};
	rest->p += n + 1;
	rest->n -= n + 1;
	return true;
}

static bool
read_octets(struct view text, uint8_t *p, size_t max, size_t *ret_n)
{
	struct buf out = buf_over(p, max);

	if (!base64_decode(text, &out))
		return false;
	*ret_n = out.n;
	return true;
}

bool
scram_read(struct view text, enum scram_hash hash, struct scram_keys *ret)
{
	static const char prefix[] = "SCRAM-SHA-256$";
	size_t n = sizeof(prefix) - 1;
	bool prefixed = text.n > n && memcmp(text.p, prefix, n) == 0;
	struct view rest = {text.p + (prefixed ? n : 0), text.n - (prefixed ? n : 0)};
	struct view rounds;
	struct view salt;
	struct view stored;
	bool foreign = rest.n > 0 && memchr(rest.p, ':', rest.n);
	size_t stored_n = 0;
	size_t server_n = 0;
	uint64_t number;

	if ((prefixed && !foreign) || (foreign && hash != SCRAM_SHA_256))
		return false;
	if (!take_field(&rest, foreign ? ':' : ',', &rounds) ||
		!take_field(&rest, foreign ? '$' : ',', &salt) ||
		!take_field(&rest, foreign ? ':' : ',', &stored))
		return false;
	if (!num_decimal(rounds, UINT64_MAX, &number) || number == 0 ||
		!read_octets(salt, ret->salt, sizeof(ret->salt), &ret->salt_n) ||
		!read_octets(stored, ret->stored, SCRAM_KEY_MAX, &stored_n) ||
		!read_octets(rest, ret->server, SCRAM_KEY_MAX, &server_n))
		return false;
	ret->hash = hash;
	ret->rounds = number > SCRAM_ROUNDS_MAX ? UINT32_MAX : (uint32_t)number;
	return ret->salt_n > 0 && stored_n == scram_key_n(hash) &&
		server_n == scram_key_n(hash);
}

static void
put_base64(const uint8_t *p, size_t n, struct buf *out)
{
	uint8_t text[(SCRAM_SALT_MAX + 2) / 3 * 4 + 1];

	CHECK(n <= SCRAM_SALT_MAX);
	int made = EVP_EncodeBlock(text, p, (int)n);
	buf_put(out, text, (size_t)made);
}

void
scram_write(const struct scram_keys *k, struct buf *out)
{
	size_t n = scram_key_n(k->hash);

	buf_put_dec(out, k->rounds);
	buf_put_u8(out, ',');
	put_base64(k->salt, k->salt_n, out);
	buf_put_u8(out, ',');
	put_base64(k->stored, n, out);
	buf_put_u8(out, ',');
	put_base64(k->server, n, out);
}
