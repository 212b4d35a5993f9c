/*
 * encoded_word.h: header text beyond ASCII as ASCII (RFC 2047). Pure.
 */
#ifndef KEEPER_ENCODED_WORD_H
#define KEEPER_ENCODED_WORD_H

#include "base/buf.h"

#include <stdbool.h>

/* Any octet of 0x80 and above. */
bool encoded_word_is_raw(struct view v);
/*
 * The text as encoded words of at most 75 octets, separated by `fold` (a line end and a
 * blank) and cut between characters; what is no UTF-8 is of charset unknown-8bit (RFC
 * 1428).
 */
void encoded_word_put(struct view text, const char *fold, struct buf *out);
/*
 * Unstructured text (RFC 5322 s.3.2.5) that may be folded: words of ASCII stay as they
 * are, each run of others becomes encoded words, with the blanks within the run.
 */
void encoded_word_put_text(struct view text, const char *fold, struct buf *out);

#endif
