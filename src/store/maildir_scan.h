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
	bool whole; /* all rows; else those whose inodes entries have */
};

#define MAILDIR_LATE_MAX 64  /* entries off the walk; then rows are looked up by inode */
#define MAILDIR_GONE	 255 /* in kept, while it is read: a row that was removed */

/* An entry that was off the walk. */
struct maildir_late {
	size_t entry;
	size_t place; /* in the walk being made */
};

struct maildir_scan {
	struct maildir_entry *entries; /* but for those that are kept */
	size_t n, cap;
	struct maildir_bytes names;
	struct maildir_dir_id ids[MAILDIR_DIRS_MAX];
	uint64_t racy;
	uint64_t untyped; /* directories that do not say what their entries are */
	/* With a known table: */
	const struct maildir_table *known;
	bool keeps; /* its rows may stay as they are */
	struct maildir_inodes inodes;
	uint8_t *kept; /* of each row: the reading that met it as it is; 0: not so */
	uint64_t read; /* directories that were read; what the table says of others holds
			*/
	uint8_t attempt;
	bool known_linked, known_shared;     /* some of its rows are */
	uint32_t known_in[MAILDIR_DIRS_MAX]; /* rows in each directory */
	unsigned dirs;
	struct maildir_walk *walks; /* of this reading; NULL: not kept */
	size_t step;		    /* in the known walk of the directory being read */
	struct maildir_late late[MAILDIR_LATE_MAX];
	size_t late_from, late_n; /* the reading's first entry; how many are late */
};

/*
 * Reads the directories, those of new messages first, and again if they changed
 * meanwhile. Where a known table keeps its rows, only those that changed since it was
 * made, and entries that it has in just that way are only marked as kept.
 */
[[nodiscard]] int maildir_scan_read(struct store *s, const struct maildir_table *known,
	bool keeps, struct maildir_scan *ret);
void maildir_scan_done(struct maildir_scan *scan);
/* ---- maildir_inodes.c -------------------------------------------------------- */

uint64_t maildir_tag(const char *name, size_t n, unsigned dir, uint64_t ino);
/* All rows but those that were removed. */
[[nodiscard]] int maildir_inodes_make(
	const struct maildir_table *t, struct maildir_inodes *ret);
/* Those whose inodes the scan's entries have: all that anybody will ask for. */
[[nodiscard]] int maildir_inodes_make_few(struct maildir_scan *scan);
/* The next row with this inode after *slot (start with -1). */
bool maildir_inodes_next(const struct maildir_table *t, const struct maildir_inodes *h,
	uint64_t ino, int64_t *slot, uint32_t *ret_idx);
/* The row plus 1 that has this file under this name in this directory; 0: none. */
uint32_t maildir_inodes_row(const struct maildir_inodes *h, uint64_t tag, uint64_t ino);

/* ---- maildir_walk.c: entries in the order in which they were met ---------------- */

struct maildir_build;

/* Lists for a reading; the known table's are used where its names are those. */
[[nodiscard]] int maildir_walk_begin(struct maildir_scan *scan, unsigned dirs);
/* The row plus 1 of the entry that comes next in the walk, or in a few; 0: not met. */
uint32_t maildir_walk_next(struct maildir_scan *scan, unsigned dir, uint64_t tag);
/* The entry has been read: its place. Without memory it has none, which costs the next
 * reading's time alone. */
size_t maildir_walk_put(
	struct maildir_scan *scan, unsigned dir, uint64_t tag, uint32_t row);
/* The entry at that place was a row's after all. */
void maildir_walk_mend(
	struct maildir_scan *scan, unsigned dir, size_t place, uint32_t row);
/* Gives the walks to a table whose rows are in order: of directories that were not read,
 * the known table's. moved has the new place of each known row that is kept. */
void maildir_walks_take(struct maildir_build *b, struct maildir_scan *scan,
	struct maildir_table *known, const uint32_t *moved);
size_t maildir_walks_memory(const struct maildir_table *t);
void maildir_walks_free(struct maildir_walk **walks, unsigned dirs);

#endif
