/*
 * compare_user.h: one user, asked on both servers as a client would.
 */
#ifndef MOVE_COMPARE_USER_H
#define MOVE_COMPARE_USER_H

#include "move/compare_report.h"

#define COMPARE_SAMPLE 20

struct compare_task {
	struct live_options old, new;
	const char *old_password, *new_password; /* a master's; NULL: the user's own */
	uint32_t sample;
	bool all;   /* every header */
	bool bytes; /* every message, by RETR */
	bool json, quiet;
	bool ignore[DIFFERENCES];
	uint32_t lines_max;
};

enum compare_result { COMPARE_SAFE, COMPARE_NOT_SAFE, COMPARE_NOT_ASKED };

/* Prints all about this user to out. *ret_status: of sysexits(3), why it could not be
 * asked. */
enum compare_result compare_user(const struct compare_task *t, const char *user,
	const char *password, FILE *out, int *ret_status);

#endif
