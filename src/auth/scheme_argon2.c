/* ARGON2I and ARGON2ID: "$argon2id$v=19$m=65536,t=3,p=1$salt$hash". */
#include "auth/encoding.h"
#include "auth/scheme_row.h"
#include "base/check.h"
#include "base/num.h"

#include <argon2.h>
#include <openssl/crypto.h>
#include <string.h>

#define PART_MAX 128 /* octets of a salt or a hash */

struct argon2_string {
	uint64_t version, memory_kib, passes, lanes;
	uint8_t salt[PART_MAX], hash[PART_MAX];
	size_t salt_n, hash_n;
};

/* "m=65536" and a comma or the end; moves *text behind it. */
static bool
take_number(struct view *text, uint8_t name, uint64_t *ret)
{
	if (text->n < 3 || text->p[0] != name || text->p[1] != '=')
		return false;
	const uint8_t *comma = memchr(text->p, ',', text->n);
	size_t n = comma ? (size_t)(comma - text->p) : text->n;
	if (!num_decimal((struct view){text->p + 2, n - 2}, UINT32_MAX, ret))
		return false;
	size_t used = comma ? n + 1 : n;
	text->p += used;
	text->n -= used;
	return true;
}

static bool
argon2_read(const struct stored *s, const char *name, struct argon2_string *ret)
{
	struct view kind = scheme_field(s, 1);
	struct view version = scheme_field(s, 2);
	struct view numbers = scheme_field(s, 3);
	struct buf salt = buf_over(ret->salt, sizeof(ret->salt));
	struct buf hash = buf_over(ret->hash, sizeof(ret->hash));

	if (s->octets[0] != '$' || kind.n != strlen(name) ||
		memcmp(kind.p, name, kind.n) != 0)
		return false;
	if (!take_number(&version, 'v', &ret->version) || version.n != 0)
		return false;
	if (!take_number(&numbers, 'm', &ret->memory_kib) ||
		!take_number(&numbers, 't', &ret->passes) ||
		!take_number(&numbers, 'p', &ret->lanes) || numbers.n != 0)
		return false;
	if (!base64_decode(scheme_field(s, 4), &salt) ||
		!base64_decode(scheme_field(s, 5), &hash) ||
		scheme_behind_dollar(s, 6) != 0)
		return false;
	ret->salt_n = salt.n;
	ret->hash_n = hash.n;
	return ret->version == ARGON2_VERSION_13 || ret->version == ARGON2_VERSION_10;
}

static enum scheme_fault
argon2_check(struct stored *s, const char *name)
{
	struct argon2_string a;

	if (!argon2_read(s, name, &a))
		return SCHEME_BAD;
	if (a.memory_kib > SCHEME_MEMORY_MAX / 1024 || a.passes > SCHEME_PASSES_MAX ||
		a.lanes > SCHEME_LANES_MAX)
		return SCHEME_COSTLY;
	if (a.lanes == 0 || a.passes == 0 || a.memory_kib < 8 * a.lanes ||
		a.salt_n < ARGON2_MIN_SALT_LENGTH || a.hash_n < 16)
		return SCHEME_BAD;
	s->cost_n = scheme_behind_dollar(s, 4);
	return SCHEME_OK;
}

static enum scheme_answer
argon2_check_password(const struct stored *s, struct view password, argon2_type type)
{
	struct argon2_string a;
	uint8_t got[PART_MAX];

	bool read = argon2_read(s, argon2_type2string(type, 0), &a);
	CHECK(read); /* argon2_check said so */
	argon2_context context = {
		.out = got,
		.outlen = (uint32_t)a.hash_n,
		.pwd = (uint8_t *)(uintptr_t)password.p,
		.pwdlen = (uint32_t)password.n,
		.salt = a.salt,
		.saltlen = (uint32_t)a.salt_n,
		.t_cost = (uint32_t)a.passes,
		.m_cost = (uint32_t)a.memory_kib,
		.lanes = (uint32_t)a.lanes,
		.threads = 1, /* the pool is the only place of threads */
		.version = (uint32_t)a.version,
		.flags = ARGON2_DEFAULT_FLAGS,
	};
	int result = argon2_ctx(&context, type);
	bool equal = result == ARGON2_OK && CRYPTO_memcmp(got, a.hash, a.hash_n) == 0;
	explicit_bzero(got, sizeof(got));
	if (result == ARGON2_MEMORY_ALLOCATION_ERROR)
		return SCHEME_FAILED;
	return equal ? SCHEME_YES : SCHEME_NO;
}

enum scheme_fault
scheme_argon2i_check(struct stored *s)
{
	return argon2_check(s, "argon2i");
}

enum scheme_fault
scheme_argon2id_check(struct stored *s)
{
	return argon2_check(s, "argon2id");
}

enum scheme_answer
scheme_argon2i_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	(void)w;
	return argon2_check_password(s, password, Argon2_i);
}

enum scheme_answer
scheme_argon2id_verify(
	const struct stored *s, struct view password, struct scheme_work *w)
{
	(void)w;
	return argon2_check_password(s, password, Argon2_id);
}
