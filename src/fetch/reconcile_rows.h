/*
 * reconcile_rows.h: the names under which messages are remembered that lie in a Maildir
 * though nobody knows their UIDL: NUL "reconcile", the header's digest in hex, and a
 * number where several have the same. No server's UIDL begins with NUL. Pure.
 */
#ifndef FETCH_RECONCILE_ROWS_H
#define FETCH_RECONCILE_ROWS_H

#include "fetch/known.h"

#include <string.h>

#define RECONCILE_PREFIX  "\0reconcile"
#define RECONCILE_UID_MAX (10 + 2 * HEADER_DIGEST + 12)

/* nth: 0 for the first of that digest. The octets of ret that count. */
size_t reconcile_uid(const uint8_t header[HEADER_DIGEST], uint32_t nth,
	uint8_t ret[RECONCILE_UID_MAX]);

static inline bool
reconcile_is_uid(struct view uid)
{
	return uid.n > sizeof(RECONCILE_PREFIX) - 1 &&
		memcmp(uid.p, RECONCILE_PREFIX, sizeof(RECONCILE_PREFIX) - 1) == 0;
}

#endif
