/*
 * passwd_secret.h: a password from a terminal or from standard input, and its hash.
 */
#ifndef CTL_PASSWD_SECRET_H
#define CTL_PASSWD_SECRET_H

#include "base/buf.h"

#include <stdbool.h>

#define SECRET_MAX	511 /* crypt(3) takes no more */
#define SECRET_HASH_MAX 400

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
/* "{CRYPT}$y$..." for a scheme that is known; false where libcrypt refuses. */
[[nodiscard]] bool secret_hash(
	const struct secret *s, const char *scheme, struct buf *out);

#endif
