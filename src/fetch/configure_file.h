/*
 * configure_file.h: one more account at the end of a configuration file, so that whoever
 * reads it, and whatever is cut off meanwhile, sees the old file or the new one.
 */
#ifndef FETCH_CONFIGURE_FILE_H
#define FETCH_CONFIGURE_FILE_H

#include "pop3/output.h"

#include <stdbool.h>
#include <stddef.h>

#define CONFIGURE_NAME_MAX 65 /* with its NUL */

/* A section's name for an address: what it cannot hold becomes `_`. */
void configure_name(const char *address, char ret[CONFIGURE_NAME_MAX]);
/* Whether a text has a line [account NAME]. Pure. */
[[nodiscard]] bool configure_has(struct view text, const char *name);
/* "option = value" and a line end; false: no file can hold that value. */
[[nodiscard]] bool configure_put(struct buf *b, const char *option, const char *value);
/*
 * Appends the section. A file that is not there is made, 0600, with the directories above
 * it (0700); a link is followed. -EEXIST: the account is there already; -errno else; why
 * says what and what to do.
 */
[[nodiscard]] int configure_append(
	const char *path, const char *name, struct view section, char *why, size_t why_n);

#endif
