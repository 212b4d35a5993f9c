/*
 * status.h: what --status and --list show, as a table or as JSON lines. Texts from
 * servers leave as printable characters only.
 */
#ifndef FETCH_STATUS_H
#define FETCH_STATUS_H

#include "fetch/mails.h"
#include "fetch/settings.h"
#include "fetch/state.h"

#include <stdio.h>

/*
 * --status: a line for each account of the state, and for each configured one that was
 * never collected. 0, or of sysexits(3) after the error was written to stderr. A state
 * that is not there yet is no error.
 */
[[nodiscard]] int status_show(const struct fetch_command *c);
/* Its output: an account of the state, or (f NULL) one that was never tried. */
void status_head(FILE *to, const struct fetch_command *c);
void status_row(FILE *to, const struct fetch_command *c, const char *name,
	const struct account_figures *f, uint64_t now_s);

/* --list: what one account's server has, and what would happen to each message. */
void status_list(FILE *to, bool json, const char *account, const struct mails *m);

#endif
