/*
 * encoding.h: base64 and hex, as stored passwords use them. Pure.
 */
#ifndef AUTH_ENCODING_H
#define AUTH_ENCODING_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>

/*
 * Decodes the whole text into *out; false for a foreign character, a length that cannot
 * be, padding in the middle, bits left over (RFC 4648 s.3.5) or no room. Padding may be
 * missing (argon2's strings have none).
 */
[[nodiscard]] bool base64_decode(struct view text, struct buf *out);
/* Either case. */
[[nodiscard]] bool hex_decode(struct view text, struct buf *out);

#endif
