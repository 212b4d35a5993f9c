/*
 * who_line.h: a line of the users file, as far as it says where a user's mail is and
 * whose (auth/users_line.h has all of it). Passwords are not looked at. Pure.
 */
#ifndef MOVE_WHO_LINE_H
#define MOVE_WHO_LINE_H

#include "pop3/view.h"

#include <stddef.h>
#include <stdint.h>

#define WHO_PATH_MAX 1024

struct who_options {
	struct view maildrop; /* the template of those without one of their own */
	uint32_t uid, gid;    /* of those without; 0: none */
};

struct who_user {
	struct view name; /* borrowed from the line; empty: the line says nothing */
	uint32_t uid, gid;
	uint8_t store; /* enum store_kind */
	size_t path_n;
	uint8_t path[WHO_PATH_MAX];
};

/* NULL, or what is wrong (static); the name is set as far as there is one. */
const char *who_line_read(
	struct view line, const struct who_options *o, struct who_user *ret);

#endif
