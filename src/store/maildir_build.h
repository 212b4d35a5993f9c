/*
 * maildir_build.h: a Maildir's table being made; for the files of the Maildir store that
 * make it.
 */
#ifndef STORE_MAILDIR_BUILD_H
#define STORE_MAILDIR_BUILD_H

#include "store/maildir_scan.h"

/* ---- maildir_build.c --------------------------------------------------------- */

/* What is to become of a row of the known table. */
enum maildir_kept {
	MAILDIR_KEPT = 1, /* it stays as it is */
	MAILDIR_KEPT_LINKED = 2,
	MAILDIR_KEPT_SETTLED = 4, /* from now on */
	MAILDIR_KEPT_SHARED = 8,
};

/* One table being made: rows of `known` that stay as they are, and fresh ones. */
struct maildir_build {
	struct maildir_table *t;	   /* the fresh ones; in the end, all */
	const struct maildir_table *known; /* NULL: nothing is */
	const struct maildir_scan *scan;
	bool lossy;	 /* some fresh rows could not be looked at */
	bool again;	 /* the log is another one: UIDLs are asked of it anew */
	uint8_t *kept;	 /* of each known row */
	uint64_t *times; /* of each fresh row, as long as rows keep their places */
	uint32_t *match; /* row of known plus 1 */
	uint32_t *moved; /* of each known row that is kept: its new place */
	uint32_t n, kept_n;
	uint64_t now_s;
};

/*
 * A table from names just read and what an older table knew, whose walks it takes. *ret
 * has one reference, generation 0.
 */
[[nodiscard]] int maildir_table_build(struct store *s, struct maildir_scan *scan,
	struct maildir_table *known, struct maildir_table **ret);
/* Takes the fresh rows out that are marked. */
void maildir_build_drop(struct maildir_build *b, const uint8_t *drop);

/* ---- maildir_size_all.c ------------------------------------------------------ */

struct maildir_sizing {
	uint32_t row; /* a fresh one */
	int result;   /* 0: it has its sizes; else it is left out */
};
/* Sizes of fresh rows that are not known: from names, from their files, in the order of
 * the list. */
void maildir_size_all(
	struct maildir_build *b, const int *sub, struct maildir_sizing *list, size_t n);

/* ---- maildir_match.c --------------------------------------------------------- */

/* Which fresh rows are known ones that moved or were renamed. */
[[nodiscard]] int maildir_match(struct maildir_build *b);
/* Rows that have a key in common are marked. */
[[nodiscard]] int maildir_mark_shared(struct maildir_build *b);
/* One row of a file that has several names. */
[[nodiscard]] int maildir_drop_links(struct maildir_build *b);

/* ---- maildir_order.c --------------------------------------------------------- */

/* Fresh rows into POP order. */
[[nodiscard]] int maildir_sort(struct maildir_build *b);
/* Fresh and kept rows become one table. */
[[nodiscard]] int maildir_merge(struct maildir_build *b);
/* Whether a known row goes before fresh row i. */
bool maildir_kept_is_first(const struct maildir_build *b, uint32_t idx, uint32_t i);
/* Which of two fresh rows is first, places left aside. */
int maildir_order_of(const struct maildir_build *b, uint32_t x, uint32_t y);

/* ---- maildir_patch.c --------------------------------------------------------- */

/* In place of merge and finish, where it can be: the known table's rows, a few of them
 * changed. The known one is empty then. */
bool maildir_patch(struct maildir_build *b, struct maildir_table *known);

/* ---- maildir_uidl.c ---------------------------------------------------------- */

/*
 * A UIDL for each fresh row, which are in order; known ones keep theirs, then the others
 * get one, so that a late twin gets another. What does not follow from the key is added
 * to the log.
 */
[[nodiscard]] int maildir_uidls_assign(struct store *s, struct maildir_build *b);
/* The UIDL that follows from the key alone; hashed is room for one that has to be made.
 */
struct view maildir_uidl_plain(struct view key, uint8_t hashed[MAILDIR_UIDL_HASHED]);

/* ---- maildir_identity.c: when the identity log is asked and written ----------- */

/* s->log as the file is now; it may be empty. */
[[nodiscard]] int maildir_log_open(struct store *s);
/* Whether the log is not the one that the table's UIDLs agree with. */
bool maildir_log_is_other(const struct store *s, const struct maildir_table *t);
/* Adds that this UIDL was given: by us, or (with its place) by another server. */
[[nodiscard]] int maildir_log_given(struct store *s, const struct maildir_table *t,
	const struct maildir_row *r, uint8_t source);
/* What was added becomes durable; s->log_now is how the log is then. */
[[nodiscard]] int maildir_log_sync(struct store *s);
/* Rows of the table that are gone: their UIDLs are used up where another message could
 * be taken for theirs. stays tells of each row; NULL: those with ROW_REMOVED are gone. */
[[nodiscard]] int maildir_log_used_up(
	struct store *s, const struct maildir_table *t, const uint8_t *stays);
[[nodiscard]] bool maildir_log_is_used_up(
	const struct identity *log, struct view key, struct view uidl);

/* ---- maildir_notice.c: what an operator should know ---------------------------- */

/* Messages that a new table does not show, since their files cannot be read. */
struct maildir_left_out {
	uint32_t n;
	int error; /* of one of them; its name in the directory, inode */
	unsigned dir;
	struct view name;
	uint64_t ino;
};
void maildir_notice_left_out(struct store *s, const struct maildir_left_out *l);
/* See store_ops.notice. */
const char *maildir_notice_next(struct store *s);

#endif
