/*
 * maildir_scan.h: the directories of a Maildir and the names in them.
 */
#ifndef STORE_MAILDIR_SCAN_H
#define STORE_MAILDIR_SCAN_H

#include "store/maildir.h"

/* ---- maildir_dirs.c: the directories of a maildrop --------------------------- */

/* The names of new and cur and of those of the folders. -EINVAL, -E2BIG. */
[[nodiscard]] int maildir_dirs_init(struct store *s, struct view folders);
void maildir_dirs_done(struct store *s);
/* The identities as they are now, by name below the open maildrop. */
[[nodiscard]] int maildir_ids_now(const struct store *s, struct maildir_dir_id *ret);
/* Which of n differ: a bit each. */
uint64_t maildir_ids_differ(
	const struct maildir_dir_id *a, const struct maildir_dir_id *b, unsigned n);
/* Opens sub[dir] if it is not. */
[[nodiscard]] int maildir_open_sub(struct store *s, unsigned dir);
void maildir_close_subs(struct store *s);

/* ---- maildir_scan.c: the names in them --------------------------------------- */

struct maildir_entry {
	uint64_t ino; /* as the directory says */
	uint32_t name_at;
	uint8_t name_n, dir;
	uint8_t attempt; /* the reading that met it */
};

/*
 * Rows of a table by inode. A slot tells of itself whether an entry is its row's as it
 * is: to look at row and name of each costs more than to read the directory.
 */
struct maildir_inode_slot {
	uint64_t tag; /* of name and directory */
	uint32_t ino; /* low half */
	uint32_t row; /* plus 1; 0: none */
};

struct maildir_inodes {
	struct maildir_inode_slot *slots; /* NULL: none */
	uint32_t mask;
};

struct maildir_scan {
	struct maildir_entry *entries; /* but for those that are kept */
	size_t n, cap;
	struct maildir_bytes names;
	struct maildir_dir_id ids[MAILDIR_DIRS_MAX];
	uint64_t racy;
	/* With a known table: */
	const struct maildir_table *known;
	bool keeps; /* its rows may stay as they are */
	struct maildir_inodes inodes;
	uint8_t *kept; /* of each row: the reading that met it as it is; 0: not so */
	uint64_t read; /* directories that were read; what the table says of others holds
			*/
	uint8_t attempt;
};

/*
 * Reads the directories, those of new messages first, and again if they changed
 * meanwhile. Where a known table keeps its rows, only those that changed since it was
 * made, and entries that it has in just that way are only marked as kept.
 */
[[nodiscard]] int maildir_scan_read(struct store *s, const struct maildir_table *known,
	bool keeps, struct maildir_scan *ret);
void maildir_scan_done(struct maildir_scan *scan);
/* The next row with this inode after *slot (start with -1). */
bool maildir_inodes_next(const struct maildir_table *t, const struct maildir_inodes *h,
	uint64_t ino, int64_t *slot, uint32_t *ret_idx);

#endif
