#include "helper/oauth_jws.h"

#include "base/ascii.h"
#include "base/check.h"

#include <string.h>

static const uint8_t symbols[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool
symbol_value(uint8_t c, uint32_t *ret)
{
	const uint8_t *at = c ? memchr(symbols, c, 64) : NULL;

	if (at)
		*ret = (uint32_t)(at - symbols);
	return at != NULL;
}

bool
base64url_read(struct view text, struct buf *out)
{
	uint32_t bits = 0, value = 0;
	unsigned held = 0;

	if (text.n % 4 == 1)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (!symbol_value(text.p[i], &value))
			return false;
		bits = bits << 6 | value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			buf_put_u8(out, (uint8_t)(bits >> held));
			bits &= (1U << held) - 1;
		}
	}
	return bits == 0 && !out->full;
}

json_t *
oauth_json_object(struct view text)
{
	json_t *found =
		json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);

	if (!found || json_is_object(found))
		return found;
	json_decref(found);
	return NULL;
}

static json_t *
part_object(struct view part)
{
	uint8_t storage[JWS_OCTETS_MAX];
	struct buf b = buf_over(storage, sizeof(storage));

	return base64url_read(part, &b) ? oauth_json_object(buf_view(&b)) : NULL;
}

/* The part up to the next dot, which is taken too; false where there is none. */
static bool
next_part(struct view *rest, struct view *ret)
{
	const uint8_t *dot = memchr(rest->p, '.', rest->n);

	if (!dot)
		return false;
	*ret = (struct view){rest->p, (size_t)(dot - rest->p)};
	*rest = (struct view){dot + 1, rest->n - ret->n - 1};
	return true;
}

static const char *
read_kid(const json_t *header, struct jws *ret)
{
	const json_t *kid = json_object_get(header, "kid");

	if (!kid)
		return NULL;
	const char *text = json_string_value(kid);
	if (!text || *text == '\0' || strlen(text) > OAUTH_KID_MAX)
		return "the kid of the token's header is no text of 1 to 256 octets";
	memcpy(ret->kid, text, strlen(text) + 1);
	ret->has_kid = true;
	return NULL;
}

/*
 * What the token is for. One provider signs many kinds with the same keys (RFC 8725
 * s.3.11): a logout token is no access token. A token without a type is as it was before
 * there were types; "application/" may be left out (RFC 7515 s.4.1.9).
 */
static bool
type_is_right(const json_t *header)
{
	static const char *const types[] = {"JWT", "at+jwt", "application/at+jwt"};
	const json_t *type = json_object_get(header, "typ");
	const char *text = json_string_value(type);

	for (size_t i = 0; text && i < ARRAY_SIZE(types); i++)
		if (ascii_equal_nocase((struct view){(const uint8_t *)text, strlen(text)},
			    (struct view){(const uint8_t *)types[i], strlen(types[i])}))
			return true;
	return !type;
}

static const char *
read_header(struct view part, struct jws *ret)
{
	json_t *header = part_object(part);
	const char *algorithm = json_string_value(json_object_get(header, "alg"));
	const char *wrong = NULL;

	if (!header)
		wrong = "the token's header is no JSON object";
	else if (!algorithm || !oauth_algorithm_read(algorithm, &ret->algorithm))
		wrong = "the token's algorithm is none of RS256, PS256, ES256 and EdDSA";
	/* RFC 7515 s.4.1.11, RFC 7797: what we do not understand must not be passed over.
	 */
	else if (json_object_get(header, "crit") || json_object_get(header, "b64"))
		wrong = "the token's header has critical extensions";
	else if (!type_is_right(header))
		wrong = "the token's typ is none of JWT and at+jwt: it is another kind "
			"of token";
	else
		wrong = read_kid(header, ret);
	json_decref(header);
	return wrong;
}

const char *
jws_read(struct view token, struct jws *ret)
{
	struct view rest = token, header, claims;

	*ret = (struct jws){.has_kid = false};
	if (token.n > JWS_OCTETS_MAX)
		return "the token is longer than 12288 octets";
	if (!next_part(&rest, &header) || !next_part(&rest, &claims) ||
		memchr(rest.p, '.', rest.n))
		return "the token has not the three parts of a JWT: for opaque tokens "
		       "set "
		       "oauth_introspection";
	struct buf signature = buf_over(ret->signature, sizeof(ret->signature));
	if (rest.n == 0 || !base64url_read(rest, &signature))
		return "the token's signature is no base64url";
	ret->signature_n = signature.n;
	ret->text = (struct view){token.p, header.n + 1 + claims.n};
	const char *wrong = read_header(header, ret);
	if (wrong)
		return wrong;
	ret->claims = part_object(claims);
	return ret->claims ? NULL : "the token's claims are no JSON object";
}

void
jws_free(struct jws *j)
{
	json_decref(j->claims);
	j->claims = NULL;
}
