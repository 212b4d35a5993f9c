/*
 * state.h: what is remembered between runs: STATE/state.db, SQLite in WAL mode with
 * synchronous=FULL. Blocking; every call takes the state's mutex, so it may be used from
 * any thread but the loop's while sessions run. Results: 0 or -errno; `why` of the last
 * failure by state_why.
 *
 * The schema has a version: an older one is upgraded in one transaction, a newer one is
 * refused with a clear error. A file that is damaged is refused too, never replaced.
 * Only one process at a time uses a state: a lock on STATE/lock (an open file description
 * lock); -EBUSY where it is held (why names the pid). Opened with create false it is read
 * only and takes no lock: -ENOENT where there is none, -EROFS for what writes.
 */
#ifndef FETCH_STATE_H
#define FETCH_STATE_H

#include "fetch/known.h"
#include "fetch/letter.h"

struct state;

[[nodiscard]] int state_open(
	const char *dir, bool create, struct state **ret, char *why, size_t why_n);
void state_close(struct state **s);
/* Of sysexits(3), for what state_open or another call said: 75 where it may be over next
 * time without anybody's doing (a disk that fails or is full, another process), else 73.
 */
int state_exit_status(int r);
/* What the last failure was about, printable; valid for the next few failures. */
const char *state_why(struct state *s);
/* Reads the whole file and compares its indexes: -EUCLEAN where it is damaged. Slow. */
[[nodiscard]] int state_check(struct state *s);

/* Creates the account's row on first use (row 0 where the state is read only). Key: the
 * account's name, host and user: another host or user under the same name is another
 * account. ret->former where the same host and user are known under another name. The
 * owner frees ret->tls_session. */
[[nodiscard]] int state_account(
	struct state *s, const struct fetch_account *a, struct remembered *ret);
/* Writes all of *r back (one transaction). */
[[nodiscard]] int state_remember(struct state *s, const struct remembered *r);
[[nodiscard]] int state_load(struct state *s, int64_t account, struct known_table *ret);

/* ---- the journal, for deliver.c ---- */
/* One transaction: rows of messages and (message, target) become intended, for the
 * targets in letter->wanted, with letter->tmp and the name letter->names[target] (names
 * NULL: none). What a target has stays synced; what is owed to targets that a no longer
 * names is forgotten. wanted 0: the message becomes KNOWN_SYNCED where all have it. */
[[nodiscard]] int state_intend(struct state *s, int64_t account, struct letter *const *l,
	size_t n, const struct fetch_account *a);
/* One (message, target) is done, not yet durable; the name is that in the Maildir. */
struct settled {
	struct letter *letter;
	size_t target;
	bool delivered;
};
/* One transaction: what was delivered becomes synced, the others are owed again; no tries
 * are counted. A message is KNOWN_SYNCED when all its targets are. -ENOENT for what was
 * not intended in this run. */
[[nodiscard]] int state_settle(struct state *s, int64_t account,
	const struct settled *done, size_t n, uint64_t now_s);
/* Rows of deliveries that were intended and not synced: for the replay at start. */
struct unsettled {
	int64_t message;
	char target[1024]; /* the target's text */
	char tmp[LETTER_NAME_MAX], name[LETTER_NAME_MAX];
	uint8_t digest[DIGEST_OCTETS];
	uint64_t stored;
};
[[nodiscard]] int state_unsettled(
	struct state *s, int64_t account, struct unsettled **ret, size_t *ret_n);
/* The replay's outcome for one of them; found false: to be fetched again. */
[[nodiscard]] int state_replayed(
	struct state *s, const struct unsettled *u, bool found, uint64_t now_s);
/* Sets `wanted` of each letter: the targets that do not have its message yet. */
[[nodiscard]] int state_want(struct state *s, int64_t account, struct letter *const *l,
	size_t n, const struct fetch_account *a);

/* ---- what a session saw; one call, one transaction ---- */
enum mark_kind {
	MARK_SEEN,	/* first listed now */
	MARK_GONE,	/* no longer listed: a tombstone from now on */
	MARK_BACK,	/* listed again */
	MARK_DELE_SENT, /* before the DELE goes out where QUIT may lack its answer */
	MARK_DELETED,	/* QUIT confirmed it: a tombstone */
	MARK_TRY,	/* one more failed try */
	MARK_QUARANTINED,
	MARK_ADOPTED,
	MARK_SKIPPED,
	MARK_SIZE,    /* the size is now `size` */
	MARK_HEADER,  /* the header digest is now `header` */
	MARK_RENAMED, /* the same message under a new uid: `uid` becomes `new_uid` */
	MARK_REUSED, /* the uid belongs to another message now: the old row steps aside */
};
struct mark {
	enum mark_kind kind;
	struct view uid, new_uid;
	uint64_t size;
	uint8_t header[HEADER_DIGEST];
};
[[nodiscard]] int state_mark(struct state *s, int64_t account, const struct mark *marks,
	size_t n, uint64_t now_s);
/* Where the delivered message of l->same has the octets of this letter, it has the
 * letter's uid from now on; where it had that uid and is another, it steps aside. */
[[nodiscard]] int state_same(
	struct state *s, int64_t account, const struct letter *l, uint64_t now_s);
/* One transaction: what was put aside and is not gone was never tried; what its targets
 * have they keep. Where there was any, r->count is not known any more, here and there: a
 * look at the end of the listing would pass it by. */
[[nodiscard]] int state_retry_aside(struct state *s, struct remembered *r);
/* Tombstones older than that are removed. */
[[nodiscard]] int state_sweep(struct state *s, int64_t account, uint64_t before_s);

/* ---- for --status and the imports ---- */
struct account_figures {
	char name[256];
	struct remembered r; /* without tls_session */
	/* by_stage: tombstones too, but not of SEEN and INTENDED. due: delivered, still
	 * on the server, to be deleted by keep and delete_after as they were when
	 * state_account was last called. */
	uint64_t by_stage[KNOWN_STAGES], on_server, due;
	uint64_t oldest_undelivered_s;
};
[[nodiscard]] int state_figures(
	struct state *s, struct account_figures **ret, size_t *ret_n, uint64_t now_s);

#endif
