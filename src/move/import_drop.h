/*
 * import_drop.h: one maildrop: whose it is, how it is opened, and its part of an import
 * or a check. Runs in a process of its own, as the owner of the mail.
 */
#ifndef MOVE_IMPORT_DROP_H
#define MOVE_IMPORT_DROP_H

#include "move/import_source.h"
#include "store/mailbox_lock.h"
#include "store/session_lock.h"
#include "store/store.h"

#include <limits.h>

#define DROP_PATH_MAX	1024
#define DROP_GROUPS_MAX 16

struct import_drop {
	const char *label; /* the user's name, or the maildrop as it was given */
	const char *user;  /* NULL: none */
	uint8_t kind;	   /* enum store_kind */
	bool become;	   /* uid and gid are to be taken on */
	uint32_t uid, gid;
	size_t groups_n; /* further ones */
	uint32_t groups[DROP_GROUPS_MAX];
	int root;      /* the path is opened below it, without links; the caller's */
	size_t root_n; /* octets of the path that are the root's */
	char path[DROP_PATH_MAX + 1];
	char log_path[DROP_PATH_MAX + NAME_MAX + 4]; /* of the identity log, for people */
};

/* An opened maildrop, locked against sessions. */
struct drop_opened {
	int dir; /* in which the identity log lies; a Maildir: itself */
	int lock_dir;
	struct mailbox_lock mailbox;  /* an mbox; its fd is -1 for a Maildir */
	char name[NAME_MAX + 1];      /* of the mbox in dir */
	char lock_name[NAME_MAX + 1]; /* of the mbox's session lock */
	char log[NAME_MAX + 1];	      /* of the identity log in dir */
	struct session_lock lock;
};

/* As the owner. 0, or an exit status, said on standard error in the name of program. */
[[nodiscard]] int drop_open(
	struct import_drop *d, const char *program, struct drop_opened *ret);
void drop_close(struct drop_opened *o);

/* Calls work in a child that is the drop's owner; its exit status. before is called
 * first, with the rights of the caller; what it returns other than 0 is the exit status.
 */
struct drop_work {
	int (*before)(struct drop_work *w, const struct import_drop *d);
	int (*work)(struct drop_work *w, struct import_drop *d);
	const char *program;
	uint32_t silence_ms; /* without progress: it is ended, EX_TEMPFAIL */
};
[[nodiscard]] int drop_run(struct import_drop *d, struct drop_work *w);
/* For good, and without new privileges; nothing where d does not ask for it. */
[[nodiscard]] int drop_become(const struct import_drop *d);
/* What sysexits(3) has for an error of a file. */
int drop_exit_status(int err);

/* ---- import_who.c: which maildrops
 * ------------------------------------------------------ */

#define WHO_PROGRAM_MAX 64

struct who {
	const char *program; /* in messages */
	const char *maildrop, *user, *config;
	bool all;
};
/* Each maildrop in turn; stops with what each returns below 0. The worst exit status, or
 * one of its own: 64 wrong wishes, 66 no such file, 67 no such user, 78 configuration. */
struct who_sink {
	int (*each)(struct who_sink *s, struct import_drop *d);
};
[[nodiscard]] int who_each(const struct who *w, struct who_sink *s);

#endif
