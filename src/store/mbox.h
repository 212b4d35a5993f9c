/*
 * mbox.h: the parts of the mbox store, for its own files only.
 *
 * A table holds rows in the order of the file. Beside /dir/NAME stand, all by names that
 * begin with a dot: .NAME.restante-lock (a session's), .NAME.restante-index (a cache),
 * .NAME.restante-identity (identity.h), .NAME.restante-append (mbox_append.h) and, while
 * a removal is under way, .NAME.restante-intent.
 */
#ifndef STORE_MBOX_H
#define STORE_MBOX_H

#include "store/mbox_state.h"

static inline struct mbox *
mbox_of(struct store *s)
{
	return (struct mbox *)(void *)s;
}

static inline struct mbox_table *
mbox_table_of(const struct store_table *t)
{
	return (struct mbox_table *)(uintptr_t)t;
}

/* As the options say: enum mbox_how. */
static inline uint32_t
mbox_how(const struct store_options *o)
{
	return (o->mbox_unquote ? MBOX_HOW_UNQUOTE : 0U) |
		(o->mbox_lengths ? MBOX_HOW_LENGTHS : 0U);
}

/* ---- mbox.c ------------------------------------------------------------------ */

/* Opens the parent where it is not; -ENOENT: there is none. */
[[nodiscard]] int mbox_open_dir(struct mbox *m);
/* ".NAME.restante-WHAT"; false: too long for a name. */
[[nodiscard]] bool mbox_beside(
	const struct mbox *m, const char *what, char ret[NAME_MAX + 1]);
/* To be told once. */
void mbox_notice(struct mbox *m, enum mbox_notice n);

/* ---- mbox_update.c ----------------------------------------------------------- */

/* Takes the mailbox lock to write; what a crash left of a removal is settled first. */
[[nodiscard]] int mbox_lock_for_write(
	struct mbox *m, enum mailbox_lock_kind kind, struct mailbox_lock *ret);
/* Takes the lock and brings the table up to date, if the file is not as it was. */
[[nodiscard]] int mbox_update(struct mbox *m);
/* The same under a lock that is held. */
[[nodiscard]] int mbox_update_locked(struct mbox *m, int fd);
/* Makes t the newest table. */
void mbox_replace_table(struct mbox *m, struct mbox_table *t);

/* ---- mbox_table.c ------------------------------------------------------------ */

[[nodiscard]] int mbox_table_new(size_t cap, struct mbox_table **ret);
[[nodiscard]] int mbox_table_add(struct mbox_table *t, const struct mbox_row *row);
[[nodiscard]] int mbox_text_add(
	struct mbox_text *x, const void *p, size_t n, uint32_t *ret_at);
/* The public part and the hash of UIDLs, which all rows have by now. -EINVAL: two rows
 * have one. */
[[nodiscard]] int mbox_table_finish(struct mbox_table *t);
void mbox_table_unref(struct mbox_table **t);
bool mbox_table_same(const struct mbox_table *a, const struct mbox_table *b);
/* The row with this UIDL; false: none. */
bool mbox_table_find(const struct mbox_table *t, struct view uidl, uint32_t *ret_idx);
/* A copy of the first n rows, UIDLs with them. */
[[nodiscard]] int mbox_table_copy(
	const struct mbox_table *t, uint32_t n, struct mbox_table **ret);

/* For open addressing with n entries: at most half full. */
static inline uint32_t
mbox_hash_mask(uint32_t n)
{
	uint32_t size = 16;

	while (size < n * (uint64_t)2)
		size *= 2;
	return size - 1;
}

static inline struct view
mbox_row_uidl(const struct mbox_table *t, const struct mbox_row *r)
{
	return (struct view){(const uint8_t *)t->text.p + r->uidl_at, r->uidl_n};
}

/* Where the message's last octet in the file is, its separator with it. */
static inline uint64_t
mbox_row_end(const struct mbox_table *t, uint32_t idx)
{
	return idx + 1 < t->pub.count ? t->rows[idx + 1].start : t->id.size;
}

/* ---- mbox_read.c: from octets to rows ----------------------------------------- */

[[nodiscard]] int mbox_id_of(int dir, const char *name, struct mbox_id *ret);
[[nodiscard]] int mbox_id_of_fd(int fd, struct mbox_id *ret);
bool mbox_id_equal(const struct mbox_id *a, const struct mbox_id *b);
/* Adds the messages from the offset on, where a From_ line begins; sets id and racy.
 * -EINVAL: it does not begin with one. */
[[nodiscard]] int mbox_read(int fd, uint64_t offset, struct mbox_table *t);
/* The digest of one message as it lies there now. */
[[nodiscard]] int mbox_read_digest(
	int fd, const struct mbox_row *row, uint32_t how, uint8_t ret[MBOX_DIGEST]);

/* ---- mbox_uidl.c, mbox_uidl_log.c ------------------------------------------------ */

/* Reads the identity log if it was not yet, and lends it the directory. */
[[nodiscard]] int mbox_open_log(struct mbox *m);
/* A UIDL for each row that has none given, known (or NULL) being the table before it.
 * What cannot be computed again is in the log and synced. */
[[nodiscard]] int mbox_uidls_assign(
	struct mbox *m, struct mbox_table *t, const struct mbox_table *known);
/* UIDLs that must not come again. */
[[nodiscard]] int mbox_uidls_use_up(
	struct mbox *m, const struct mbox_table *t, const uint8_t *gone);

/* ---- mbox_index.c: the cache file ----------------------------------------------- */

[[nodiscard]] int mbox_index_decode(struct view octets, struct mbox_table **ret);
[[nodiscard]] int mbox_index_encode(
	const struct mbox_table *t, uint8_t **ret, size_t *ret_n);
/* NULL where there is none to be trusted. */
struct mbox_table *mbox_index_load(struct mbox *m);
[[nodiscard]] int mbox_index_save(struct mbox *m, const struct mbox_table *t);

/* ---- mbox_notice.c --------------------------------------------------------------- */

const char *mbox_notice_next(struct store *s);

/* ---- mbox_slice.c, mbox_remove.c, mbox_deposit.c --------------------------------- */

int mbox_slice(struct store *s, const struct store_table *t, uint32_t idx,
	struct store_slice *ret);
int mbox_slice_is_current(struct store *s, const struct store_table *t, uint32_t idx,
	const struct store_slice *slice);
int mbox_seen(struct store *s, const struct store_table *t, uint32_t idx);
int mbox_remove(struct store *s, const struct store_table *t, struct view marks,
	struct store_removed *ret);
void mbox_deposit(struct store *s, struct store_deposit *list, size_t n);

#endif
