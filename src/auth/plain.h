/*
 * plain.h: the one message of SASL PLAIN (RFC 4616 s.2). Pure.
 *
 *     [authzid] NUL authcid NUL passwd
 */
#ifndef AUTH_PLAIN_H
#define AUTH_PLAIN_H

#include "pop3/view.h"

#include <stdbool.h>

/*
 * False where there are not exactly two NULs, where authcid or passwd are empty, or where
 * authzid is neither empty nor authcid (nobody may act for another). Octets are not
 * altered. Views borrow from the response.
 */
[[nodiscard]] bool plain_read(
	struct view response, struct view *ret_name, struct view *ret_password);

#endif
