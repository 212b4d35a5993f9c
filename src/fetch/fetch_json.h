/*
 * fetch_json.h: texts from outside, as they may be shown: within a JSON string, or to a
 * person. Neither lets a control character, an escape sequence, a change of the writing
 * direction or a character that cannot be seen through to a terminal.
 */
#ifndef FETCH_FETCH_JSON_H
#define FETCH_FETCH_JSON_H

#include "base/buf.h"

#include <stdbool.h>
#include <time.h>

/* At most max octets of v as a JSON string with its quotes; what is no UTF-8 becomes
 * U+FFFD, what must not be shown \uXXXX. A text that was cut ends with "...". */
void json_text(struct buf *b, struct view v, size_t max);
/* The same, after `,` where there is something before it and "name": */
void json_field_text(struct buf *b, const char *name, struct view v, size_t max);
void json_field_number(struct buf *b, const char *name, uint64_t n);
/* true or false */
void json_field_bool(struct buf *b, const char *name, bool is);
/* "2026-11-22T07:15:00Z"; unix seconds. */
void json_field_time(struct buf *b, const char *name, uint64_t unix_s);

/* For a person; what cannot be shown becomes `?`, and without utf8 all that is not ASCII
 * does. */
void text_printable(struct buf *b, struct view v, size_t max, bool utf8);
/* "512 B", "4.1 kB", "16.4 MB", "2.0 GB": thousands. */
void text_size(struct buf *b, uint64_t octets);
/* RFC 3339 in UTC, seconds. */
void text_time(struct buf *b, uint64_t unix_s);

static inline struct view
text_view(const char *s)
{
	return (struct view){(const uint8_t *)s, __builtin_strlen(s)};
}

#endif
