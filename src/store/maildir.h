/*
 * maildir.h: the parts of the Maildir store, for its own files only.
 *
 * A table holds rows in POP order. What a client sees of a row (wire size, UIDL, Seen)
 * is copied into the public part and stays; where the file is now (name, directory) and
 * what was learnt of it later is kept in the row and goes into the next table.
 */
#ifndef STORE_MAILDIR_H
#define STORE_MAILDIR_H

#include "store/maildir_state.h"

/* ---- maildir_scan.c: the names in new and cur ------------------------------- */

struct maildir_entry {
	uint64_t ino; /* as the directory says */
	uint32_t name_at;
	uint8_t name_n;
	uint8_t dir;
};

struct maildir_scan {
	struct maildir_entry *entries;
	size_t n, cap;
	struct maildir_bytes names;
	struct maildir_dir_id ids[MAILDIR_DIRS];
	bool racy;
};

/* Reads both directories (new first), again if they changed meanwhile. */
[[nodiscard]] int maildir_scan_read(struct store *s, struct maildir_scan *ret);
void maildir_scan_done(struct maildir_scan *scan);
/* The identities as they are now, by name below the open maildrop. */
[[nodiscard]] int maildir_ids_now(
	const struct store *s, struct maildir_dir_id ret[MAILDIR_DIRS]);
bool maildir_ids_equal(const struct maildir_dir_id *a, const struct maildir_dir_id *b);
/* Opens sub[dir] if it is not. */
[[nodiscard]] int maildir_open_sub(struct store *s, enum maildir_dir dir);
void maildir_close_subs(struct store *s);

/* ---- maildir_size.c: what only the file itself tells ------------------------ */

struct maildir_file {
	uint64_t dev, ino, size;
	int64_t mtime_ns;
	bool regular;
};
/* By name, no link followed. */
[[nodiscard]] int maildir_stat(int dir, const char *name, struct maildir_file *ret);
[[nodiscard]] int maildir_fstat(int fd, struct maildir_file *ret);
/* Opens for reading without waiting for anything; -EINVAL where it is no plain file. */
[[nodiscard]] int maildir_open_file(int dir, const char *name, struct maildir_file *ret);
/* Counts the open file from its start into the row; block holds MAILDIR_BLOCK octets. */
[[nodiscard]] int maildir_count(int fd, uint8_t *block, struct maildir_row *row);

struct maildir_sizing {
	struct maildir_row *row;
	const struct maildir_row *known; /* of an older table, or NULL */
	bool known_inode; /* it lay on the same file system: its inode can be compared */
	const char *name;
	int result; /* 0: the row has its sizes; else it is left out */
};
/* Fills rows in order of inodes, on several threads where there are many. */
void maildir_size_all(const int sub[MAILDIR_DIRS], struct maildir_sizing *list, size_t n);

/* ---- maildir_build.c, maildir_table.c
 * -------------------------------------------------------- */

/*
 * A table from names just read and what an older table knew; takes the scan's names.
 * known may be NULL. *ret has one reference, generation 0.
 */
[[nodiscard]] int maildir_table_build(struct store *s, struct maildir_scan *scan,
	const struct maildir_table *known, struct maildir_table **ret);
/* Room for count rows and messages. */
[[nodiscard]] int maildir_table_new(uint32_t count, struct maildir_table **ret);
/* The public part and the hash of keys from the rows; text must not grow any more. */
[[nodiscard]] int maildir_table_finish(struct maildir_table *t);
/* The same rows again, with all that was learnt. */
[[nodiscard]] int maildir_table_clone(
	const struct maildir_table *t, struct maildir_table **ret);
void maildir_table_unref(struct maildir_table **t);
/* Whether both show the same to a client. */
bool maildir_table_same(const struct maildir_table *a, const struct maildir_table *b);
/* Next row with this key after *at (start with -1); false where there is none. */
bool maildir_table_next(
	const struct maildir_table *t, struct view key, int64_t *slot, uint32_t *ret_idx);

/* For open addressing with n entries: at most half full. */
static inline uint32_t
maildir_hash_mask(uint32_t n)
{
	uint32_t size = 16;

	while (size < n * (uint64_t)2)
		size *= 2;
	return size - 1;
}

static inline struct view
maildir_key(const struct maildir_table *t, const struct maildir_row *r)
{
	return (struct view){(const uint8_t *)t->text.p + r->key_at, r->key_n};
}

static inline const char *
maildir_row_name(const struct maildir_table *t, const struct maildir_row *r)
{
	return t->names.p + r->name_at;
}

/* ---- maildir_uidl.c ---------------------------------------------------------- */

/*
 * A UIDL for each of the first n rows, which are in order. match: row of known plus 1, or
 * 0; these keep theirs, then the others get one, so that a late twin gets another.
 */
[[nodiscard]] int maildir_uidls_assign(struct maildir_table *t, uint32_t n,
	const struct maildir_table *known, uint32_t *match);
/* 0, or -EINVAL where two rows have one UIDL. */
[[nodiscard]] int maildir_uidls_differ(const struct maildir_table *t);

/* ---- maildir_index.c: the cache file ---------------------------------------- */

/* From the octets of an index file; -EINVAL for anything that is not wholly sound. */
[[nodiscard]] int maildir_index_decode(struct view octets, struct maildir_table **ret);
/* *ret is malloc'ed. */
[[nodiscard]] int maildir_index_encode(
	const struct maildir_table *t, uint8_t **ret, size_t *ret_n);
/* NULL where there is none to be trusted. */
struct maildir_table *maildir_index_load(int top);
[[nodiscard]] int maildir_index_save(int top, const struct maildir_table *t);

/* ---- maildir_find.c --------------------------------------------------------- */

/* Reads the names again and puts them into the table's rows; a row without a file gets
 * dir MAILDIR_DIRS. */
[[nodiscard]] int maildir_find_all(struct store *s, struct maildir_table *t);
int maildir_slice(struct store *s, const struct store_table *t, uint32_t idx,
	struct store_slice *ret);
int maildir_seen(struct store *s, const struct store_table *t, uint32_t idx);

/* ---- maildir_remove.c ------------------------------------------------------- */

int maildir_remove(struct store *s, const struct store_table *t, struct view marks,
	struct store_removed *ret);

#endif
