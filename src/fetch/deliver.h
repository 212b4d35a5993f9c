/*
 * deliver.h: commits batches of letters (letter.h has the order) and replays what a
 * killed run left. Blocking, on a delivery thread; one batch of an account at a time.
 */
#ifndef FETCH_DELIVER_H
#define FETCH_DELIVER_H

#include "fetch/durable_together.h"
#include "fetch/spool.h"
#include "fetch/state.h"
#include "fetch/target.h"

struct deliver; /* of one account: its targets, its spool, the state */

[[nodiscard]] int deliver_open(const struct fetch_account *a, struct spool *spool,
	struct state *state, int64_t account, struct deliver **ret, char *why,
	size_t why_n);
void deliver_close(struct deliver **d);
/* Whether the paths of the targets lead to what is open still: a person may have moved a
 * Maildir away, or put a backup in its place. */
[[nodiscard]] bool deliver_stands(const struct deliver *d);
/*
 * Before the first session of a run: settles what was intended (still in tmp/: renamed;
 * in new/ or cur/ with the same digest: synced; in neither: forgotten, so fetched again),
 * then removes spool files of this account that no row has. A program or server whose
 * answer is not known stays unknown: its next delivery carries the same trace id.
 */
[[nodiscard]] int deliver_replay(struct deliver *d, char *why, size_t why_n);
/*
 * Step 2 of a batch, where it takes time; deliver_commit takes it for letters that came
 * without. Meanwhile the batch before may be committed, on another thread. What fails is
 * told of at the commit.
 */
void deliver_sync(struct deliver *d, struct together *together,
	struct letter *const *letters, size_t n);
/*
 * Sets fate and why of each letter; closes their files; what was not delivered leaves no
 * file in tmp/ (refused ones are quarantined by the caller first: a LETTER_REFUSED keeps
 * its file). 0, or -errno where the journal itself failed: then no letter is delivered.
 */
[[nodiscard]] int deliver_commit(
	struct deliver *d, struct letter *const *letters, size_t n);

#endif
