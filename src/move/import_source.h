/*
 * import_source.h: where `restante import` reads: lists of old servers, old servers
 * themselves, and the maildrop.
 */
#ifndef MOVE_IMPORT_SOURCE_H
#define MOVE_IMPORT_SOURCE_H

#include "move/foreign.h"
#include "move/import.h"
#include "move/live.h"

#include <stdio.h>

#define IMPORT_FILE_MAX	 ((size_t)256 << 20)
#define IMPORT_MBOX_MAX	 ((size_t)768 << 20) /* of the memory of WATCHED_DATA_MAX */
#define IMPORT_WHY_MAX	 2048
#define IMPORT_SHOWN_MAX 100 /* reasons that are printed for one maildrop */

/* ---- import_maildir.c, import_mbox.c: the maildrop ------------------------------------
 */

/* Names and keys. */
[[nodiscard]] int import_maildir_read(struct import *im, int top);
/* Header and size of each message that has no row yet (all: of every one). */
[[nodiscard]] int import_maildir_marks(struct import *im, int top, bool all);
/* An mbox is read once: keys, headers and sizes. */
[[nodiscard]] int import_mbox_read(struct import *im, int fd);
/* The rest of a message behind its header, for a message's body_wire and so on. */
[[nodiscard]] int import_measure(int fd, struct import_message *m);
/* Marks from an open file, length octets from offset. */
[[nodiscard]] int import_marks_of(struct import *im, int fd, struct import_message *m);

/* ---- import_source.c, import_live.c: the old server -----------------------------------
 */

enum import_kind {
	IMPORT_NONE,
	IMPORT_DOVECOT,
	IMPORT_COURIER,
	IMPORT_CYRUS,
	IMPORT_MBOX,
	IMPORT_LIVE,
};

struct import_wishes {
	const char *from; /* URL, or NULL */
	const char *const *sources;
	size_t sources_n;
	struct view format; /* pop3_uidl_format */
	enum foreign_cyrus cyrus;
	enum foreign_mbox mbox;
	enum import_kind list; /* that alone, of those in the maildrop; NONE: any */
	bool rename, reuse_xuidl, dry_run, json;
	struct live_options live;
	const char *password;  /* of all, or NULL; then: */
	const char *passwords; /* lines NAME:PASSWORD */
};

/* Someone who is told of lines that cannot be read. */
struct import_source {
	struct foreign_sink sink; /* first */
	struct import *im;
	const struct import_wishes *w;
	FILE *bad; /* reasons, a line each */
};

/* What kind a file is, by its first octets; a directory: by what is in it. */
enum import_kind import_kind_of(int fd);
/* Reads one source into rows. why: what failed. */
[[nodiscard]] int import_source_read(struct import *im, int fd, enum import_kind kind,
	const struct import_wishes *w, FILE *bad, char why[IMPORT_WHY_MAX]);
/* The live server, as this user. */
[[nodiscard]] int import_live_read(struct import *im, const struct import_wishes *w,
	const char *user, const char *password, char why[IMPORT_WHY_MAX]);

#endif
