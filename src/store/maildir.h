/*
 * maildir.h: the parts of the Maildir store, for its own files only; maildir_build.h and
 * maildir_index.h have what makes and what stores a table.
 *
 * A table holds rows in POP order. What a client sees of a row (wire size, UIDL, Seen)
 * is copied into the public part and stays; where the file is now (name, directory) and
 * what was learnt of it later is kept in the row and goes into the next table.
 */
#ifndef STORE_MAILDIR_H
#define STORE_MAILDIR_H

#include "pop3/dot.h"
#include "store/maildir_state.h"

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
/* Counts the open file of about that size from its start into the row; block holds
 * MAILDIR_BLOCK octets. */
[[nodiscard]] int maildir_count(
	int fd, uint64_t size, uint8_t *block, struct maildir_row *row);
/*
 * Opens and counts with a read alone, where a directory entry said that it is a plain
 * file and a short read is its end. The row keeps its inode and its time, but those of
 * a large file are looked at.
 */
[[nodiscard]] int maildir_count_at_once(int dir, const char *name,
	const struct dot_kernel *kernel, uint8_t *block, struct maildir_row *row);
void maildir_take_file(struct maildir_row *row, const struct maildir_file *f);
/* Whether a file of this time can be the one that the row was counted from. */
static inline bool
maildir_time_holds(const struct maildir_row *r, int64_t file_ns)
{
	if (r->mtime_ns >= 0)
		return file_ns == r->mtime_ns;
	return file_ns < -r->mtime_ns - MAILDIR_RACY_NS;
}
/* A digest of what the file holds. */
[[nodiscard]] int maildir_digest(int dir, const char *name, uint64_t *ret);

/* ---- maildir_table.c --------------------------------------------------------- */

/* malloc, but for large things in large pages; aligned to 64. */
[[nodiscard]] void *maildir_room(size_t n);
/* Room for count rows; messages come with finish. */
[[nodiscard]] int maildir_table_new(
	uint32_t count, unsigned dirs, struct maildir_table **ret);
/* The public part from the rows; text must not grow any more. */
[[nodiscard]] int maildir_table_finish(struct maildir_table *t);
/* The same rows again, with all that was learnt. */
[[nodiscard]] int maildir_table_clone(
	const struct maildir_table *t, struct maildir_table **ret);
void maildir_table_unref(struct maildir_table **t);
/* What a row shows. */
struct store_message maildir_message_of(
	const struct maildir_table *t, const struct maildir_row *r);
bool maildir_message_same(const struct store_message *x, const struct store_message *y);
/* Whether both show the same to a client. */
bool maildir_table_same(const struct maildir_table *a, const struct maildir_table *b);
/* Makes the hashes of each row's key, if they are not there: a cache in what does not
 * change otherwise. */
[[nodiscard]] int maildir_table_hashes(const struct maildir_table *t);
/* Makes the hash of keys, if it is not there. */
[[nodiscard]] int maildir_table_hash(struct maildir_table *t);
/* Next row with this key after *at (start with -1); false where there is none. After
 * maildir_table_hash. */
bool maildir_table_next(
	const struct maildir_table *t, struct view key, int64_t *slot, uint32_t *ret_idx);
/* A name put into the table's names: for a row whose file was renamed. */
[[nodiscard]] int maildir_table_add_name(
	struct maildir_table *t, const char *name, size_t n, uint32_t *ret_at);

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
	return (t->names.p ? t->names.p : t->text.p) + r->name_at;
}

static inline struct view
maildir_row_uidl(const struct maildir_table *t, const struct maildir_row *r)
{
	return (struct view){(const uint8_t *)t->text.p + r->uidl_at, r->uidl_n};
}

uint32_t maildir_key_hash(struct view key);

static inline uint32_t
maildir_hash_u64(uint64_t n)
{
	n *= UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t)(n >> 32);
}

/* ---- maildir_find.c --------------------------------------------------------- */

/* Reads the names again and puts them into the table's rows; a row without a file gets
 * dir MAILDIR_NOWHERE. */
[[nodiscard]] int maildir_find_all(struct store *s, struct maildir_table *t);
int maildir_slice(struct store *s, const struct store_table *t, uint32_t idx,
	struct store_slice *ret);
int maildir_seen(struct store *s, const struct store_table *t, uint32_t idx);

/* ---- maildir_remove.c ------------------------------------------------------- */

int maildir_remove(struct store *s, const struct store_table *t, struct view marks,
	struct store_removed *ret);

#endif
