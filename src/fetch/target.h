/*
 * target.h: where letters go. A target is a row of operations; blocking code on a
 * delivery thread, one thread at a time. Results in letter->fate of the letters given;
 * a letter whose fate a target makes worse than LETTER_DELIVERED keeps the worst.
 */
#ifndef FETCH_TARGET_H
#define FETCH_TARGET_H

#include "fetch/letter.h"

struct target;

/* What a target may make use of; borrowed for its life. */
struct target_context {
	const struct fetch_account *account;
	const struct fetch_target_spec *spec;
	const char *state_dir;
	int spool_dir;	  /* where letter->tmp lies */
	bool is_spool;	  /* the spool is this Maildir's own tmp/ */
	const char *mark; /* spool_mark: how names of files of ours in tmp/ begin */
};

struct target_ops {
	enum fetch_target_kind kind;
	bool journalled; /* a file that can be found again (maildir, mbox): a replay is
			    exact */
	int (*open)(const struct target_context *c, struct target **ret, char *why,
		size_t why_n);
	void (*close)(struct target **t);
	/*
	 * Before the intended transaction: the name or key under which the letter will be
	 * found again ("" where there is none), and what must be durable by then (a copy
	 * in this Maildir's tmp/, synced).
	 */
	int (*prepare)(struct target *t, struct letter *l, const char *trace_id,
		char name[LETTER_NAME_MAX]);
	/* All that prepare left to be synced, once for a batch. */
	int (*prepared)(struct target *t);
	/* After it: hands the letters over, in order, as fast as the other side takes
	 * them. names[i], trace_ids[i] belong to letters[i]; a trace id is "" where the
	 * account wants none. Sets each fate, and why where it is not good. */
	void (*hand_over)(struct target *t, struct letter *const *letters,
		char (*names)[LETTER_NAME_MAX], char (*trace_ids)[41], size_t n);
	/* Once for a batch: what was handed over is durable (new/ synced). An error makes
	 * every letter of the batch LETTER_TEMPORARY, and undoes what can be undone. */
	int (*settle)(struct target *t);
	/* The replay: whether the letter is there; moves it there from tmp/ if it only
	 * got that far. -errno where that cannot be told now. NULL where not journalled.
	 */
	int (*find)(struct target *t, const char *tmp, const char *name,
		const uint8_t digest[DIGEST_OCTETS], uint64_t stored, bool *ret_found);
	/* A letter that was prepared will not be handed over. NULL: nothing to undo. */
	void (*drop)(struct target *t, struct letter *l);
	/* After the replay's finds: removes what killed runs of this account left in a
	 * tmp/ of this target's own. NULL: there is nothing of the kind. */
	int (*sweep)(struct target *t);
	/* Before a daemon's next poll: whether the path leads to what is open still.
	 * NULL: nothing stays open. */
	bool (*stands)(const struct target *t);
};

extern const struct target_ops target_maildir, target_mbox, target_lmtp, target_smtp,
	target_program;
const struct target_ops *target_ops_of(enum fetch_target_kind kind);

/*
 * 40 hex digits of a hash of (account, uid, digest): the same message of the same account
 * has the same one in every run and with every state. Its first 32 are the mark by which
 * a Maildir's or an mbox's copy is found again.
 */
#define TARGET_MARK_HEX 32
[[nodiscard]] int target_trace_id(
	const struct fetch_account *a, const struct letter *l, char ret[TRACE_ID_MAX]);
/* Sets fate and why: "WHERE: what: the error's words". */
void target_failed(struct letter *l, enum letter_fate fate, const char *where,
	const char *what, int error);

#endif
