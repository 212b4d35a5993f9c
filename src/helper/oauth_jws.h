/*
 * oauth_jws.h: a JSON Web Token in its compact form (RFC 7515 s.7.1): three parts in
 * base64url with dots between them.
 */
#ifndef HELPER_OAUTH_JWS_H
#define HELPER_OAUTH_JWS_H

#include "base/buf.h"
#include "helper/oauth_keys.h"
#include "pop3/view.h"

#include <jansson.h>
#include <stdbool.h>

#define JWS_OCTETS_MAX 12288

struct jws {
	enum oauth_algorithm algorithm;
	char kid[OAUTH_KID_MAX + 1];
	bool has_kid;
	struct view text; /* what is signed; borrowed from the token */
	json_t *claims;	  /* an object */
	uint8_t signature[1024];
	size_t signature_n;
};

/*
 * RFC 4648 s.5 without padding: false for a foreign character, a length that cannot be,
 * bits left over, or no room.
 */
[[nodiscard]] bool base64url_read(struct view text, struct buf *out);
/* An object of JSON, strictly: no name twice, nothing behind it. NULL: it is none. */
json_t *oauth_json_object(struct view text);
/* NULL and *ret, to be freed; or what is wrong with it (static). Nothing is verified. */
const char *jws_read(struct view token, struct jws *ret);
void jws_free(struct jws *j);

#endif
