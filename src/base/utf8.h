/*
 * utf8.h: UTF-8 as RFC 3629 s.4 has it: no overlong form, no surrogate, nothing beyond
 * U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "pop3/view.h"

#include <stdbool.h>

/* Octets of the character at the front; 0: there is none, or v is empty. */
size_t utf8_octets(struct view v);
bool utf8_is_sound(struct view v);

#endif
