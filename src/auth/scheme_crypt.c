/* All that libxcrypt knows: what may stand in /etc/shadow. */
#include "auth/scheme_row.h"
#include "base/ascii.h"
#include "base/check.h"
#include "base/num.h"

#include <crypt.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

struct scheme_work {
	struct crypt_data data;
	char password[CRYPT_MAX_PASSPHRASE_SIZE + 1];
};

struct scheme_work *
scheme_work_new(void)
{
	return calloc(1, sizeof(struct scheme_work));
}

void
scheme_work_free(struct scheme_work **w)
{
	if (*w)
		explicit_bzero(*w, sizeof(**w));
	free(*w);
	*w = NULL;
}

/* crypt's own base 64, "./0-9A-Za-z"; 64 for any other character. */
static uint32_t
crypt_digit(uint8_t c)
{
	if (c == '.' || c == '/')
		return (uint32_t)(c - '.');
	if (ascii_is_digit(c))
		return (uint32_t)(c - '0' + 2);
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A' + 12);
	return c >= 'a' && c <= 'z' ? (uint32_t)(c - 'a' + 38) : 64;
}

static bool
begins(const struct stored *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s->n >= n && memcmp(s->octets, prefix, n) == 0;
}

/* 128 * r * 2^log2_n octets. */
static bool
scrypt_fits(uint64_t log2_n, uint64_t r)
{
	uint64_t octets;

	if (log2_n > 40 || r == 0 || !num_mul(r, 128, &octets) ||
		!num_mul(octets, (uint64_t)1 << log2_n, &octets))
		return false;
	return octets <= SCHEME_MEMORY_MAX;
}

/*
 * "$y$j9T$": flavour, log2 N, r; "$gy$" likewise. Only the numbers of one character are
 * taken: a flavour of up to 47, N up to 2^48, r up to 48 (all that crypt_gensalt makes).
 */
static bool
yescrypt_fits(const struct stored *s)
{
	struct view parameters = scheme_field(s, 2);

	if (parameters.n != 3)
		return false;
	uint32_t log2_n = crypt_digit(parameters.p[1]) + 1;
	uint32_t r = crypt_digit(parameters.p[2]) + 1;
	return log2_n <= 48 && r <= 48 && scrypt_fits(log2_n, r);
}

/* "$7$": log2 N in one character, r and p in five each, low bits first. */
static bool
scrypt_in_limits(const struct stored *s)
{
	uint64_t r = 0;
	uint64_t p = 0;

	if (s->n < 14)
		return false;
	for (size_t i = 0; i < 5; i++) {
		r |= (uint64_t)crypt_digit(s->octets[4 + i]) << (6 * i);
		p |= (uint64_t)crypt_digit(s->octets[9 + i]) << (6 * i);
	}
	return p <= SCHEME_LANES_MAX && scrypt_fits(crypt_digit(s->octets[3]), r);
}

static bool
rounds_fit(const struct stored *s)
{
	struct view rounds = scheme_field(s, 2);
	uint64_t n;

	if (rounds.n < 7 || memcmp(rounds.p, "rounds=", 7) != 0)
		return true;
	rounds.p += 7;
	rounds.n -= 7;
	return num_decimal(rounds, SCHEME_ROUNDS_MAX, &n);
}

static bool
number_fits(struct view number, uint64_t max)
{
	uint64_t n;

	return num_decimal(number, max, &n);
}

static bool
cost_fits(const struct stored *s)
{
	if (begins(s, "$y$") || begins(s, "$gy$"))
		return yescrypt_fits(s);
	if (begins(s, "$7$"))
		return scrypt_in_limits(s);
	if (begins(s, "$2"))
		return number_fits(scheme_field(s, 2), SCHEME_BCRYPT_COST_MAX);
	if (begins(s, "$5$") || begins(s, "$6$") || begins(s, "$md5"))
		return rounds_fit(s);
	if (begins(s, "$sha1$"))
		return number_fits(scheme_field(s, 2), SCHEME_ROUNDS_MAX);
	return true;
}

/* How much of the string says what it costs: all before the salt. */
static size_t
cost_length(const struct stored *s)
{
	if (begins(s, "$7$"))
		return 14;
	if (begins(s, "_"))
		return 5;
	if (s->octets[0] != '$')
		return 0;
	bool third = begins(s, "$y$") || begins(s, "$gy$") || begins(s, "$2") ||
		begins(s, "$sha1$") || begins(s, "$5$rounds=") || begins(s, "$6$rounds=");
	return scheme_behind_dollar(s, third ? 3 : 2);
}

enum scheme_fault
crypt_check(struct stored *s)
{
	if (memchr(s->octets, 0, s->n) || s->n >= CRYPT_OUTPUT_SIZE)
		return SCHEME_BAD;
	int salt = crypt_checksalt((const char *)s->octets);
	if (salt == CRYPT_SALT_INVALID || salt == CRYPT_SALT_METHOD_DISABLED)
		return SCHEME_BAD;
	if (!cost_fits(s))
		return SCHEME_COSTLY;
	s->cost_n = cost_length(s);
	return SCHEME_OK;
}

enum scheme_answer
crypt_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	/* crypt stops at a NUL: what it would take for the whole is not the password. */
	bool whole = password.n < CRYPT_MAX_PASSPHRASE_SIZE &&
		!memchr(password.p, 0, password.n);
	size_t n = password.n < CRYPT_MAX_PASSPHRASE_SIZE ? password.n
							  : CRYPT_MAX_PASSPHRASE_SIZE - 1;

	memcpy(w->password, password.p, n);
	w->password[n] = 0;
	errno = 0;
	const char *got = crypt_rn(
		w->password, (const char *)s->octets, &w->data, (int)sizeof(w->data));
	bool no_memory = !got && errno == ENOMEM;
	bool equal = got && got[0] != '*' && strlen(got) == s->n &&
		CRYPTO_memcmp(got, s->octets, s->n) == 0;
	explicit_bzero(w, sizeof(*w));
	if (no_memory)
		return SCHEME_FAILED;
	return equal && whole ? SCHEME_YES : SCHEME_NO;
}
