/*
 * gs2.h: what a client says first in SCRAM (RFC 5802 s.7), and the header that it shares
 * with OAUTHBEARER (RFC 5801 s.4). Pure.
 *
 *     p=tls-exporter,a=authzid,n=name,r=nonce[,extensions]
 *     ------ gs2-header ------
 *
 * Views borrow from what is read. What a name holds is not judged here, but for its
 * escapes: a NUL or a broken sequence of UTF-8 makes a name that nobody has.
 */
#ifndef AUTH_GS2_H
#define AUTH_GS2_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>

#define GS2_NONCE_MAX 512 /* what is answered repeats it */

struct gs2_header {
	uint8_t flag;	     /* 'n', 'y' or 'p' */
	struct view binding; /* of 'p': "tls-exporter" */
	struct view authzid; /* as written; empty where there is none */
};

struct gs2_first {
	struct gs2_header header;
	struct view before; /* all up to the name */
	struct view name;   /* as written */
	struct view after;  /* all behind it, from its comma on */
};

/* NULL, or what is wrong. *rest moves behind the header's second comma. */
[[nodiscard]] const char *gs2_header_read(struct view *rest, struct gs2_header *ret);
/* NULL, or what is wrong. */
[[nodiscard]] const char *gs2_first_read(struct view message, struct gs2_first *ret);
/*
 * "=2C" and "=3D" undone; false for any other "=". A name that has no room sets
 * out->full, and is true: it is only too long.
 */
[[nodiscard]] bool gs2_name(struct view written, struct buf *out);

#endif
