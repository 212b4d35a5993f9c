/*
 * import_rows.h: the files in which other retrievers remember what they have collected,
 * as rows of (host, user, UIDL). Pure.
 *
 *   fetchids  fetchmail's .fetchids: "USER@HOST UIDL" a line. Either part may hold an
 *             `@`, and the user's name blanks before its first `@`.
 *   mpop      mpop's uidls file: comments, then lists: " COUNT HOST USER" and as many
 *             lines with one UIDL each. In the older form a name has no blanks, and one
 *             file holds the lists of all accounts.
 *   getmail   oldmail-HOST-PORT-USER: "UIDL NUL TIME" a line (getmail 4 to 6); the older
 *             form has the UIDL alone. Host and user stand in the file's name, with "-"
 *             for each run of the octets / \ : ; < > |.
 *   popstate  Thunderbird's popstate.dat: "*HOST USER", below it "STATE UIDL [TIME]".
 *             k: kept there, d: to be deleted there: both were collected. b: only its
 *             beginning was, f: its rest is to be fetched: neither was.
 */
#ifndef FETCH_IMPORT_ROWS_H
#define FETCH_IMPORT_ROWS_H

#include "pop3/view.h"

#include <stdbool.h>
#include <stdint.h>

#define IMPORT_LINE_MAX 4096 /* a longer line is unreadable */

enum import_kind {
	IMPORT_FETCHIDS,
	IMPORT_MPOP,
	IMPORT_GETMAIL,
	IMPORT_POPSTATE,
	IMPORT_KINDS, /* none of them */
};

/* Views lie in the text. For IMPORT_GETMAIL host and user are empty. */
struct import_row {
	uint32_t line;
	struct view host, user, uid;
};

struct import_sink {
	void (*row)(struct import_sink *s, const struct import_row *row);
	/* A message that the other program knows of but has not collected. */
	void (*later)(struct import_sink *s, const struct import_row *row);
	/* why: static, in plain words. */
	void (*unreadable)(struct import_sink *s, uint32_t line, const char *why);
};

/* "fetchids", "mpop", "getmail", "popstate"; IMPORT_KINDS: no such kind. */
enum import_kind import_kind_of(struct view word);
void import_read(enum import_kind kind, struct view text, struct import_sink *s);
/* Whether an oldmail file of that name belongs to the account; name: without directory.
 */
[[nodiscard]] bool import_getmail_is(
	struct view name, struct view host, uint16_t port, struct view user);

#endif
