/*
 * secret.h: passwords and tokens: read from where the account says, kept in memory that
 * is locked where possible, wiped, never in arguments, environment, logs or core dumps.
 */
#ifndef FETCH_SECRET_H
#define FETCH_SECRET_H

#include "fetch/account.h"
#include "pop3/view.h"

#include <stdbool.h>

#define SECRET_OCTETS_MAX 16384 /* tokens are long */

struct secret {
	size_t n;
	uint8_t *octets; /* malloc'ed, n + 1 with a NUL */
};
/* Wipes and frees; {0} is fine. */
void secret_wipe(struct secret *s);

/*
 * Blocking. A command gets /dev/null as input and our stderr.
 * The first line without its end counts. A descriptor gives its secret once: keep it.
 * prompt: on a terminal, where the source is empty
 * (what to call it); NULL: -ENOENT then. -errno and why, which says source and remedy,
 * never a command's text (it may hold a secret). A command without a terminal has 30 s;
 * on a terminal it may ask there for as long as it takes.
 */
[[nodiscard]] int secret_read(const struct fetch_secret_source *from, const char *prompt,
	struct secret *ret, char *why, size_t why_n);
/* The same for one that can be read no second time: *kept has it from the first time on,
 * *ret is a copy. */
[[nodiscard]] int secret_read_once(const struct fetch_secret_source *from,
	struct secret *kept, struct secret *ret, char *why, size_t why_n);
/* An access token by command. */
[[nodiscard]] int secret_token(
	const char *command, struct secret *ret, char *why, size_t why_n);
/* Whether others than its owner may read that file; why then says it, and what to do. */
[[nodiscard]] bool secret_file_is_open(const char *path, char *why, size_t why_n);

#endif
