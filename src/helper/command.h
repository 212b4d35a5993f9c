/*
 * command.h: the parts of restante-auth-command.
 *
 * The program reads name NUL password NUL timestamp NUL from descriptor 3 and, where they
 * are right, becomes the program that it is given as its last argument: this one again,
 * as `reply`, which writes its user and its environment to descriptor 4
 * (command_reply.c).
 */
#ifndef HELPER_COMMAND_H
#define HELPER_COMMAND_H

#include "base/buf.h"
#include "pop3/view.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define COMMAND_INPUT_MAX 512 /* octets on descriptor 3, as the interface says */
#define COMMAND_REPLY_MAX 8192
#define COMMAND_WORDS_MAX 16

enum command_fd {
	COMMAND_FD_INPUT = 3,
	COMMAND_FD_REPLY = 4,
	COMMAND_FD_SELF = 5, /* this program, for whoever may not enter its directory */
};

struct command {
	const char *path;
	char *arguments; /* the words of command_arguments, each with a NUL behind it */
	size_t arguments_n;
	int self; /* O_PATH: this program */
	uint64_t timeout_ms;
	bool answers_lookups;
};

/* What became of a run. */
enum command_end {
	COMMAND_REPLIED, /* status 0, and a reply */
	COMMAND_SILENT,	 /* status 0 and none: it never became what it was given */
	COMMAND_REFUSED, /* 1 */
	COMMAND_UNKNOWN, /* 3, as some programs say of a lookup */
	COMMAND_MISUSED, /* 2 */
	COMMAND_FAILED,	 /* any other, 111 among them, or it could not be started */
	COMMAND_SLOW	 /* it was killed, with all that it had started */
};

/*
 * input: what stands on descriptor 3. address: 16 octets, or none. lookup: without a
 * password. The reply is put into *ret.
 */
enum command_end command_run(const struct command *c, struct view input,
	struct view address, bool lookup, struct buf *ret);

/* Writes the reply; the exit status of the program. */
int command_reply_write(int fd);
/*
 * The user's line from a reply. own: the user that we ourselves run as; a program that
 * did not change it says nothing of whose the mail is. NULL, or why there is no line
 * (static).
 */
const char *command_reply_read(struct view reply, struct view name, bool lookup,
	uid_t own, struct buf *ret_line);

#endif
