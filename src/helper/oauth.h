/*
 * oauth.h: the parts of restante-auth-oauth.
 *
 * A token is believed if a key of the identity provider signed it (oauth_jws.h,
 * oauth_keys.h), or if the provider itself says so (oauth_introspect.c), and if its
 * claims pass the rules (oauth_claims.c). Reasons are static texts that say what is
 * wrong.
 */
#ifndef HELPER_OAUTH_H
#define HELPER_OAUTH_H

#include "base/buf.h"
#include "helper/oauth_keys.h"
#include "pop3/view.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OAUTH_WORDS_MAX	  16
#define OAUTH_LEEWAY_S	  60	       /* clocks differ (RFC 7519 s.4.1.4) */
#define OAUTH_SECONDS_MAX 253402300799 /* the end of the year 9999 */

struct helper;

/* The words of an option of type LIST. */
struct oauth_words {
	struct view of[OAUTH_WORDS_MAX];
	size_t n;
};

/* What claims must say; views of the settings. */
struct oauth_rules {
	struct view issuer;		/* empty: any, for introspection alone */
	struct oauth_words audiences;	/* one of them; none: any, likewise */
	struct oauth_words scopes;	/* all of them */
	struct oauth_words user_claims; /* the first that is there names the user */
};

/* What became of a question. */
enum oauth_end {
	OAUTH_GOOD,
	OAUTH_REFUSED,	/* the token */
	OAUTH_NO_ANSWER /* the identity provider, or its file of keys */
};

/* False: there are more than OAUTH_WORDS_MAX. */
[[nodiscard]] bool oauth_words_read(const char *text, struct oauth_words *ret);

/*
 * NULL, and the user's name and for how many seconds the claims hold; or why they do not
 * do. must_expire: a token without exp is refused.
 */
const char *oauth_claims_check(const json_t *claims, const struct oauth_rules *rules,
	bool must_expire, uint64_t now_s, struct buf *ret_name, uint32_t *ret_valid_s);

/* ---- over HTTP ---- */

#define OAUTH_BODY_MAX (256U * 1024U)

struct oauth_http;

/* Before the cage. ca: a file of certificates; "": those of the system. NULL on success.
 */
const char *oauth_http_start(
	struct helper *h, const char *ca, uint64_t timeout_ms, struct oauth_http **ret);
/* https, or http to a loopback address; nothing else, no user and no fragment in it. */
bool oauth_http_may(const char *url);

struct oauth_request {
	const char *url;
	const char *user, *password; /* HTTP Basic; NULL: none */
	struct view form;	     /* POST; empty: GET */
};

/*
 * Status 200 with a body of at most OAUTH_BODY_MAX octets (malloc'ed, the caller frees),
 * or why not: static, or living in *http until the next request.
 */
const char *oauth_http_ask(struct oauth_http *http, const struct oauth_request *r,
	uint8_t **ret_body, size_t *ret_n);

/* ---- the provider's keys ---- */

struct oauth_jwks {
	struct helper *helper;
	const char *where; /* a path or a URL */
	struct oauth_http *http;
	uint64_t lifetime_ms;
	struct oauth_keys keys;
	uint64_t until_ms;   /* the keys count until then; 0: there are none */
	uint64_t retry_ms;   /* while is_down: not before */
	uint64_t unknown_ms; /* the last time that an unknown kid made us try to fetch */
	bool has_asked_unknown;
	bool is_down; /* was told to the log */
};

/* Whose token this is, by the keys. */
enum oauth_end oauth_jwks_check(struct oauth_jwks *j, struct view token,
	const struct oauth_rules *rules, struct buf *ret_name, uint32_t *ret_valid_s,
	const char **ret_reason);
/* Fetches ahead of time what would run out soon. */
void oauth_jwks_idle(struct oauth_jwks *j);

/* ---- introspection (RFC 7662) ---- */

struct oauth_introspection {
	struct oauth_http *http;
	const char *url, *client;
	char *secret; /* "" is one too */
	bool is_down; /* was told to the log */
};

enum oauth_end oauth_introspect(struct oauth_introspection *i, struct view token,
	const struct oauth_rules *rules, struct buf *ret_name, uint32_t *ret_valid_s,
	const char **ret_reason);

#endif
