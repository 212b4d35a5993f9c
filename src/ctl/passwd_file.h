/*
 * passwd_file.h: the users file on disk, changed so that a reader sees the old or the new
 * one and a crash leaves one of them.
 */
#ifndef CTL_PASSWD_FILE_H
#define CTL_PASSWD_FILE_H

#include "ctl/passwd_edit.h"

#define PASSWD_FILE_MAX ((size_t)256 << 20)

/*
 * Takes the lock (an open file description lock; waits at most ten seconds for another
 * one), edits, writes a new file beside the old one with its owner and mode, and renames
 * it over. A file that is not there is made with mode 0600, unless something is removed.
 * 0 or -errno (-EAGAIN: the lock); *ret says what the edit was; *ret_step is what failed.
 */
[[nodiscard]] int passwd_file_change(const char *path, const struct passwd_change *c,
	enum passwd_edit *ret, const char **ret_step);

#endif
