/*
 * ascii.h: letters and blanks without a locale.
 */
#ifndef BASE_ASCII_H
#define BASE_ASCII_H

#include "pop3/view.h"

#include <stdbool.h>

static inline uint8_t
ascii_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static inline bool
ascii_is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* A printable character that is not a blank: 0x21 to 0x7E (RFC 1939 s.7, UIDL). */
static inline bool
ascii_is_graph(uint8_t c)
{
	return c >= 0x21 && c <= 0x7E;
}

[[nodiscard]] bool ascii_equal_nocase(struct view a, struct view b);
[[nodiscard]] bool view_equal(struct view a, struct view b);
/* The view without the blanks (SP, HT) at its end. */
[[nodiscard]] struct view ascii_trim_end(struct view v);

#endif
