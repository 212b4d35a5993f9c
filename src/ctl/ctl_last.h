/*
 * ctl_last.h: `restante last`: when somebody logged in, and from where. The record stands
 * in the file of the session lock (store/session_lock.h), in the user's own maildrop:
 * what is there is the word of its owner, and is read as him.
 */
#ifndef CTL_CTL_LAST_H
#define CTL_CTL_LAST_H

#include <stdbool.h>

struct last {
	const char *socket_path;
	char **users;
	int users_n;
	bool json;
};

/* An exit status: 0, 1 where somebody is unknown or has a record that cannot be read, or
 * that of ctl_ask. */
[[nodiscard]] int last_run(const struct last *l);

#endif
