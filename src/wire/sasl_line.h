/*
 * sasl_line.h: base64 as RFC 5034 s.4 wants it: nothing but the alphabet, padding at the
 * end only, whole groups of four, unused bits zero.
 */
#ifndef WIRE_SASL_LINE_H
#define WIRE_SASL_LINE_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>

/* Appends the decoded octets; false (out may hold a part of them) if the text is no
 * base64. */
[[nodiscard]] bool base64_decode(struct view text, struct buf *out);
void base64_encode(struct view octets, struct buf *out);

#endif
