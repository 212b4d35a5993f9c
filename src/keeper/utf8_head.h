/*
 * utf8_head.h: a header with raw octets beyond ASCII (RFC 6532), rewritten for a client
 * that did not say UTF8 (RFC 6856 s.2.1, s.4). Pure.
 *
 * Only fields with such octets are touched: unstructured text becomes encoded words (RFC
 * 2047); a mailbox keeps its name so encoded, and an address that cannot be said in ASCII
 * becomes invalid@internationalized-address.invalid behind it; parameters of MIME fields
 * are written as RFC 2231 has it; any other field comes as Downgraded-NAME, in encoded
 * words. Field names and octets outside fields are of no use to a client: ? stands there.
 */
#ifndef KEEPER_UTF8_HEAD_H
#define KEEPER_UTF8_HEAD_H

#include "base/buf.h"

#include <stdbool.h>

/* A longer header is sent as it is. */
#define UTF8_HEAD_MAX 262144
/* Room that the rewritten header may need. */
#define UTF8_HEAD_ROOM(n) (36 * (size_t)(n) + 1024)

/* Octets of the header with its blank line; all of them where there is none. */
size_t utf8_head_octets(struct view message);
/* The header (utf8_head_octets of it). out->full: it did not fit. */
void utf8_head_put(struct view head, struct buf *out);

#endif
