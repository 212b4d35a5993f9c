/*
 * scheme_row.h: what a row of the table in scheme.c consists of.
 */
#ifndef AUTH_SCHEME_ROW_H
#define AUTH_SCHEME_ROW_H

#include "auth/scheme.h"

#include <openssl/evp.h>

enum scheme_text {
	TEXT_RAW, /* as it stands */
	TEXT_BASE64,
	TEXT_HEX,
};

struct scheme {
	const char *name;
	enum scheme_text text;
	bool slow;
	const EVP_MD *(*digest)(void); /* of the digest schemes */
	size_t digest_n;	       /* its octets */
	bool salted;		       /* the salt follows the digest */
	/* Checks s->octets and sets cost_at and cost_n. */
	enum scheme_fault (*check)(struct stored *s);
	enum scheme_answer (*verify)(
		const struct stored *s, struct view password, struct scheme_work *w);
};

enum scheme_fault plain_check(struct stored *s);
enum scheme_answer plain_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
enum scheme_fault digest_check(struct stored *s);
enum scheme_answer digest_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
enum scheme_fault pbkdf2_check(struct stored *s);
enum scheme_answer pbkdf2_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
enum scheme_fault crypt_check(struct stored *s);
enum scheme_answer crypt_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
enum scheme_fault scheme_scram_check(struct stored *s);
enum scheme_answer scheme_scram_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
enum scheme_fault scheme_argon2i_check(struct stored *s);
enum scheme_fault scheme_argon2id_check(struct stored *s);
enum scheme_answer scheme_argon2i_verify(
	const struct stored *s, struct view password, struct scheme_work *w);
enum scheme_answer scheme_argon2id_verify(
	const struct stored *s, struct view password, struct scheme_work *w);

/* Field i (0-based) of octets between the '$' signs; empty where there is none. */
struct view scheme_field(const struct stored *s, size_t i);
/* The offset behind the n-th '$', or 0 where there are not so many. */
size_t scheme_behind_dollar(const struct stored *s, size_t n);

#endif
