#include "auth/scheme.h"
#include "auth/encoding.h"
#include "auth/scheme_row.h"
#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

/* The names and forms of Dovecot; what a name without a suffix is written in is `text`.
 */
static const struct scheme rows[] = {
	{"PLAIN", TEXT_RAW, false, NULL, 0, false, plain_check, plain_verify},
	{"CLEARTEXT", TEXT_RAW, false, NULL, 0, false, plain_check, plain_verify},
	{"CRYPT", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"DES-CRYPT", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"MD5", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"MD5-CRYPT", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"SHA256-CRYPT", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"SHA512-CRYPT", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"BLF-CRYPT", TEXT_RAW, true, NULL, 0, false, crypt_check, crypt_verify},
	{"SHA", TEXT_BASE64, false, EVP_sha1, 20, false, digest_check, digest_verify},
	{"SHA1", TEXT_BASE64, false, EVP_sha1, 20, false, digest_check, digest_verify},
	{"SSHA", TEXT_BASE64, false, EVP_sha1, 20, true, digest_check, digest_verify},
	{"SHA256", TEXT_BASE64, false, EVP_sha256, 32, false, digest_check,
		digest_verify},
	{"SSHA256", TEXT_BASE64, false, EVP_sha256, 32, true, digest_check,
		digest_verify},
	{"SHA512", TEXT_BASE64, false, EVP_sha512, 64, false, digest_check,
		digest_verify},
	{"SSHA512", TEXT_BASE64, false, EVP_sha512, 64, true, digest_check,
		digest_verify},
	{"PLAIN-MD5", TEXT_HEX, false, EVP_md5, 16, false, digest_check, digest_verify},
	{"LDAP-MD5", TEXT_BASE64, false, EVP_md5, 16, false, digest_check, digest_verify},
	{"SMD5", TEXT_BASE64, false, EVP_md5, 16, true, digest_check, digest_verify},
	{"PBKDF2", TEXT_RAW, true, NULL, 0, false, pbkdf2_check, pbkdf2_verify},
	{"SCRAM-SHA-1", TEXT_RAW, true, EVP_sha1, 20, true, scheme_scram_check,
		scheme_scram_verify},
	{"SCRAM-SHA-256", TEXT_RAW, true, EVP_sha256, 32, true, scheme_scram_check,
		scheme_scram_verify},
	{"ARGON2I", TEXT_RAW, true, NULL, 0, false, scheme_argon2i_check,
		scheme_argon2i_verify},
	{"ARGON2ID", TEXT_RAW, true, NULL, 0, false, scheme_argon2id_check,
		scheme_argon2id_verify},
};

static const struct {
	const char *name;
	enum scheme_text text;
} suffixes[] = {{"b64", TEXT_BASE64}, {"base64", TEXT_BASE64}, {"hex", TEXT_HEX}};

static struct view
view_of(const char *s)
{
	return (struct view){(const uint8_t *)s, strlen(s)};
}

/*
 * "password[13]" and "password[34]" are forms of libpam-pwdfile that Dovecot knows too:
 * both are strings of crypt(3).
 */
static struct view
without_bracket(struct view field)
{
	static const char *const tails[] = {"[13]", "[34]"};

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++)
		if (field.n > 4 && memcmp(field.p + field.n - 4, tails[i], 4) == 0)
			return (struct view){field.p, field.n - 4};
	return field;
}

/* Splits {NAME.suffix}text; false if the brace is never closed. */
static bool
split_field(struct view field, struct view *ret_name, struct view *ret_text)
{
	if (field.n == 0 || field.p[0] != '{') {
		*ret_name = VIEW("CRYPT");
		*ret_text = without_bracket(field);
		return true;
	}
	const uint8_t *end = memchr(field.p, '}', field.n);
	if (!end)
		return false;
	size_t n = (size_t)(end - field.p);
	*ret_name = (struct view){field.p + 1, n - 1};
	*ret_text = (struct view){end + 1, field.n - n - 1};
	return true;
}

/* The row and how the text is written; NULL for a name or suffix that is unknown. */
static const struct scheme *
find_row(struct view name, enum scheme_text *ret_text, bool *ret_suffix)
{
	struct view suffix = {NULL, 0};
	const uint8_t *dot = memchr(name.p, '.', name.n);

	if (dot) {
		size_t n = (size_t)(dot - name.p);
		suffix = (struct view){dot + 1, name.n - n - 1};
		name.n = n;
	}
	const struct scheme *found = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(rows) && !found; i++)
		if (ascii_equal_nocase(name, view_of(rows[i].name)))
			found = &rows[i];
	*ret_suffix = dot != NULL;
	if (!found || !dot) {
		*ret_text = found ? found->text : TEXT_RAW;
		return found;
	}
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (ascii_equal_nocase(suffix, view_of(suffixes[i].name))) {
			*ret_text = suffixes[i].text;
			return found;
		}
	return NULL;
}

static bool
decode(struct view text, enum scheme_text how, struct stored *ret)
{
	struct buf out = buf_over(ret->octets, SCHEME_OCTETS_MAX);
	bool ok = true;

	switch (how) {
	case TEXT_RAW: buf_put_view(&out, text); break;
	case TEXT_BASE64: ok = base64_decode(text, &out); break;
	case TEXT_HEX: ok = hex_decode(text, &out); break;
	}
	ret->n = out.n;
	ret->octets[out.n] = 0;
	return ok && !out.full;
}

/* As PostgreSQL keeps it, with the scheme's name inside: no form of crypt(3). */
static bool
is_postgresql(const struct stored *s)
{
	static const char prefix[] = "SCRAM-SHA-256$";
	size_t n = sizeof(prefix) - 1;

	return s->n > n && memcmp(s->octets, prefix, n) == 0;
}

/* again: it was read before and found right, so crypt need not look at it once more. */
static enum scheme_fault
read_field(struct view field, bool again, struct stored *ret, struct view *ret_name)
{
	struct view name = {field.p, 0};
	struct view text;
	enum scheme_text how;
	bool suffix;

	*ret_name = name;
	if (!split_field(field, &name, &text))
		return SCHEME_BAD;
	*ret_name = name;
	const struct scheme *row = find_row(name, &how, &suffix);
	if (!row)
		return SCHEME_UNKNOWN;
	if (text.n == 0)
		return SCHEME_EMPTY;
	/* A digest whose length says that it is hex is hex, as Dovecot takes it. */
	if (!suffix && row->digest && !row->salted && text.n == 2 * row->digest_n)
		how = TEXT_HEX;
	ret->scheme = row;
	ret->cost_at = 0;
	ret->cost_n = 0;
	if (!decode(text, how, ret))
		return SCHEME_BAD;
	if (ret->n == 0)
		return SCHEME_EMPTY;
	if (row->check == crypt_check && is_postgresql(ret))
		ret->scheme = row = find_row(VIEW("SCRAM-SHA-256"), &how, &suffix);
	if (row->check != plain_check &&
		(ret->octets[0] == '!' || ret->octets[0] == '*') && how == TEXT_RAW)
		return SCHEME_LOCKED;
	return again && row->check == crypt_check ? SCHEME_OK : row->check(ret);
}

enum scheme_fault
scheme_read(struct view field, struct stored *ret, struct view *ret_name)
{
	return read_field(field, false, ret, ret_name);
}

enum scheme_fault
scheme_read_again(struct view field, struct stored *ret, struct view *ret_name)
{
	return read_field(field, true, ret, ret_name);
}

bool
scheme_is_slow(const struct stored *s)
{
	return s->scheme->slow;
}

const char *
scheme_name(const struct stored *s)
{
	return s->scheme->name;
}

enum scheme_answer
scheme_verify(const struct stored *s, struct view password, struct scheme_work *w)
{
	CHECK(s->scheme);
	CHECK(w || !s->scheme->slow);
	return s->scheme->verify(s, password, w);
}

bool
scheme_same_cost(const struct stored *a, const struct stored *b)
{
	return a->scheme->verify == b->scheme->verify &&
		a->scheme->digest == b->scheme->digest && a->cost_n == b->cost_n &&
		memcmp(a->octets + a->cost_at, b->octets + b->cost_at, a->cost_n) == 0;
}

struct view
scheme_field(const struct stored *s, size_t i)
{
	size_t start = scheme_behind_dollar(s, i);

	if (i > 0 && start == 0)
		return (struct view){s->octets, 0};
	const uint8_t *end = memchr(s->octets + start, '$', s->n - start);
	size_t n = end ? (size_t)(end - s->octets) - start : s->n - start;
	return (struct view){s->octets + start, n};
}

size_t
scheme_behind_dollar(const struct stored *s, size_t n)
{
	size_t at = 0;

	while (n > 0) {
		const uint8_t *dollar = memchr(s->octets + at, '$', s->n - at);
		if (!dollar)
			return 0;
		at = (size_t)(dollar - s->octets) + 1;
		n--;
	}
	return at;
}

bool
scheme_warm_up(void)
{
	/* Each row once, with a hash that is right: libraries load what they need now. */
	static const char *const samples[] = {
		"{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=",
		"{SHA256}n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
		("{SHA512}7iaw3Ur350mqGo7jwQrpkj9hiYB3Lkc/iBml1JQODbJ6wYX4oOHV+E+IvIh/"
		 "1nsUNzLDBMxfqa2Ob1f1ACio/w=="),
		"{PLAIN-MD5}098f6bcd4621d373cade4e832627b4f6",
		"{PBKDF2}$1$salt$1$3d1048d90875b11ed843eb96cd18e6e0c2158f53",
		("{SCRAM-SHA-1}1,c2FsdA==,AAAAAAAAAAAAAAAAAAAAAAAAAAA=,"
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		("{SCRAM-SHA-256}1,c2FsdA==,"
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,"
		 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		"$y$j75$Qs3HKkz1xSIM01cVYsNXW/$wHLqjUGLd2MMlTuB2HqUKaBV/"
		"AWwDg3k.7tZ4MDVmJ7",
		"$6$rounds=1000$saltsalt$x",
		"$5$rounds=1000$saltsalt$x",
		"$1$saltsalt$x",
		"$2y$04$abcdefghijklmnopqrstuu",
		"ab0123456789.",
	};
	struct scheme_work *w = scheme_work_new();
	bool ok = w != NULL;

	for (size_t i = 0; ok && i < ARRAY_SIZE(samples); i++) {
		struct stored s;
		struct view name;
		ok = scheme_read(view_of(samples[i]), &s, &name) == SCHEME_OK &&
			scheme_verify(&s, VIEW("test"), w) != SCHEME_FAILED;
	}
	scheme_work_free(&w);
	return ok;
}
