#include "keys/core.h"

#include <string.h>

#define BLANKS	     64
#define RANDOMS	     64
#define NAMED_CURVE  3
#define UNCOMPRESSED 4

enum {
	NONE = 0,
	RSA = 1 << KEYS_RSA,
	P256 = 1 << KEYS_P256,
	P384 = 1 << KEYS_P384,
	ED25519 = 1 << KEYS_ED25519,
};

enum {
#define SCHEME(number, kinds, kinds_13, padding, legacy, digest) ROW_##number,
#include "keys/keys_schemes.def"
#undef SCHEME
	SCHEME_ROWS
};
_Static_assert(SCHEME_ROWS == KEYS_SCHEMES, "core.h counts the rows");

static const struct keys_scheme schemes[] = {
#define SCHEME(number, kinds, kinds_13, padding, legacy, digest)                         \
	{number, ROW_##number, kinds, kinds_13, padding, legacy, digest},
#include "keys/keys_schemes.def"
#undef SCHEME
};

/* RFC 8422 s.5.1.1 and s.5.4; octets of a public point, and whether it has a form octet.
 */
static const struct {
	uint16_t number;
	uint8_t octets;
	bool has_form;
} curves[] = {
	{23, 65, true},	 /* secp256r1 */
	{24, 97, true},	 /* secp384r1 */
	{25, 133, true}, /* secp521r1 */
	{29, 32, false}, /* x25519 */
	{30, 56, false}, /* x448 */
};

#define ROWS(a) (sizeof(a) / sizeof((a)[0]))

/*
 * 64 blanks | "TLS 1.3, server CertificateVerify" | NUL | hash of the transcript
 * (RFC 8446 s.4.4.3). What a client signs differs in its text, so it is refused.
 */
static bool
is_certificate_verify(struct view content)
{
	static const char text[] = "TLS 1.3, server CertificateVerify";
	const uint8_t *p = content.p;

	if (content.n <= BLANKS + sizeof(text))
		return false;
	for (size_t i = 0; i < BLANKS; i++)
		if (p[i] != ' ')
			return false;
	if (memcmp(p + BLANKS, text, sizeof(text)) != 0)
		return false;
	size_t hash = content.n - BLANKS - sizeof(text);
	return hash == 32 || hash == 48 || hash == 64;
}

/* client random 32 | server random 32 | 3 | curve u16 | n u8 | point n (RFC 8422 s.5.4)
 */
static bool
is_server_key_exchange(struct view content)
{
	const uint8_t *p = content.p;

	if (content.n < RANDOMS + 5)
		return false;
	p += RANDOMS;
	if (p[0] != NAMED_CURVE)
		return false;
	unsigned int curve = (unsigned int)p[1] << 8 | p[2];
	for (size_t i = 0; i < ROWS(curves); i++)
		if (curves[i].number == curve)
			return p[3] == curves[i].octets &&
				content.n == RANDOMS + 4U + curves[i].octets &&
				(!curves[i].has_form || p[4] == UNCOMPRESSED);
	return false;
}

enum keys_verdict
keys_judge(enum keys_kind kind, uint16_t scheme, struct view content,
	const struct keys_scheme **ret)
{
	bool is_13 = is_certificate_verify(content);

	if (!is_13 && !is_server_key_exchange(content))
		return KEYS_BAD_CONTENT;
	for (size_t i = 0; i < ROWS(schemes); i++) {
		const struct keys_scheme *s = &schemes[i];
		unsigned int kinds = is_13 ? s->kinds_13 : s->kinds;
		if (s->number != scheme)
			continue;
		if (!(kinds >> kind & 1))
			return KEYS_BAD_SCHEME;
		*ret = s;
		return KEYS_SIGN;
	}
	return KEYS_BAD_SCHEME;
}

void
keys_bucket_fill(struct keys_bucket *b, uint64_t now_ms)
{
	*b = (struct keys_bucket){.at_ms = now_ms, .tokens = KEYS_BURST};
}

bool
keys_bucket_take(struct keys_bucket *b, uint64_t now_ms)
{
	uint64_t passed = now_ms > b->at_ms ? now_ms - b->at_ms : 0;
	uint64_t most_ms = KEYS_BURST * UINT64_C(1000) / KEYS_PER_SECOND;
	uint64_t more = (passed < most_ms ? passed : most_ms) * KEYS_PER_SECOND / 1000;

	_Static_assert(KEYS_PER_SECOND % 1000 == 0, "no part of a token is lost");
	b->at_ms += passed;
	b->tokens =
		b->tokens + more > KEYS_BURST ? KEYS_BURST : b->tokens + (uint32_t)more;
	if (b->tokens == 0)
		return false;
	b->tokens--;
	return true;
}

/* Numbers go around. */
static bool
is_newer(uint32_t a, uint32_t b)
{
	return a != b && a - b < UINT32_C(1) << 31;
}

static struct keys_shelf *
shelf_of(struct keys_shelves *s, uint32_t generation)
{
	struct keys_shelf *all[] = {&s->now, &s->before, &s->kept};

	for (size_t i = 0; i < ROWS(all); i++)
		if (all[i]->used && all[i]->generation == generation)
			return all[i];
	return NULL;
}

static void
shelf_drop(struct keys_shelf *s, void (*drop)(void *key))
{
	for (size_t i = 0; i < KEYS_GENERATION_MAX; i++)
		if (s->keys[i])
			drop(s->keys[i]);
	*s = (struct keys_shelf){0};
}

void **
keys_place(struct keys_shelves *s, uint32_t generation, uint8_t index,
	void (*drop)(void *key))
{
	struct keys_shelf *own = shelf_of(s, generation);

	if (own)
		return &own->keys[index];
	if (s->now.used) {
		if (!is_newer(generation, s->now.generation))
			return NULL;
		if (s->before.used && (s->before.has_signed || !s->kept.used)) {
			shelf_drop(&s->kept, drop);
			s->kept = s->before;
		} else {
			shelf_drop(&s->before, drop);
		}
		s->before = s->now;
		s->now = (struct keys_shelf){0};
	}
	s->now.used = true;
	s->now.generation = generation;
	return &s->now.keys[index];
}

void
keys_has_signed(struct keys_shelves *s, uint32_t generation)
{
	struct keys_shelf *own = shelf_of(s, generation);

	if (own)
		own->has_signed = true;
}

bool
keys_is_trial(struct view content)
{
	uint8_t all = 0;

	if (!is_certificate_verify(content))
		return false;
	for (size_t i = content.n - 32; i < content.n; i++)
		all |= content.p[i];
	return all == 0;
}

void *
keys_find(const struct keys_shelves *s, uint32_t generation, uint8_t index)
{
	const struct keys_shelf *own =
		shelf_of((struct keys_shelves *)(uintptr_t)s, generation);

	return own ? own->keys[index] : NULL;
}
