/*
 * header_digest.h: SHA-256 of a message's header (and of the whole message) in a form in
 * which the same message has the same digest on every server.
 *
 * Line ends count as CRLF, however they came, and a message without one at its end gets
 * it. The header ends before the first empty line. Fields that servers add, change or
 * hide for their own use (Status, X-UID and so on: header_digest.c has the table) do not
 * count, in the header's digest nor in the whole one; nor does a "From " line on top.
 */
#ifndef MOVE_HEADER_DIGEST_H
#define MOVE_HEADER_DIGEST_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define MESSAGE_DIGEST_OCTETS 32
#define HEADER_NAME_KEPT      24 /* longer than every name of the table */

struct header_digest {
	void *header, *whole; /* EVP_MD_CTX; whole may be NULL */
	uint8_t at;
	bool after_cr, in_line, skip, first;
	uint8_t line_n;
	uint8_t line[HEADER_NAME_KEPT];
	uint64_t header_octets; /* that count */
	bool failed;
};

/* 0 or -ENOMEM. `whole`: of the body too. May be called again after _finish. */
[[nodiscard]] int header_digest_start(struct header_digest *d, bool whole);
void header_digest_take(struct header_digest *d, struct view octets);
/* The digest of the whole message only where it was asked for; it may be NULL. -EIO: the
 * library failed. Frees what start took. */
[[nodiscard]] int header_digest_finish(struct header_digest *d,
	uint8_t ret_header[MESSAGE_DIGEST_OCTETS],
	uint8_t ret_whole[MESSAGE_DIGEST_OCTETS]);
/* Without a result. */
void header_digest_done(struct header_digest *d);

#endif
