/*
 * import_open.h: sources that are named on the command line. Whoever runs the import
 * opens them; the maildrop's owner, or the source's own, reads what is in them.
 */
#ifndef MOVE_IMPORT_OPEN_H
#define MOVE_IMPORT_OPEN_H

#include "move/import_drop.h"
#include "move/import_source.h"

#define IMPORT_SOURCES_MAX     64
#define IMPORT_PACK_OCTETS_MAX ((size_t)512 << 20)

struct import_opened {
	int fd;
	bool packed; /* rows that a child of the owner's read; else the source itself */
};

struct import_run;

/* Opens a file with the rights of its owner and looks at nothing in it; a directory of
 * somebody else's is read by a child that becomes its owner. 0, or an exit status, said.
 */
[[nodiscard]] int import_open(struct import_run *r, const struct import_drop *d,
	const char *path, struct import_opened *ret);
/* As the maildrop's owner, for good: rows into r->im. top: its directory; *ret_beside:
 * the list lies in it. */
[[nodiscard]] int import_read(struct import_run *r, const struct import_drop *d,
	const char *path, const struct import_opened *o, int top, bool *ret_beside);

/* ---- import_pack.c: rows from one process to another ---- */

[[nodiscard]] int import_pack(const struct import *im, struct view bad, int fd);
/* -EBADMSG: this is nothing that import_pack wrote. */
[[nodiscard]] int import_unpack(struct import *im, FILE *bad, int fd);

#endif
