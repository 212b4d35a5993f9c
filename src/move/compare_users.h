/*
 * compare_users.h: names and passwords of those who are asked about.
 *
 * A line is NAME:PASSWORD, with more fields behind it as in the users file, where the
 * password may have {PLAIN} in front; or NAME, blanks, PASSWORD (which then may hold
 * colons). Empty lines and those that begin with # do not count. Under a master the
 * passwords are not looked at.
 */
#ifndef MOVE_COMPARE_USERS_H
#define MOVE_COMPARE_USERS_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>

#define COMPARE_USERS_MAX      1000000
#define COMPARE_USERS_FILE_MAX ((size_t)256 << 20)

/* Pure. False and a reason; both views are empty for a line that does not count. */
[[nodiscard]] bool compare_users_line(struct view line, bool need_password,
	struct view *ret_name, struct view *ret_password, const char **ret_why);

struct compare_user {
	const char *name, *password;
};
struct compare_users {
	struct compare_user *list;
	size_t n;
	char *text; /* wiped by free */
	size_t text_n;
};
/* Every wrong line is told: "FILE:LINE: why" on standard error. 0 or -errno. */
[[nodiscard]] int compare_users_read(
	const char *path, bool need_password, struct compare_users *ret);
void compare_users_free(struct compare_users *u);

#endif
