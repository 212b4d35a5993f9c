/*
 * deliver_one.h: the parts of restante-deliver. Results are EX_OK or an exit status of
 * sysexits(3), already told on standard error, unless said otherwise.
 *
 * What may pass is EX_TEMPFAIL: an MTA then tries again, and bounces for all else. A line
 * on standard error begins with the code of RFC 3463 that MTAs look for there.
 */
#ifndef DELIVER_DELIVER_ONE_H
#define DELIVER_DELIVER_ONE_H

#include "conf/conf.h"
#include "pop3/view.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* What the command line and the environment ask for; NULL: they do not say. */
struct wish {
	const char *maildrop, *sender, *recipient, *user, *config;
	bool help;
};

/* Says it, with the code before it, and gives the exit status back. */
[[gnu::format(printf, 3, 4)]] int deliver_fail(
	int status, const char *code, const char *format, ...);

/* ---- deliver_where.c: into which maildrop ----------------------------------------- */

struct place {
	uint8_t kind;	     /* enum store_kind */
	int root;	     /* a directory that is there, O_PATH */
	char path[PATH_MAX]; /* below it */
};

/* As root for a user of this machine: becomes that user first. */
[[nodiscard]] int deliver_where(
	const struct wish *w, const struct conf *c, struct place *ret);

/* ---- deliver_input.c: the message from standard input
 * ---------------------------------- */

struct input {
	int fd;
	uint64_t length;
	/* The header fields on top that the MTA put there already. */
	bool has_return_path, has_recipient;
};

/* beside: where a large message is spooled, in a file without a name. */
[[nodiscard]] int deliver_input(
	uint64_t octets_max, int beside, struct view recipient, struct input *ret);

#endif
