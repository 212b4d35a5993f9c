/*
 * helper_fields.h: one user as a database tells of him, by the names of his fields
 * (restante-users(5)), until he is a line. Pure.
 *
 * password, uid, gid and home go to their places; maildrop is another word for
 * userdb_mail; name must be the name that was asked for, octet by octet; anything else is
 * an extra field, and auth refuses one that it does not know: a misspelt limit must not
 * be no limit. An empty value of the others is not given; of an extra field it goes on,
 * for auth to refuse it: an empty limit must not be no limit either.
 */
#ifndef HELPER_HELPER_FIELDS_H
#define HELPER_HELPER_FIELDS_H

#include "helper/helper.h"

#define HELPER_USER_NAME_MAX 255

enum helper_place {
	PLACE_PASSWORD,
	PLACE_UID,
	PLACE_GID,
	PLACE_HOME,
	PLACES /* one beyond the last */
};

struct helper_fields {
	struct view name;  /* as asked for */
	const char *fault; /* of the first value that cannot be taken, or NULL */
	bool other;	   /* the database means another name: this user is not there */
	bool has_name;
	struct view at[PLACES];
	struct buf extra;
	size_t used;
	uint8_t octets[HELPER_LINE_MAX], extra_octets[HELPER_LINE_MAX];
};

/* name must live as long as f. */
void helper_fields_init(struct helper_fields *f, struct view name);
void helper_fields_put(struct helper_fields *f, struct view field, struct view value);
/*
 * The line, and ANSWER_FOUND; or ANSWER_NO_USER or ANSWER_TEMPORARY, with the reason.
 * locked: a user without a password gets one that nobody has ("!"), for an empty one
 * would say that the database checked it.
 */
void helper_fields_answer(
	const struct helper_fields *f, bool locked, struct helper_answer *ret);

/* A name that can stand in a database: 1 to 255 octets of UTF-8, no control character, no
 * colon. */
bool helper_name_can_be(struct view name);
/* The part before the first @, or all of it; and what is behind it, or nothing. */
struct view helper_name_local(struct view name);
struct view helper_name_domain(struct view name);

#endif
