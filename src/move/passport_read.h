/*
 * passport_read.h: the text form of a maildrop's list, read strictly. Pure.
 *
 *     restante-passport 1
 *     made 2026-11-22T10:00:00Z
 *     of maildir:/srv/mail/anna            (as show_word writes it)
 *     digests header                       or: digests header whole
 *     uidls yes                            no: the server knew none
 *     messages 2 1024
 *     1 4b2a.M1 512 HEX                    number, UIDL (- none), size, header's SHA-256
 *     2 4b2a.M2 512 - -                    (- not shown), and where so the whole one's
 *     end 2
 *     sha256 HEX                           of all lines above; or: ed25519 KEY SIGNATURE
 *
 * Lines end in LF, one blank stands between words, numbers have no zeros in front, and
 * nothing follows the last line: one list has one text.
 *
 *     passport_open(text, &p) && while (passport_next(&p, &m, &uidls) ==
 * PASSPORT_MESSAGE)
 */
#ifndef MOVE_PASSPORT_READ_H
#define MOVE_PASSPORT_READ_H

#include "base/buf.h"
#include "move/compare_lists.h"

#define PASSPORT_VERSION	  1
#define PASSPORT_OCTETS_MAX	  ((size_t)1 << 30)
#define PASSPORT_LINE_MAX	  16384
#define PASSPORT_MESSAGES_MAX	  UINT32_C(4000000)
#define PASSPORT_KEY_OCTETS	  32
#define PASSPORT_SIGNATURE_OCTETS 64

struct passport {
	struct view made, of; /* as they stand in the text */
	bool whole, has_uidls, is_signed;
	uint32_t messages;
	uint64_t octets;
	struct view sealed; /* what digest or signature are of */
	uint8_t digest[MESSAGE_DIGEST_OCTETS];
	uint8_t key[PASSPORT_KEY_OCTETS], signature[PASSPORT_SIGNATURE_OCTETS];
	const char *why; /* what is wrong, in line `line` */
	uint32_t line;
	/* The reader's. */
	struct view rest;
	uint32_t done, last_number;
	uint64_t sum;
};

/* The head; the seal's last line is read with the end. False: why and line. */
[[nodiscard]] bool passport_open(struct view text, struct passport *ret);

enum passport_step { PASSPORT_MESSAGE, PASSPORT_END, PASSPORT_BAD };
/* The next message; its UIDL's octets are put into uidls, which is at least as large as
 * the text. END: all was sound to the last octet (the seal itself is not checked here).
 */
[[nodiscard]] enum passport_step passport_next(
	struct passport *p, struct compare_message *ret, struct buf *uidls);

#endif
