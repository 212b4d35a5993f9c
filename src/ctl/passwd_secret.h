/*
 * passwd_secret.h: a password from a terminal or from standard input, and its hash.
 */
#ifndef CTL_PASSWD_SECRET_H
#define CTL_PASSWD_SECRET_H

#include "auth/scram.h"
#include "base/buf.h"

#include <stdbool.h>

#define SECRET_MAX	511 /* crypt(3) takes no more */
#define SECRET_HASH_MAX 400
/* Of SCRAM, whose clients pay for them too. */
#define SECRET_ROUNDS	  10000
#define SECRET_ROUNDS_MIN 4096 /* RFC 7677 s.4 */

struct secret {
	char text[SECRET_MAX + 1];
	size_t n;
};

/*
 * Twice from the terminal without echo, or one line from standard input. 0, or an exit
 * code of sysexits(3) after a message on standard error. Wipe it after use.
 */
[[nodiscard]] int secret_read(bool from_stdin, struct secret *ret);
/* The schemes that can be made, with blanks between them. */
const char *secret_schemes(void);
/* False for a scheme that is not among them. */
[[nodiscard]] bool secret_scheme_known(const char *scheme);
/* Are there rounds to be chosen? */
bool secret_scheme_is_scram(const char *scheme);
/*
 * "{CRYPT}$y$..." or "{SCRAM-SHA-256}..." for a scheme that is known; rounds are for the
 * latter alone. False where the library refuses.
 */
[[nodiscard]] bool secret_hash(
	const struct secret *s, const char *scheme, uint32_t rounds, struct buf *out);

#endif
