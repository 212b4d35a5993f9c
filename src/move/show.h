/*
 * show.h: words of others on a terminal, in a line of text, or in JSON.
 */
#ifndef MOVE_SHOW_H
#define MOVE_SHOW_H

#include "base/buf.h"

#include <stddef.h>

/* Printable ASCII as it is, all else as '?'; "..." where more than max octets came. */
void show_printable(struct buf *b, struct view v, size_t max);
/* One word: octets outside 0x21 to 0x7E, '%', and what begins with '-' alone, as %XX. */
void show_word(struct buf *b, struct view v);
#define SHOW_WORD_MAX(n) (3 * (size_t)(n))
/* The octets of a show_word; false for anything that it would not have written. At most
 * word.n octets are put. */
[[nodiscard]] bool show_word_read(struct view word, struct buf *ret);
/* A JSON string with its quotes; octets above 0x7E as \u00XX. At most 6 n + 2 octets. */
void show_json(struct buf *b, struct view v);
void show_hex(struct buf *b, const uint8_t *p, size_t n);
/* False unless v is exactly 2 n small hex digits. */
[[nodiscard]] bool show_hex_read(struct view v, uint8_t *ret, size_t n);
struct view show_view(const char *s); /* of a string, without its NUL */

#endif
