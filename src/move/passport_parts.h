/*
 * passport_parts.h: what the files of passport share.
 */
#ifndef MOVE_PASSPORT_PARTS_H
#define MOVE_PASSPORT_PARTS_H

#include "move/gathered.h"
#include "move/passport_read.h"

#include <stdio.h>

#define PASSPORT_WHY_MAX 1200

/* ---- passport_key.c: Ed25519 (RFC 8032) in PEM files ---- */

/* Makes FILE (private, 0600) and FILE.pub, durably; neither may exist, but that a FILE
 * without its public half gets that. 0 or -errno and why. */
[[nodiscard]] int passport_key_make(const char *path, char *why, size_t why_n);
/* From PEM; public: a private one will do too. NULL and why. Freed by _free. */
struct passport_key;
struct passport_key *passport_key_read(
	const char *path, bool public, char *why, size_t why_n);
void passport_key_free(struct passport_key **k);
void passport_key_public(const struct passport_key *k, uint8_t ret[PASSPORT_KEY_OCTETS]);
[[nodiscard]] int passport_key_sign(const struct passport_key *k, struct view text,
	uint8_t ret[PASSPORT_SIGNATURE_OCTETS]);
/* Whether digest, or signature of the key in the text, are those of the text. */
[[nodiscard]] bool passport_seal_is_good(const struct passport *p);
[[nodiscard]] int passport_digest(struct view text, uint8_t ret[MESSAGE_DIGEST_OCTETS]);

/* ---- passport_text.c ---- */

/* The whole text, malloc'ed; key NULL: a digest at its end. 0 or -errno. */
[[nodiscard]] int passport_write(const struct gathered *g, const char *of, bool whole,
	const struct passport_key *key, char **ret, size_t *ret_n);
/* A list of the text; *ret_head's views lie in it. -EBADMSG and why: not sound. */
[[nodiscard]] int passport_read(struct view text, struct gathered *ret,
	struct passport *ret_head, char *why, size_t why_n);

/* ---- passport_drop.c ---- */

struct passport_drop {
	uint8_t kind;	  /* enum store_kind */
	const char *path; /* absolute */
	bool whole, unquote;
	uint32_t silence_ms; /* of its child: it is ended */
	struct view folders; /* as struct store_options has them */
};
/* "maildir:PATH", "mbox:PATH", or PATH. False and a reason. */
[[nodiscard]] bool passport_drop_read(
	const char *text, struct passport_drop *ret, const char **ret_why);
/* Reads it as its owner, in a child where we are root. 0, or a status of sysexits(3) and
 * why. */
[[nodiscard]] int passport_drop_list(
	const struct passport_drop *d, struct gathered *ret, char *why, size_t why_n);

#endif
